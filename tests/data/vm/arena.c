/* A list in an arena. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#define BPF_MAP_TYPE_ARENA 33 /* younger than the headers may be */
#define __arena __attribute__((address_space(1)))

struct {
	__uint(type, BPF_MAP_TYPE_ARENA);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 8);
} arena SEC(".maps");

extern void __arena *bpf_arena_alloc_pages(void *map, void __arena *addr, __u32 count, int node, __u64 flags) __ksym;
extern void bpf_arena_free_pages(void *map, void __arena *ptr, __u32 count) __ksym;

struct node {
	struct node __arena *next;
	int value;
};

SEC("syscall") int listed(void *ctx)
{
	struct node __arena *first = 0, *page = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);
	int sum = 0;

	if (!page)
		return 1;
	for (int i = 0; i < 5; i++) {
		page[i].value = i + 1;
		page[i].next = first;
		first = &page[i];
	}
	for (int i = 0; i < 10 && first; i++, first = first->next)
		sum = sum * 10 + first->value;
	bpf_arena_free_pages(&arena, page, 1);
	return sum;
}

SEC("syscall") int full(void *ctx)
{
	void __arena *all = bpf_arena_alloc_pages(&arena, 0, 8, -1, 0);
	void __arena *more = bpf_arena_alloc_pages(&arena, 0, 1, -1, 0);

	return (all != 0) * 10 + (more != 0);
}

char _license[] SEC("license") = "GPL";
