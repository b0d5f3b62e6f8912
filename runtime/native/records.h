/* What both kinds of rings do with a record that they found. */
#ifndef EBPFASM_RECORDS_H
#define EBPFASM_RECORDS_H

#include <errno.h>
#include <string.h>

#include "native.h"

#define FULL 1

/* Make room for a record of `length` bytes; NULL, and the reason in *why, where there is none. */
static inline unsigned char *record_place(ebpfasm_records *r, uint32_t length, long *why)
{
    *why = FULL;
    if (r->count == r->capacity)
        return NULL;
    if (length > r->room - r->used) {
        r->refused = length;
        return NULL;
    }
    return r->out + r->used;
}

/* Most records are a few words: a loop is quicker than a call for those. */
static inline void record_copy(unsigned char *to, const unsigned char *from, uint32_t length)
{
    if (length > 64 || length & 7) {
        memcpy(to, from, length);
        return;
    }
    for (uint32_t i = 0; i < length; i += 8)
        memcpy(to + i, from + i, 8);
}

static inline void record_done(ebpfasm_records *r, uint32_t length)
{
    if (r->count == 0)
        r->uniform = length;
    else if (r->uniform != length)
        r->uniform = -1;
    r->used += length;
    if (r->ends)
        r->ends[r->count] = (uint32_t)r->used;
    r->count++;
}

static inline long record_misfit(ebpfasm_records *r, uint32_t length)
{
    r->refused = length;
    return -EMSGSIZE;
}

#endif
