/* Variables in an arena: libbpf 1.5 and Linux 6.9 have them. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, 33); /* BPF_MAP_TYPE_ARENA */
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 10);
} arena SEC(".maps");

int __attribute__((address_space(1))) first = 11;
int __attribute__((address_space(1))) second[4] = { 1, 2, 3, 4 };

SEC("syscall")
int touch(void *ctx)
{
	first++;
	second[2] = 5;
	return first;
}

char license_text[] SEC("license") = "GPL";
