// Count calls of a function of a program in user space; which one is said when it is attached.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("uprobe")
int on_call(void *ctx)
{
	__u32 key = 0;
	__u64 *found = bpf_map_lookup_elem(&calls, &key);

	if (found) __sync_fetch_and_add(found, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
