# Packets and bytes per IP protocol, UDP port and TCP port, counted by functions of their own.

.license "GPL"
.map ip_proto_stats, lru_percpu_hash, key=u8, value=u64[2], max_entries=16, flags=BPF_F_NO_COMMON_LRU
.map udp_stats, lru_percpu_hash, key=u16, value=u64[2], max_entries=128, flags=BPF_F_NO_COMMON_LRU
.map tcp_stats, lru_percpu_hash, key=u16, value=u64[2], max_entries=128, flags=BPF_F_NO_COMMON_LRU

.section xdp
bpf_to_bpf:
    r6 = r1                             # the context, for the functions
    r7 = *(u32 *)(r6 + xdp_md.data)
    r8 = *(u32 *)(r6 + xdp_md.data_end)
    r0 = XDP_DROP
    w2 = ethhdr.sizeof                  # where the next header begins
    r1 = r7
    r1 += r2
    if r1 > r8 goto out
    w3 = *(u16 *)(r7 + ethhdr.h_proto)
    r3 = be16 r3
    if w3 == 0x8100 goto vlan
    if w3 != 0x88a8 goto ip
vlan:
    w2 += 4
    r1 += 4
    if r1 > r8 goto out
    w3 = *(u16 *)(r1 - 2)
    r3 = be16 r3
ip:
    r1 = r6
    if w3 == 0x86dd goto ipv6
    if w3 != 0x0800 goto pass
    call handle_ipv4
    goto pass
ipv6:
    call handle_ipv6
pass:
    r0 = XDP_PASS
out:
    exit

.text
# A handler's arguments: the context, and where the header begins.
.macro handler length, protocol
    r6 = r1
    r7 = r2
    r3 = *(u32 *)(r6 + xdp_md.data)
    r4 = *(u32 *)(r6 + xdp_md.data_end)
    r3 += r7
    r5 = r3
    r5 += \length
    if r5 > r4 goto 1f
    w8 = *(u8 *)(r3 + \protocol)
    r2 = r8
    call inc_ip_proto
    r1 = r6
    r2 = r7
    r2 += \length
    if w8 == 17 goto 2f
    if w8 != 6 goto 1f
    call inc_tcp
    goto 1f
2:  call inc_udp
1:  r0 = 0
    exit
.endm

.globl handle_ipv4
handle_ipv4:
    handler iphdr.sizeof, iphdr.protocol

.globl handle_ipv6
handle_ipv6:
    handler ipv6hdr.sizeof, ipv6hdr.nexthdr

# Add 1 and r6 bytes to the counter whose key lies at r10 - 4.
.macro count map
    r2 = r10
    r2 += -4
    r1 = \map ll
    call bpf_map_lookup_elem
    if r0 == 0 goto 1f
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
    r1 = *(u64 *)(r0 + 8)
    r1 += r6
    *(u64 *)(r0 + 8) = r1
    goto 2f
1:  r1 = 1                              # the first one
    *(u64 *)(r10 - 24) = r1
    *(u64 *)(r10 - 16) = r6
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -24
    r4 = BPF_ANY
    r1 = \map ll
    call bpf_map_update_elem
2:  r0 = 0
    exit
.endm

.globl inc_ip_proto
inc_ip_proto:
    *(u8 *)(r10 - 4) = r2
    r6 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = *(u32 *)(r1 + xdp_md.data)
    r6 -= r2
    count ip_proto_stats

# The destination port of a UDP or TCP header is the key, in host order.
.macro port length, field
    r6 = *(u32 *)(r1 + xdp_md.data_end)
    r3 = *(u32 *)(r1 + xdp_md.data)
    r4 = r3
    r4 += r2
    r5 = r4
    r5 += \length
    if r5 > r6 goto 9f
    w1 = *(u16 *)(r4 + \field)
    r1 = be16 r1
    *(u16 *)(r10 - 4) = r1
    r6 -= r3
.endm

.globl inc_udp
inc_udp:
    port udphdr.sizeof, udphdr.dest
    count udp_stats
9:  r0 = 0
    exit

.globl inc_tcp
inc_tcp:
    port tcphdr.sizeof, tcphdr.dest
    count tcp_stats
9:  r0 = 0
    exit
