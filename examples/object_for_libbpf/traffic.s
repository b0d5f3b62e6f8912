# Count packets and their bytes in two variables, which lie in the map that .bss becomes.

.license "GPL"

.bss
packets:
    .quad 0
bytes:
    .quad 0

.section xdp
.globl count_traffic
count_traffic:
    r3 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = *(u32 *)(r1 + xdp_md.data)
    r3 -= r2                            # a pointer less a pointer: a number
    r1 = bytes ll
    lock *(u64 *)(r1 + 0) += r3         # many CPUs may count at once
    r1 = packets ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    w0 = XDP_PASS
    exit
