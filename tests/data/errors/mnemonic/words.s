# Words that are no instruction, and text that is no statement.
.section xdp
f:
    mvo %r1, 2  # error[asm-mnemonic]@5: there is no instruction mvo
    frobnicate %r1  # error[asm-mnemonic]@5: there is no instruction frobnicate
    lock  # error[asm-mnemonic]@5: there is no instruction lock
    lock sub [%r1+0], %r2  # error[asm-mnemonic]@5: there is no instruction lock sub
    lock fetch xchg [%r1+0], %r2  # error[asm-mnemonic]@5: there is no instruction lock fetch xchg
    call elsewhere 5  # error[asm-syntax]@20: a comma is missing before '5'
    r1 = 5  # error[asm-mnemonic]@5: there is no instruction r1
    if r1 == 2 goto f  # error[asm-mnemonic]@5: there is no instruction if
    goto f  # error[asm-mnemonic]@5: there is no instruction goto
    *(u32 *)(r1 + 4) = r2  # error[asm-mnemonic]@5: there is no instruction *
    mov %r1 2  # error[asm-syntax]@13: a comma is missing before '2'
    mov %r1, 2 3  # error[asm-syntax]@16: a comma is missing before '3'
    mov %r1,  # error[asm-syntax]@12: the statement is not finished: (, + or -, [, a name, a number or a register is missing
    ldxw %r1, [%r2+4  # error[asm-syntax]@20: the statement is not finished: ] is missing
    ldxw %r1, [%r2+]  # error[asm-syntax]@20: ']' cannot stand here: (, + or -, a name or a number can
    ldxw %r1, [5]  # error[asm-syntax]@16: '5' cannot stand here: a register can
    exit now  # error[asm-operand]@5: exit takes no operands, not 1
    endbe %r1  # error[asm-operand]@5: endbe needs a size of 16, 32 or 64 at the end
    endbe %r1, 24  # error[asm-operand]@16: endbe needs a size of 16, 32 or 64 at the end
    movs %r1, %r2, 64  # error[asm-operand]@20: movs needs a size of 8, 16 or 32 at the end
    .frob 5  # error[asm-directive]@5: there is no directive .frob
    .license "GPL  # error[asm-directive]@14: this string is never closed
    mov %r1, 1 ; exit  # error[asm-syntax]@18: 'exit' stands behind ; and would be a comment in this dialect
    mov %r1, 1 ; just words
    exit
