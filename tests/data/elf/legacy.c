/* Maps as they were described before BTF; `-DKIND=` chooses whose way. */
#define SEC(name) __attribute__((section(name), used))

typedef unsigned int u32;

#if KIND == 1 /* libbpf 0.x */
struct definition { u32 type, key_size, value_size, max_entries, map_flags; };
#define MORE
#elif KIND == 2 /* the kernel's samples/bpf */
struct definition { u32 type, key_size, value_size, max_entries, map_flags, inner_map_idx, numa_node; };
#define MORE
#else /* iproute2 */
struct definition { u32 type, key_size, value_size, max_entries, map_flags, id, pinning, inner_id, inner_idx; };
#define MORE , .id = 1
#endif

struct __sk_buff;

struct definition SEC("maps") first = { 1, 4, 8, 100, 1 MORE };
#if KIND == 2
struct definition SEC("maps") on_node = { 2, 4, 8, 3, 4, 0, 0 };
struct definition SEC("maps") outer = { 12, 4, 4, 9, 0, 0, 0 };
#elif KIND == 3
struct definition SEC("maps") outer = { .type = 13, .key_size = 4, .value_size = 4,
	.max_entries = 9, .inner_id = 1, .inner_idx = 3 };
struct definition SEC("maps") jumps = { .type = 3, .key_size = 4, .value_size = 4,
	.max_entries = 9, .id = 7, .pinning = 2 };
#endif

static void *(*lookup)(void *map, const void *key) = (void *)1;

SEC("classifier")
int main_program(struct __sk_buff *skb)
{
	u32 key = 1;

	return lookup(&first, &key) != 0;
}

#if KIND == 3
SEC("7/2")
int jumped_to(struct __sk_buff *skb)
{
	return 2;
}
#endif

char license_text[] SEC("license") = "GPL";
u32 version_number SEC("version") = 0x40e01;
