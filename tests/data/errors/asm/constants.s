# Constants, conditions and repetition.
.equ A, 5
.equiv A, 6  # error[asm-constant]@8: A is defined already, and .equiv defines what is not
.equiv B, 5
.equ  # error[asm-directive]@4: a name is missing
.equ C  # error[asm-directive]@1: .equ needs a value
.equ C,  # error[asm-directive]@7: something is missing behind the comma
.equ 5, C  # error[asm-directive]@6: '5' is no name
.set D, A B  # error[asm-directive]@11: 'B' cannot stand here
.set D, undefined + 1  # error[asm-symbol]@9: undefined is no constant and no field
.equ E, 1 / 0  # error[asm-range]@9: 1 / 0: there is no such number
.section xdp
f:
    r0 = LATER  # error[asm-constant]@10: LATER is not defined yet
    r0 = r1 + A  # error[asm-trailing]@13: '+ A' stands after the instruction
    .if  # error[asm-directive]@7: the expression is not finished
    .endif
    .if nothing  # error[asm-symbol]@9: nothing is no constant and no field
    .endif
    .if 1
    .else
    .else  # error[asm-macro]@5: .else stands behind .else
    .endif
    .if 1
    .else
    .elseif 1  # error[asm-macro]@5: .elseif stands behind .else
    .endif
    .ifdef  # error[asm-directive]@10: a name is missing
    .endif
    .ifc a  # error[asm-directive]@5: .ifc compares two texts
    .endif
    .ifeqs "a", b  # error[asm-directive]@17: 'b' is no string
    .endif
    .iff 1  # error[asm-directive]@5: there is no directive .iff
    .else  # error[asm-macro]@5: .else stands without .if
    .endif  # error[asm-macro]@5: .endif stands without .if
    .rept -1  # error[asm-range]@5: something cannot be repeated -1 times
    .endr
    .rept nothing  # error[asm-symbol]@11: nothing is no constant and no field
    r0 = 1
    .endr
    .rept 2, 3  # error[asm-directive]@12: ', 3' cannot stand here
    .endr
    .irp  # error[asm-macro]@5: .irp needs a name
    .endr
    .endr  # error[asm-macro]@5: .endr stands without .rept
    .endm  # error[asm-macro]@5: .endm stands without .macro
    .exitm  # error[asm-macro]@5: .exitm stands outside of a macro
    .error "this is not for you"  # error[asm-error]@5: this is not for you
    .err  # error[asm-error]@5: .err was reached
    goto 1b  # error[asm-label-undefined]@10: there is no label 1 before this
    goto 7f  # error[asm-label-undefined]@10: there is no label 7 in f
1:  exit
.equ LATER, 5
.if 1  # error[asm-macro]@1: this condition is never closed
