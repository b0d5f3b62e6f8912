# Numbers that are none.
.section xdp
f:
    r1 = 1 / 0  # error[asm-range]@10: 1 / 0: there is no such number
    r1 = 5 % (2 - 2)  # error[asm-range]@10: 5 % 0: there is no such number
    r1 = 1 << 64  # error[asm-range]@15: a shift by 64, which is outside 0 to 63
    r1 = 1 >> -1  # error[asm-range]@15: a shift by -1, which is outside 0 to 63
    r1 = 1 << 40  # error[asm-range]@10: the immediate 1099511627776 is outside -2147483648 to 4294967295
    r1 = 0x7fffffffffffffff * 3 ll  # error[asm-range]@10: 9223372036854775807 * 3 does not fit 64 bits
    r1 = nowhere + 1  # error[asm-symbol]@10: nowhere is no constant and no field
    r1 = 5 + r2  # error[asm-operand]@14: r2 is a register, where a number is needed
    r1 = (5  # error[asm-syntax]@11: the statement is not finished: ) is missing
    r1 = 5)  # error[asm-trailing]@11: ')' stands after the instruction
    r1 = 5 +  # error[asm-syntax]@12: the statement is not finished: (, + or -, a name or a number is missing
    r1 = * 5  # error[asm-syntax]@12: '5' cannot stand here: ( can
    r1 = 5 5  # error[asm-trailing]@12: '5' stands after the instruction
    r1 = 5 @ 5  # error[asm-syntax]@12: '@' cannot stand here: ), ,, ], goto or ll can
    r1 = *(u32 *)(r2 + iphdr.sadr)  # error[asm-symbol]@24: iphdr.sadr is no constant and no field
    r1 = *(u32 *)(r2 + iphdr.saddr * 5000)  # error[asm-range]@22: the offset 60000 is outside -32768 to 32767
    r1 = iphdr.saddr.sizeof + iphder.sizeof  # error[asm-symbol]@31: iphder.sizeof is no constant and no field
    r1 = ethhdr.h_dest[6]  # error[asm-symbol]@10: ethhdr.h_dest[6] is no constant and no field
    r1 = task_struct.pid  # error[asm-symbol]@10: task_struct.pid is no constant and no field
    exit
