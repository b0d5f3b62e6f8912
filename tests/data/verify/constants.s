# Operands that can never be right.

.section xdp
divided:
    r0 = 2
    r0 /= 0  # error[verify-division]@5: division by the constant 0
    exit

.section xdp
low_half_divided:
    w0 = 2
    w0 /= 0  # error[verify-division]@5: division by the constant 0
    exit

.section xdp
remainder:
    r0 = 2
    r0 %= 0  # error[verify-division]@5: modulo by the constant 0
    exit

.section xdp
signed_division:
    r0 = 2
    r0 s/= 0  # error[verify-division]@5: division by the constant 0
    exit

.section xdp
by_a_register:
    r0 = 2
    r1 = 0
    r0 /= r1
    exit

.section xdp
too_far:
    r0 = 2
    r0 <<= 64  # error[verify-shift]@5: a shift by 64; 64 bits can be shifted by 0 to 63
    exit

.section xdp
too_far_for_32:
    w0 = 2
    w0 >>= 32  # error[verify-shift]@5: a shift by 32; 32 bits can be shifted by 0 to 31
    exit

.section xdp
backwards:
    r0 = 2
    r0 s>>= -1  # error[verify-shift]@5: a shift by -1; 64 bits can be shifted by 0 to 63
    exit

.section xdp
farthest:
    r0 = 2
    r0 <<= 63
    w0 >>= 31
    exit
