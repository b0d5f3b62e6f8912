/* Subprograms: static, global, hidden and weak ones, callbacks, several programs in a section. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} totals SEC(".maps");

static __attribute__((noinline)) int leaf(int x)
{
	return x * 3 + 1;
}

static __attribute__((noinline)) int never_called_by_second(int x)
{
	return leaf(x) ^ 5;
}

__attribute__((noinline)) int global_one(int x)
{
	return leaf(x) + 2;
}

__attribute__((noinline, visibility("hidden"))) int hidden_one(int x)
{
	return global_one(x) + leaf(x);
}

__attribute__((noinline, weak)) int weak_one(int x)
{
	return x - 1;
}

static int each_index(__u32 index, void *context)
{
	*(__u32 *)context += leaf(index);
	return 0;
}

static long each_total(void *map, __u32 *key, __u64 *value, __u32 *sum)
{
	*sum += *value;
	return 0;
}

SEC("xdp")
int first(struct xdp_md *ctx)
{
	__u32 sum = 0;

	bpf_loop(10, each_index, &sum, 0);
	bpf_for_each_map_elem(&totals, each_total, &sum, 0);
	return hidden_one(sum) + never_called_by_second(ctx->rx_queue_index);
}

SEC("xdp")
int second(struct xdp_md *ctx)
{
	return weak_one(global_one(ctx->rx_queue_index)) & 3;
}

SEC("?xdp")
int optional(struct xdp_md *ctx)
{
	return leaf(ctx->rx_queue_index);
}

SEC("tc")
int third(struct __sk_buff *skb)
{
	return leaf(skb->mark) + weak_one(1);
}

char license_text[] SEC("license") = "GPL";
