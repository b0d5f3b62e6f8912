# The frame pointer, and the 512 bytes below it.

.section xdp
written:
    r10 = 0  # error[verify-frame-pointer]@5: r10, the frame pointer, can only be read
    r0 = 2
    exit

.section xdp
moved:
    r10 += -8  # error[verify-frame-pointer]@5: r10, the frame pointer, can only be read
    r0 = 2
    exit

.section xdp
fetched:
    r1 = 0
    *(u64 *)(r10 - 8) = r1
    r10 = atomic_fetch_add((u64 *)(r10 - 8), r10)  # error[verify-frame-pointer]@5: r10, the frame pointer, can only be read
    r0 = 2
    exit

.section xdp
below:
    r0 = 2
    *(u64 *)(r10 - 520) = r0  # error[verify-stack-bounds]@5: 8 bytes at r10-520 are outside the stack
    exit

.section xdp
above:
    r0 = 2
    *(u64 *)(r10 + 0) = r0  # error[verify-stack-bounds]@5: 8 bytes at r10+0 are outside the stack
    exit

.section xdp
across_the_top:
    r0 = 2
    *(u8 *)(r10 + 0) = r0  # error[verify-stack-bounds]@5: 1 byte at r10+0 is outside the stack
    exit

.section xdp
loaded:
    r0 = *(u32 *)(r10 - 516)  # error[verify-stack-bounds]@5: 4 bytes at r10-516 are outside the stack
    exit

.section xdp
through_a_copy:
    r2 = r10
    r2 += -504
    r1 = 2
    r2 += -16
    *(u64 *)(r2 + 0) = r1  # error[verify-stack-bounds]@5: 8 bytes at r2+0, which is r10-520, are outside the stack
    r0 = 2
    exit

.section xdp
through_a_spilled_copy:
    r2 = r10
    *(u64 *)(r10 - 8) = r2
    r3 = *(u64 *)(r10 - 8)
    r1 = 2
    *(u64 *)(r3 + 8) = r1  # error[verify-stack-bounds]@5: 8 bytes at r3+8, which is r10+8, are outside the stack
    r0 = 2
    exit

.section xdp
atomic:
    r1 = 2
    lock *(u64 *)(r10 - 1024) += r1  # error[verify-stack-bounds]@5: 8 bytes at r10-1024 are outside the stack
    r0 = 2
    exit

.section xdp
to_the_edge:
    r0 = 2
    *(u64 *)(r10 - 512) = r0
    *(u8 *)(r10 - 1) = r0
    r2 = r10
    r2 += -512
    *(u32 *)(r2 + 508) = r0
    exit
