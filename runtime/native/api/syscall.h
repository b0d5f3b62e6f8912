/* bpf(2) itself: the kernel's answer (a descriptor, or 0), or -errno. */
long ebpfasm_bpf(int cmd, void *attr, unsigned int size);

/*
 * Walk a map and gather its items: item i is keys[i * key_size] and values[i * value_size].
 *
 * value_size is what the kernel writes for one look-up: in per-CPU maps the value rounded up to 8
 * bytes, times the possible CPUs. Both arrays have room for `capacity` items.
 *
 * The first `count` items of the arrays are already there, from an earlier call; with 0 the walk
 * begins at the map's first key. It goes on behind the last of them that the map still holds, which
 * is why a caller with little memory keeps not only one item but the last few at the front.
 *
 * keys_are_fixed says that the keys are indices, as in arrays: a key without a value is an empty
 * slot there, and elsewhere one that was deleted since the kernel named it. Both are left out.
 *
 * Returns how many items the arrays now hold (count or more), or -errno. *more is 1 where the walk
 * stopped before the map's end: the arrays are full, or so many keys vanished meanwhile that it gave
 * way to the caller, possibly without a new item. *more is 0 at the end, also where the last item
 * just fitted. Where nothing is deleted meanwhile each item comes once. A key deleted and put back,
 * or all kept items deleted between two calls, can make items come again.
 */
long ebpfasm_map_items(int fd, uint32_t key_size, uint32_t value_size, int keys_are_fixed,
                       unsigned char *keys, unsigned char *values, size_t capacity, size_t count,
                       int *more);
