// bpf_core_type_matches() and bpf_core_type_exists() about types that are nearly those of
// matches_target.c.
#include "core.h"

enum few { ONE = 10, TWO };
enum more { FIRST, SECOND, THIRD };
enum wider { BIG = 0x100000000 };
enum narrow { THIN };

struct part {
	int b;
	long a;
} CORE;
struct too_much {
	int a;
	int not_there;
} CORE;
struct other_sign {
	unsigned int a;
} CORE;
struct other_size {
	long a;
} CORE;
struct inner_part {
	int x;
};
struct nested {
	struct inner_part inner;
	struct inner_part *pointer;
} CORE;
struct inner_wrong {
	int y;
};
struct nested_wrong {
	struct inner_wrong inner;
} CORE;
struct pointed_wrong {
	struct inner_wrong *pointer;
} CORE;
struct forward;
struct to_forward {
	struct forward *there;
	struct now_whole *whole;
	union wrong_forward *wrong;
} CORE;
struct to_forward_good {
	struct forward *there;
	struct now_whole *whole;
} CORE;
struct arrays {
	int grid[2][3];
} CORE;
struct arrays_longer {
	int grid[2][4];
} CORE;
struct functions {
	int (*call)(struct part *, int);
} CORE;
struct functions_more {
	int (*call)(struct part *);
} CORE;
struct functions_other {
	int (*call)(struct part *, long);
} CORE;
struct unnamed {
	union {
		int a;
		long b;
	};
} CORE;
struct flavoured___mine {
	enum few chosen;
	char other;
} CORE;
struct itself {
	struct itself *next;
	int value;
} CORE;
union choice {
	int a;
} CORE;
struct choice_now_struct {
	int a;
} CORE;
struct bitty {
	int a : 3;
} CORE;
typedef int (*callback)(struct part *, enum few);
typedef int (*callback_other)(struct part *, enum more *);
typedef struct part part_t;
typedef const volatile struct part *const qualified;
typedef unsigned char byte_t;
typedef _Bool flag_t;
typedef float real_t;
typedef void (*void_call)(void);

#define BOTH(type) sum = sum * 4 + bpf_core_type_matches(type) * 2 + bpf_core_type_exists(type)

PROGRAM(structs)
{
	long sum = 0;
	BOTH(struct part);
	BOTH(struct too_much);
	BOTH(struct other_sign);
	BOTH(struct other_size);
	BOTH(struct nested);
	BOTH(struct nested_wrong);
	BOTH(struct pointed_wrong);
	BOTH(struct to_forward);
	BOTH(struct to_forward_good);
	BOTH(struct arrays);
	BOTH(struct arrays_longer);
	BOTH(struct functions);
	BOTH(struct functions_more);
	BOTH(struct functions_other);
	BOTH(struct unnamed);
	BOTH(struct flavoured___mine);
	BOTH(struct itself);
	BOTH(union choice);
	BOTH(struct choice_now_struct);
	BOTH(struct bitty);
	return sum;
}

PROGRAM(others)
{
	long sum = 0;
	BOTH(enum few);
	BOTH(enum more);
	BOTH(enum wider);
	BOTH(enum narrow);
	BOTH(callback);
	BOTH(callback_other);
	BOTH(part_t);
	BOTH(qualified);
	BOTH(byte_t);
	BOTH(flag_t);
	BOTH(real_t);
	BOTH(void_call);
	return sum;
}
