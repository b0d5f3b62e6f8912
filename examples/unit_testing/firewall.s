# Drop what goes to blocked TCP and UDP ports over IPv4; count by port what was dropped.

.license "GPL"
.map blocked, hash, key=u16, value=u64, max_entries=64

.section xdp
firewall:
    r6 = *(u32 *)(r1 + xdp_md.data)
    r7 = *(u32 *)(r1 + xdp_md.data_end)
    r1 = r6
    r1 += 38                            # Ethernet, IPv4 without options, two ports
    if r1 > r7 goto pass
    r1 = *(u16 *)(r6 + 12)              # EtherType, in network order
    r1 = be16 r1
    if r1 != ETH_P_IP goto pass
    r1 = *(u8 *)(r6 + 14)
    if r1 != 0x45 goto options
    r1 = *(u8 *)(r6 + 23)
    if r1 == IPPROTO_TCP goto ports
    if r1 != IPPROTO_UDP goto pass
ports:
    r1 = *(u16 *)(r6 + 36)
    r1 = be16 r1
    *(u16 *)(r10 - 2) = r1              # the port is the key
    r1 = blocked ll
    r2 = r10
    r2 += -2
    call bpf_map_lookup_elem
    if r0 == 0 goto pass
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
    w0 = XDP_DROP
    exit
options:
    w0 = XDP_ABORTED                    # headers with options: leave a trace of them
    exit
pass:
    w0 = XDP_PASS
    exit
