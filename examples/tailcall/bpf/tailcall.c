// The statistics of bpf_to_bpf by tail calls: each header has a program of its own, and where it
// begins is handed over in the packet's meta data.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

enum { TAIL_IPV4, TAIL_IPV6, TAIL_TCP, TAIL_UDP, TAILS };

#define FARTHEST 64 /* no header that is counted begins behind this */

struct counter {
	__u64 pkts;
	__u64 bytes;
};

struct vlan_hdr {
	__be16 tci;
	__be16 proto;
};

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, TAILS);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} tails SEC(".maps");

#define STATS(name, key_type, entries)                        \
	struct {                                              \
		__uint(type, BPF_MAP_TYPE_LRU_PERCPU_HASH);   \
		__uint(map_flags, BPF_F_NO_COMMON_LRU);       \
		__uint(max_entries, entries);                 \
		__type(key, key_type);                        \
		__type(value, struct counter);                \
	} name SEC(".maps")

STATS(ip_proto_stats, __u8, 16);
STATS(udp_stats, __u16, 128);
STATS(tcp_stats, __u16, 128);

static __always_inline void *data_of(struct xdp_md *ctx) { return (void *)(long)ctx->data; }
static __always_inline void *end_of(struct xdp_md *ctx) { return (void *)(long)ctx->data_end; }

/* Where the next header begins, from the meta data; NULL where there is none. */
static __always_inline __u32 *offset_of(struct xdp_md *ctx)
{
	__u32 *offset = (void *)(long)ctx->data_meta;

	return (void *)(offset + 1) > data_of(ctx) || *offset > FARTHEST ? 0 : offset;
}

static __always_inline void add(void *map, const void *key, struct xdp_md *ctx)
{
	struct counter first = { 1, end_of(ctx) - data_of(ctx) };
	struct counter *found = bpf_map_lookup_elem(map, key);

	if (found) {
		found->pkts += 1;
		found->bytes += first.bytes;
	} else {
		bpf_map_update_elem(map, key, &first, BPF_ANY);
	}
}

SEC("xdp")
int entry(struct xdp_md *ctx)
{
	struct ethhdr *eth = data_of(ctx);
	__u32 offset = sizeof(*eth), *meta;
	__be16 proto;

	if ((void *)(eth + 1) > end_of(ctx)) return XDP_DROP;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
		struct vlan_hdr *vlan = (void *)(eth + 1);

		if ((void *)(vlan + 1) > end_of(ctx)) return XDP_DROP;
		proto = vlan->proto;
		offset += sizeof(*vlan);
	}
	if (proto != bpf_htons(ETH_P_IP) && proto != bpf_htons(ETH_P_IPV6)) return XDP_PASS;
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta))) return XDP_ABORTED;
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) > data_of(ctx)) return XDP_ABORTED;
	*meta = offset;
	bpf_tail_call(ctx, &tails, proto == bpf_htons(ETH_P_IP) ? TAIL_IPV4 : TAIL_IPV6);
	return XDP_ABORTED;
}

static __always_inline int transport_of(struct xdp_md *ctx, __u8 proto)
{
	add(&ip_proto_stats, &proto, ctx);
	if (proto == IPPROTO_TCP) bpf_tail_call(ctx, &tails, TAIL_TCP);
	else if (proto == IPPROTO_UDP) bpf_tail_call(ctx, &tails, TAIL_UDP);
	else return XDP_PASS;
	return XDP_ABORTED;
}

SEC("xdp")
int ipv4(struct xdp_md *ctx)
{
	__u32 *offset = offset_of(ctx);
	struct iphdr *ip;

	if (!offset) return XDP_ABORTED;
	ip = data_of(ctx) + *offset;
	if ((void *)(ip + 1) > end_of(ctx)) return XDP_PASS;
	*offset += sizeof(*ip);
	return transport_of(ctx, ip->protocol);
}

SEC("xdp")
int ipv6(struct xdp_md *ctx)
{
	__u32 *offset = offset_of(ctx);
	struct ipv6hdr *ip;

	if (!offset) return XDP_ABORTED;
	ip = data_of(ctx) + *offset;
	if ((void *)(ip + 1) > end_of(ctx)) return XDP_PASS;
	*offset += sizeof(*ip);
	return transport_of(ctx, ip->nexthdr);
}

SEC("xdp")
int tcp(struct xdp_md *ctx)
{
	__u32 *offset = offset_of(ctx);
	struct tcphdr *header;
	__u16 port;

	if (!offset) return XDP_ABORTED;
	header = data_of(ctx) + *offset;
	if ((void *)(header + 1) > end_of(ctx)) return XDP_PASS;
	port = bpf_ntohs(header->dest);
	add(&tcp_stats, &port, ctx);
	return XDP_PASS;
}

SEC("xdp")
int udp(struct xdp_md *ctx)
{
	__u32 *offset = offset_of(ctx);
	struct udphdr *header;
	__u16 port;

	if (!offset) return XDP_ABORTED;
	header = data_of(ctx) + *offset;
	if ((void *)(header + 1) > end_of(ctx)) return XDP_PASS;
	port = bpf_ntohs(header->dest);
	add(&udp_stats, &port, ctx);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
