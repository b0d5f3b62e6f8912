# Count packets by the longest prefix of their source address that is in a trie.

.license "GPL"
# A key is a prefix length in host order and an address in network order.
.map prefixes4, lpm_trie, key=u8[8], value=u64, max_entries=1024, flags=BPF_F_NO_PREALLOC
.map prefixes6, lpm_trie, key=u8[20], value=u64, max_entries=1024, flags=BPF_F_NO_PREALLOC

.section xdp
count:
    r7 = *(u32 *)(r1 + xdp_md.data)
    r8 = *(u32 *)(r1 + xdp_md.data_end)
    r2 = r7
    r2 += ethhdr.sizeof + iphdr.sizeof
    if r2 > r8 goto out
    w3 = *(u16 *)(r7 + ethhdr.h_proto)
    r3 = be16 r3
    if w3 == 0x86dd goto ipv6
    if w3 != 0x0800 goto out
    w1 = *(u32 *)(r7 + ethhdr.sizeof + iphdr.saddr)
    *(u32 *)(r10 - 4) = w1
    w1 = 32
    *(u32 *)(r10 - 8) = w1
    r2 = r10
    r2 += -8
    r1 = prefixes4 ll
    goto search
ipv6:
    r2 += ipv6hdr.sizeof - iphdr.sizeof
    if r2 > r8 goto out
    w1 = *(u32 *)(r7 + ethhdr.sizeof + ipv6hdr.saddr)
    *(u32 *)(r10 - 16) = w1
    w1 = *(u32 *)(r7 + ethhdr.sizeof + ipv6hdr.saddr + 4)
    *(u32 *)(r10 - 12) = w1
    w1 = *(u32 *)(r7 + ethhdr.sizeof + ipv6hdr.saddr + 8)
    *(u32 *)(r10 - 8) = w1
    w1 = *(u32 *)(r7 + ethhdr.sizeof + ipv6hdr.saddr + 12)
    *(u32 *)(r10 - 4) = w1
    w1 = 128
    *(u32 *)(r10 - 20) = w1
    r2 = r10
    r2 += -20
    r1 = prefixes6 ll
search:
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    w0 = XDP_PASS
    exit
