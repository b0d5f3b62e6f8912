# Macros.
.macro  # error[asm-macro]@1: a macro needs a name
.endm
.macro twice a, a  # error[asm-macro]@1: macro twice has two parameters a
.endm
.macro odd a:often  # error[asm-macro]@1: often says nothing about a parameter
.endm
.macro rest a:vararg, b  # error[asm-macro]@1: nothing can follow a vararg parameter
.endm
.macro bad a=(5  # error[asm-macro]@1: a parenthesis in this argument is never closed
.endm
.macro one a, b=2, c:req
    r0 = \a  # error[asm-symbol]@10: nope is no constant and no field
    r0 = \d  # error[asm-macro]@10: macro one has no parameter d ## error[asm-macro]@10: macro one has no parameter d
    r0 = \  # error[asm-macro]@10: a backslash stands before a parameter's name ## error[asm-macro]@10: a backslash stands before a parameter's name
.endm
.macro one  # error[asm-macro]@1: macro one is defined twice
.endm
.section xdp
f:
    one 1, 2, 3
    one 1, 2, 3, 4  # error[asm-macro]@5: macro one takes 3 arguments and no more
    one 1  # error[asm-macro]@5: macro one needs c
    one a=1, b=2  # error[asm-macro]@5: macro one needs c
    one d=1  # error[asm-macro]@5: macro one has no parameter d
    one a=1, 2  # error[asm-macro]@5: an argument by place stands behind one by name
    one (1, 2  # error[asm-macro]@5: a parenthesis in this argument is never closed
    one nope, 2, 3
    ome 1, 2, 3  # error[asm-mnemonic]@5: there is no instruction ome
    .purgem two  # error[asm-macro]@13: there is no macro two
    .include "nothing.s"  # error[asm-include]@5: there is no file nothing.s
    .include nothing  # error[asm-directive]@14: 'nothing' is no string
    .include  # error[asm-directive]@12: a string is missing
    exit
.macro open  # error[asm-macro]@1: .macro is never closed
    r0 = 1
