/* Assembly inside of C: what clang passes through without a look. */
#include "bpf.h"

static u64 value = 7;

__attribute__((naked)) static __noinline u64 bare(void)
{
	asm volatile("r0 = %[value] ll;\n\t"
		     "r0 = *(u64 *)(r0 + 0);\n\t"
		     "if r0 == 7 goto 1f; r0 = 3;\n"
		     "1: exit;"
		     :
		     : [value] "i"(&value)
		     : "r0");
}

SEC("xdp") int asm_inside(struct xdp_md *ctx)
{
	u64 result;
	asm volatile("%[result] = 5\n"
		     "if %[result] == 5 goto +1  # over the next one\n"
		     "%[result] += 1\n"
		     "%[result] <<= 2  // twice\n"
		     : [result] "=r"(result));
	asm volatile("" ::: "memory");
	value = result;
	return bare() == 20 ? XDP_PASS : XDP_DROP;
}

asm(".section .notes,\"\",@progbits\n"
    ".asciz \"from the top level\"\n"
    ".byte 1, 2, 0x10, 'a'\n"
    ".text\n");

char LICENSE[] SEC("license") = "GPL";
