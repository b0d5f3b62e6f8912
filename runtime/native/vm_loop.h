/*
 * The loop. Included twice: with TRACKED it checks that every register was written before it is
 * read, without it that is known already. Instructions are counted where control is transferred,
 * by how far it ran since the last time.
 */

static long LOOP(struct ebpfasm_vm *vm)
{
#define LABEL4(op) &&do_##op##64_imm, &&do_##op##64_reg, &&do_##op##32_imm, &&do_##op##32_reg,
#define LABEL1(op) &&do_##op,
    static const void *const labels[] = {ALU_OPS(LABEL4) JUMP_OPS(LABEL4) OTHER_OPS(LABEL1)};
    const struct ebpfasm_vm_step *const steps = vm->steps, *pc = steps + vm->at, *since = pc;
    uint64_t *const r = vm->registers;
    uint64_t count = vm->count, budget = vm->budget;
#if TRACKED
    uint32_t known = vm->known;
#define CHECK if (unlikely(pc->reads & ~known)) goto fault; known |= pc->writes;
#define SAVE_KNOWN vm->known = known
#define LOAD_KNOWN known = vm->known
#else
#define CHECK
#define SAVE_KNOWN (void)0
#define LOAD_KNOWN (void)0
#endif

#define DISPATCH do { CHECK goto *labels[pc->op]; } while (0)
#define NEXT do { pc++; DISPATCH; } while (0)
#define SPEND do { count += (uint64_t)(pc - since) + 1; since = pc + 1; \
                   if (unlikely(count >= budget)) goto spent; } while (0)
#define GOTO(to) do { SPEND; pc = since = steps + (to); DISPATCH; } while (0)

#define DST r[pc->dst]
#define SRC r[pc->src]
#define IMM ((uint64_t)pc->imm)

    DISPATCH;

#define ALU(op, expression64, expression32) \
    do_##op##64_imm: { uint64_t a = DST, b = IMM; (void)a; DST = (expression64); } NEXT; \
    do_##op##64_reg: { uint64_t a = DST, b = SRC; (void)a; DST = (expression64); } NEXT; \
    do_##op##32_imm: { uint32_t a = (uint32_t)DST, b = (uint32_t)IMM; (void)a; DST = (uint32_t)(expression32); } NEXT; \
    do_##op##32_reg: { uint32_t a = (uint32_t)DST, b = (uint32_t)SRC; (void)a; DST = (uint32_t)(expression32); } NEXT;

    ALU(add, a + b, a + b)
    ALU(sub, a - b, a - b)
    ALU(mul, a * b, a * b)
    ALU(div, b ? a / b : 0, b ? a / b : 0)
    ALU(mod, b ? a % b : a, b ? a % b : a)
    /* Division by -1 is negation: the least number divided by -1 would overflow. */
    ALU(sdiv, b + 1 < 2 ? (b ? 0 - a : 0) : (uint64_t)((int64_t)a / (int64_t)b),
              b + 1 < 2 ? (b ? 0 - a : 0) : (uint32_t)((int32_t)a / (int32_t)b))
    ALU(smod, b + 1 < 2 ? (b ? 0 : a) : (uint64_t)((int64_t)a % (int64_t)b),
              b + 1 < 2 ? (b ? 0 : a) : (uint32_t)((int32_t)a % (int32_t)b))
    ALU(or, a | b, a | b)
    ALU(and, a & b, a & b)
    ALU(xor, a ^ b, a ^ b)
    ALU(lsh, a << (b & 63), a << (b & 31))
    ALU(rsh, a >> (b & 63), a >> (b & 31))
    ALU(arsh, (uint64_t)((int64_t)a >> (b & 63)), (uint32_t)((int32_t)a >> (b & 31)))
    ALU(mov, b, b)

    do_neg64: DST = 0 - DST; NEXT;
    do_neg32: DST = (uint32_t)(0 - (uint32_t)DST); NEXT;
    do_movsx8_64: DST = (uint64_t)(int64_t)(int8_t)SRC; NEXT;
    do_movsx16_64: DST = (uint64_t)(int64_t)(int16_t)SRC; NEXT;
    do_movsx32_64: DST = (uint64_t)(int64_t)(int32_t)SRC; NEXT;
    do_movsx8_32: DST = (uint32_t)(int32_t)(int8_t)SRC; NEXT;
    do_movsx16_32: DST = (uint32_t)(int32_t)(int16_t)SRC; NEXT;
    do_swap16: DST = __builtin_bswap16((uint16_t)DST); NEXT;
    do_swap32: DST = __builtin_bswap32((uint32_t)DST); NEXT;
    do_swap64: DST = __builtin_bswap64(DST); NEXT;
    do_cut16: DST = (uint16_t)DST; NEXT;
    do_cut32: DST = (uint32_t)DST; NEXT;
    do_cut64: NEXT;

#define JUMP(op, expression64, expression32) \
    do_##op##64_imm: { uint64_t a = DST, b = IMM; if (expression64) GOTO(pc->target); } NEXT; \
    do_##op##64_reg: { uint64_t a = DST, b = SRC; if (expression64) GOTO(pc->target); } NEXT; \
    do_##op##32_imm: { uint32_t a = (uint32_t)DST, b = (uint32_t)IMM; if (expression32) GOTO(pc->target); } NEXT; \
    do_##op##32_reg: { uint32_t a = (uint32_t)DST, b = (uint32_t)SRC; if (expression32) GOTO(pc->target); } NEXT;
#define SIGNED(operator) (int64_t)a operator (int64_t)b, (int32_t)a operator (int32_t)b
#define JUMP_SIGNED(op, ...) JUMP_BOTH(op, __VA_ARGS__)
#define JUMP_BOTH(op, expression64, expression32) JUMP(op, expression64, expression32)

    JUMP(jeq, a == b, a == b)
    JUMP(jgt, a > b, a > b)
    JUMP(jge, a >= b, a >= b)
    JUMP(jset, a & b, a & b)
    JUMP(jne, a != b, a != b)
    JUMP(jlt, a < b, a < b)
    JUMP(jle, a <= b, a <= b)
    JUMP_SIGNED(jsgt, SIGNED(>))
    JUMP_SIGNED(jsge, SIGNED(>=))
    JUMP_SIGNED(jslt, SIGNED(<))
    JUMP_SIGNED(jsle, SIGNED(<=))

    do_ja: GOTO(pc->target);

    do_may_goto: {
        struct ebpfasm_vm_frame *frame = &vm->frames[vm->depth - 1];
        if (frame->loops == 0)
            GOTO(pc->target);
        frame->loops--;
        NEXT;
    }

    do_gotox: {
        int64_t landing = landing_at(vm, DST, IMM);
        if (landing < 0)
            goto fault;
        GOTO(landing);
    }

    do_trap: goto fault;

    /* ---- calls */

    do_callx: {
        if (DST >> PLACE == 0) /* no address but the number of a helper */
            goto to_python;
        int64_t start = function_at(vm, DST);
        if (start < 0)
            goto fault;
        count += (uint64_t)(pc - since) + 1;
        vm->count = count;
        SAVE_KNOWN;
        if (!enter(vm, pc + 1 - steps, (uint32_t)(pc - steps)))
            goto stop_here;
#if TRACKED
        known = (known & CLOBBERED) | 1 << 10;
#endif
        pc = since = steps + start;
        DISPATCH;
    }
    do_call_local: {
        if (steps[pc->target].op == OP_trap)
            GOTO(pc->target);
        count += (uint64_t)(pc - since) + 1;
        vm->count = count;
        SAVE_KNOWN;
        if (!enter(vm, pc + 1 - steps, (uint32_t)(pc - steps)))
            goto stop_here;
#if TRACKED
        known = (known & CLOBBERED) | 1 << 10;
#endif
        pc = since = steps + pc->target;
        DISPATCH;
    }
    do_call_helper: {
        if (pc->imm == 181 && vm->builtin[181])
            goto begin_loop;
        if (!call_helper(vm, pc->imm))
            goto to_python;
#if TRACKED
        known = (known & ~(uint32_t)CLOBBERED) | 1;
#endif
        NEXT;
    }
    begin_loop: { /* bpf_loop(rounds, callback, context, flags) */
        uint32_t rounds = (uint32_t)r[1];
        int64_t start = function_at(vm, r[2]);
        if (r[4] || rounds == 0 || rounds > 8 * 1024 * 1024 || start < 0) {
            goto to_python;
        }
        count += (uint64_t)(pc - since) + 1;
        vm->count = count;
        SAVE_KNOWN;
        if (!enter(vm, TO_LOOP, (uint32_t)(pc - steps)))
            goto stop_here;
        struct ebpfasm_vm_frame *frame = &vm->frames[vm->depth - 1];
        frame->round = 0;
        frame->rounds = rounds;
        frame->start = (uint32_t)start;
        frame->context = r[3];
        r[1] = 0;
        r[2] = frame->context;
#if TRACKED
        known = 1 << 10 | 3 << 1;
#endif
        pc = since = steps + start;
        DISPATCH;
    }
    do_exit: {
        struct ebpfasm_vm_frame *frame = &vm->frames[vm->depth - 1];
#if TRACKED
        if (frame->back < 0 && vm->returns_value && !(known & 1))
            goto fault;
#endif
    leave_frame:
        frame = &vm->frames[vm->depth - 1];
        SPEND;
        if (frame->back == TO_LOOP) {
            uint64_t done = (uint64_t)frame->round + 1;
            SAVE_KNOWN;
            leave(vm);
            if (r[0] == 0 && done < frame->rounds) {
                vm->count = count;
                vm->known = frame->known;
                if (!enter(vm, TO_LOOP, frame->site)) {
                    pc = steps + frame->site;
                    goto stop_here;
                }
                frame->round = (uint32_t)done;
                r[1] = done;
                r[2] = frame->context;
#if TRACKED
                known = 1 << 10 | 3 << 1;
#endif
                pc = since = steps + frame->start;
                DISPATCH;
            }
            r[0] = done;
#if TRACKED
            known = (frame->known & ~(uint32_t)CLOBBERED) | 1;
#endif
            pc = since = steps + frame->site + 1;
            DISPATCH;
        }
        SAVE_KNOWN;
        leave(vm);
        LOAD_KNOWN;
        if (frame->back == TO_PYTHON) {
            vm->count = count;
            vm->at = (uint32_t)(pc - steps);
            return DONE;
        }
        pc = since = steps + frame->back;
        DISPATCH;
    }

    /* ---- memory */

#define LOAD(name, type, wide) \
    do_##name: { \
        uint64_t address = SRC + (uint64_t)(int64_t)pc->off; \
        const struct ebpfasm_vm_region *region = find(vm, address); \
        unsigned char *place = reach(region, address, sizeof(type)); \
        if (unlikely(!place)) goto fault; \
        if (unlikely(region->flags & CONTEXT)) { \
            uint64_t pointer; \
            int kind = load_context(vm, region, address, sizeof(type), &pointer); \
            if (kind < 0) goto fault; \
            if (kind) { DST = (uint64_t)(wide)(type)pointer; \
                        if (sizeof(wide) == sizeof(uint64_t) && (wide)-1 > 0) DST = pointer; \
                        NEXT; } \
        } \
        type value; \
        memcpy(&value, place, sizeof value); \
        DST = (uint64_t)(wide)value; \
    } NEXT;

    LOAD(ldxb, uint8_t, uint64_t)
    LOAD(ldxh, uint16_t, uint64_t)
    LOAD(ldxw, uint32_t, uint64_t)
    LOAD(ldxdw, uint64_t, uint64_t)
    LOAD(ldxsb, int8_t, int64_t)
    LOAD(ldxsh, int16_t, int64_t)
    LOAD(ldxsw, int32_t, int64_t)

#define STORE(name, type, from) \
    do_##name: { \
        uint64_t address = DST + (uint64_t)(int64_t)pc->off; \
        const struct ebpfasm_vm_region *region = find(vm, address); \
        unsigned char *place = reach(region, address, sizeof(type)); \
        if (unlikely(!place || !(region->flags & WRITABLE))) goto fault; \
        if (unlikely(region->flags & CONTEXT) \
            && !may_write_context(vm, region, address, sizeof(type))) goto fault; \
        type value = (type)(from); \
        memcpy(place, &value, sizeof value); \
    } NEXT;

    STORE(stb, uint8_t, IMM)
    STORE(sth, uint16_t, IMM)
    STORE(stw, uint32_t, IMM)
    STORE(stdw, uint64_t, IMM)
    STORE(stxb, uint8_t, SRC)
    STORE(stxh, uint16_t, SRC)
    STORE(stxw, uint32_t, SRC)
    STORE(stxdw, uint64_t, SRC)

#define ATOMIC(name, type, expression, after) \
    do_##name: { \
        uint64_t address = DST + (uint64_t)(int64_t)pc->off; \
        const struct ebpfasm_vm_region *region = find(vm, address); \
        unsigned char *place = reach(region, address, sizeof(type)); \
        if (unlikely(!place || (region->flags & (WRITABLE | CONTEXT)) != WRITABLE)) goto fault; \
        type a, b = (type)SRC; \
        memcpy(&a, place, sizeof a); \
        type value = (expression); \
        memcpy(place, &value, sizeof value); \
        after; \
    } NEXT;
#define ATOMICS(op, operator) \
    ATOMIC(atomic_##op##64, uint64_t, a operator b, (void)0) \
    ATOMIC(atomic_##op##32, uint32_t, a operator b, (void)0) \
    ATOMIC(atomic_fetch_##op##64, uint64_t, a operator b, SRC = a) \
    ATOMIC(atomic_fetch_##op##32, uint32_t, a operator b, SRC = a)

    ATOMICS(add, +)
    ATOMICS(or, |)
    ATOMICS(and, &)
    ATOMICS(xor, ^)
    ATOMIC(xchg64, uint64_t, b, SRC = a)
    ATOMIC(xchg32, uint32_t, b, SRC = a)
    ATOMIC(cmpxchg64, uint64_t, a == r[0] ? b : a, r[0] = a)
    ATOMIC(cmpxchg32, uint32_t, a == (uint32_t)r[0] ? b : a, r[0] = a)

    /* ---- packets, the classic way */

#define PACKET(name, bytes, index, convert) \
    do_##name: { \
        int64_t offset = (int32_t)((uint32_t)(index) + (uint32_t)pc->imm); \
        uint64_t start = vm->data; \
        if (!vm->has_skb || r[6] != ((uint64_t)vm->ctx << PLACE) + vm->regions[vm->ctx].base) \
            goto fault; \
        if (offset < 0) { \
            start = vm->link; \
            if (offset >= -0x100000) { start += 14; offset += 0x100000; } \
            else if (offset >= -0x200000) { offset += 0x200000; } \
            else goto outside; \
        } \
        if (start + (uint64_t)offset + bytes > vm->data_end) goto outside; \
        const unsigned char *p = vm->regions[vm->packet].host + start + offset; \
        r[0] = (convert); \
        FORGET; \
    } NEXT;
#if TRACKED
#define FORGET known = (known & ~(uint32_t)CLOBBERED) | 1
#else
#define FORGET (void)0
#endif
#define WORD ((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3])

    PACKET(ldabsb, 1, 0, p[0])
    PACKET(ldabsh, 2, 0, (uint32_t)p[0] << 8 | p[1])
    PACKET(ldabsw, 4, 0, WORD)
    PACKET(ldindb, 1, SRC, p[0])
    PACKET(ldindh, 2, SRC, (uint32_t)p[0] << 8 | p[1])
    PACKET(ldindw, 4, SRC, WORD)

outside: /* leaves the function with 0 */
    r[0] = 0;
    FORGET;
    goto leave_frame;

to_python:
    vm->count = count + (uint64_t)(pc - since) + 1;
    vm->at = (uint32_t)(pc - steps);
    SAVE_KNOWN;
    return HELPER;
spent: /* the last step was counted already */
    vm->count = count;
    vm->at = (uint32_t)(pc - steps);
    SAVE_KNOWN;
    return FAULT;
stop_here:
    vm->at = (uint32_t)(pc - steps);
    return FAULT;
fault:
    vm->count = count + (uint64_t)(pc - since) + 1;
    vm->at = (uint32_t)(pc - steps);
    SAVE_KNOWN;
    return FAULT;
}

#undef CHECK
#undef SAVE_KNOWN
#undef LOAD_KNOWN
#undef DISPATCH
#undef NEXT
#undef SPEND
#undef GOTO
#undef FORGET
