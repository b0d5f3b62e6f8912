/* Switches, loops, comparisons of every kind, and 64-bit constants. */
#include "bpf.h"

volatile u64 sink;

static u64 by_switch(u32 number)
{
	switch (number) {
	case 0: return 0x1122334455667788;
	case 1: return 3;
	case 2: return -1;
	case 3: return 0xffffffff;
	case 4: return 0x80000000;
	case 5: return 1ull << 63;
	case 6: return 700;
	case 100: return 9;
	default: return number * 3;
	}
}

static s64 compare(s64 a, s64 b, s32 c, u32 d)
{
	s64 result = 0;
	if (a < b)
		result += 1;
	if ((u64)a >= (u64)b)
		result += 2;
	if (c < -7)
		result -= 3;
	if (d > 0x7fffffff)
		result ^= 4;
	if (a & 0x10)
		result |= 5;
	if (c == (s32)a)
		result <<= 1;
	return result >> (d & 7);
}

SEC("xdp") int jump(struct xdp_md *ctx)
{
	u64 total = by_switch(ctx->ingress_ifindex & 127);
#pragma clang loop unroll(disable)
	for (u32 i = 0; i < ctx->rx_queue_index && i < 32; i++)
		total += compare(total, sink, i - 3, ctx->ingress_ifindex);
	sink = total;
	return total & 3;
}

char LICENSE[] SEC("license") = "GPL";
