// Count how often programs are started: once as a kprobe, once at a tracepoint.
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} execs SEC(".maps");

static __always_inline int count(void)
{
	__u32 key = 0;
	__u64 *found = bpf_map_lookup_elem(&execs, &key);

	if (found) __sync_fetch_and_add(found, 1);
	return 0;
}

SEC("ksyscall/execve")
int on_function(void *ctx)
{
	return count();
}

SEC("tracepoint/syscalls/sys_enter_execve")
int on_tracepoint(void *ctx)
{
	return count();
}

char _license[] SEC("license") = "GPL";
