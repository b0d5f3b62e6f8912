/*
 * BPF ring buffers (kernel/bpf/ringbuf.c), read and written.
 *
 * Order: a producer's position and a record's header are read with acquire, and a consumer's position
 * is written with release, so that bytes are read after they were written and before they are
 * overwritten. A program wakes the reader only where the consumer's position is that of its record; a
 * reader that has moved on must therefore look once more before it sleeps, and what it wrote must be
 * visible first: that is what the full fence is for.
 */

#include "records.h"

#define BUSY (1u << 31)
#define DISCARD (1u << 30)
#define HEADER 8

static unsigned long step_of(uint32_t length)
{
    return ((unsigned long)length + HEADER + 7) & ~7ul;
}

static int is_ring(const ebpfasm_ring *ring)
{
    return ring->size >= HEADER && (ring->size & (ring->size - 1)) == 0;
}

uint64_t ebpfasm_ring_unread(const ebpfasm_ring *ring)
{
    unsigned long consumer = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);

    return (unsigned long)(__atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - consumer);
}

/* Copy a record out. 0, or why it stays. */
static long take(ebpfasm_records *records, const unsigned char *bytes, uint32_t length)
{
    unsigned char *to;
    long why;

    if (records->length && length != records->length)
        return record_misfit(records, length);
    to = record_place(records, length, &why);
    if (!to)
        return why;
    record_copy(to, bytes, length);
    record_done(records, length);
    return 0;
}

/* Take what is there now. *at moves with every record, the ring's own position now and then. */
static long pass(const ebpfasm_ring *ring, ebpfasm_records *records, unsigned long *at)
{
    unsigned long producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
    unsigned long published = *at, mask = (unsigned long)ring->size - 1;

    while (*at != producer) {
        unsigned long ahead = producer - *at, step;
        const unsigned char *place = ring->data + (*at & mask);
        uint32_t header;
        long why = 0;

        if (ahead > ring->size || *at & 7)
            return -EBADMSG;
        header = __atomic_load_n((const uint32_t *)place, __ATOMIC_ACQUIRE);
        if (header & BUSY)
            return 0;
        step = step_of(header & ~DISCARD);
        if (step > ahead)
            return -EBADMSG;
        if (!(header & DISCARD))
            why = take(records, place + HEADER, header);
        if (why)
            return why;
        *at += step;
        if (*at - published > ring->size / 4) { /* a producer may be waiting for room */
            __atomic_store_n(ring->consumer, *at, __ATOMIC_RELEASE);
            published = *at;
        }
    }
    return 0;
}

long ebpfasm_ring_read(const ebpfasm_ring *ring, ebpfasm_records *records)
{
    unsigned long at, before;
    long result;

    if (!is_ring(ring))
        return -EINVAL;
    at = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
    do {
        before = at;
        result = pass(ring, records, &at);
        if (at == before)
            break;
        __atomic_store_n(ring->consumer, at, __ATOMIC_RELEASE);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    } while (result == 0);
    return result;
}

long ebpfasm_user_ring_reserve(const ebpfasm_ring *ring, uint32_t length)
{
    unsigned long consumer, producer, step = step_of(length), place;

    if (!is_ring(ring))
        return -EINVAL;
    if (length >= DISCARD || step > ring->size)
        return -E2BIG;
    consumer = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
    producer = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
    if (producer - consumer > ring->size || producer & 7)
        return -EBADMSG;
    if (step > ring->size - (producer - consumer))
        return -ENOSPC;
    place = producer & ((unsigned long)ring->size - 1);
    __atomic_store_n((uint32_t *)(ring->data + place), length | BUSY, __ATOMIC_RELAXED);
    memset(ring->data + place + 4, 0, 4);
    __atomic_store_n(ring->producer, producer + step, __ATOMIC_RELEASE);
    return (long)(place + HEADER);
}

void ebpfasm_user_ring_commit(const ebpfasm_ring *ring, uint64_t place, int discard)
{
    uint32_t *header = (uint32_t *)(ring->data + place - HEADER);
    uint32_t length = __atomic_load_n(header, __ATOMIC_RELAXED) & ~BUSY;

    __atomic_exchange_n(header, discard ? length | DISCARD : length, __ATOMIC_SEQ_CST);
}

long ebpfasm_user_ring_write(const ebpfasm_ring *ring, const unsigned char *records,
                             uint32_t length, uint64_t count)
{
    uint64_t done = 0;

    for (; done < count; done++) {
        long place = ebpfasm_user_ring_reserve(ring, length);

        if (place == -ENOSPC)
            break;
        if (place < 0)
            return place;
        memcpy(ring->data + place, records + done * length, length);
        ebpfasm_user_ring_commit(ring, (uint64_t)place, 0);
    }
    return (long)done;
}
