/*
 * Code that is checked as a whole (code.c). A slot is an instruction where, read as a little-endian
 * word, its bits under some row's mask are the row's value and its register fields name registers.
 * first[opcode] is one more than the number of the opcode's first row, 0 for none.
 */
#define EBPFASM_CODE_ROWS 512
#define EBPFASM_CODE_DST 1
#define EBPFASM_CODE_SRC 2

typedef struct {
	uint64_t mask, value;
	uint8_t registers, slots, last;
} ebpfasm_code_row;

typedef struct {
	uint16_t first[256];
	ebpfasm_code_row rows[EBPFASM_CODE_ROWS];
} ebpfasm_code_rows;

/*
 * The first slot that is no instruction, -1 where all are. `wide` gets the slots of those that take
 * two, *found of them; it has room for one for each slot whose opcode is that of the wide rows.
 */
long ebpfasm_code_scan(const unsigned char *code, size_t slots, const ebpfasm_code_rows *table,
                       uint32_t *wide, size_t *found);
