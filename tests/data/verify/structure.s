# Functions whose text alone is wrong.

.section xdp
dead_code:
    r0 = 2
    exit
    r0 = 1  # error[verify-unreachable]@5: no path leads to this instruction
    exit

.section xdp
dead_island:
    r0 = 2
    goto out
island:
    r0 = 1  # error[verify-unreachable]@5: no path leads to this instruction
    goto island
out:
    exit

.section xdp
runs_off:
    r0 = 2  # error[verify-fall-through]@5: control runs off the end of 'runs_off' here

.section xdp
branches_off:
    r0 = 2
    r2 = *(u32 *)(r1 + 16)
    if r2 == 0 goto done  # error[verify-jump-target]@5: the jump goes to 'done', where 'branches_off' has no instruction left
    exit
done:

.section xdp
far_away:
    r0 = 2
    goto +7  # error[verify-jump-target]@5: the jump goes to slot 9, outside 'far_away', which has slots 0 to 2
    exit

.section xdp
into_a_wide_one:
    r0 = 2
    if r0 == 2 goto +1  # error[verify-jump-target]@5: the jump goes into the second half of the wide instruction at slot 2
    r1 = 0x1122334455667788 ll
    exit

.section xdp
backwards_and_out:
    r0 = 2
    if r0 == 3 goto -3  # error[verify-jump-target]@5: the jump goes to slot -1, outside 'backwards_and_out', which has slots 0 to 2
    exit

.section xdp
ends_in_goto:
    r0 = 2
    goto last
first:
    exit
last:
    goto first
