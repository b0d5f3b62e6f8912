/* Names that this file declares and does not define, aliases, and functions out of place. */
#include "bpf.h"

extern int kernel_function(void *pointer, u32 number) __attribute__((section(".ksyms")));
extern int perhaps(void) __attribute__((weak, section(".ksyms")));
extern const int kernel_symbol __attribute__((section(".ksyms")));
extern u32 LINUX_KERNEL_VERSION __attribute__((section(".kconfig")));

volatile int target = 1;
extern volatile int another_name __attribute__((alias("target")));
int shared_by_linker __attribute__((common));
static int unused_but_kept __attribute__((used)) = 4;

SEC("xdp") int outside(struct xdp_md *ctx)
{
	int result = kernel_function(ctx, 3) + another_name + shared_by_linker;
	if (perhaps)
		result += perhaps();
	return result + LINUX_KERNEL_VERSION + (long)&kernel_symbol;
}

char LICENSE[] SEC("license") = "GPL";
