# What a map may be given.
.map  # error[asm-map]@1: .map needs a name and a type first
.map a  # error[asm-map]@1: .map needs a name and a type first
.map b, aray, key=u32, value=u32, max_entries=1  # error[asm-map]@9: there is no map type aray
.map c, array, key=u64, value=u32, max_entries=1  # error[asm-map]@16: a key of 8 bytes, where type array takes 4
.map d, array, key=u32, value=u32, max_entries=0  # error[asm-map]@36: a map of type array needs max_entries of 1 or more
.map e, array, value=u32  # error[asm-map]@1: max_entries= is missing
.map f, hash, value=u32, max_entries=1  # error[asm-map]@1: a map of type hash needs key=
.map g, ringbuf, key=u32, max_entries=4096  # error[asm-map]@18: a map of type ringbuf has no keys
.map h, lpm_trie, key=8, value=1, max_entries=1  # error[asm-map]@1: the kernel creates a map of type lpm_trie only with BPF_F_NO_PREALLOC
.map i, sk_storage, value=u32, max_entries=5, flags=BPF_F_NO_PREALLOC  # error[asm-map]@32: a map of type sk_storage has no max_entries
.map j, array_of_maps, max_entries=4  # error[asm-map]@1: a map of type array_of_maps needs inner=
.map k, array_of_maps, max_entries=4, inner=nothing  # error[asm-map]@45: there is no map nothing above
.map tmpl, array, template, key=u32, value=u64, max_entries=1
.map l, array_of_maps, max_entries=4, inner=tmpl
.map m, array_of_maps, max_entries=4, inner=l  # error[asm-map]@45: l has maps inside itself, and the kernel allows one level
.map n, hash, key=u32, value=u32, max_entries=1, inner=tmpl  # error[asm-map]@50: a map of type hash has no inner map
.map o, hash, key=u8[6], value=u8[0], max_entries=1  # error[asm-map]@32: u8[0] is no type for a value
.map p, hash, key=iphder, value=iphdr, max_entries=1  # error[asm-map]@19: iphder is no type for a key
.map q, hash, key=u32, key_size=4, value=u32, max_entries=1  # error[asm-map]@24: give key or key_size, not both
.map r, hash, key=0, value=u32, max_entries=1  # error[asm-map]@15: a key of 0 bytes, where type hash takes 1 or more
.map s, hash, key=u32, value=u32, max_entries=1, pinning=byname  # error[asm-map]@58: there is no pinning byname
.map t, hash, key=u32, value=u32, max_entries=1, numa_node=-1, map_extra=1 << 63, flags=1 / 0  # error[asm-range]@89: 1 / 0: there is no such number
.map ta, hash, key=u32, value=u32, max_entries=1, numa_node=-1, map_extra=1 << 63, flags=1 << 32  # error[asm-range]@61: -1 is outside 0 to 4294967295 ## error[asm-range]@90: 4294967296 is outside 0 to 4294967295
.map u, hash, temporary, key=u32, value=u32, max_entries=1  # error[asm-map]@15: temporary is no setting of a map
.map v, hash, key=u32, value=u32, max_entries="many"  # error[asm-map]@47: many is no number
.map w, hash, key=u32, value=u32, max_entries=MANY  # error[asm-constant]@47: MANY is not defined yet
.map x, hash, key=u32, value=u32, max_entries=1, max_entries=2, size=5  # error[asm-map]@50: max_entries is given twice ## error[asm-map]@65: a map has no size
.map tmpl, hash, key=u32, value=u32, max_entries=1  # error[asm-duplicate]@6: map tmpl is defined twice
.equ MANY, 5
.section xdp
g:
    r1 = tmpl ll  # error[asm-symbol]@10: tmpl is the template of inner maps and no map by itself
    r1 = l ll
    exit
