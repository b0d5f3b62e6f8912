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
