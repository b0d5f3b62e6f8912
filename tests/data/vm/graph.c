/* Objects that programs make, in lists and trees. */
#include <linux/types.h>
#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __hidden __attribute__((visibility("hidden")))
#define __contains(type, node) __attribute__((btf_decl_tag("contains:" #type ":" #node)))
#define __kptr __attribute__((btf_type_tag("kptr")))
#define private(name) SEC(".data." #name) __hidden __attribute__((aligned(8)))
#define container_of(place, type, member) ((type *)((void *)(place) - __builtin_offsetof(type, member)))
#define NULL ((void *)0)
typedef _Bool bool;

struct __sk_buff { __u32 len; };
struct bpf_spin_lock { __u32 val; };
struct bpf_list_head { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_list_node { __u64 opaque[3]; } __attribute__((aligned(8)));
struct bpf_rb_root { __u64 opaque[2]; } __attribute__((aligned(8)));
struct bpf_rb_node { __u64 opaque[4]; } __attribute__((aligned(8)));
struct bpf_refcount { __u32 opaque[1]; } __attribute__((aligned(4)));

void *bpf_obj_new_impl(__u64 type, void *meta) __ksym;
void bpf_obj_drop_impl(void *object, void *meta) __ksym;
void *bpf_refcount_acquire_impl(void *object, void *meta) __ksym;
int bpf_list_push_front_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 off) __ksym;
int bpf_list_push_back_impl(struct bpf_list_head *head, struct bpf_list_node *node, void *meta, __u64 off) __ksym;
struct bpf_list_node *bpf_list_pop_front(struct bpf_list_head *head) __ksym;
struct bpf_list_node *bpf_list_pop_back(struct bpf_list_head *head) __ksym;
int bpf_rbtree_add_impl(struct bpf_rb_root *root, struct bpf_rb_node *node,
			bool (less)(struct bpf_rb_node *a, const struct bpf_rb_node *b), void *meta, __u64 off) __ksym;
struct bpf_rb_node *bpf_rbtree_first(struct bpf_rb_root *root) __ksym;
struct bpf_rb_node *bpf_rbtree_remove(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
struct bpf_rb_node *bpf_rbtree_root(struct bpf_rb_root *root) __ksym;
struct bpf_rb_node *bpf_rbtree_left(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
struct bpf_rb_node *bpf_rbtree_right(struct bpf_rb_root *root, struct bpf_rb_node *node) __ksym;
static long (*bpf_spin_lock)(struct bpf_spin_lock *lock) = (void *)93;
static long (*bpf_spin_unlock)(struct bpf_spin_lock *lock) = (void *)94;
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static void *(*bpf_kptr_xchg)(void *place, void *object) = (void *)194;

#define bpf_obj_new(type) ((type *)bpf_obj_new_impl(__builtin_btf_type_id(*(type *)0, 0), NULL))

struct item {
	struct bpf_list_node list;
	__u64 key;
	struct bpf_rb_node tree;
	struct bpf_refcount references;
};

struct queued {
	__u32 key;
	struct bpf_list_node node;
};

struct kept {
	__u64 key;
};

struct slot {
	struct kept __kptr *kept;
};

struct {
	__u32 (*type)[2];
	__u32 *key;
	struct slot *value;
	__u32 (*max_entries)[1];
} slots SEC(".maps");

private(A) struct bpf_spin_lock queue_lock;
private(A) struct bpf_list_head queue __contains(queued, node);
private(B) struct bpf_spin_lock lock;
private(B) struct bpf_rb_root root __contains(item, tree);
private(B) struct bpf_list_head all __contains(item, list);

volatile __u64 seed = 12345, asked;

static __attribute__((always_inline)) __u64 number(void)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return seed >> 40;
}

static bool less(struct bpf_rb_node *a, const struct bpf_rb_node *b)
{
	struct item *one = container_of(a, struct item, tree), *other = container_of(b, struct item, tree);

	asked++;
	return one->key < other->key;
}

SEC("tc") int queues(struct __sk_buff *skb)
{
	__u64 result = 0;
	int i;

	for (i = 0; i < 12; i++) {
		struct queued *made = bpf_obj_new(struct queued);

		if (!made)
			return -1;
		made->key = number() & 0xff;
		bpf_spin_lock(&queue_lock);
		if (made->key & 1)
			bpf_list_push_front_impl(&queue, &made->node, NULL, 0);
		else
			bpf_list_push_back_impl(&queue, &made->node, NULL, 0);
		bpf_spin_unlock(&queue_lock);
	}
	for (i = 0; i < 9; i++) {
		struct bpf_list_node *node;

		bpf_spin_lock(&queue_lock);
		node = i % 3 ? bpf_list_pop_front(&queue) : bpf_list_pop_back(&queue);
		bpf_spin_unlock(&queue_lock);
		if (!node)
			return -2;
		struct queued *found = container_of(node, struct queued, node);
		result = result * 31 + found->key;
		bpf_obj_drop_impl(found, NULL);
	}
	return result;
}

SEC("tc") int drained(struct __sk_buff *skb)
{
	__u64 result = 0;
	int i;

	for (i = 0; i < 40; i++) {
		struct bpf_list_node *node;

		bpf_spin_lock(&queue_lock);
		node = bpf_list_pop_front(&queue);
		bpf_spin_unlock(&queue_lock);
		if (!node)
			return result * 31 + i;
		struct queued *found = container_of(node, struct queued, node);
		result = result * 31 + found->key;
		bpf_obj_drop_impl(found, NULL);
	}
	return -1;
}

SEC("tc") int planted(struct __sk_buff *skb)
{
	int i;

	for (i = 0; i < 40; i++) {
		struct item *made = bpf_obj_new(struct item);

		if (!made)
			return -1;
		made->key = number() & 0x3f;
		bpf_spin_lock(&lock);
		bpf_rbtree_add_impl(&root, &made->tree, less, NULL, 0);
		bpf_spin_unlock(&lock);
	}
	return asked;
}

#define KEY(node) container_of(node, struct item, tree)->key

SEC("tc") int shape(struct __sk_buff *skb)
{
	struct bpf_rb_node *node, *below;
	__u64 result = 7, path = number();
	int i;

	bpf_spin_lock(&lock);
	node = bpf_rbtree_root(&root);
	for (i = 0; i < 8 && node; i++) {
		result = result * 31 + KEY(node);
		below = path & 1 ? bpf_rbtree_left(&root, node) : bpf_rbtree_right(&root, node);
		path >>= 1;
		node = below;
	}
	bpf_spin_unlock(&lock);
	return result * 31 + i;
}

SEC("tc") int picked(struct __sk_buff *skb)
{
	struct bpf_rb_node *node, *below, *taken;
	__u64 result = 0, path = number();

	bpf_spin_lock(&lock);
	node = bpf_rbtree_root(&root);
	if (!node) {
		bpf_spin_unlock(&lock);
		return -1;
	}
	below = path & 1 ? bpf_rbtree_left(&root, node) : bpf_rbtree_right(&root, node);
	if (below && path & 2)
		node = below;
	taken = bpf_rbtree_remove(&root, node);
	bpf_spin_unlock(&lock);
	if (!taken)
		return -2;
	result = KEY(taken);
	bpf_obj_drop_impl(container_of(taken, struct item, tree), NULL);
	return result;
}

SEC("tc") int least(struct __sk_buff *skb)
{
	struct bpf_rb_node *node;
	__u64 result;

	bpf_spin_lock(&lock);
	node = bpf_rbtree_first(&root);
	if (!node) {
		bpf_spin_unlock(&lock);
		return -1;
	}
	node = bpf_rbtree_remove(&root, node);
	bpf_spin_unlock(&lock);
	if (!node)
		return -2;
	result = KEY(node);
	bpf_obj_drop_impl(container_of(node, struct item, tree), NULL);
	return result;
}

SEC("tc") int shared(struct __sk_buff *skb)
{
	struct item *made = bpf_obj_new(struct item), *other;
	struct bpf_list_node *node;
	int first, second, third;
	__u64 key;

	if (!made)
		return -1;
	made->key = 1000 + (number() & 0xff);
	other = bpf_refcount_acquire_impl(made, NULL);
	bpf_spin_lock(&lock);
	first = bpf_list_push_back_impl(&all, &made->list, NULL, 0);
	second = bpf_rbtree_add_impl(&root, &other->tree, less, NULL, 0);
	node = bpf_list_pop_front(&all);
	bpf_spin_unlock(&lock);
	if (!node)
		return -2;
	made = container_of(node, struct item, list);
	key = made->key;
	bpf_spin_lock(&lock);
	third = bpf_rbtree_add_impl(&root, &made->tree, less, NULL, 0); /* it is there already */
	bpf_spin_unlock(&lock);
	return key * 100 + first + second * 7 - third;
}

SEC("tc") int swapped(struct __sk_buff *skb)
{
	struct kept *made = bpf_obj_new(struct kept);
	struct slot *slot;
	__u64 result = 5;
	__u32 key = 0;

	if (!made)
		return -1;
	made->key = number() & 0xff;
	slot = bpf_map_lookup_elem(&slots, &key);
	if (!slot) {
		bpf_obj_drop_impl(made, NULL);
		return -2;
	}
	made = bpf_kptr_xchg(&slot->kept, made);
	if (made) {
		result = made->key;
		bpf_obj_drop_impl(made, NULL);
	}
	return result;
}

char _license[] SEC("license") = "GPL";
