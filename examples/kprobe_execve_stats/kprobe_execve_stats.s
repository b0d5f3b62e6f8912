# Count how often programs are started: once as a kprobe, once at a tracepoint.

.license "GPL"
.map execs, array, key=u32, value=u64, max_entries=1

.macro count
    w1 = 0
    *(u32 *)(r10 - 4) = w1
    r2 = r10
    r2 += -4
    r1 = execs ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    w0 = 0
    exit
.endm

.section ksyscall/execve
.globl on_function
on_function:
    count

.section tracepoint/syscalls/sys_enter_execve
.globl on_tracepoint
on_tracepoint:
    count
