/* Every operation of the virtual machine's loop, by the name of its row in isa/table.py. */

#define ALU_OPS(X) \
    X(add) X(sub) X(mul) X(div) X(sdiv) X(or) X(and) X(lsh) X(rsh) X(mod) X(smod) X(xor) X(mov) X(arsh)

#define JUMP_OPS(X) \
    X(jeq) X(jgt) X(jge) X(jset) X(jne) X(jsgt) X(jsge) X(jlt) X(jle) X(jslt) X(jsle)

#define OTHER_OPS(X) \
    X(trap) X(neg64) X(neg32) \
    X(movsx8_64) X(movsx16_64) X(movsx32_64) X(movsx8_32) X(movsx16_32) \
    X(swap16) X(swap32) X(swap64) X(cut16) X(cut32) X(cut64) \
    X(ja) X(call_helper) X(call_local) X(callx) X(exit) X(may_goto) X(gotox) \
    X(ldxb) X(ldxh) X(ldxw) X(ldxdw) X(ldxsb) X(ldxsh) X(ldxsw) \
    X(stb) X(sth) X(stw) X(stdw) X(stxb) X(stxh) X(stxw) X(stxdw) \
    X(atomic_add64) X(atomic_or64) X(atomic_and64) X(atomic_xor64) \
    X(atomic_add32) X(atomic_or32) X(atomic_and32) X(atomic_xor32) \
    X(atomic_fetch_add64) X(atomic_fetch_or64) X(atomic_fetch_and64) X(atomic_fetch_xor64) \
    X(atomic_fetch_add32) X(atomic_fetch_or32) X(atomic_fetch_and32) X(atomic_fetch_xor32) \
    X(xchg64) X(xchg32) X(cmpxchg64) X(cmpxchg32) \
    X(ldabsb) X(ldabsh) X(ldabsw) X(ldindb) X(ldindh) X(ldindw)

#define ALU_NAMES(X, op) X(op##64_imm) X(op##64_reg) X(op##32_imm) X(op##32_reg)
