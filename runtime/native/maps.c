/* Elements of maps, one at a time. */

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"

enum { /* enum bpf_cmd */
    MAP_LOOKUP_ELEM = 1,
    MAP_UPDATE_ELEM = 2,
    MAP_DELETE_ELEM = 3,
    MAP_LOOKUP_AND_DELETE_ELEM = 21,
};

/* ebpfasm_bpf, to be inlined: behind a system call each return costs as much as a cache miss. */
static inline long bpf(int cmd, const void *attr, unsigned int size)
{
    long result = syscall(__NR_bpf, cmd, attr, size);

    return result < 0 ? -errno : result;
}

static inline long element_call(int cmd, uint64_t element)
{
    struct ebpfasm_element *attr = (void *)(uintptr_t)element;

    /* A deletion has a key only, and what stands behind it must be zero. */
    return bpf(cmd, attr, cmd == MAP_DELETE_ELEM ? offsetof(struct ebpfasm_element, value)
                                                         : sizeof(*attr));
}

long ebpfasm_held_lookup(uint64_t element)
{
    return element_call(MAP_LOOKUP_ELEM, element);
}

long ebpfasm_held_update(uint64_t element)
{
    return element_call(MAP_UPDATE_ELEM, element);
}

long ebpfasm_held_delete(uint64_t element)
{
    return element_call(MAP_DELETE_ELEM, element);
}

long ebpfasm_held_take(uint64_t element)
{
    return element_call(MAP_LOOKUP_AND_DELETE_ELEM, element);
}

long ebpfasm_map_lookup(uint64_t element)
{
    return element_call(MAP_LOOKUP_ELEM, element);
}

long ebpfasm_map_update(uint64_t element)
{
    return element_call(MAP_UPDATE_ELEM, element);
}

long ebpfasm_map_delete(uint64_t element)
{
    return element_call(MAP_DELETE_ELEM, element);
}

long ebpfasm_map_take(uint64_t element)
{
    return element_call(MAP_LOOKUP_AND_DELETE_ELEM, element);
}

/* ---- integers */

union number {
    uint8_t of1;
    uint16_t of2;
    uint32_t of4;
    uint64_t of8;
};

struct integers {
    int fd;
    unsigned key_log, value_log;
    unsigned key_signed, value_signed;
};

static struct integers untagged(uint64_t tag)
{
    return (struct integers){
        .fd = (int)(tag >> 32 & 0x3ffffff),
        .key_log = tag >> 58 & 3,
        .value_log = tag >> 60 & 3,
        .key_signed = tag >> 62 & 1,
        .value_signed = tag >> 63,
    };
}

static int fits(uint64_t number, unsigned log, unsigned has_sign)
{
    unsigned bits = (8u << log) - has_sign;

    return bits == 64 || number >> bits == 0;
}

static union number number_from(uint64_t number, unsigned log)
{
    union number to = {.of8 = 0};

    switch (log) {
    case 0:
        to.of1 = (uint8_t)number;
        break;
    case 1:
        to.of2 = (uint16_t)number;
        break;
    case 2:
        to.of4 = (uint32_t)number;
        break;
    default:
        to.of8 = number;
    }
    return to;
}

static int64_t number_to(const union number *from, unsigned log, unsigned has_sign)
{
    switch (log) {
    case 0:
        return has_sign ? (int8_t)from->of1 : from->of1;
    case 1:
        return has_sign ? (int16_t)from->of2 : from->of2;
    case 2:
        return has_sign ? (int64_t)(int32_t)from->of4 : (int64_t)from->of4;
    default:
        return (int64_t)from->of8;
    }
}

static inline long integer_call(int cmd, const struct integers *map, uint64_t key, union number *value)
{
    union number there = number_from(key, map->key_log);
    struct ebpfasm_element attr = {
        .map_fd = (uint32_t)map->fd,
        .key = (uintptr_t)&there,
        .value = (uintptr_t)value,
    };

    return bpf(cmd, &attr, sizeof(attr));
}

static inline int64_t get(uint64_t tag, uint64_t key)
{
    struct integers map = untagged(tag);
    union number value;

    if (!fits(key, map.key_log, map.key_signed))
        return -1;
    if (integer_call(MAP_LOOKUP_ELEM, &map, key, &value) < 0)
        return -1;
    return number_to(&value, map.value_log, map.value_signed);
}

int64_t ebpfasm_held_get(uint64_t element)
{
    return get(element, (uint32_t)element);
}

int64_t ebpfasm_held_get_wide(uint64_t tag, uint64_t key)
{
    return get(tag, key);
}

static inline long put(uint64_t tag, uint64_t key, uint64_t value)
{
    struct integers map = untagged(tag);
    union number there = number_from(value, map.value_log);

    if (!fits(key, map.key_log, map.key_signed) || !fits(value, map.value_log, map.value_signed))
        return -ERANGE;
    return integer_call(MAP_UPDATE_ELEM, &map, key, &there);
}

long ebpfasm_held_put(uint64_t element, uint64_t value)
{
    return put(element, (uint32_t)element, value);
}

long ebpfasm_held_put_wide(uint64_t tag, uint64_t key, uint64_t value)
{
    return put(tag, key, value);
}

static inline long drop(uint64_t tag, uint64_t key)
{
    struct integers map = untagged(tag);
    union number there = number_from(key, map.key_log);
    struct ebpfasm_element attr = {.map_fd = (uint32_t)map.fd, .key = (uintptr_t)&there};

    if (!fits(key, map.key_log, map.key_signed))
        return -ERANGE;
    return bpf(MAP_DELETE_ELEM, &attr, offsetof(struct ebpfasm_element, value));
}

long ebpfasm_held_drop(uint64_t element)
{
    return drop(element, (uint32_t)element);
}

long ebpfasm_held_drop_wide(uint64_t tag, uint64_t key)
{
    return drop(tag, key);
}

/* ---- many, one by one */

long ebpfasm_map_update_each(int fd, uint32_t key_size, uint32_t value_size,
                             const unsigned char *keys, const unsigned char *values, size_t count,
                             uint64_t flags, size_t *done)
{
    struct ebpfasm_element attr = {.map_fd = (uint32_t)fd, .flags = flags};

    for (*done = 0; *done < count; ++*done) {
        long result;

        attr.key = (uintptr_t)(keys + *done * key_size);
        attr.value = (uintptr_t)(values + *done * value_size);
        result = bpf(MAP_UPDATE_ELEM, &attr, sizeof(attr));
        if (result < 0)
            return result;
    }
    return 0;
}

long ebpfasm_map_delete_each(int fd, uint32_t key_size, const unsigned char *keys, size_t count,
                             size_t *done)
{
    struct ebpfasm_element attr = {.map_fd = (uint32_t)fd};

    *done = 0;
    for (size_t i = 0; i < count; i++) {
        long result;

        attr.key = (uintptr_t)(keys + i * key_size);
        result = bpf(MAP_DELETE_ELEM, &attr, sizeof(attr));
        if (result == 0)
            ++*done;
        else if (result != -ENOENT)
            return result;
    }
    return 0;
}
