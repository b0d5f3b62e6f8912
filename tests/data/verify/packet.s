# Legacy packet loads: r6 must be the context, and the program type must have them.

.section xdp
wrong_type:
    r6 = r1
    r0 = *(u8 *)skb[0]  # error[verify-packet-load]@5: xdp programs have no legacy packet loads
    r0 = 2
    exit

.section socket
no_context:
    r0 = *(u16 *)skb[12]  # error[verify-uninit-read]@5: r6, the context, is read before it is written
    exit

.section socket
index:
    r6 = r1
    r0 = *(u8 *)skb[r7]  # error[verify-uninit-read]@5: r7 is read before it is written
    exit

.section socket
clobbers:
    r6 = r1
    r0 = *(u16 *)skb[12]
    r0 = r1  # error[verify-uninit-read]@5: r1 is read before it is written
    exit

.section socket
right:
    r6 = r1
    r7 = 14
    r0 = *(u8 *)skb[r7]
    r0 = *(u16 *)skb[12]
    exit
