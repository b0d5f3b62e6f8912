# The kernel has room for eight frames, the program's own among them; Linux 7.3 for sixteen.

.text
f1:
    r0 = 0
    exit
f2:
    call f1  # error[verify-call-depth]@5: the call needs 9 frames of stack; there are 8
    exit
f3:
    call f2
    exit
f4:
    call f3
    exit
f5:
    call f4
    exit
f6:
    call f5
    exit
f7:
    call f6
    exit
f8:
    call f7
    exit

.section xdp
seven_below:
    call f7
    r0 = 2
    exit

.section xdp
eight_below:  # Linux 7.3 accepts: it has room for sixteen frames
    call f8
    r0 = 2
    exit
