/* Functions as arguments, and their addresses in data. */
#include "bpf.h"

static u64 total;

static int add(u32 index, void *ctx)
{
	total += index;
	return 0;
}

static int stop(u32 index, u64 *most)
{
	return index > *most;
}

SEC("tc") int loops(void *ctx)
{
	u64 most = 5;
	bpf_loop(10, add, 0, 0);
	bpf_loop(10, stop, &most, 0);
	return total;
}

char LICENSE[] SEC("license") = "GPL";
