# Count packets without atomic instructions: each CPU has a value of its own.

.license "GPL"
.map packets, percpu_array, key=u32, value=u64, max_entries=8

.section xdp
count:
    w1 = 0
    *(u32 *)(r10 - 4) = w1              # key 0
    r2 = r10
    r2 += -4
    r1 = packets ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = *(u64 *)(r0 + 0)
    r1 += 1
    *(u64 *)(r0 + 0) = r1
out:
    w0 = XDP_PASS
    exit
