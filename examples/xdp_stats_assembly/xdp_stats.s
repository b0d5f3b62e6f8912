# Count the packets that pass: key 2 of the map is XDP_PASS.
# 14 slots; the same program as examples/xdp_stats_instructions.

.license "GPL"
.map xdp_stats_map, array, key=u32, value=u64, max_entries=5

.section xdp
xdp_stats:
    w1 = XDP_PASS
    *(u32 *)(r10 - 4) = w1              # the key, on the stack
    r2 = r10
    r2 += -4
    r1 = xdp_stats_map ll
    call bpf_map_lookup_elem
    r1 = r0
    w0 = XDP_ABORTED
    if r1 == 0 goto out                 # no such key
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2         # many CPUs may count at once
    w0 = XDP_PASS
out:
    exit
