// Count packets by the longest prefix of their source address that is in a trie.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct key4 {
	__u32 prefixlen;
	__u8 address[4];
};

struct key6 {
	__u32 prefixlen;
	__u8 address[16];
};

#define PREFIXES(name, key_type)                        \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);    \
		__uint(map_flags, BPF_F_NO_PREALLOC);   \
		__uint(max_entries, 1024);              \
		__type(key, key_type);                  \
		__type(value, __u64);                   \
	} name SEC(".maps")

PREFIXES(prefixes4, struct key4);
PREFIXES(prefixes6, struct key6);

SEC("xdp")
int count(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u64 *value = 0;

	if ((void *)(eth + 1) > end) return XDP_PASS;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = (void *)(eth + 1);
		struct key4 key = { .prefixlen = 32 };

		if ((void *)(ip + 1) > end) return XDP_PASS;
		__builtin_memcpy(key.address, &ip->saddr, sizeof(key.address));
		value = bpf_map_lookup_elem(&prefixes4, &key);
	} else if (eth->h_proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = (void *)(eth + 1);
		struct key6 key = { .prefixlen = 128 };

		if ((void *)(ip + 1) > end) return XDP_PASS;
		__builtin_memcpy(key.address, &ip->saddr, sizeof(key.address));
		value = bpf_map_lookup_elem(&prefixes6, &key);
	}
	if (value) __sync_fetch_and_add(value, 1);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
