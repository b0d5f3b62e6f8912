// Count packets and bytes in both directions of an interface.
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

enum { INGRESS, EGRESS, DIRECTIONS };

struct counter {
	__u64 pkts;
	__u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, DIRECTIONS);
	__type(key, __u32);
	__type(value, struct counter);
} traffic SEC(".maps");

static __always_inline int count(struct __sk_buff *skb, __u32 direction)
{
	struct counter *found = bpf_map_lookup_elem(&traffic, &direction);

	if (found) {
		__sync_fetch_and_add(&found->pkts, 1);
		__sync_fetch_and_add(&found->bytes, skb->len);
	}
	return TC_ACT_UNSPEC; // TCX_NEXT: let the next program decide, or the packet pass
}

SEC("tc")
int count_in(struct __sk_buff *skb)
{
	return count(skb, INGRESS);
}

SEC("tc")
int count_out(struct __sk_buff *skb)
{
	return count(skb, EGRESS);
}

char _license[] SEC("license") = "GPL";
