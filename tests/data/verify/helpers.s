# Helpers that are not to be had.

.license "Proprietary"

.section xdp
unknown:
    call 4711  # error[verify-helper]@5: there is no helper function with the number 4711
    r0 = 2
    exit

.section xdp
other_type:
    call bpf_get_current_task_btf  # error[verify-license]@5: bpf_get_current_task_btf may only be called from a program with a GPL-compatible license
    r0 = 2
    exit

.section "kprobe/do_nanosleep"
of_another_hook:
    r2 = 0
    r3 = 0
    call bpf_redirect_map  # error[verify-helper]@5: kprobe programs cannot call bpf_redirect_map
    r0 = 0
    exit

.section "kprobe/do_nanosleep"
gpl_only:
    r1 = r10
    r1 += -8
    r2 = 8
    r3 = 0
    call bpf_probe_read_kernel  # error[verify-license]@5: bpf_probe_read_kernel may only be called from a program with a GPL-compatible license
    r0 = 0
    exit

.section xdp
allowed:
    call bpf_ktime_get_ns
    r0 = 2
    exit
