# Labels, functions, maps and constants.
.map m, array, key=u32, value=u64, max_entries=1
.map m, array, key=u32, value=u64, max_entries=1  # error[asm-duplicate]@6: map m is defined twice
.map n, aray, key=u32, value=u64, max_entries=1  # error[asm-map]@9: there is no map type aray
.map o, hash, key=u32, max_entries=1  # error[asm-map]@1: a map of type hash needs value=
.map p, hash, key=u23, value=u64, max_entries=1, colour=3  # error[asm-map]@19: u23 is no type for a key ## error[asm-map]@50: a map has no colour
.map q, hash, key=u32, value=u64  # error[asm-map]@1: max_entries= is missing
.map r, hash, key=u32, key=u32, value=u64, max_entries=1  # error[asm-map]@24: key is given twice
.map s, hash, key=u32, value=u64, max_entries=4294967296, flags=BPF_F_NONE  # error[asm-range]@47: 4294967296 is outside 0 to 4294967295 ## error[asm-symbol]@65: BPF_F_NONE is no constant and no field
.map t  # error[asm-map]@1: .map needs a name and a type first
.section xdp
f:
    goto nowhere  # error[asm-label-undefined]@10: there is no label nowhere in f
    goto inside_g  # error[asm-label-undefined]@10: there is no label inside_g in f
    call bpf_map_lokup_elem  # error[asm-symbol]@10: there is no function or helper bpf_map_lokup_elem
    r1 = nomap ll  # error[asm-symbol]@10: there is no map or function nomap
    r1 = m+8 ll  # error[asm-operand]@10: only a data symbol takes an addend, and m is none
    w0 = XDP_PAS  # error[asm-symbol]@10: XDP_PAS is no constant and no field
    r1 = *(u32 *)(r1 + xdp_md.dta)  # error[asm-symbol]@24: xdp_md.dta is no constant and no field
    goto out+4  # error[asm-operand]@10: out takes no addend here
    call nofunction  # error[asm-symbol]@10: there is no function or helper nofunction
out:
    exit
out:  # error[asm-label-duplicate]@1: label out is defined twice in f
    exit
.globl g
g:
inside_g:
    exit
.globl f
f:  # error[asm-duplicate]@1: f is defined twice
    exit
