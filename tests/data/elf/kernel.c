/* Kernel functions and symbols: typed, untyped, weak, one that no kernel has. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;
extern void no_such_kfunc(void) __ksym __weak;
extern const void bpf_prog_active __ksym __weak;
extern const int runqueues_that_are_not __ksym __weak;

SEC("tp_btf/task_newtask")
int on_new_task(unsigned long long *ctx)
{
	struct task_struct *task = bpf_task_acquire((void *)ctx[0]);
	int found = &bpf_prog_active != 0;

	if (task)
		bpf_task_release(task);
	if (no_such_kfunc)
		no_such_kfunc();
	return found + (&runqueues_that_are_not != 0);
}

char license_text[] SEC("license") = "GPL";
