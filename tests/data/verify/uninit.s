# Registers that are read before they are written, each on a path that can be taken.

.map records, ringbuf, max_entries=4096

.section xdp
straight:
    r0 = 0
    r0 += r3  # error[verify-uninit-read]@5: r3 is read before it is written
    exit

.section xdp
one_branch:
    r2 = *(u32 *)(r1 + 16)
    r0 = 1
    if r2 == 0 goto slow
    r0 += r3  # error[verify-uninit-read]@5: r3 is read before it is written
    exit
slow:
    r3 = 1
    r0 = r3
    exit

.section xdp
merged:
    r2 = *(u32 *)(r1 + 16)
    if r2 > 5 goto out
    r4 = 2
out:
    r0 = r4  # error[verify-uninit-read]@5: r4 is read before it is written
    exit

.section xdp
once_is_enough:
    r0 = r7  # error[verify-uninit-read]@5: r7 is read before it is written
    r0 = r7
    exit

.section xdp
no_return_value:
    r2 = *(u32 *)(r1 + 16)
    if r2 == 7 goto out
    r0 = 2
out:
    exit  # error[verify-uninit-read]@5: r0, the return value, is read before it is written

.section xdp
after_a_call:
    call bpf_ktime_get_ns
    r0 = *(u32 *)(r1 + 0)  # error[verify-uninit-read]@5: r1 is read before it is written
    exit

.section xdp
read_and_written:
    r6 &= 1  # error[verify-uninit-read]@5: r6 is read before it is written
    r0 = 0
    exit

.section xdp
low_half:
    w0 = w8  # error[verify-uninit-read]@5: r8 is read before it is written
    exit

.section xdp
stored:
    *(u32 *)(r10 - 4) = r9  # error[verify-uninit-read]@5: r9 is read before it is written
    r0 = 0
    exit

.section xdp
compared:
    r0 = 0
    if r8 s> 3 goto out  # error[verify-uninit-read]@5: r8 is read before it is written
    r0 = 1
out:
    exit

.section xdp
exchanged:
    r1 = 0
    *(u64 *)(r10 - 8) = r1
    r0 = cmpxchg_64(r10 - 8, r0, r1)  # error[verify-uninit-read]@5: r0 is read before it is written
    exit

.section xdp
in_a_loop:
    r6 = 0
    r2 = *(u32 *)(r1 + 16)
again:
    r6 += 1
    if r6 > 3 goto out
    if r2 == 1 goto again
    r7 = 1
    goto again
out:
    r0 = r7  # error[verify-uninit-read]@5: r7 is read before it is written
    exit

.section xdp
context_tested:
    r0 = 2
    if r1 != 0 goto out
    r0 = r9  # error[verify-uninit-read]@5: r9 is read before it is written
out:
    exit

.section xdp
returns_nothing:
    r2 = 8
    r3 = 0
    r1 = records ll
    call bpf_ringbuf_reserve
    if r0 == 0 goto out
    r1 = r0
    r2 = 0
    call bpf_ringbuf_submit
out:
    exit  # error[verify-uninit-read]@5: r0, the return value, is read before it is written
