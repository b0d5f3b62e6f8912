# Count packets in the map that lies at index 0 of a map of maps.

.license "GPL"
.map counters, array, template, key=u32, value=u64, max_entries=5
.map outer, array_of_maps, key=u32, value=u32, max_entries=2, inner=counters

.section xdp
count:
    w1 = 0
    *(u32 *)(r10 - 4) = w1              # which map
    r2 = r10
    r2 += -4
    r1 = outer ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    w1 = XDP_PASS
    *(u32 *)(r10 - 4) = w1              # which counter in it
    r2 = r10
    r2 += -4
    r1 = r0
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    w0 = XDP_PASS
    exit
