// Count packets in the map that lies at index 0 of a map of maps.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct counters {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct counters);
} outer SEC(".maps");

SEC("xdp")
int count(struct xdp_md *ctx)
{
	__u32 which = 0, action = XDP_PASS;
	void *inner = bpf_map_lookup_elem(&outer, &which);
	__u64 *value;

	if (!inner) return XDP_PASS;
	value = bpf_map_lookup_elem(inner, &action);
	if (value) __sync_fetch_and_add(value, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
