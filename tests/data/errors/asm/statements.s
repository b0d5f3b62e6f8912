# Text that is no statement.
.section xdp
f:
    mov r1, 2  # error[asm-mnemonic]@5: there is no instruction mov
    frobnicate r1  # error[asm-mnemonic]@5: there is no instruction frobnicate
    r1 = r2 r3  # error[asm-trailing]@13: 'r3' stands after the instruction
    exit now  # error[asm-trailing]@10: 'now' stands after the instruction
    r1 += 2, 3  # error[asm-trailing]@12: ', 3' stands after the instruction
    r1 **= 2  # error[asm-syntax]@8: '*' cannot stand here: = or an operator such as += can
    r1 = *(u32 *)(r2 + 4  # error[asm-syntax]@24: the statement is not finished: ) is missing
    r1 =  # error[asm-syntax]@8: the statement is not finished: (, *, + or -, a name, a number or ... is missing
    if r1 == 5  # error[asm-syntax]@14: the statement is not finished: goto is missing
    if r1 = 5 goto f  # error[asm-syntax]@11: '=' cannot stand here: a comparison such as == can
    goto  # error[asm-syntax]@8: the statement is not finished: + or -, a name or a number is missing
    call  # error[asm-syntax]@8: the statement is not finished: + or -, a name, a number or btf_id is missing
    r1 = $5  # error[asm-symbol]@10: $5 is no constant and no field
    lock  # error[asm-syntax]@8: the statement is not finished: * is missing
    }  # error[asm-syntax]@5: '}' cannot stand here: *, a name, a number or a register can
    .frob 5  # error[asm-directive]@5: there is no directive .frob
    .license GPL  # error[asm-directive]@5: .license needs one string
    .license "GPL  # error[asm-directive]@14: this string is never closed
    .section  # error[asm-directive]@5: .section needs a name
    exit
