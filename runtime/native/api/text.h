/*
 * Assembly text, cut into statements (text.c). Statement i is length[i] bytes from start[i]; its
 * values are the EBPFASM_VALUES from there on: registers and numbers as they are, names by number.
 */
#define EBPFASM_VALUES 6
#define EBPFASM_SHAPE_SLOW 0 /* the grammar has to read it */
#define EBPFASM_SHAPE_LABEL 1 /* a label: its value is the name */
#define EBPFASM_SHAPE_FIRST 2 /* shapes count from here */

typedef struct {
	size_t statements, shapes, names;
	uint32_t *start, *length, *shape;
	uint64_t *value;
	const char **shape_text; /* not terminated */
	uint32_t *shape_length, *name_start, *name_length;
} ebpfasm_text;

/* How a shape becomes code: which value goes where, -1 for none; what is not named is fixed. */
#define EBPFASM_SLOW 0
#define EBPFASM_PLAIN 1
#define EBPFASM_JUMP 2 /* to the label that value `name` names */
#define EBPFASM_SYMBOL 3 /* its name has to be looked up: encoding stops there */

typedef struct {
	uint8_t kind, opcode, slots, fixed_src;
	int8_t dst, src, off, imm, name;
	uint8_t off_negative, imm_negative, imm_bits;
	int8_t same[6]; /* value i equals value same[i], -1 where it is free */
	uint8_t zero; /* bit i: value i is 0 */
	int16_t fixed_off;
	int32_t fixed_imm;
} ebpfasm_recipe;

/*
 * Code as it grows: instruction i begins at slot[i] and stands at start[i], length[i] in the text.
 * jump: pairs (instruction, name). label: triples (instruction, name, statement). The caller gives
 * arrays that hold as many as there are statements, and 16 bytes of code for each.
 */
typedef struct {
	size_t instructions, slots, jumps, labels;
	unsigned char *code;
	uint32_t *start, *length, *slot, *jump, *label;
} ebpfasm_code;

/*
 * Read text, which must outlive the result. `words`, with blanks between, are those that a shape
 * keeps as they are; other words are names. Returns 0; 1 for text that only the grammar can cut
 * into statements; -1 without memory. The result is to be freed in every case.
 */
long ebpfasm_text_read(const char *text, size_t length, const char *words, size_t words_length,
                       ebpfasm_text *out);
void ebpfasm_text_free(ebpfasm_text *out);

/*
 * Encode statements first to end. Returns the statement where it stopped: the end, a label whose
 * name has its byte in `stops` set, or a statement that has no plain recipe or does not fit it.
 */
long ebpfasm_text_encode(const ebpfasm_text *text, const ebpfasm_recipe *recipes,
                         const unsigned char *stops, size_t first, size_t end, ebpfasm_code *out);
