/* bpf(2), and the walk over a map that would cost two Python calls an item. */

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"

#ifndef __NR_bpf
#error "this system's headers know no bpf(2)"
#endif

enum { MAP_LOOKUP_ELEM = 1, MAP_GET_NEXT_KEY = 4 }; /* enum bpf_cmd */

/* The part of union bpf_attr that the element commands read. */
struct element {
    uint32_t map_fd;
    uint32_t padding;
    uint64_t key;
    uint64_t value_or_next_key;
    uint64_t flags;
};

struct walk {
    int fd, keys_are_fixed;
    size_t key_size, value_size;
    unsigned char *keys, *values;
    size_t count;
    size_t calls_left;
    unsigned char *key, *next, *scratch; /* scratch holds a value that is thrown away */
};

long ebpfasm_bpf(int cmd, void *attr, unsigned int size)
{
    long result = syscall(__NR_bpf, cmd, attr, size);

    return result < 0 ? -errno : result;
}

static long element(struct walk *w, int cmd, const unsigned char *key, unsigned char *out)
{
    struct element attr = {
        .map_fd = (uint32_t)w->fd,
        .key = (uintptr_t)key,
        .value_or_next_key = (uintptr_t)out,
    };

    if (w->calls_left)
        w->calls_left--;
    return ebpfasm_bpf(cmd, &attr, sizeof(attr));
}

/*
 * Put the key to go on with into `to`: the one behind the last gathered item that still lives, else
 * the map's first. Asked for what follows a key that is gone, the kernel names the first key; so the
 * item is looked up after its successor was asked for, and the answer counts only if it was there.
 */
static long resume(struct walk *w, unsigned char *to)
{
    for (size_t i = w->count; i-- > 0 && w->calls_left;) {
        const unsigned char *item = w->keys + i * w->key_size;
        long next = element(w, MAP_GET_NEXT_KEY, item, to);
        long alive;

        if (w->keys_are_fixed || (next < 0 && next != -ENOENT))
            return next;
        alive = element(w, MAP_LOOKUP_ELEM, item, w->scratch);
        if (alive == 0)
            return next;
        if (alive != -ENOENT)
            return alive;
    }
    return w->calls_left ? element(w, MAP_GET_NEXT_KEY, NULL, to) : -EAGAIN;
}

/*
 * One step: w->key into the arrays, its successor into w->key. The successor is asked for before the
 * value, for the reason above. -ENOENT: the map ends here. -EAGAIN: too many keys vanished.
 */
static long step(struct walk *w)
{
    unsigned char *swap;
    long next = element(w, MAP_GET_NEXT_KEY, w->key, w->next);
    long found;

    if (next < 0 && next != -ENOENT)
        return next;
    found = element(w, MAP_LOOKUP_ELEM, w->key, w->values + w->count * w->value_size);
    if (found < 0 && found != -ENOENT)
        return found;
    if (found < 0 && !w->keys_are_fixed)
        return resume(w, w->key);
    if (found == 0)
        memcpy(w->keys + w->count++ * w->key_size, w->key, w->key_size);
    swap = w->key;
    w->key = w->next;
    w->next = swap;
    return next;
}

static long walk(struct walk *w, size_t capacity, int *more)
{
    long result = resume(w, w->key);

    while (result == 0 && w->count < capacity && w->calls_left)
        result = step(w);
    if (result < 0 && result != -ENOENT && result != -EAGAIN)
        return result;
    *more = result != -ENOENT;
    return (long)w->count;
}

long ebpfasm_map_items(int fd, uint32_t key_size, uint32_t value_size, int keys_are_fixed,
                       unsigned char *keys, unsigned char *values, size_t capacity, size_t count,
                       int *more)
{
    struct walk w = {
        .fd = fd,
        .keys_are_fixed = keys_are_fixed,
        .key_size = key_size,
        .value_size = value_size,
        .keys = keys,
        .values = values,
        .count = count,
        /* two calls an item, two more to find it dead, a floor for small arrays; indices end by
         * themselves, and a sparse array may need many calls for one item */
        .calls_left = keys_are_fixed ? SIZE_MAX : 4 * capacity + 4096,
    };
    unsigned char *buffer;
    long result;

    if (key_size == 0 || value_size == 0 || count > capacity)
        return -EINVAL;
    buffer = malloc(2 * (size_t)key_size + value_size);
    if (!buffer)
        return -ENOMEM;
    w.key = buffer;
    w.next = buffer + key_size;
    w.scratch = buffer + 2 * (size_t)key_size;
    result = walk(&w, capacity, more);
    free(buffer);
    return result;
}
