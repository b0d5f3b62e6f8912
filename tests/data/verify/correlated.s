# Reads that only paths with contradicting branches reach before the write: no fault in them.

.map counts, array, key=u32, value=u64, max_entries=4

.section xdp
same_test_twice:
    r2 = *(u32 *)(r1 + 16)
    if r2 == 0 goto skip
    r3 = 1
skip:
    r0 = 2
    if r2 == 0 goto out
    r0 = r3
out:
    exit

.section xdp
implied_test:  # before Linux 6.12 rejects: it does not compare with what the first test left
    r2 = *(u32 *)(r1 + 16)
    if r2 < 10 goto skip
    r3 = 1
skip:
    r0 = 2
    if r2 != 12 goto out
    r0 = r3
out:
    exit

.section xdp
flag:
    r2 = *(u32 *)(r1 + 16)
    r4 = 0
    if r2 > 3 goto merged
    r3 = 1
    r4 = 1
merged:
    r0 = 2
    if r4 != 1 goto out
    r0 = r3
out:
    exit

.section xdp
flag_on_the_stack:
    r2 = *(u32 *)(r1 + 16)
    r4 = 0
    *(u64 *)(r10 - 8) = r4
    if w2 s> 3 goto merged
    r3 = 1
    r4 = 1
    *(u64 *)(r10 - 8) = r4
merged:
    r0 = 2
    r5 = *(u64 *)(r10 - 8)
    if r5 == 0 goto out
    r0 = r3
out:
    exit

.section xdp
dead_by_constants:
    r0 = 2
    r1 = 5
    r1 <<= 1
    if r1 == 10 goto out
    r0 = r9
    r10 = 3
    *(u64 *)(r10 - 600) = r0
    r0 <<= 99
    call 4711
out:
    exit

.section xdp
counted_loop:
    r6 = 0
again:
    r7 = 1
    r6 += 1
    if r6 < 3 goto again
    r0 = r7
    exit

.section xdp
a_map_is_not_null:  # before Linux 6.12 rejects: it tests addresses of maps, too
    r0 = 2
    r1 = counts ll
    if r1 != 0 goto out
    r0 = r9
out:
    exit

.section xdp
null_test_twice:
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto skip
    r7 = 1
skip:
    r6 = r0
    r0 = 2
    if r6 == 0 goto out
    r0 = r7
out:
    exit

.text
by_flag:
    if w2 == 0 goto skip
    r3 = 1
skip:
    r0 = 2
    if w2 == 0 goto out
    r0 = r3
out:
    exit

.section xdp
argument_is_flag:
    r2 = *(u32 *)(r1 + 16)
    r1 = 1
    call by_flag
    exit

.text
wants_second:
    r0 = r2
    exit

.section xdp
call_where_it_is_given:
    r6 = *(u32 *)(r1 + 16)
    r2 = 1
    if r6 > 9 goto given
    call bpf_ktime_get_ns
given:
    r0 = 2
    if r6 < 5 goto out
    if r6 < 10 goto out
    call wants_second
out:
    exit
