/*
 * Perf event rings (kernel/events/ring_buffer.c), as bpf_perf_event_output fills them. Records are
 * made of 8-byte words and may wrap at the end of the data. The kernel's position is read before the
 * bytes, and ours is written after they were copied.
 */

#include <sys/mman.h>
#include <unistd.h>

#include "records.h"

enum { DATA_HEAD = 1024, DATA_TAIL = 1032 }; /* in struct perf_event_mmap_page */
enum { RECORD_LOST = 2, RECORD_SAMPLE = 9 }; /* enum perf_event_type */
enum { RECORD_HEADER = 8, LOST_COUNT = 16, LOST_SIZE = 24, RAW_LENGTH = 8, RAW = 12 };

struct header { /* struct perf_event_header */
    uint32_t type;
    uint16_t misc, size;
};

long ebpfasm_perf_map(ebpfasm_perf *ring, int fd, size_t length, int write)
{
    int protection = write ? PROT_READ | PROT_WRITE : PROT_READ;
    void *place = mmap(NULL, length, protection, MAP_SHARED, fd, 0);

    if (place == MAP_FAILED)
        return -errno;
    ring->page = place;
    ring->data = ring->page + sysconf(_SC_PAGESIZE);
    return 0;
}

void ebpfasm_perf_unmap(ebpfasm_perf *ring, size_t length)
{
    munmap(ring->page, length);
    ring->page = ring->data = NULL;
}

/* 64-bit positions may take two loads on a 32-bit machine, as they do in the kernel's own tools. */
static uint64_t head_of(const ebpfasm_perf *ring)
{
    uint64_t head = *(const volatile uint64_t *)(ring->page + DATA_HEAD);

    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return head;
}

static uint64_t tail_of(const ebpfasm_perf *ring)
{
    return *(const volatile uint64_t *)(ring->page + DATA_TAIL);
}

static void set_tail(ebpfasm_perf *ring, uint64_t tail)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    *(volatile uint64_t *)(ring->page + DATA_TAIL) = tail;
}

uint64_t ebpfasm_perf_unread(const ebpfasm_perf *ring)
{
    return head_of(ring) - tail_of(ring);
}

/* A word of a record: those lie at multiples of 8 and never wrap. */
static const void *word(const ebpfasm_perf *ring, uint64_t at)
{
    return ring->data + (at & (ring->size - 1));
}

static void copy(const ebpfasm_perf *ring, uint64_t from, unsigned char *to, uint32_t length)
{
    uint64_t start = from & (ring->size - 1), first = ring->size - start;

    if (first >= length) {
        record_copy(to, ring->data + start, length);
        return;
    }
    memcpy(to, ring->data + start, (size_t)first);
    memcpy(to + first, ring->data, (size_t)(length - first));
}

/* One program's record: 0, or why it stays. */
static long sample(const ebpfasm_perf *ring, uint64_t at, uint16_t size, ebpfasm_records *records)
{
    uint32_t found, wanted;
    unsigned char *to;
    long why;

    if (size < RAW)
        return -EBADMSG;
    memcpy(&found, word(ring, at + RAW_LENGTH), sizeof(found));
    if (found > (uint32_t)size - RAW)
        return -EBADMSG;
    wanted = records->length ? records->length : found;
    if (records->length && found != ((((uint64_t)wanted + 4 + 7) & ~7ull) - 4))
        return record_misfit(records, found);
    to = record_place(records, wanted, &why);
    if (!to)
        return why;
    copy(ring, at + RAW, to, wanted);
    record_done(records, wanted);
    return 0;
}

static long lost(ebpfasm_perf *ring, uint64_t at, uint16_t size)
{
    uint64_t count;

    if (size < LOST_SIZE)
        return -EBADMSG;
    memcpy(&count, word(ring, at + LOST_COUNT), sizeof(count));
    ring->lost += count;
    return 0;
}

/* A record of any type at a place with `ahead` bytes behind it; its size goes into *step. */
static long record(ebpfasm_perf *ring, uint64_t at, uint64_t ahead, ebpfasm_records *records,
                   uint16_t *step)
{
    struct header header;

    if (ahead < RECORD_HEADER)
        return -EBADMSG;
    memcpy(&header, word(ring, at), sizeof(header));
    if (header.size < RECORD_HEADER || header.size & 7 || header.size > ahead)
        return -EBADMSG;
    *step = header.size;
    switch (header.type) {
    case RECORD_SAMPLE:
        return sample(ring, at, header.size, records);
    case RECORD_LOST:
        return lost(ring, at, header.size);
    default: /* throttling and the like say nothing of records */
        return 0;
    }
}

static int is_ring(const ebpfasm_perf *ring)
{
    return ring->size >= RECORD_HEADER && (ring->size & (ring->size - 1)) == 0;
}

long ebpfasm_perf_read(ebpfasm_perf *ring, ebpfasm_records *records)
{
    uint64_t head, start, at;
    uint16_t step = 0;
    long result = 0;

    if (!is_ring(ring))
        return -EINVAL;
    head = head_of(ring);
    start = at = tail_of(ring);
    if (head - at > ring->size || at & 7)
        return -EBADMSG;
    while (at != head) {
        result = record(ring, at, head - at, records, &step);
        if (result)
            break;
        at += step;
    }
    if (at != start)
        set_tail(ring, at);
    return result;
}

long ebpfasm_perf_snapshot(ebpfasm_perf *ring, ebpfasm_records *records)
{
    uint64_t head, limit, used = 0;
    uint16_t step = 0;
    long result = 0;

    if (!is_ring(ring))
        return -EINVAL;
    head = head_of(ring);
    limit = ring->seen - head; /* it goes down from 0 */
    if (head & 7)
        return -EBADMSG;
    if (limit > ring->size)
        limit = ring->size;
    while (used != limit) {
        result = record(ring, head + used, limit - used, records, &step);
        if (result)
            break;
        used += step;
    }
    /* The oldest record of a full ring is usually cut off by the newest. */
    if (result == -EBADMSG && ring->seen - head > ring->size)
        result = 0;
    ring->seen = head;
    return result;
}
