# The statistics of bpf_to_bpf by tail calls: each header has a program of its own, and where it
# begins is handed over in the packet's meta data.

.license "GPL"
.map tails, prog_array, key=u32, value=u32, max_entries=4
.map ip_proto_stats, lru_percpu_hash, key=u8, value=u64[2], max_entries=16, flags=BPF_F_NO_COMMON_LRU
.map udp_stats, lru_percpu_hash, key=u16, value=u64[2], max_entries=128, flags=BPF_F_NO_COMMON_LRU
.map tcp_stats, lru_percpu_hash, key=u16, value=u64[2], max_entries=128, flags=BPF_F_NO_COMMON_LRU

.equ TAIL_IPV4, 0
.equ TAIL_IPV6, 1
.equ TAIL_TCP, 2
.equ TAIL_UDP, 3
.equ FARTHEST, 64                       # no header that is counted begins behind this

# Go on in another program; what comes back is a failure.
.macro tail index
    r1 = r6
    r2 = tails ll
    r3 = \index
    call bpf_tail_call
    w0 = XDP_ABORTED
    exit
.endm

# Begin with r6 the context, r7 the packet, r8 its end, r9 where the header begins, r3 the header.
.macro header length
    r6 = r1
    r2 = *(u32 *)(r6 + xdp_md.data_meta)
    r7 = *(u32 *)(r6 + xdp_md.data)
    r8 = *(u32 *)(r6 + xdp_md.data_end)
    r3 = r2
    r3 += 4
    if r3 > r7 goto broken
    w9 = *(u32 *)(r2 + 0)
    if r9 > FARTHEST goto broken
    r3 = r7
    r3 += r9
    r4 = r3
    r4 += \length
    if r4 > r8 goto pass
.endm

.macro endings
pass:
    w0 = XDP_PASS
    exit
broken:
    w0 = XDP_ABORTED
    exit
.endm

# Count the packet under the key at r10 - 4.
.macro count map
    r2 = r10
    r2 += -4
    r1 = \map ll
    call bpf_map_lookup_elem
    r8 -= r7                            # bytes of the whole frame
    if r0 == 0 goto 1f
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
    r1 = *(u64 *)(r0 + 8)
    r1 += r8
    *(u64 *)(r0 + 8) = r1
    goto 2f
1:  r1 = 1
    *(u64 *)(r10 - 24) = r1
    *(u64 *)(r10 - 16) = r8
    r2 = r10
    r2 += -4
    r3 = r10
    r3 += -24
    r4 = BPF_ANY
    r1 = \map ll
    call bpf_map_update_elem
2:
.endm

.section xdp
.globl entry
entry:
    r6 = r1
    r7 = *(u32 *)(r6 + xdp_md.data)
    r8 = *(u32 *)(r6 + xdp_md.data_end)
    w0 = XDP_DROP
    w9 = ethhdr.sizeof
    r1 = r7
    r1 += r9
    if r1 > r8 goto out
    w3 = *(u16 *)(r7 + ethhdr.h_proto)
    r3 = be16 r3
    if w3 == 0x8100 goto vlan
    if w3 != 0x88a8 goto ip
vlan:
    w9 += 4
    r1 += 4
    if r1 > r8 goto out
    w3 = *(u16 *)(r1 - 2)
    r3 = be16 r3
ip:
    w0 = XDP_PASS
    if w3 == 0x0800 goto counted
    if w3 != 0x86dd goto out            # ARP and all that is no IP
counted:
    r8 = r3
    r1 = r6
    r2 = -4
    call bpf_xdp_adjust_meta
    w1 = w0
    w0 = XDP_ABORTED
    if w1 != 0 goto out
    r1 = *(u32 *)(r6 + xdp_md.data_meta)
    r2 = *(u32 *)(r6 + xdp_md.data)
    r3 = r1
    r3 += 4
    if r3 > r2 goto out
    *(u32 *)(r1 + 0) = w9
    if w8 == 0x0800 goto ipv4_next
    tail TAIL_IPV6
ipv4_next:
    tail TAIL_IPV4
out:
    exit

.macro internet length, protocol
    header \length
    w4 = *(u8 *)(r3 + \protocol)
    *(u8 *)(r10 - 4) = w4
    w9 += \length
    *(u32 *)(r2 + 0) = w9               # where the next header begins
    r9 = r4
    count ip_proto_stats
    if w9 == 6 goto next_tcp
    if w9 != 17 goto pass
    tail TAIL_UDP
next_tcp:
    tail TAIL_TCP
    endings
.endm

.section xdp
.globl ipv4
ipv4:
    internet iphdr.sizeof, iphdr.protocol

.section xdp
.globl ipv6
ipv6:
    internet ipv6hdr.sizeof, ipv6hdr.nexthdr

.macro transport length, port, map
    header \length
    w1 = *(u16 *)(r3 + \port)
    r1 = be16 r1
    *(u16 *)(r10 - 4) = w1
    count \map
    endings
.endm

.section xdp
.globl tcp
tcp:
    transport tcphdr.sizeof, tcphdr.dest, tcp_stats

.section xdp
.globl udp
udp:
    transport udphdr.sizeof, udphdr.dest, udp_stats
