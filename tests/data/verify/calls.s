# Subprograms: what they are given, what they leave, how deep they go.

.text
reads_second:
    r0 = r2  # error[verify-uninit-read]@5: r2 is read before it is written
    exit

.text
quiet:
    r1 = 1
    exit

.text
sometimes:
    if r1 == 0 goto out
    r0 = 1
out:
    exit

.text
always:
    r0 = 1
    if r1 == 0 goto out
    r0 = 3
out:
    exit

.text
saves:
    r0 = r6  # error[verify-uninit-read]@5: r6 is read before it is written
    exit

.text
itself:
    call itself  # error[verify-call-depth]@5: 'itself' calls itself
    exit

.text
ping:
    call pong
    exit
pong:
    call ping  # error[verify-call-depth]@5: 'pong' calls 'ping', which leads back to 'pong'
    exit

.section xdp
given_nothing:
    call reads_second
    exit

.section xdp
given_on_one_path:
    r6 = *(u32 *)(r1 + 16)
    r2 = 2
    if r6 == 0 goto second
    call reads_second
    exit
second:
    call reads_second
    call reads_second
    exit

.section xdp
given_both:
    r2 = 2
    call reads_second
    exit

.section xdp
asks_the_quiet:
    call quiet
    r0 += 1  # error[verify-uninit-read]@5: r0 is read before it is written
    exit

.section xdp
ignores_the_quiet:
    call quiet
    r0 = 2
    exit

.section xdp
asks_sometimes:
    r1 = *(u32 *)(r1 + 16)
    call sometimes
    exit  # error[verify-uninit-read]@5: r0, the return value, is read before it is written

.section xdp
asks_always:
    r1 = *(u32 *)(r1 + 16)
    call always
    exit

.section xdp
private_registers:
    r6 = 1
    call saves
    exit

.section xdp
loses_arguments:
    r1 = 1
    call always
    r0 = r1  # error[verify-uninit-read]@5: r1 is read before it is written
    exit

.section xdp
keeps_saved:
    r6 = 1
    r1 = 1
    call always
    r0 = r6
    exit

.section xdp
recursion:
    call itself
    exit

.section xdp
circle:
    call ping
    exit
