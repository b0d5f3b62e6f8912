// What a program asks of structs that lie elsewhere in the target: targets.c.
#include "core.h"

enum shade { DARK = 1, LIGHT = 2, GONE = 9 };
enum wide { SMALL = -5, LARGE = 0x100000000 };
enum unsigned_wide { UNSIGNED_LARGE = 0xffffffff00000000 };
enum top { TOP = 0xffffffff, LOW = 1 };
enum signed_shade { COLD = -3, WARM = 4 };

struct inner {
	int first;
	short second[3];
};

struct sample {
	unsigned char byte;
	unsigned short half;
	unsigned int word;
	unsigned long long_word;
	int number;
	void *pointer;
	struct inner inner;
	struct inner many[4];
	int grid[2][3];
	union {
		int in_union;
		struct {
			int deeper;
			long deepest[2];
		};
	};
	enum shade shade;
	int gone;
	struct inner gone_too;
	int other_kind;
	char name[16];
	float real;
	struct sample *next;
	int tail[];
} CORE;

struct bits {
	unsigned int a : 3;
	int b : 7;
	unsigned long c : 33;
	unsigned char d : 2;
	enum signed_shade e : 5;
	_Bool f : 1;
	int plain;
} CORE;

struct sample___old {
	int renamed;
	unsigned char half;
} CORE;

struct resized {
	unsigned char grows;
	unsigned long shrinks;
	int signed_grows;
	void *same;
	unsigned int to_signed;
	char char_grows;
	unsigned short array_grows[4];
} CORE;

struct missing {
	int x;
} CORE;

struct now_union {
	int x;
} CORE;

typedef struct CORE {
	int in_typedef;
	struct inner inner;
} typed;

typedef int (*callback)(struct sample *, long);
typedef int number_t;
typedef struct sample *sample_pointer;
typedef enum shade shade_t;
typedef int matrix[3][2];

PROGRAM(loads)
{
	struct sample *s = context;
	return s->byte + s->half + s->word + s->long_word + s->number + (long)s->pointer;
}

PROGRAM(stores)
{
	struct sample *s = context;
	s->byte = 1;
	s->half = s->word;
	s->number = 77;
	s->long_word = (unsigned long)context;
	s->pointer = 0;
	s->inner.second[1] = 5;
	return 0;
}

PROGRAM(nested)
{
	struct sample *s = context;
	return s->inner.first + s->inner.second[2] + s->many[3].second[1] + s->grid[1][2] + s->name[7];
}

PROGRAM(unnamed)
{
	struct sample *s = context;
	return s->in_union + s->deeper + s->deepest[1];
}

PROGRAM(rows)
{
	struct sample *s = context;
	return s[3].number + s[1].many[2].first + s->tail[6];
}

PROGRAM(addresses)
{
	struct sample *s = context;
	use(&s->number);
	use(&s->many[2]);
	use(&s->many[2].second[1]);
	use(&s->deepest);
	use(&s->tail[3]);
	use(&s[2]);
	use(&s[2].name);
	return 0;
}

PROGRAM(reads)
{
	struct sample *s = context;
	struct inner copy;
	bpf_core_read(&copy, sizeof(copy), &s->many[1]);
	return copy.first + BPF_CORE_READ(s, next, next, number) + BPF_CORE_READ(s, next, inner.first);
}

PROGRAM(gone)
{
	struct sample *s = context;
	if (bpf_core_field_exists(s->gone))
		return s->gone;
	if (bpf_core_field_exists(s->gone_too.second))
		return s->gone_too.second[1];
	if (bpf_core_field_exists(s->other_kind))
		return s->other_kind;
	return s->many[3].first;
}

PROGRAM(questions)
{
	struct sample *s = context;
	return bpf_core_field_exists(s->number) + bpf_core_field_exists(s->gone) * 2 +
	       bpf_core_field_exists(s->many[3]) * 4 + bpf_core_field_exists(s->other_kind) * 8 +
	       bpf_core_field_exists(struct sample, deeper) * 16 +
	       bpf_core_field_size(s->many) + bpf_core_field_size(s->inner) +
	       bpf_core_field_size(s->name[1]) + bpf_core_field_size(s->grid[1]) +
	       bpf_core_field_size(s->pointer) +
	       FIELD_INFO(s->number, BPF_FIELD_SIGNED) + FIELD_INFO(s->word, BPF_FIELD_SIGNED) +
	       FIELD_INFO(s->shade, BPF_FIELD_SIGNED) + FIELD_INFO(s->real, BPF_FIELD_SIGNED) +
	       FIELD_INFO(s->number, BPF_FIELD_LSHIFT_U64) + FIELD_INFO(s->half, BPF_FIELD_RSHIFT_U64) +
	       FIELD_INFO(s->name[3], BPF_FIELD_BYTE_OFFSET) + bpf_core_field_offset(s->many[2].second);
}

PROGRAM(bitfields)
{
	struct bits *s = context;
	return BPF_CORE_READ_BITFIELD(s, a) + BPF_CORE_READ_BITFIELD(s, b) +
	       BPF_CORE_READ_BITFIELD(s, c) + BPF_CORE_READ_BITFIELD(s, d) +
	       BPF_CORE_READ_BITFIELD(s, e) + BPF_CORE_READ_BITFIELD(s, f) +
	       BPF_CORE_READ_BITFIELD(s, plain);
}

PROGRAM(bit_questions)
{
	struct bits *s = context;
	return ALL_INFO(s->a) + ALL_INFO(s->b) + ALL_INFO(s->c) + ALL_INFO(s->d) + ALL_INFO(s->e) +
	       ALL_INFO(s->f) + ALL_INFO(s->plain);
}

PROGRAM(flavours)
{
	struct sample___old *s = context;
	if (bpf_core_field_exists(s->renamed))
		return s->renamed;
	return s->half;
}

PROGRAM(resizes)
{
	struct resized *s = context;
	s->grows = 3;
	s->shrinks = (long)context;
	return s->grows + s->shrinks + (long)s->same + s->array_grows[2];
}

PROGRAM(resizes_signed)
{
	struct resized *s = context;
	return s->signed_grows;
}

PROGRAM(resizes_to_signed)
{
	struct resized *s = context;
	return s->to_signed;
}

PROGRAM(resizes_char)
{
	struct resized *s = context;
	return s->char_grows;
}

PROGRAM(missing_type)
{
	struct missing *s = context;
	struct now_union *u = context;
	return s->x + bpf_core_field_exists(s->x) + bpf_core_field_exists(u->x);
}

PROGRAM(typedefs)
{
	typed *s = context;
	return s->in_typedef + s->inner.second[1];
}

PROGRAM(types)
{
	return bpf_core_type_exists(struct sample) + bpf_core_type_exists(struct missing) * 2 +
	       bpf_core_type_exists(struct now_union) * 4 + bpf_core_type_exists(callback) * 8 +
	       bpf_core_type_exists(number_t) * 16 + bpf_core_type_exists(sample_pointer) * 32 +
	       bpf_core_type_exists(shade_t) * 64 + bpf_core_type_exists(matrix) * 128 +
	       bpf_core_type_exists(typed) * 256 + bpf_core_type_exists(enum wide) * 512 +
	       bpf_core_type_exists(enum shade) * 2048 +
	       bpf_core_type_exists(struct sample___old) * 4096 +
	       bpf_core_type_size(struct sample) + bpf_core_type_size(struct missing) +
	       bpf_core_type_size(matrix) + bpf_core_type_size(sample_pointer) +
	       bpf_core_type_size(enum wide) + bpf_core_type_size(typed) +
	       bpf_core_type_id_local(struct sample) + bpf_core_type_id_local(struct missing) +
	       bpf_core_type_id_kernel(struct sample) +
	       bpf_core_type_id_kernel(struct missing) + bpf_core_type_id_kernel(shade_t);
}

PROGRAM(enumerators)
{
	return bpf_core_enum_value_exists(enum shade, DARK) +
	       bpf_core_enum_value_exists(enum shade, GONE) * 2 +
	       bpf_core_enum_value_exists(shade_t, LIGHT) * 4 +
	       bpf_core_enum_value(enum shade, DARK) + bpf_core_enum_value(enum shade, LIGHT) +
	       bpf_core_enum_value(enum wide, SMALL) + bpf_core_enum_value(enum wide, LARGE) +
	       bpf_core_enum_value(enum unsigned_wide, UNSIGNED_LARGE) +
	       bpf_core_enum_value(enum signed_shade, COLD) +
	       bpf_core_enum_value(enum signed_shade, WARM) + bpf_core_enum_value(enum top, LOW);
}

PROGRAM(missing_enumerator)
{
	return bpf_core_enum_value(enum shade, GONE);
}
