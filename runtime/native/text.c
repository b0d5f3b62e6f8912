/*
 * Assembly text to statements, shapes and values, and to code where a statement's shape is known.
 *
 * A shape is a statement's text with its registers, numbers and names taken out. Programs have few
 * shapes; the caller parses one statement of each with the grammar and says where its values go.
 */
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <stdint.h>

#include "native.h"

#define SHAPE_LIMIT 192 /* bytes of a shape; what is longer goes the slow way */
#define VALUES EBPFASM_VALUES

/* What stands in a shape for a 64-bit register, a 32-bit one, a number and a name. */
enum { R = 1, W = 2, NUMBER = 3, NAME = 4 };

/* A set of byte strings, in the order they came. */
struct set {
	uint32_t *slots, mask, count, room;
	const char **at;
	uint32_t *length;
};

struct reader {
	const char *text, *end, *at;
	struct set words, names, shapes;
	ebpfasm_text *out;
	size_t room;
	char shape[SHAPE_LIMIT];
	uint32_t shape_length, values;
	uint64_t value[VALUES];
	int slow, blank;
};

static uint32_t hash(const char *at, uint32_t length)
{
	uint32_t h = 2166136261u;

	while (length--)
		h = (h ^ (unsigned char)*at++) * 16777619u;
	return h;
}

static int set_grow(struct set *set)
{
	uint32_t size = set->mask ? (set->mask + 1) * 2 : 1024, room = size / 2, i;
	uint32_t *slots = calloc(size, sizeof(*slots));
	const char **at = realloc(set->at, room * sizeof(*at));
	uint32_t *length;

	if (at)
		set->at = at;
	length = realloc(set->length, room * sizeof(*length));
	if (length)
		set->length = length;
	if (!slots || !at || !length) {
		free(slots);
		return -1;
	}
	free(set->slots);
	set->slots = slots;
	set->mask = size - 1;
	set->room = room;
	for (i = 0; i < set->count; i++) {
		uint32_t slot = hash(set->at[i], set->length[i]) & set->mask;

		while (slots[slot])
			slot = (slot + 1) & set->mask;
		slots[slot] = i + 1;
	}
	return 0;
}

/* The string's number, -1 if it is not there; *slot is where it belongs. */
static long set_find(const struct set *set, const char *at, uint32_t length, uint32_t *slot)
{
	uint32_t place = hash(at, length) & set->mask, found;

	while ((found = set->slots[place]) != 0) {
		if (set->length[found - 1] == length && !memcmp(set->at[found - 1], at, length))
			return found - 1;
		place = (place + 1) & set->mask;
	}
	*slot = place;
	return -1;
}

/* The string's number, which it gets now if it is new; -1 without memory. `keep` copies it. */
static long set_add(struct set *set, const char *at, uint32_t length, int keep)
{
	uint32_t slot = 0;
	long found;

	if (set->count == set->room && set_grow(set))
		return -1;
	found = set_find(set, at, length, &slot);
	if (found >= 0)
		return found;
	if (keep) {
		char *copy = malloc(length ? length : 1);

		if (!copy)
			return -1;
		at = memcpy(copy, at, length);
	}
	set->at[set->count] = at;
	set->length[set->count] = length;
	set->slots[slot] = ++set->count;
	return set->count - 1;
}

static void set_free(struct set *set, int kept)
{
	uint32_t i;

	for (i = 0; kept && i < set->count; i++)
		free((char *)set->at[i]);
	free(set->slots);
	free(set->at);
	free(set->length);
}

static int is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int begins_name(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.' || c == '$';
}

static int is_name(char c)
{
	return begins_name(c) || is_digit(c) || c == '@';
}

static int is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\f' || c == '\v';
}

static void put(struct reader *r, const char *at, uint32_t length)
{
	if (r->shape_length + length + 1 > SHAPE_LIMIT) {
		r->slow = 1;
		return;
	}
	if (r->blank && r->shape_length)
		r->shape[r->shape_length++] = ' ';
	r->blank = 0;
	memcpy(r->shape + r->shape_length, at, length);
	r->shape_length += length;
}

static void put_value(struct reader *r, char mark, uint64_t value)
{
	put(r, &mark, 1);
	if (r->values == VALUES)
		r->slow = 1;
	else
		r->value[r->values++] = value;
}

static int digit_value(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

static void read_number(struct reader *r)
{
	const char *at = r->at;
	uint64_t value = 0;
	unsigned int base = 10, digit;

	if (*at == '0' && at + 1 < r->end) {
		char second = at[1] | 0x20;

		base = second == 'x' ? 16 : second == 'b' ? 2 : is_digit(at[1]) ? 8 : 10;
		at += base == 16 || base == 2 ? 2 : 0;
	}
	/* A prefix without digits, a digit that is too large, and a number too long are told by the
	 * grammar, which reads the statement again. */
	if (at == r->end || digit_value(*at) >= (int)base)
		r->slow = 1;
	for (; at < r->end && (digit = digit_value(*at)) < base; at++) {
		if (value > (UINT64_MAX - digit) / base)
			r->slow = 1;
		value = value * base + digit;
	}
	if (at < r->end && is_name(*at))
		r->slow = 1;
	while (at < r->end && is_name(*at))
		at++;
	r->at = at;
	put_value(r, NUMBER, value);
}

/* r0 to r10 and w0 to w10; returns the mark, 0 if it is no register. */
static char register_of(const char *at, uint32_t length, uint64_t *number)
{
	char kind = at[0] | 0x20;

	if ((kind != 'r' && kind != 'w') || length < 2 || length > 3 || !is_digit(at[1]))
		return 0;
	*number = at[1] - '0';
	if (length == 3) {
		if (at[1] != '1' || at[2] != '0')
			return 0;
		*number = 10;
	}
	return kind == 'r' ? R : W;
}

static int all_digits(const char *at, uint32_t length)
{
	while (length && is_digit(*at))
		at++, length--;
	return !length;
}

static int read_name(struct reader *r)
{
	const char *begin = r->at;
	uint32_t length, slot;
	uint64_t number = 0;
	char mark;
	long name;

	while (r->at < r->end && is_name(*r->at))
		r->at++;
	length = r->at - begin;
	mark = register_of(begin, length, &number);
	if (mark) {
		put_value(r, mark, number);
		return 0;
	}
	if ((begin[0] | 0x20) == 'r' || (begin[0] | 0x20) == 'w')
		if (length > 1 && all_digits(begin + 1, length - 1))
			r->slow = 1; /* a register that does not exist */
	if (set_find(&r->words, begin, length, &slot) >= 0) {
		put(r, begin, length);
		return 0;
	}
	name = set_add(&r->names, begin, length, 0);
	if (name < 0)
		return -1;
	put_value(r, NAME, name);
	return 0;
}

static int store(struct reader *r, const char *begin, const char *end, uint32_t shape)
{
	ebpfasm_text *out = r->out;
	size_t n = out->statements;

	if (n == r->room) {
		size_t room = r->room ? r->room * 2 : 1024;
		uint32_t *start = realloc(out->start, room * sizeof(*start)), *length, *number;
		uint64_t *value;

		if (start)
			out->start = start;
		length = realloc(out->length, room * sizeof(*length));
		if (length)
			out->length = length;
		number = realloc(out->shape, room * sizeof(*number));
		if (number)
			out->shape = number;
		value = realloc(out->value, room * VALUES * sizeof(*value));
		if (value)
			out->value = value;
		if (!start || !length || !number || !value)
			return -1;
		r->room = room;
	}
	out->start[n] = begin - r->text;
	out->length[n] = end - begin;
	out->shape[n] = shape;
	memcpy(out->value + n * VALUES, r->value, sizeof(r->value));
	out->statements++;
	return 0;
}

static void begin_statement(struct reader *r)
{
	r->shape_length = r->values = 0;
	r->slow = r->blank = 0;
	memset(r->value, 0, sizeof(r->value));
}

static int end_statement(struct reader *r, const char *begin, const char *end)
{
	long shape;

	if (begin == end)
		return 0;
	if (r->slow)
		return store(r, begin, end, EBPFASM_SHAPE_SLOW);
	shape = set_add(&r->shapes, r->shape, r->shape_length, 1);
	if (shape < 0)
		return -1;
	return store(r, begin, end, shape + EBPFASM_SHAPE_FIRST);
}

static const char *line_end(const char *at, const char *end)
{
	const char *found = memchr(at, '\n', end - at);

	return found ? found : end;
}

/* One statement from r->at, with the labels before it. */
static int read_statement(struct reader *r)
{
	const char *begin = r->at, *last = r->at;

	begin_statement(r);
	while (r->at < r->end && *r->at != '\n' && *r->at != ';') {
		char c = *r->at;

		if (is_blank(c)) {
			r->blank = 1;
			r->at++;
			if (begin == last)
				begin = last = r->at;
			continue;
		}
		if (c == '#' || (c == '/' && r->at + 1 < r->end && r->at[1] == '/')) {
			r->at = line_end(r->at, r->end);
			break;
		}
		if (c == '/' && r->at + 1 < r->end && r->at[1] == '*') {
			const char *close = r->at + 2;

			while (close + 1 < r->end && !(close[0] == '*' && close[1] == '/'))
				close++;
			if (close + 1 >= r->end)
				return 1; /* never closed: the grammar's way tells it */
			r->at = close + 2;
			r->blank = 1;
			if (begin == last)
				begin = last = r->at;
			continue;
		}
		if (c == ':' && r->shape_length == 1 && r->values == 1 && r->shape[0] == NAME) {
			if (store(r, begin, last, EBPFASM_SHAPE_LABEL))
				return -1;
			begin = last = ++r->at;
			begin_statement(r);
			continue;
		}
		if (begins_name(c)) {
			if (read_name(r))
				return -1;
		} else if (is_digit(c)) {
			read_number(r);
		} else if (c == '"' || c == '\'') {
			/* Strings and characters are the grammar's; here only where they end matters. */
			r->slow = 1;
			for (r->at++; r->at < r->end && *r->at != c && *r->at != '\n'; r->at++)
				if (*r->at == '\\' && r->at + 1 < r->end && r->at[1] != '\n')
					r->at++;
			if (r->at < r->end && *r->at == c)
				r->at++;
			else if (c == '\'')
				return 1; /* an apostrophe: lines.py decides what it is */
		} else {
			put(r, r->at++, 1);
		}
		last = r->at;
	}
	if (r->at < r->end)
		r->at++;
	return end_statement(r, begin, last);
}

long ebpfasm_text_read(const char *text, size_t length, const char *words, size_t words_length,
		       ebpfasm_text *out)
{
	struct reader r = { .text = text, .end = text + length, .at = text, .out = out };
	const char *word = words;
	long result = 0;

	memset(out, 0, sizeof(*out));
	if (length > UINT32_MAX)
		return 1;
	if (set_grow(&r.words) || set_grow(&r.names) || set_grow(&r.shapes))
		result = -1;
	while (!result && word < words + words_length) {
		const char *end = memchr(word, ' ', words + words_length - word);

		end = end ? end : words + words_length;
		if (set_add(&r.words, word, end - word, 0) < 0)
			result = -1;
		word = end + 1;
	}
	while (!result && r.at < r.end)
		result = read_statement(&r);
	out->shapes = r.shapes.count;
	out->shape_text = r.shapes.at;
	out->shape_length = r.shapes.length;
	out->name_length = r.names.length;
	out->name_start = malloc((r.names.count + 1) * sizeof(*out->name_start));
	if (!out->name_start)
		result = -1;
	for (; out->name_start && out->names < r.names.count; out->names++)
		out->name_start[out->names] = r.names.at[out->names] - text;
	free(r.names.at);
	free(r.shapes.slots);
	free(r.names.slots);
	set_free(&r.words, 0);
	return result;
}

void ebpfasm_text_free(ebpfasm_text *out)
{
	size_t i;

	for (i = 0; i < out->shapes; i++)
		free((char *)out->shape_text[i]);
	free(out->shape_text);
	free(out->shape_length);
	free(out->name_start);
	free(out->name_length);
	free(out->start);
	free(out->length);
	free(out->shape);
	free(out->value);
	memset(out, 0, sizeof(*out));
}

/* The number as its field holds it, as isa/codec.py's fit() says; 0 where it does not fit. */
static int fits(uint64_t magnitude, int negative, int bits, int64_t *value)
{
	uint64_t half = 1ull << (bits - 1);
	int both = bits != 16; /* offsets are signed only */

	if (negative) {
		if (magnitude > half)
			return 0;
		*value = -(int64_t)(magnitude - (magnitude == half)) - (magnitude == half);
		return 1;
	}
	if (magnitude >= half && (!both || (bits == 32 && magnitude >> 32)))
		return 0;
	*value = (int64_t)magnitude;
	if (magnitude >= half && bits == 32)
		*value -= (int64_t)1 << 32;
	return 1;
}

static int apply(const ebpfasm_recipe *recipe, const uint64_t *value, unsigned char *code)
{
	int64_t off = recipe->fixed_off, imm = recipe->fixed_imm;
	unsigned int dst = recipe->dst < 0 ? 0 : (unsigned int)value[(int)recipe->dst];
	unsigned int src = recipe->src < 0 ? recipe->fixed_src : (unsigned int)value[(int)recipe->src];
	int i;

	for (i = 0; i < VALUES; i++)
		if (recipe->same[i] >= 0 && value[i] != value[(int)recipe->same[i]])
			return 0;
	for (i = 0; i < VALUES; i++)
		if (recipe->zero & (1 << i) && value[i] != 0)
			return 0;
	if (recipe->off >= 0 && !fits(value[(int)recipe->off], recipe->off_negative, 16, &off))
		return 0;
	if (recipe->imm >= 0 &&
	    !fits(value[(int)recipe->imm], recipe->imm_negative, recipe->imm_bits, &imm))
		return 0;
	code[0] = recipe->opcode;
	code[1] = (unsigned char)(src << 4 | dst);
	code[2] = off & 0xff;
	code[3] = off >> 8 & 0xff;
	for (i = 0; i < 4; i++)
		code[4 + i] = imm >> (8 * i) & 0xff;
	if (recipe->slots == 2) {
		memset(code + 8, 0, 4);
		for (i = 0; i < 4; i++)
			code[12 + i] = imm >> (32 + 8 * i) & 0xff;
	}
	return 1;
}

long ebpfasm_text_encode(const ebpfasm_text *text, const ebpfasm_recipe *recipes,
			 const unsigned char *stops, size_t first, size_t end, ebpfasm_code *out)
{
	size_t i;

	for (i = first; i < end; i++) {
		const ebpfasm_recipe *recipe = &recipes[text->shape[i]];
		const uint64_t *value = text->value + i * VALUES;

		if (text->shape[i] == EBPFASM_SHAPE_LABEL) {
			if (stops[value[0]])
				return i;
			out->label[out->labels * 3] = out->instructions;
			out->label[out->labels * 3 + 1] = value[0];
			out->label[out->labels * 3 + 2] = i;
			out->labels++;
			continue;
		}
		if (recipe->kind != EBPFASM_PLAIN && recipe->kind != EBPFASM_JUMP)
			return i;
		if (!apply(recipe, value, out->code + out->slots * 8))
			return i;
		if (recipe->kind == EBPFASM_JUMP) {
			out->jump[out->jumps * 2] = out->instructions;
			out->jump[out->jumps * 2 + 1] = value[(int)recipe->name];
			out->jumps++;
		}
		out->start[out->instructions] = text->start[i];
		out->length[out->instructions] = text->length[i];
		out->slot[out->instructions] = out->slots;
		out->instructions++;
		out->slots += recipe->slots;
	}
	return i;
}
