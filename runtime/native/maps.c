/* Many elements of maps, one by one, where the kernel has no batch. */

#include <errno.h>

#include "native.h"

enum { MAP_UPDATE_ELEM = 2, MAP_DELETE_ELEM = 3 }; /* enum bpf_cmd */

/* The part of union bpf_attr that the commands for elements read. */
struct element {
    uint32_t map_fd, padding;
    uint64_t key, value, flags;
};

long ebpfasm_map_update_each(int fd, uint32_t key_size, uint32_t value_size,
                             const unsigned char *keys, const unsigned char *values, size_t count,
                             uint64_t flags, size_t *done)
{
    struct element attr = {.map_fd = (uint32_t)fd, .flags = flags};

    for (*done = 0; *done < count; ++*done) {
        long result;

        attr.key = (uintptr_t)(keys + *done * key_size);
        attr.value = (uintptr_t)(values + *done * value_size);
        result = ebpfasm_bpf(MAP_UPDATE_ELEM, &attr, sizeof(attr));
        if (result < 0)
            return result;
    }
    return 0;
}

long ebpfasm_map_delete_each(int fd, uint32_t key_size, const unsigned char *keys, size_t count,
                             size_t *done)
{
    struct element attr = {.map_fd = (uint32_t)fd};

    *done = 0;
    for (size_t i = 0; i < count; i++) {
        long result;

        attr.key = (uintptr_t)(keys + i * key_size);
        result = ebpfasm_bpf(MAP_DELETE_ELEM, &attr, sizeof(attr));
        if (result == 0)
            ++*done;
        else if (result != -ENOENT)
            return result;
    }
    return 0;
}
