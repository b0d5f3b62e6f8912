/* Programs over maps with locks, timers and kernel pointers, over variables, iterators, dynptrs and
 * arenas: each runs in the kernel and in the virtual machine. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct task_struct {
};
struct bpf_iter_num {
	__u64 opaque;
} __attribute__((aligned(8)));
struct value {
	struct bpf_spin_lock lock;
	int count;
	struct bpf_timer timer;
};
struct kept {
	struct task_struct __kptr *task;
};
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct value);
} values SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, int);
	__type(value, struct kept);
} tasks SEC(".maps");

int counter = 5;
static int hidden = 3;
const volatile int limit = 4;
char name[8] = "abc";
extern int CONFIG_HZ __kconfig;

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
extern int bpf_dynptr_from_skb(struct __sk_buff *skb, __u64 flags, struct bpf_dynptr *ptr) __ksym;
extern void *bpf_dynptr_slice(const struct bpf_dynptr *p, __u32 offset, void *buffer, __u32 n) __ksym;
extern __u32 bpf_dynptr_size(const struct bpf_dynptr *p) __ksym;
extern int bpf_dynptr_adjust(const struct bpf_dynptr *p, __u32 start, __u32 end) __ksym;
extern void bpf_rcu_read_lock(void) __ksym;
extern void bpf_rcu_read_unlock(void) __ksym;
extern struct task_struct *bpf_task_acquire(struct task_struct *task) __ksym;
extern void bpf_task_release(struct task_struct *task) __ksym;

static int tick(void *map, int *key, struct value *value)
{
	value->count += 100;
	return 0;
}

SEC("tc") int locked(struct __sk_buff *skb)
{
	int key = 0;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	if (!value)
		return 1;
	bpf_spin_lock(&value->lock);
	value->count += limit;
	bpf_spin_unlock(&value->lock);
	return value->count;
}

SEC("tc") int variables(struct __sk_buff *skb)
{
	counter += hidden++;
	if (skb->len > 10000)
		counter = 0;
	name[1] = 'x';
	return counter * 1000 + CONFIG_HZ;
}

SEC("tc") int timed(struct __sk_buff *skb)
{
	int key = 0;
	struct value *value = bpf_map_lookup_elem(&values, &key);

	if (!value)
		return 1;
	int a = bpf_timer_init(&value->timer, &values, 1);
	int b = bpf_timer_init(&value->timer, &values, 1);
	int c = bpf_timer_start(&value->timer, 1000, 0);
	int d = bpf_timer_set_callback(&value->timer, tick);
	int e = bpf_timer_start(&value->timer, 1000000000, 8);
	int f = bpf_timer_start(&value->timer, 100000000000, 0);
	int g = bpf_timer_cancel(&value->timer);
	int h = bpf_timer_cancel(&value->timer);
	return a + 2 * b + 3 * c + 5 * d + 7 * e + 11 * f + 13 * g + 17 * h;
}

SEC("tc") int counted(struct __sk_buff *skb)
{
	struct bpf_iter_num it;
	int *number, sum = 0;

	bpf_iter_num_new(&it, 3, 8);
	while ((number = bpf_iter_num_next(&it)))
		sum = sum * 10 + *number;
	bpf_iter_num_destroy(&it);
	int a = bpf_iter_num_new(&it, 8, 3);
	bpf_iter_num_destroy(&it);
	int b = bpf_iter_num_new(&it, 0, 9000000);
	bpf_iter_num_destroy(&it);
	return sum * 100 + a * 10 + b;
}

SEC("tc") int sliced(struct __sk_buff *skb)
{
	struct bpf_dynptr ptr;
	char buffer[4], *data;

	if (bpf_dynptr_from_skb(skb, 0, &ptr))
		return 1;
	int n = bpf_dynptr_size(&ptr);
	int a = bpf_dynptr_adjust(&ptr, 12, 40);
	int b = bpf_dynptr_adjust(&ptr, 12, 400);
	int c = bpf_dynptr_adjust(&ptr, 5, 2);
	data = bpf_dynptr_slice(&ptr, 0, buffer, 4);
	if (!data)
		return 2;
	return n * 1000 + data[2] + a + 3 * b + 5 * c + bpf_dynptr_size(&ptr);
}

SEC("syscall") int kept(void *ctx)
{
	int key = 0, sum = 0;
	struct kept *value = bpf_map_lookup_elem(&tasks, &key);
	struct task_struct *task, *old;

	if (!value)
		return 1;
	bpf_rcu_read_lock();
	task = bpf_task_acquire(bpf_get_current_task_btf());
	if (!task) {
		bpf_rcu_read_unlock();
		return 2;
	}
	old = bpf_kptr_xchg(&value->task, task);
	if (old) {
		sum += 10;
		bpf_task_release(old);
	}
	old = bpf_kptr_xchg(&value->task, 0);
	if (old) {
		sum += 100;
		bpf_task_release(old);
	}
	bpf_rcu_read_unlock();
	return sum;
}

char _license[] SEC("license") = "GPL";
