# Let a UDP socket receive what is sent to 127.0.0.1 and nothing else.

.license "GPL"
.equ SKF_NET_OFF, -0x100000             # loads relative to the network header (linux/filter.h)

.section socket
.globl to_localhost
to_localhost:
    r6 = r1                             # packet loads want the context here
    r0 = *(u32 *)skb[SKF_NET_OFF + iphdr.daddr]
    if w0 == 0x7f000001 goto pass       # packet loads give host order
    w0 = 0                              # how many bytes to keep: none
    exit
pass:
    w0 = *(u32 *)(r6 + __sk_buff.len)
    exit
