/* Hash indices of the virtual machine's maps: which slot belongs to a key. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "native.h"

static uint32_t hash_of(const unsigned char *key, uint32_t size)
{
    uint64_t hash = UINT64_C(0x9e3779b97f4a7c15) ^ size, word;
    while (size >= 8) {
        memcpy(&word, key, 8);
        hash = (hash ^ word) * UINT64_C(0xff51afd7ed558ccd);
        hash ^= hash >> 32;
        key += 8;
        size -= 8;
    }
    word = 0;
    memcpy(&word, key, size);
    hash = (hash ^ word) * UINT64_C(0xc4ceb9fe1a85ec53);
    return (uint32_t)(hash ^ hash >> 29);
}

static uint32_t bucket_of(const struct ebpfasm_vm_index *index, const unsigned char *key)
{
    uint32_t at = hash_of(key, index->key_size) & index->mask;
    while (index->buckets[at] >= 0) {
        const unsigned char *there = index->keys + (size_t)index->buckets[at] * index->key_size;
        if (memcmp(there, key, index->key_size) == 0)
            break;
        at = (at + 1) & index->mask;
    }
    return at;
}

long ebpfasm_vm_find(const struct ebpfasm_vm_index *index, const unsigned char *key)
{
    return index->buckets[bucket_of(index, key)];
}

/* The new key's slot, or -1 where Python must make room first. */
long ebpfasm_vm_insert(struct ebpfasm_vm_index *index, const unsigned char *key)
{
    if (index->count >= index->capacity)
        return -1;
    int32_t slot = index->free_count ? index->free[--index->free_count] : (int32_t)index->count;
    index->buckets[bucket_of(index, key)] = slot;
    memcpy(index->keys + (size_t)slot * index->key_size, key, index->key_size);
    index->live[slot] = 1;
    index->count++;
    return slot;
}

long ebpfasm_vm_remove(struct ebpfasm_vm_index *index, const unsigned char *key)
{
    uint32_t hole = bucket_of(index, key), at = hole;
    int32_t slot = index->buckets[hole];
    if (slot < 0)
        return -1;
    /* Close the gap: move back what would not be found behind an empty bucket. */
    for (;;) {
        at = (at + 1) & index->mask;
        if (index->buckets[at] < 0)
            break;
        const unsigned char *there = index->keys + (size_t)index->buckets[at] * index->key_size;
        uint32_t home = hash_of(there, index->key_size) & index->mask;
        if (((at - home) & index->mask) >= ((at - hole) & index->mask)) {
            index->buckets[hole] = index->buckets[at];
            hole = at;
        }
    }
    index->buckets[hole] = -1;
    index->live[slot] = 0;
    index->free[index->free_count++] = slot;
    index->count--;
    return slot;
}
