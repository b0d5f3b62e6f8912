# Drop IPv6 frames, pass everything else.

.section xdp
drop_ipv6:
    r2 = *(u32 *)(r1 + xdp_md.data)
    r3 = *(u32 *)(r1 + xdp_md.data_end)
    w0 = XDP_PASS
    r4 = r2
    r4 += 14                            # the Ethernet header
    if r4 > r3 goto out                 # a frame that short is not IPv6
    r5 = *(u16 *)(r2 + 12)              # EtherType, in network order
    r5 = be16 r5
    if r5 != ETH_P_IPV6 goto out
    w0 = XDP_DROP
out:
    exit
