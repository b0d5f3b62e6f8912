# Count packets and bytes in both directions of an interface.

.license "GPL"
.map traffic, array, key=u32, value=u64[2], max_entries=2

.equ INGRESS, 0
.equ EGRESS, 1

.macro count direction
    r6 = *(u32 *)(r1 + __sk_buff.len)
    w1 = \direction
    *(u32 *)(r10 - 4) = w1
    r2 = r10
    r2 += -4
    r1 = traffic ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    lock *(u64 *)(r0 + 8) += r6
out:
    w0 = TCX_NEXT                       # let the next program decide, or the packet pass
    exit
.endm

.section tcx/ingress
.globl count_in
count_in:
    count INGRESS

.section tcx/egress
.globl count_out
count_out:
    count EGRESS
