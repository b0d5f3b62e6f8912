/* Maps of several kinds, a map in a map, and addresses of maps in code. */
#include "bpf.h"

struct key {
	u32 address;
	u16 port;
	u8 protocol;
} __attribute__((packed));

struct value {
	u64 packets;
	u64 bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 5);
	__type(key, u32);
	__type(value, u64);
} xdp_stats_map SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, 1);
	__type(key, struct key);
	__type(value, struct value);
} flows SEC(".maps");

struct inner {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 5);
	__type(key, u32);
	__type(value, u64);
} inner SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 2);
	__type(key, u32);
	__array(values, struct inner);
} outer SEC(".maps") = {
	.values = { [0] = &inner },
};

static void count(void *map, u32 key)
{
	u64 *value = bpf_map_lookup_elem(map, &key);
	if (value)
		__sync_fetch_and_add(value, 1);
}

SEC("xdp") int count_packet(struct xdp_md *ctx)
{
	u32 index = 0;
	void *map = bpf_map_lookup_elem(&outer, &index);
	if (map)
		count(map, 2);
	count(&xdp_stats_map, XDP_PASS);

	struct key key = { .address = ctx->ingress_ifindex, .port = 80, .protocol = 6 };
	struct value *flow = bpf_map_lookup_elem(&flows, &key);
	if (flow) {
		flow->packets++;
		flow->bytes += ctx->data_end - ctx->data;
	} else {
		struct value first = { 1, ctx->data_end - ctx->data };
		bpf_map_update_elem(&flows, &key, &first, 0);
	}
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "GPL";
