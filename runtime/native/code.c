/*
 * Checks code against the instruction table, as ebpfasm/ir/scan.py does; tests hold both against
 * each other.
 */
#include <stddef.h>
#include <stdint.h>

#include "native.h"

#define SLOT 8
#define REGISTERS 11

static uint64_t word_at(const unsigned char *at)
{
	uint64_t word = 0;

	for (int byte = SLOT - 1; byte >= 0; byte--)
		word = word << 8 | at[byte];
	return word;
}

static int fits(const ebpfasm_code_row *row, uint64_t word)
{
	return (word & row->mask) == row->value &&
	       (!(row->registers & EBPFASM_CODE_DST) || (word >> 8 & 15) < REGISTERS) &&
	       (!(row->registers & EBPFASM_CODE_SRC) || (word >> 12 & 15) < REGISTERS);
}

/* How many slots the instruction takes, 0 where it is none. */
static unsigned int slots_of(const ebpfasm_code_rows *table, uint64_t word)
{
	unsigned int number = table->first[word & 0xff];

	if (number == 0)
		return 0;
	for (const ebpfasm_code_row *row = &table->rows[number - 1];; row++) {
		if (fits(row, word))
			return row->slots;
		if (row->last)
			return 0;
	}
}

long ebpfasm_code_scan(const unsigned char *code, size_t slots, const ebpfasm_code_rows *table,
                       uint32_t *wide, size_t *found)
{
	*found = 0;
	for (size_t slot = 0; slot < slots; slot++) {
		unsigned int taken = slots_of(table, word_at(code + slot * SLOT));

		if (taken == 0)
			return (long)slot;
		if (taken == 1)
			continue;
		/* The second slot holds nothing but the immediate's upper half. */
		if (slot + 1 == slots || (word_at(code + (slot + 1) * SLOT) & 0xffffffff))
			return (long)slot;
		wide[(*found)++] = (uint32_t)slot;
		slot++;
	}
	return -1;
}
