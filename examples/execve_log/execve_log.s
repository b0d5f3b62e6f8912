# Tell user space which programs are started: who starts which file.

.license "GPL"
.map events, ringbuf, max_entries=262144

# struct event { u32 pid; u32 uid; char comm[16]; char filename[64]; }
.equ PID, 0
.equ UID, 4
.equ COMM, 8
.equ FILENAME, 24
.equ SIZE, 88

.bss
lost:                                   # records for which there was no room
    .quad 0

.section tracepoint/syscalls/sys_enter_execve
.globl log_execve
log_execve:
    r7 = *(u64 *)(r1 + 16)              # execve's first argument
    r1 = events ll
    r2 = SIZE
    r3 = 0
    call bpf_ringbuf_reserve
    if r0 == 0 goto full
    r6 = r0
    call bpf_get_current_pid_tgid
    r0 >>= 32
    *(u32 *)(r6 + PID) = w0
    call bpf_get_current_uid_gid
    *(u32 *)(r6 + UID) = w0
    r1 = r6
    r1 += COMM
    r2 = 16
    call bpf_get_current_comm
    w1 = 0
    *(u8 *)(r6 + FILENAME) = w1         # empty, should it not be readable
    r1 = r6
    r1 += FILENAME
    r2 = SIZE - FILENAME
    r3 = r7
    call bpf_probe_read_user_str
    r1 = r6
    r2 = 0
    call bpf_ringbuf_submit
    w0 = 0
    exit
full:
    r1 = lost ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    w0 = 0
    exit
