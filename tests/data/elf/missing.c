/* What no kernel has: reached in some programs, guarded in others. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
	int no_such_field;
} __attribute__((preserve_access_index));

extern void no_such_kfunc(void) __ksym __weak;
extern void strong_kfunc(void) __ksym;
extern const void strong_symbol __ksym;
extern _Bool CONFIG_NO_SUCH_OPTION __kconfig;

SEC("?tp_btf/sched_switch")
int reads_field(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[1];

	return task->no_such_field;
}

SEC("?tp_btf/sched_switch")
int asks_first(unsigned long long *ctx)
{
	struct task_struct *task = (void *)ctx[1];

	if (bpf_core_field_exists(task->no_such_field))
		return task->no_such_field;
	return task->pid & 0;
}

SEC("?tp_btf/sched_switch")
int calls(void *ctx)
{
	no_such_kfunc();
	return 0;
}

SEC("?tp_btf/sched_switch")
int calls_strong(void *ctx)
{
	strong_kfunc();
	return 0;
}

SEC("?xdp")
int strong_address(void *ctx)
{
	return (long)&strong_symbol & 1;
}

SEC("?xdp")
int option(void *ctx)
{
	return CONFIG_NO_SUCH_OPTION;
}

SEC("?xdp")
int refused(void *ctx)
{
	return *(int *)((char *)ctx + 4096);
}

SEC("?nonsense/section")
int unknown(void *ctx)
{
	return 0;
}

char license_text[] SEC("license") = "GPL";
