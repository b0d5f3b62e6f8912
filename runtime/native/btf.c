/* Where BTF's types are, and which of them have a name. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "native.h"

#define HEAD 12 /* name, info, and size or type */

static inline uint32_t word(const ebpfasm_btf *btf, size_t at)
{
    uint32_t found;
    memcpy(&found, btf->types + at, 4);
    return btf->swapped ? __builtin_bswap32(found) : found;
}

long ebpfasm_btf_scan(ebpfasm_btf *btf, const uint32_t *shape)
{
    size_t at = 0, count = 0, size = btf->types_size;
    while (at < size) {
        if (size - at < HEAD)
            return -1;
        uint32_t info = word(btf, at + 4), kind = info >> 24 & 0x7f;
        if (kind >= EBPFASM_BTF_SHAPES || shape[kind] == UINT32_MAX)
            return -1;
        uint64_t length = HEAD + (shape[kind] & 0xffff)
                        + (uint64_t)(shape[kind] >> 16) * (info & 0xffffff);
        if (length > size - at)
            return -1;
        btf->at[count++] = (uint32_t)at;
        at += length;
    }
    return (long)count;
}

/* The name at an offset, with its length; null where there is none. */
static const char *name_at(const ebpfasm_btf *btf, uint32_t offset, size_t *length)
{
    const unsigned char *texts = btf->base;
    size_t size = btf->base_size, at = offset;
    if (at >= size) {
        at -= size;
        texts = btf->strings;
        size = btf->strings_size;
    }
    if (offset == 0 || at >= size)
        return NULL;
    const unsigned char *end = memchr(texts + at, 0, size - at);
    if (!end)
        return NULL;
    *length = (size_t)(end - (texts + at));
    return (const char *)texts + at;
}

/* How much of a name is left without its flavour. */
static size_t essence_of(const char *name, size_t length)
{
    for (size_t i = length < 5 ? 0 : length - 4; i-- > 0;) {
        if (name[i + 1] != '_') {
            continue;
        }
        if (name[i] != '_' && name[i + 2] == '_' && name[i + 3] == '_' && name[i + 4] != '_')
            return i + 1;
    }
    return length;
}

static uint32_t hash_of(const char *name, size_t length)
{
    uint64_t mixed = length * 0x9e3779b97f4a7c15u, part;
    for (; length >= 8; length -= 8, name += 8) {
        memcpy(&part, name, 8);
        mixed = (mixed ^ part) * 0x9e3779b97f4a7c15u;
        mixed ^= mixed >> 32;
    }
    if (length) {
        part = 0;
        memcpy(&part, name, length);
        mixed = (mixed ^ part) * 0x9e3779b97f4a7c15u;
        mixed ^= mixed >> 32;
    }
    return (uint32_t)mixed;
}

void ebpfasm_btf_hash(ebpfasm_btf *btf)
{
    /* From the end, so that each chain begins with its lowest id. */
    for (uint32_t i = btf->count; i-- > 0;) {
        size_t length;
        const char *name = name_at(btf, word(btf, btf->at[i]), &length);
        if (!name || !length)
            continue;
        uint32_t *head = &btf->heads[hash_of(name, essence_of(name, length)) & btf->mask];
        btf->next[i] = *head;
        *head = i + 1;
    }
}

long ebpfasm_btf_find(const ebpfasm_btf *btf, const char *name, size_t length, int essence,
                      uint32_t kinds, uint32_t *ids, size_t capacity)
{
    size_t essential = essence_of(name, length), wanted = essence ? essential : length;
    size_t count = 0;
    uint32_t slot = btf->heads[hash_of(name, essential) & btf->mask];
    for (; slot; slot = btf->next[slot - 1]) {
        uint32_t at = btf->at[slot - 1], kind = word(btf, at + 4) >> 24 & 0x7f;
        size_t found_length;
        const char *found = name_at(btf, word(btf, at), &found_length);
        if (!(kinds >> kind & 1) || !found)
            continue;
        if (essence)
            found_length = essence_of(found, found_length);
        if (found_length != wanted || memcmp(found, name, wanted))
            continue;
        if (count < capacity)
            ids[count] = btf->first_id + slot - 1;
        count++;
    }
    return (long)count;
}
