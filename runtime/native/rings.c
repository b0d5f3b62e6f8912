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

/* Skip what was overwritten before it was read. Returns how far ahead the producer is. */
static unsigned long catch_up(const ebpfasm_ring *ring, const unsigned long *oldest,
                              unsigned long *at, uint64_t *lost)
{
    unsigned long first = __atomic_load_n(oldest, __ATOMIC_ACQUIRE);

    if ((long)(first - *at) > 0) {
        *lost += first - *at;
        *at = first;
    }
    return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - *at;
}

/*
 * Copy the record at `at` out, and see afterwards whether it was there all the time: what the kernel
 * overwrites it first takes out of the ring, by moving *oldest on. 0, with its step, FULL or an error,
 * or AGAIN where it went. A header that is read while it goes may say anything.
 */
#define AGAIN 2

static long take_before_it_goes(const ebpfasm_ring *ring, const unsigned long *oldest,
                                ebpfasm_records *records, unsigned long at, unsigned long ahead,
                                unsigned long *step)
{
    const unsigned char *place = ring->data + (at & ((unsigned long)ring->size - 1));
    uint32_t header = __atomic_load_n((const uint32_t *)place, __ATOMIC_ACQUIRE);
    uint32_t length = header & ~(BUSY | DISCARD);
    int fits = step_of(length) <= ahead && ahead <= ring->size;
    unsigned char *to = NULL;
    long why = 0;

    *step = 0;
    if (fits && header == length) {
        if (records->length && length != records->length)
            why = record_misfit(records, length);
        else
            to = record_place(records, length, &why);
        if (to)
            memcpy(to, place + HEADER, length);
    }
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if ((long)(__atomic_load_n(oldest, __ATOMIC_RELAXED) - at) > 0)
        return AGAIN;
    if (ahead > ring->size)
        return -EBADMSG;
    if (header & BUSY)
        return 0;
    if (!fits)
        return -EBADMSG;
    if (to)
        record_done(records, length);
    else if (header == length)
        return why;
    *step = step_of(length);
    return 0;
}

static long pass_overwritable(const ebpfasm_ring *ring, const unsigned long *oldest,
                              ebpfasm_records *records, unsigned long *at, uint64_t *lost)
{
    unsigned long ahead, step;
    long result;

    while ((ahead = catch_up(ring, oldest, at, lost)) != 0) {
        if (*at & 7)
            return -EBADMSG;
        result = take_before_it_goes(ring, oldest, records, *at, ahead, &step);
        if (result == AGAIN)
            continue;
        if (result != 0 || step == 0)
            return result;
        *at += step;
    }
    return 0;
}

long ebpfasm_ring_read_overwritable(const ebpfasm_ring *ring, const unsigned long *oldest,
                                    ebpfasm_records *records, uint64_t *lost)
{
    unsigned long at, before;
    long result;

    if (!is_ring(ring))
        return -EINVAL;
    at = __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
    do {
        before = at;
        result = pass_overwritable(ring, oldest, records, &at, lost);
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
