/* Arithmetic of every width and sign, conversions, byte order, and atomics where -mcpu has them. */
#include "bpf.h"

volatile u64 wide;
volatile u32 narrow;
volatile s32 signed_narrow;
volatile u16 half;
volatile signed char byte;
u64 shared;
u32 shared_narrow;

static u64 mix(u64 a, u32 b)
{
	a = a * 31 + b;
	a ^= a >> 7;
	a -= (u64)b << 3;
	a |= 0x55;
	return a % 1000003 + b / 3;
}

SEC("xdp") int compute(struct xdp_md *ctx)
{
	u32 b = narrow;
	wide = mix(wide, b);
	narrow = b * 3 - (b >> 4);
	signed_narrow = byte;
	wide += (s64)signed_narrow;
	wide += (u64)(u32)wide;
	half = __builtin_bswap16(half);
	narrow ^= __builtin_bswap32(narrow);
	wide ^= __builtin_bswap64(wide);
	byte = -byte;
	wide = -wide;
	__sync_fetch_and_add(&shared, 5);
#if __BPF_CPU_VERSION__ >= 3
	wide += __sync_fetch_and_add(&shared, 1);
	wide += __sync_fetch_and_or(&shared, 2);
	wide += __sync_fetch_and_xor(&shared_narrow, 3);
	wide += __sync_fetch_and_and(&shared_narrow, b);
	wide += __sync_val_compare_and_swap(&shared, 4, 5);
	wide += __sync_lock_test_and_set(&shared_narrow, 7);
	wide += __sync_val_compare_and_swap(&shared_narrow, 4, b);
#endif
#if __BPF_CPU_VERSION__ >= 4
	signed_narrow = signed_narrow / 3 % 7;
	wide = (s64)wide / -5;
#endif
	return wide & 3;
}

char LICENSE[] SEC("license") = "GPL";
