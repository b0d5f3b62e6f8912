// Packets and bytes per IP protocol, UDP port and TCP port, counted by functions of their own.
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

struct counter {
	__u64 pkts;
	__u64 bytes;
};

struct vlan_hdr {
	__be16 tci;
	__be16 proto;
};

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

static __always_inline void add(void *map, const void *key, __u64 bytes)
{
	struct counter first = { 1, bytes };
	struct counter *found = bpf_map_lookup_elem(map, key);

	if (found) {
		found->pkts += 1;
		found->bytes += bytes;
	} else {
		bpf_map_update_elem(map, key, &first, BPF_ANY);
	}
}

static __noinline int inc_ip_proto(struct xdp_md *ctx, __u8 proto)
{
	add(&ip_proto_stats, &proto, ctx->data_end - ctx->data);
	return 0;
}

static __noinline int inc_udp(struct xdp_md *ctx, __u32 offset)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct udphdr *udp = data + offset;
	__u16 port;

	if ((void *)(udp + 1) > end) return 0;
	port = bpf_ntohs(udp->dest);
	add(&udp_stats, &port, end - data);
	return 0;
}

static __noinline int inc_tcp(struct xdp_md *ctx, __u32 offset)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct tcphdr *tcp = data + offset;
	__u16 port;

	if ((void *)(tcp + 1) > end) return 0;
	port = bpf_ntohs(tcp->dest);
	add(&tcp_stats, &port, end - data);
	return 0;
}

static __noinline int handle_ipv4(struct xdp_md *ctx, __u32 offset)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct iphdr *ip = data + offset;
	__u8 proto;

	if ((void *)(ip + 1) > end) return 0;
	proto = ip->protocol;
	inc_ip_proto(ctx, proto);
	if (proto == IPPROTO_UDP) inc_udp(ctx, offset + sizeof(*ip));
	if (proto == IPPROTO_TCP) inc_tcp(ctx, offset + sizeof(*ip));
	return 0;
}

static __noinline int handle_ipv6(struct xdp_md *ctx, __u32 offset)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ipv6hdr *ip = data + offset;
	__u8 proto;

	if ((void *)(ip + 1) > end) return 0;
	proto = ip->nexthdr;
	inc_ip_proto(ctx, proto);
	if (proto == IPPROTO_UDP) inc_udp(ctx, offset + sizeof(*ip));
	if (proto == IPPROTO_TCP) inc_tcp(ctx, offset + sizeof(*ip));
	return 0;
}

SEC("xdp")
int bpf_to_bpf(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;
	__u32 offset = sizeof(*eth);
	__be16 proto;

	if ((void *)(eth + 1) > end) return XDP_DROP;
	proto = eth->h_proto;
	if (proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD)) {
		struct vlan_hdr *vlan = data + offset;

		if ((void *)(vlan + 1) > end) return XDP_DROP;
		proto = vlan->proto;
		offset += sizeof(*vlan);
	}
	if (proto == bpf_htons(ETH_P_IP)) handle_ipv4(ctx, offset);
	else if (proto == bpf_htons(ETH_P_IPV6)) handle_ipv6(ctx, offset);
	return XDP_PASS;
}

char _license[] SEC("license") = "GPL";
