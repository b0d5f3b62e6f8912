// What matches.c asks about.
enum few { TWO, THREE, ONE };
enum more { FIRST, THIRD };
enum wider { BIG = 0x200000000, BIGGER };
enum narrow { THIN = 0x100000000 };

struct part {
	long a;
	short between;
	int b;
};
struct too_much {
	int a, b, c;
};
struct other_sign {
	int a;
};
struct other_size {
	int a;
};
struct inner_part {
	long before;
	int x;
};
struct nested {
	struct inner_part *pointer;
	struct inner_part inner;
};
struct inner_wrong {
	long y;
};
struct nested_wrong {
	struct inner_wrong inner;
};
struct pointed_wrong {
	struct inner_wrong *pointer;
};
struct forward {
	int now_defined;
};
struct wrong_forward;
struct now_whole;
struct to_forward {
	struct forward *there;
	struct now_whole *whole;
	struct wrong_forward *wrong;
};
struct to_forward_good {
	struct forward *there;
	struct now_whole *whole;
};
struct arrays {
	long before;
	int grid[2][3];
};
struct arrays_longer {
	int grid[3][3];
};
struct functions {
	int (*call)(struct part *, int);
};
struct functions_more {
	int (*call)(struct part *, int);
};
struct functions_other {
	int (*call)(struct part *, int);
};
struct unnamed {
	union {
		long b;
		int a;
	};
};
struct flavoured {
	char other;
	enum few chosen;
};
struct itself {
	int value;
	struct itself *next;
};
union choice {
	int a;
	long b;
};
union choice_now_struct {
	int a;
};
struct bitty {
	int b : 2;
	int a : 5;
};
typedef int (*callback)(struct part *, enum few);
typedef int (*callback_other)(struct part *, enum few *);
typedef struct part part_t;
typedef struct part *qualified;
typedef unsigned char byte_t;
typedef int flag_t;
typedef double real_t;
typedef void (*void_call)(void);

#define KEEP(type, name) type *keep_##name;
KEEP(enum few, few)
KEEP(enum more, more)
KEEP(enum wider, wider)
KEEP(enum narrow, narrow)
KEEP(struct part, part)
KEEP(struct too_much, too_much)
KEEP(struct other_sign, other_sign)
KEEP(struct other_size, other_size)
KEEP(struct nested, nested)
KEEP(struct nested_wrong, nested_wrong)
KEEP(struct pointed_wrong, pointed_wrong)
KEEP(struct to_forward, to_forward)
KEEP(struct to_forward_good, to_forward_good)
KEEP(struct arrays, arrays)
KEEP(struct arrays_longer, arrays_longer)
KEEP(struct functions, functions)
KEEP(struct functions_more, functions_more)
KEEP(struct functions_other, functions_other)
KEEP(struct unnamed, unnamed)
KEEP(struct flavoured, flavoured)
KEEP(struct itself, itself)
KEEP(union choice, choice)
KEEP(union choice_now_struct, choice_now_struct)
KEEP(struct bitty, bitty)
KEEP(callback, callback)
KEEP(callback_other, callback_other)
KEEP(part_t, part_t)
KEEP(qualified, qualified)
KEEP(byte_t, byte)
KEEP(flag_t, flag)
KEEP(real_t, real)
KEEP(void_call, void_call)
long keep_long;
