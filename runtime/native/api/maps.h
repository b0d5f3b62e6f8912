/*
 * Single elements of maps, and loops over many where the kernel has no batch.
 *
 * The functions named ebpfasm_held_... keep the interpreter's lock (native/held.h): each is one
 * system call that does not sleep, and giving the lock away for it costs a hundred times as much
 * as the call while another thread computes.
 */

/* One call for an element: the part of union bpf_attr that the commands for elements read. */
struct ebpfasm_element {
    uint32_t map_fd;
    uint32_t padding;
    uint64_t key;
    uint64_t value; /* or next_key */
    uint64_t flags;
};

/* `element` is the address of a struct ebpfasm_element. They return 0, or -errno. */
long ebpfasm_held_lookup(uint64_t element);
long ebpfasm_held_update(uint64_t element);
long ebpfasm_held_delete(uint64_t element);
long ebpfasm_held_take(uint64_t element);
long ebpfasm_map_lookup(uint64_t element);
long ebpfasm_map_update(uint64_t element);
long ebpfasm_map_delete(uint64_t element);
long ebpfasm_map_take(uint64_t element);

/*
 * Maps whose keys and values are integers, without a buffer. A tag has the map: its descriptor in
 * bits 32 to 57, the binary logarithms of the sizes of key and value in bits 58-59 and 60-61, and
 * whether key and value have a sign in bits 62 and 63. `element` is a tag plus a key below 2^32;
 * others have the key apart. Only numbers that are not negative go in.
 *
 * Getting returns the value if it is below 2^63, and a negative number for one that is not, a key
 * that is not there or does not fit, and whatever else: the caller then finds out by another way.
 * The others return 0, or -errno, which is -ERANGE for what does not fit.
 */
int64_t ebpfasm_held_get(uint64_t element);
int64_t ebpfasm_held_get_wide(uint64_t tag, uint64_t key);
long ebpfasm_held_put(uint64_t element, uint64_t value);
long ebpfasm_held_put_wide(uint64_t tag, uint64_t key, uint64_t value);
long ebpfasm_held_drop(uint64_t element);
long ebpfasm_held_drop_wide(uint64_t tag, uint64_t key);

/*
 * Update or delete `count` elements one by one: keys[i * key_size], values[i * value_size]. They
 * stop at the first refusal and return it as -errno, else 0; *done is how many were written or
 * deleted before. Deleting passes over keys that are not there: they do not count.
 */
long ebpfasm_map_update_each(int fd, uint32_t key_size, uint32_t value_size,
                             const unsigned char *keys, const unsigned char *values, size_t count,
                             uint64_t flags, size_t *done);
long ebpfasm_map_delete_each(int fd, uint32_t key_size, const unsigned char *keys, size_t count,
                             size_t *done);
