# Keep ICMP over IPv4 and nothing else, as a filter of packet sockets.

.license "GPL"

.section socket
.globl icmp_only
icmp_only:
    r6 = r1                             # packet loads want the context here
    r0 = *(u16 *)skb[ethhdr.h_proto]
    if w0 != 0x0800 goto drop
    r0 = *(u8 *)skb[ethhdr.sizeof + iphdr.protocol]
    if w0 != 1 goto drop
    w0 = *(u32 *)(r6 + __sk_buff.len)   # how many bytes to keep: all
    exit
drop:
    w0 = 0
    exit
