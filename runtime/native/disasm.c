/*
 * Code to text, with templates that the caller makes of the instruction table. What a row's fields
 * must hold, which function an instruction belongs to and how labels are numbered is as in
 * ebpfasm/isa/codec.py, ir/lift.py and asm/printer.py; tests hold both ways against each other.
 */
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <stdint.h>

#include "native.h"

#define SLOT 8
#define REGISTERS 11
#define SECOND 0xffff /* the second slot of a 64-bit immediate */
#define LONGEST 512 /* bytes that one line needs at most, names apart */

/* Marks in a template, the numbers of asm/templates.py. */
enum {
	DST = 1, SRC, IMM, MEM, SHORT, LONG, PC, OFF, CAST_DST, CAST_SRC, INDEX, NAME,
};

enum { START = 1, TARGET = 2 };

struct fields {
	uint8_t opcode, dst, src;
	int16_t off;
	int64_t imm;
};

struct writer {
	const unsigned char *code;
	size_t slots;
	int big;
	const ebpfasm_format *format;
	uint16_t *row;
	uint8_t *flags;
	uint32_t *label; /* by slot: the label's number, 0 for none */
	char *out;
	size_t length, room;
};

static struct fields fields_at(const struct writer *w, size_t slot)
{
	const unsigned char *at = w->code + slot * SLOT;
	struct fields f = { .opcode = at[0] };

	if (w->big) {
		f.dst = at[1] >> 4;
		f.src = at[1] & 15;
		f.off = (int16_t)(at[2] << 8 | at[3]);
		f.imm = (int32_t)((uint32_t)at[4] << 24 | at[5] << 16 | at[6] << 8 | at[7]);
	} else {
		f.dst = at[1] & 15;
		f.src = at[1] >> 4;
		f.off = (int16_t)(at[3] << 8 | at[2]);
		f.imm = (int32_t)((uint32_t)at[7] << 24 | at[6] << 16 | at[5] << 8 | at[4]);
	}
	return f;
}

static struct fields wide_at(const struct writer *w, size_t slot)
{
	struct fields f = fields_at(w, slot), second = fields_at(w, slot + 1);

	f.imm = (int64_t)((uint64_t)second.imm << 32 | (uint32_t)f.imm);
	return f;
}

static struct fields instruction_at(const struct writer *w, size_t slot)
{
	return w->format->rows[w->row[slot]].slots == 2 ? wide_at(w, slot) : fields_at(w, slot);
}

static int fits(const ebpfasm_row *row, const struct fields *f)
{
	return (row->uses & 1 ? f->dst < REGISTERS : f->dst == 0) &&
	       (row->uses & 2 ? f->src < REGISTERS : f->src == row->src) &&
	       (row->uses & 4 || f->off == row->off) && (row->uses & 8 || f->imm == row->imm);
}

/* The row of the instruction at a slot, -1 where it is none. */
static long row_at(const struct writer *w, size_t slot)
{
	struct fields f = fields_at(w, slot), second;
	const ebpfasm_format *format = w->format;
	uint32_t number = format->first[f.opcode], end = format->first[f.opcode + 1];

	if (number == end)
		return -1;
	if (format->rows[number].slots == 2) {
		if (slot + 1 >= w->slots)
			return -1;
		second = fields_at(w, slot + 1);
		if (second.opcode || second.dst || second.src || second.off)
			return -1;
		f = wide_at(w, slot);
	}
	for (; number < end; number++)
		if (fits(&format->rows[number], &f))
			return number;
	return -1;
}

static int read_rows(struct writer *w)
{
	size_t slot = 0;

	while (slot < w->slots) {
		long number = row_at(w, slot);

		if (number < 0)
			return 0;
		w->row[slot++] = (uint16_t)number;
		if (w->format->rows[number].slots == 2)
			w->row[slot++] = SECOND;
	}
	return 1;
}

/* Whether an instruction, or with `end` the end of the code, is at a slot. */
static int place(const struct writer *w, int64_t slot, int end)
{
	if (slot < 0 || (uint64_t)slot >= w->slots)
		return end && (uint64_t)slot == w->slots;
	return w->row[slot] != SECOND;
}

static int64_t target(const struct writer *w, size_t slot, const ebpfasm_row *row)
{
	struct fields f = instruction_at(w, slot);

	/* Unsigned, as a distance may be any number of 64 bits. */
	return (int64_t)(slot + 1 + (uint64_t)(row->kind == EBPFASM_ROW_JUMP ? f.off : f.imm));
}

static int find_functions(struct writer *w)
{
	size_t slot;

	w->flags[0] = START;
	for (slot = 0; slot < w->slots; slot++) {
		const ebpfasm_row *row = &w->format->rows[w->row[slot]];
		int64_t to;

		if (w->row[slot] == SECOND || row->kind != EBPFASM_ROW_FUNCTION)
			continue;
		to = target(w, slot, row);
		if (!place(w, to, 0))
			return 0;
		w->flags[to] = START;
	}
	return 1;
}

static int room_for(struct writer *w, size_t more)
{
	char *grown;

	if (w->length + more <= w->room)
		return 1;
	while (w->length + more > w->room)
		w->room = w->room ? w->room * 2 : 1 << 16;
	grown = realloc(w->out, w->room);
	if (!grown)
		return 0;
	w->out = grown;
	return 1;
}

static char *text(char *out, const char *at, size_t length)
{
	memcpy(out, at, length);
	return out + length;
}

static char *decimal(char *out, uint64_t number)
{
	char digits[24], *at = digits + sizeof(digits);

	do
		*--at = '0' + number % 10;
	while (number /= 10);
	return text(out, at, digits + sizeof(digits) - at);
}

static char *hex(char *out, uint64_t number)
{
	char digits[16], *at = digits + sizeof(digits);

	do
		*--at = "0123456789abcdef"[number & 15];
	while (number >>= 4);
	*out++ = '0';
	*out++ = 'x';
	return text(out, at, digits + sizeof(digits) - at);
}

static uint64_t size_of(int64_t number)
{
	return number < 0 ? -(uint64_t)number : (uint64_t)number;
}

static char *signed_hex(char *out, int64_t number)
{
	*out++ = number < 0 ? '-' : '+';
	return hex(out, size_of(number));
}

static char *plain_hex(char *out, int64_t number)
{
	if (number < 0)
		*out++ = '-';
	return hex(out, size_of(number));
}

static char *distance(char *out, int64_t number)
{
	*out++ = number < 0 ? '-' : '+';
	*out++ = ' ';
	return hex(out, size_of(number));
}

static char *function_name(const struct writer *w, char *out, size_t slot)
{
	if (slot == 0)
		return text(out, w->format->entry, w->format->entry_length);
	return decimal(text(out, "func_", 5), slot);
}

static char *label_name(char *out, uint32_t number)
{
	*out++ = 'L';
	return decimal(out, number);
}

/* The name that stands for an instruction's number, NULL where there is none. */
static char *name_of(const struct writer *w, char *out, const ebpfasm_row *row,
                     const struct fields *f, size_t slot, size_t begin, size_t end, uint32_t last)
{
	const ebpfasm_format *format = w->format;
	int64_t to;

	switch (row->kind) {
	case EBPFASM_ROW_HELPER:
		if (f->imm < 0 || f->imm >= (int64_t)format->helpers ||
		    format->helper[f->imm] == format->helper[f->imm + 1])
			return NULL;
		return text(out, format->names + format->helper[f->imm],
		            format->helper[f->imm + 1] - format->helper[f->imm]);
	case EBPFASM_ROW_FUNCTION:
		return function_name(w, out, target(w, slot, row));
	case EBPFASM_ROW_JUMP:
	case EBPFASM_ROW_LONG_JUMP:
		to = target(w, slot, row);
		if (!place(w, to, 1) || to < (int64_t)begin || to > (int64_t)end)
			return NULL;
		return label_name(out, to == (int64_t)end ? last : w->label[to]);
	default:
		return NULL;
	}
}

static char *value(char *out, int mark, const struct fields *f)
{
	switch (mark) {
	case DST: return decimal(out, f->dst);
	case SRC: return decimal(out, f->src);
	case IMM: return plain_hex(out, f->imm);
	case MEM: return distance(out, f->off);
	case SHORT: return signed_hex(out, f->off);
	case LONG: return signed_hex(out, f->imm);
	case PC:
		*out++ = f->imm < 0 ? '-' : '+';
		return decimal(out, size_of(f->imm));
	case OFF: return plain_hex(out, f->off);
	case CAST_DST: return hex(out, f->imm >> 16 & 0xffff);
	case CAST_SRC: return hex(out, f->imm & 0xffff);
	case INDEX:
		if (f->imm == 0)
			return out;
		*out++ = ' ';
		return distance(out, f->imm);
	default:
		return out;
	}
}

static char *fill(char *out, const char *at, size_t length, const struct fields *f,
                  const char *name, size_t name_length)
{
	const char *end = at + length;

	for (; at < end; at++) {
		if (*at == NAME)
			out = text(out, name, name_length);
		else if ((unsigned char)*at < ' ')
			out = value(out, *at, f);
		else
			*out++ = *at;
	}
	return out;
}

static int write_instruction(struct writer *w, size_t slot, size_t begin, size_t end, uint32_t last)
{
	const ebpfasm_row *row = &w->format->rows[w->row[slot]];
	struct fields f = instruction_at(w, slot);
	char name[LONGEST], *named, *out;

	if (!room_for(w, LONGEST))
		return 0;
	named = name_of(w, name, row, &f, slot, begin, end, last);
	out = text(w->out + w->length, "    ", 4);
	if (named)
		out = fill(out, w->format->templates + row->named, row->named_length, &f, name,
		           named - name);
	else
		out = fill(out, w->format->templates + row->text, row->text_length, &f, "", 0);
	*out++ = '\n';
	w->length = out - w->out;
	return 1;
}

static int write_label(struct writer *w, uint32_t number)
{
	char *out;

	if (!room_for(w, LONGEST))
		return 0;
	out = label_name(w->out + w->length, number);
	*out++ = ':';
	*out++ = '\n';
	w->length = out - w->out;
	return 1;
}

static int write_head(struct writer *w, size_t slot)
{
	char *out;

	if (!room_for(w, LONGEST))
		return 0;
	out = text(w->out + w->length, ".globl ", 7);
	out = function_name(w, out, slot);
	*out++ = '\n';
	out = function_name(w, out, slot);
	*out++ = ':';
	*out++ = '\n';
	w->length = out - w->out;
	return 1;
}

/* Number the places that a function's jumps go to; returns the number of its end, 0 for none. */
static uint32_t number_labels(struct writer *w, size_t begin, size_t end)
{
	uint32_t count = 0;
	size_t slot;
	int at_end = 0;

	for (slot = begin; slot < end; slot++) {
		const ebpfasm_row *row = &w->format->rows[w->row[slot]];
		int64_t to;

		if (w->row[slot] == SECOND ||
		    (row->kind != EBPFASM_ROW_JUMP && row->kind != EBPFASM_ROW_LONG_JUMP))
			continue;
		to = target(w, slot, row);
		if (!place(w, to, 1) || to < (int64_t)begin || to > (int64_t)end)
			continue;
		if (to == (int64_t)end)
			at_end = 1;
		else
			w->flags[to] |= TARGET;
	}
	for (slot = begin; slot < end; slot++)
		if (w->flags[slot] & TARGET)
			w->label[slot] = ++count;
	return at_end ? count + 1 : 0;
}

static int write_function(struct writer *w, size_t begin, size_t end)
{
	uint32_t last = number_labels(w, begin, end);
	size_t slot;

	if (!write_head(w, begin))
		return 0;
	for (slot = begin; slot < end; slot++) {
		if (w->row[slot] == SECOND)
			continue;
		if (w->label[slot] && !write_label(w, w->label[slot]))
			return 0;
		if (!write_instruction(w, slot, begin, end, last))
			return 0;
	}
	return last ? write_label(w, last) : 1;
}

static int write_functions(struct writer *w)
{
	size_t begin = 0, end;

	while (begin < w->slots) {
		for (end = begin + 1; end < w->slots && !(w->flags[end] & START); end++)
			;
		if (!write_function(w, begin, end))
			return 0;
		begin = end;
	}
	return 1;
}

long ebpfasm_disassemble(const unsigned char *code, size_t slots, int big,
                         const ebpfasm_format *format, ebpfasm_listing *out)
{
	struct writer w = { .code = code, .slots = slots, .big = big, .format = format };
	long result = -1;

	out->text = NULL;
	out->length = 0;
	w.row = malloc((slots + 1) * sizeof(*w.row));
	w.flags = calloc(slots + 1, sizeof(*w.flags));
	w.label = calloc(slots + 1, sizeof(*w.label));
	if (w.row && w.flags && w.label) {
		if (!read_rows(&w) || !find_functions(&w))
			result = 1;
		else if (write_functions(&w))
			result = 0;
	}
	free(w.row);
	free(w.flags);
	free(w.label);
	if (result == 0) {
		out->text = w.out;
		out->length = w.length;
	} else {
		free(w.out);
	}
	return result;
}

void ebpfasm_listing_free(ebpfasm_listing *out)
{
	free(out->text);
	out->text = NULL;
}
