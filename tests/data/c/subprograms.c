/* Functions that call each other: global, static, weak; several programs in one section, sections
 * with slashes, and tail calls. */
#include "bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 4);
	__uint(key_size, 4);
	__uint(value_size, 4);
} tails SEC(".maps");

static __noinline u32 fold(u32 sum)
{
	return (sum & 0xffff) + (sum >> 16);
}

__noinline u32 checksum(u32 first, u32 second)
{
	return ~fold(fold(first + second)) & 0xffff;
}

__attribute__((weak)) __noinline int choose(u32 number)
{
	return number % 3 ? XDP_PASS : XDP_DROP;
}

static __noinline int deep(struct xdp_md *ctx, u64 a, u64 b, u64 c)
{
	return choose(a * b + c / (a | 1)) + checksum(a, b);
}

SEC("xdp") int entry(struct xdp_md *ctx)
{
	bpf_tail_call(ctx, &tails, 1);
	return deep(ctx, ctx->ingress_ifindex, ctx->rx_queue_index, bpf_ktime_get_ns());
}

SEC("xdp") int second(struct xdp_md *ctx)
{
	return checksum(ctx->ingress_ifindex, 5);
}

SEC("xdp.frags/devmap") int third(struct xdp_md *ctx)
{
	return choose(ctx->rx_queue_index);
}

SEC("tracepoint/syscalls/sys_enter_execve") int traced(void *ctx)
{
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
