# Operands that the instruction cannot take.
.section xdp
f:
    mov %r1  # error[asm-operand]@5: mov takes 2 operands, not 1
    mov %r1, 2, 3  # error[asm-operand]@5: mov takes 2 operands, not 3
    exit %r0  # error[asm-operand]@5: exit takes no operands, not 1
    neg %r1, %r2  # error[asm-operand]@5: neg takes 1 operand, not 2
    mov 5, %r1  # error[asm-operand]@9: 5 stands where mov takes a register
    mov %r1, [%r2+4]  # error[asm-operand]@14: [%r2+4] stands where mov takes a number or a register
    ldxw %r1, %r2  # error[asm-operand]@15: %r2 stands where ldxw takes an address such as [%r1+8]
    stxw [%r1+4], 5  # error[asm-operand]@19: 5 stands where stxw takes a register
    stw [%r1+4], %r5  # error[asm-operand]@18: %r5 stands where stw takes a number
    add32 %w1, 5  # error[asm-register]@11: %w1 is no register of this dialect
    add32 w1, w2  # error[asm-register]@11: w1 is no register of this dialect ## error[asm-register]@15: w2 is no register of this dialect
    ldxdw %r1, [w2+8]  # error[asm-register]@17: w2 is no register of this dialect
    ja %r1  # error[asm-operand]@8: %r1 stands where ja takes a label or a distance such as +3
    ja32 %r1  # error[asm-operand]@10: %r1 stands where ja32 takes a label or a distance such as +3
    jeq %r1, 5  # error[asm-operand]@5: jeq takes 3 operands, not 2
    mov %r11, 5  # error[asm-register]@9: there is no register %r11
    mov r99, %fp  # error[asm-register]@9: there is no register r99
    mov %r1, 2147483648  # error[asm-range]@14: the immediate 2147483648 is outside -2147483648 to 2147483647
    mov %r1, 4294967295  # error[asm-range]@14: the immediate 4294967295 is outside -2147483648 to 2147483647
    mov %r1, 0x100000000  # error[asm-range]@14: the immediate 4294967296 is outside -2147483648 to 4294967295
    mov %r1, -2147483649  # error[asm-range]@14: the immediate -2147483649 is outside -2147483648 to 4294967295
    lddw %r1, 18446744073709551616  # error[asm-range]@15: the immediate 18446744073709551616 is outside -9223372036854775808 to 18446744073709551615
    ldxw %r1, [%r2+32768]  # error[asm-range]@19: the offset 32768 is outside -32768 to 32767
    ldxw %r1, [%r2+0xffff]  # error[asm-range]@19: the offset 65535 is outside -32768 to 32767
    ja +40000  # error[asm-range]@8: the distance 40000 is outside -32768 to 32767
    jeq %r1, 5, -32769  # error[asm-range]@17: the distance -32769 is outside -32768 to 32767
    call 4294967296  # error[asm-range]@10: the helper's number 4294967296 is outside -2147483648 to 4294967295
    call runtime 5, 70000  # error[asm-range]@21: the module's index 70000 is outside -32768 to 32767
    mov %r1, 09  # error[asm-number]@14: 09 is not a number
    addr_space_cast %r1, %r2, 70000, 1  # error[asm-range]@31: address space 70000 is outside 0 to 65535
    be16 %r1, 5  # error[asm-operand]@5: be16 takes 1 operand, not 2
    callx 5  # error[asm-operand]@11: 5 stands where callx takes a register
    call [%r1+0]  # error[asm-operand]@10: [%r1+0] stands where call takes a number or a register
    exit
