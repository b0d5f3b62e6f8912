# A helper reads as many registers as it has parameters.

.license "GPL"
.map counts, array, key=u32, value=u64, max_entries=4

.section xdp
second_argument:
    r1 = counts ll
    call bpf_map_lookup_elem  # error[verify-uninit-read]@5: r2, argument 2 of bpf_map_lookup_elem, is read before it is written
    r0 = 2
    exit

.section xdp
lost_in_a_call:
    r6 = r1
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    r1 = counts ll
    call bpf_map_lookup_elem  # error[verify-uninit-read]@5: r2, argument 2 of bpf_map_lookup_elem, is read before it is written
    r0 = 2
    exit

.section xdp
complete:
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 2
    exit
