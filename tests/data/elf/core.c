/* CO-RE: fields, bit-fields, flavours, types, enumerators, in programs that share a section. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

#define __core __attribute__((preserve_access_index))

struct mm_struct {
	int unused;
} __core;

struct task_struct {
	int pid, tgid;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	char comm[16];
} __core;

struct task_struct___old {
	long state;
} __core;

struct no_such_struct {
	int field;
} __core;

enum pid_type {
	PIDTYPE_PID,
	PIDTYPE_TGID,
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} events SEC(".maps");

static __attribute__((noinline)) int parent(struct task_struct *task)
{
	return BPF_CORE_READ(task, real_parent, tgid);
}

SEC("tracepoint/syscalls/sys_enter_getpid")
int on_getpid(void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	char name[16];

	bpf_core_read_str(name, sizeof(name), &task->comm);
	bpf_ringbuf_output(&events, name, sizeof(name), 0);
	return parent(task) + BPF_CORE_READ(task, pid);
}

SEC("tracepoint/syscalls/sys_enter_getpid")
int exists(void *ctx)
{
	struct task_struct___old *task = (void *)bpf_get_current_task();
	int found = 0;

	if (bpf_core_field_exists(task->state))
		found = 1;
	if (bpf_core_type_exists(struct no_such_struct))
		found += 2;
	if (bpf_core_enum_value_exists(enum pid_type, PIDTYPE_TGID))
		found += bpf_core_enum_value(enum pid_type, PIDTYPE_TGID);
	return found + bpf_core_field_size(((struct task_struct *)0)->comm)
		+ bpf_core_type_size(struct task_struct);
}

char license_text[] SEC("license") = "GPL";
