# Labels, functions, maps and constants.
.map m, array, key=u32, value=u64, max_entries=1
.section xdp
f:
    ja nowhere  # error[asm-label-undefined]@8: there is no label nowhere in f
    jne %r1, 2, out  # error[asm-label-undefined]@17: there is no label out in f
    jne %r1, 2, inside_g  # error[asm-label-undefined]@17: there is no label inside_g in f
    call bpf_map_lokup_elem  # error[asm-symbol]@10: there is no function or helper bpf_map_lokup_elem
    call local bpf_ktime_get_ns  # error[asm-symbol]@16: there is no function bpf_ktime_get_ns
    call local h  # error[asm-symbol]@16: there is no function h
    call runtime nothing  # error[asm-symbol]@18: nothing is no constant and no field
    lddw %r1, nomap  # error[asm-symbol]@15: there is no map or function nomap
    mov %r1, XDP_PAS  # error[asm-symbol]@14: XDP_PAS is no constant and no field
    mov %r1, m  # error[asm-symbol]@14: m is no constant and no field
    ldxw %r1, [%r2+xdp_md.dta]  # error[asm-symbol]@20: xdp_md.dta is no constant and no field
    ja 1b  # error[asm-label-undefined]@8: there is no label 1 before this
ot:
    exit
ot:  # error[asm-label-duplicate]@1: label ot is defined twice in f
    exit
.globl g
g:
    ja exit  # error[asm-label-undefined]@8: there is no label exit in g
inside_g:
    ja g
