/*
 * How code becomes text (disasm.c). A template is text with marks, which are bytes below 32, where
 * an instruction's own values go. `uses` has a bit for each field that is an operand: dst, src, off,
 * imm; the others hold 0, or what the row says.
 */
#define EBPFASM_ROW_PLAIN 0
#define EBPFASM_ROW_JUMP 1 /* off is a distance to a label */
#define EBPFASM_ROW_LONG_JUMP 2 /* imm is */
#define EBPFASM_ROW_FUNCTION 3 /* imm is a distance to a function */
#define EBPFASM_ROW_HELPER 4 /* imm is a helper */

typedef struct {
	uint8_t kind, slots, uses, src;
	int16_t off;
	int32_t imm;
	uint32_t text, text_length, named, named_length; /* templates, without and with a name */
} ebpfasm_row;

/* Rows with opcode i are first[i] to first[i + 1], helper i's name is helper[i] to helper[i + 1]. */
typedef struct {
	const ebpfasm_row *rows;
	const uint32_t *first;
	const char *templates, *names, *entry; /* entry: what the first function is called */
	const uint32_t *helper;
	size_t helpers, entry_length;
} ebpfasm_format;

typedef struct {
	char *text;
	size_t length;
} ebpfasm_listing;

/*
 * Write code as functions with labels. Returns 0; 1 where it is not all instructions or a call
 * leaves it; -1 without memory. The text is to be freed after 0.
 */
long ebpfasm_disassemble(const unsigned char *code, size_t slots, int big,
                         const ebpfasm_format *format, ebpfasm_listing *out);
void ebpfasm_listing_free(ebpfasm_listing *out);
