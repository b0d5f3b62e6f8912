// Count the packets that pass: key 2 of the map is XDP_PASS.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} xdp_stats_map SEC(".maps");

SEC("xdp")
int xdp_stats(struct xdp_md *ctx)
{
	__u32 key = XDP_PASS;
	__u64 *counter = bpf_map_lookup_elem(&xdp_stats_map, &key);

	if (!counter) return XDP_ABORTED;
	__sync_fetch_and_add(counter, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
