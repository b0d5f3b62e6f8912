// The structs of accesses.c as a target has them: moved, resized, renamed, gone.
#define KEEP(type, name) type *keep_##name

enum shade { LIGHT = 7, DARK = 3, OTHER };
enum wide { LARGE = 0x7000000000, MORE = 5, SMALL = -7 };
enum unsigned_wide { UNSIGNED_LARGE = 0xfffffffffffffff0 };
enum top { TOP = 0xffffffff, LOW = 2 };
enum signed_shade { WARM = 14, COLD = -13 };

struct padding {
	char bytes[24];
};

struct inner {
	struct padding before;
	short second[5];
	int first;
};

union swapped {
	int x;
};

struct sample {
	struct padding start;
	const volatile unsigned int word;
	union {
		struct {
			struct {
				int in_union;
				int deeper;
			};
			long deepest[3];
		};
		long whole;
	};
	struct inner inner;
	int grid[4][5];
	unsigned char byte;
	unsigned long long_word;
	int number;
	void *const pointer;
	struct inner many[9];
	unsigned short half;
	struct {
		struct padding unnamed_padding;
		enum shade shade;
		double real;
	};
	struct inner other_kind;
	char name[32];
	struct sample *next;
	int tail[];
};

struct bits {
	struct padding start;
	int b : 9;
	unsigned int a : 5;
	unsigned char f;
	enum signed_shade e : 9;
	unsigned long c : 40;
	unsigned int d : 11;
	int plain : 17;
};

struct resized {
	unsigned long grows;
	long padding;
	unsigned char shrinks;
	long signed_grows;
	void *same;
	long to_signed;
	short char_grows;
	unsigned int array_grows[4];
};

union now_union {
	int x;
};

typedef struct {
	long before;
	struct inner inner;
	int in_typedef;
} typed;

typedef int (*callback)(struct sample *, int);
typedef long number_t;
typedef struct sample *sample_pointer;
typedef enum shade shade_t;
typedef int matrix[7][2];

KEEP(struct sample, sample);
KEEP(struct bits, bits);
KEEP(struct resized, resized);
KEEP(union now_union, now_union);
KEEP(union swapped, swapped);
KEEP(typed, typed);
KEEP(callback, callback);
KEEP(number_t, number);
KEEP(sample_pointer, sample_pointer);
KEEP(shade_t, shade);
KEEP(matrix, matrix);
KEEP(enum wide, wide);
KEEP(enum unsigned_wide, unsigned_wide);
KEEP(enum top, top);
KEEP(enum signed_shade, signed_shade);
long keep_long;
