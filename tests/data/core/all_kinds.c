// Every kind of type that clang writes, for kernels that lack some of them.
#define TAG __attribute__((btf_type_tag("user_tag")))
#define DECL __attribute__((btf_decl_tag("decl_tag")))
#define SEC(name) __attribute__((section(name), used))

struct task_struct;
extern struct task_struct *bpf_task_from_pid(int) SEC(".ksyms") __attribute__((weak));
extern const int runqueues SEC(".ksyms") __attribute__((weak));

enum signed_enum { MINUS = -1, PLUS = 1 };
enum wide_enum { WIDE = 0x100000000, SMALL = 1 };

struct with_float {
	float real;
	double larger;
	long double largest;
	enum signed_enum sign;
	enum wide_enum wide;
	int TAG *tagged;
	int bits : 3;
} DECL;

typedef const volatile struct with_float *restrict pointer;
union either {
	int a[3];
	pointer p;
};

struct with_float global SEC(".data.tagged") DECL;
static volatile int hidden SEC(".bss") = 0;
const int constant SEC(".rodata.some") = 7;

__attribute__((noinline)) int subprogram(int argument DECL)
{
	return argument + hidden;
}

SEC("?raw_tp/kinds") int program(union either *context)
{
	global.real = 0;
	return subprogram(constant) + (bpf_task_from_pid ? 1 : 0) + (&runqueues ? 2 : 0) + (context == 0);
}

char _license[] SEC("license") = "GPL";
