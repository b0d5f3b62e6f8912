# Count calls of a function of a program in user space; which one is said when it is attached.

.license "GPL"
.map calls, array, key=u32, value=u64, max_entries=1

.section uprobe
.globl on_call
on_call:
    w1 = 0
    *(u32 *)(r10 - 4) = w1
    r2 = r10
    r2 += -4
    r1 = calls ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    w0 = 0
    exit
