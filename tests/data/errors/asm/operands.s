# Registers, widths, ranges and numbers.
.section xdp
f:
    r11 = 1  # error[asm-register]@5: there is no register r11
    r1 = r99  # error[asm-register]@10: there is no register r99
    w12 += 5  # error[asm-register]@5: there is no register w12
    rax = 5  # error[asm-register]@5: rax is no register
    r1 = w2  # error[asm-register-width]@10: w2 is 32 bits wide here, where r2 is needed
    w1 = r2  # error[asm-register-width]@10: r2 is 64 bits wide here, where w2 is needed
    if r1 == w2 goto f  # error[asm-register-width]@14: w2 is 32 bits wide here, where r2 is needed
    r1 = *(u32 *)(w2 + 4)  # error[asm-register-width]@19: an address needs all 64 bits: w2 cannot be one
    *(u64 *)(r1 + 0) = w2  # error[asm-register-width]@24: w2 is 32 bits wide here, where r2 is needed
    w1 = *(u64 *)(r2 + 0)  # error[asm-register-width]@5: w1 is 32 bits wide here, where r1 is needed
    w1 = *(s8 *)(r2 + 0)  # error[asm-register-width]@5: w1 is 32 bits wide here, where r1 is needed
    r1 = *(u32 *)(r2 + 32768)  # error[asm-range]@22: the offset 32768 is outside -32768 to 32767
    r1 = *(u32 *)(r2 - 32769)  # error[asm-range]@22: the offset -32769 is outside -32768 to 32767
    lock *(u64 *)(r1 + 70000) += r2  # error[asm-range]@22: the offset 70000 is outside -32768 to 32767
    r1 = 4294967296  # error[asm-range]@10: the immediate 4294967296 is outside -2147483648 to 4294967295
    r1 += -2147483649  # error[asm-range]@11: the immediate -2147483649 is outside -2147483648 to 4294967295
    r1 = 18446744073709551616 ll  # error[asm-range]@10: the immediate 18446744073709551616 is outside -9223372036854775808 to 18446744073709551615
    goto +40000  # error[asm-range]@10: the distance 40000 is outside -32768 to 32767
    call 4294967296  # error[asm-range]@10: the helper's number 4294967296 is outside -2147483648 to 4294967295
    r1 = 09  # error[asm-number]@10: 09 is not a number
    r1 = '\q'  # error[asm-number]@10: '\q' is not a number
    r1 = be16 r2  # error[asm-operand]@15: be16 works in place: r2 cannot differ from r1
    r1 = -r2  # error[asm-operand]@11: negation works in place: r2 cannot differ from r1
    w1 = bswap16 w1  # error[asm-register-width]@5: w1 is 32 bits wide here, where r1 is needed
    r1 = xchg_64(r2 + 0, r3)  # error[asm-operand]@26: xchg_64 works in place: r3 cannot differ from r1
    r1 = atomic_fetch_add((u64 *)(r2 + 0), r3)  # error[asm-operand]@44: atomic_fetch_add works in place: r3 cannot differ from r1
    r1 = cmpxchg_64(r2 + 0, r0, r3)  # error[asm-operand]@5: cmpxchg_64 compares with and answers in r0
    lock *(u64 *)(r1 + 0) -= r2  # error[asm-operand]@27: there is no atomic -=
    lock *(u8 *)(r1 + 0) += r2  # error[asm-operand]@12: this instruction has no u8 form
    w1 = (s32)w2  # error[asm-operand]@11: there is no (s32) extension to 32 bits
    r1 = (u8)r2  # error[asm-operand]@11: there is no (u8) extension to 64 bits
    r1 = *(u32 *)skb[4]  # error[asm-operand]@5: a packet load puts its result into r0
    r0 = *(u64 *)skb[4]  # error[asm-operand]@12: this instruction has no u64 form
    r1 = addr_space_cast(r2, 70000, 1)  # error[asm-range]@30: address space 70000 is outside 0 to 65535
    ld_pseudo r1, 9, 5  # error[asm-range]@19: ld_pseudo kind 9 is outside 0 to 6
    callx w1  # error[asm-register-width]@11: w1 is 32 bits wide here, where r1 is needed
    exit
