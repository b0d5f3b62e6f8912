/*
 * AF_XDP inside: frames, rings, queues, sockets. Not seen by Python, which has pointers only.
 *
 * Locks, in the order in which they are taken: a socket's rx_lock, a socket's tx_lock, its UMEM's
 * lock. The UMEM's lock guards the pool of free frames and the fill and completion rings of every
 * queue. A frame is in one place at a time, so its `owner` needs no lock where it changes hands.
 */
#ifndef EBPFASM_XSK_H
#define EBPFASM_XSK_H

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "native.h"

enum { /* linux/if_xdp.h; systems' copies of it are often older than the kernel */
    AF_XDP_FAMILY = 44,
    SOL_XDP_LEVEL = 283,
    OPT_MMAP_OFFSETS = 1,
    OPT_RX_RING = 2,
    OPT_TX_RING = 3,
    OPT_UMEM_REG = 4,
    OPT_FILL_RING = 5,
    OPT_COMPLETION_RING = 6,
    OPT_MAX_TX_BUDGET = 9, /* XDP_MAX_TX_SKB_BUDGET */
    FLAG_SHARED_UMEM = 1,
    FLAG_NEED_WAKEUP = 1 << 3,
    FLAG_USE_SG = 1 << 4,
    RING_NEED_WAKEUP = 1,
    PKT_CONTD = 1,       /* in a descriptor's options: the packet goes on in the next one */
    TX_METADATA = 1 << 1, /* there is a struct xsk_tx_metadata before the data */
    TXMD_TIMESTAMP = 1,  /* in its flags */
    OFFSET_SHIFT = 48,   /* in addresses of unaligned chunks */
    PACKET_HEADROOM = 256,
    MOST_AT_ONCE = 256, /* packets in one call of sendto */
};

/* The low bits of umem.owner; above them is the queue's number. */
enum owner { FREE, USER, FILL, SENT };
#define OWNER_BITS 2

struct ring {
    uint32_t *producer, *consumer, *flags;
    void *entries;
    uint32_t size;
    uint32_t produced, consumed; /* as far as this side has got; the shared words follow */
    void *map;
    size_t map_size;
};

struct ebpfasm_umem {
    pthread_mutex_t lock;
    unsigned char *area;
    uint64_t size;
    uint32_t frame_size, count, headroom, metadata;
    int unaligned;
    int shift; /* frame_size is 1 << shift, or 0 where it is no power of two */
    uint32_t free_count;
    uint32_t *free; /* a stack of indices */
    uint16_t *owner;
    uint64_t *sent_from;  /* the address a frame was sent with, where completions are looked at */
    uint64_t *tickets;
    struct ebpfasm_timestamp *stamps; /* a ring of the last ones */
    uint32_t stamp_count, stamp_first;
    uint64_t stamp_ticket;
    uint64_t strays; /* completions and descriptors that name a frame the kernel did not have */
};

struct ebpfasm_queue {
    struct ebpfasm_umem *umem;
    struct ring fill, completion;
    uint16_t number;
    uint32_t target, in_fill, in_tx;
    int wakes; /* bound with XDP_USE_NEED_WAKEUP */
};

struct ebpfasm_xsk {
    struct ebpfasm_umem *umem;
    struct ebpfasm_queue *queue;
    int fd, wake_fd;
    int fragments, wakes;
    struct ring rx, tx;
    pthread_mutex_t rx_lock, tx_lock;
    int stopped, users; /* whoever is inside keeps the rings mapped */
    struct ebpfasm_xsk_counters counters;
};

/* Closing waits for those inside, and lets nobody in any more. */
static inline struct ebpfasm_xsk *xsk_enter(struct ebpfasm_xsk *x)
{
    __atomic_fetch_add(&x->users, 1, __ATOMIC_SEQ_CST);
    if (!__atomic_load_n(&x->stopped, __ATOMIC_SEQ_CST))
        return x;
    __atomic_fetch_sub(&x->users, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static inline void xsk_leave(struct ebpfasm_xsk **x)
{
    if (*x)
        __atomic_fetch_sub(&(*x)->users, 1, __ATOMIC_SEQ_CST);
}

#define INSIDE_AS(name, x)                                                                         \
    struct ebpfasm_xsk *name __attribute__((cleanup(xsk_leave))) = xsk_enter(x);                   \
    if (!name)                                                                                     \
    return -ECANCELED
#define INSIDE(x) INSIDE_AS(inside, x)

static inline uint32_t load_acquire(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void store_release(uint32_t *word, uint32_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void add_relaxed(uint64_t *word, uint64_t value)
{
    __atomic_fetch_add(word, value, __ATOMIC_RELAXED);
}

/* As consumer (rx, completion): entries that are ready; the shared word only if it must. */
static inline uint32_t ring_ready(struct ring *r, uint32_t wanted)
{
    uint32_t ready = r->produced - r->consumed;

    if (ready < wanted) {
        r->produced = load_acquire(r->producer);
        ready = r->produced - r->consumed;
    }
    return ready < wanted ? ready : wanted;
}

/* As producer (fill, tx): slots that are free. */
static inline uint32_t ring_room(struct ring *r, uint32_t wanted)
{
    uint32_t room = r->size - (r->produced - r->consumed);

    if (room < wanted) {
        r->consumed = load_acquire(r->consumer);
        room = r->size - (r->produced - r->consumed);
    }
    return room < wanted ? room : wanted;
}

static inline struct ebpfasm_desc *ring_desc(const struct ring *r, uint32_t at)
{
    return (struct ebpfasm_desc *)r->entries + (at & (r->size - 1));
}

static inline uint64_t *ring_address(const struct ring *r, uint32_t at)
{
    return (uint64_t *)r->entries + (at & (r->size - 1));
}

/* An address as a plain offset into the area, from the kernel's two parts in unaligned mode. */
static inline uint64_t plain_address(const struct ebpfasm_umem *u, uint64_t address)
{
    if (!u->unaligned)
        return address;
    return (address & ((UINT64_C(1) << OFFSET_SHIFT) - 1)) + (address >> OFFSET_SHIFT);
}

/* The frame that an offset lies in. A division would cost as much as all else that is done to it. */
static inline uint64_t frame_of(const struct ebpfasm_umem *u, uint64_t address)
{
    return u->shift ? address >> u->shift : address / u->frame_size;
}

/* Another processor has just written the frame: fetch what is going to be looked at. */
static inline void fetch_soon(const struct ebpfasm_umem *u, uint64_t address)
{
    if (address < u->size)
        __builtin_prefetch(u->area + address, 1);
}

/* The part of a row that lies in its frame's chunk: where it is, and how much of it comes first. */
static inline unsigned char *xsk_row(const struct ebpfasm_umem *u, const struct ebpfasm_desc *d,
                                     int64_t start, uint32_t width, uint32_t *before,
                                     uint32_t *inside)
{
    uint64_t index = frame_of(u, d->address);
    int64_t chunk = (int64_t)(index * u->frame_size), first = (int64_t)d->address + start;
    int64_t end = first + width, chunk_end = chunk + u->frame_size;
    int64_t from = first < chunk ? chunk : first, to = end > chunk_end ? chunk_end : end;

    *before = *inside = 0;
    if (index >= u->count || to <= from)
        return NULL;
    *before = (uint32_t)(from - first);
    *inside = (uint32_t)(to - from);
    return u->area + from;
}

static inline uint16_t owned(enum owner owner, const struct ebpfasm_queue *q)
{
    return (uint16_t)(owner | (unsigned)(q->number << OWNER_BITS));
}

/* The pool, with the UMEM's lock held. */
static inline void xsk_put_free(struct ebpfasm_umem *u, uint32_t index)
{
    u->owner[index] = FREE;
    u->free[u->free_count++] = index;
}

static inline uint32_t xsk_take_free(struct ebpfasm_umem *u)
{
    uint32_t index = u->free[--u->free_count];

    u->owner[index] = USER;
    return index;
}

void xsk_complete(struct ebpfasm_queue *q);
void xsk_refill(struct ebpfasm_queue *q);

/* As memcpy, without a call where it is a short packet or most of a header. */
static inline void copy_bytes(unsigned char *to, const unsigned char *from, size_t size)
{
    if (size < 16 || size > 64) {
        memcpy(to, from, size);
    } else if (size < 32) { /* two moves that overlap */
        unsigned char tail[16];

        memcpy(tail, from + size - 16, 16);
        memcpy(to, from, 16);
        memcpy(to + size - 16, tail, 16);
    } else {
        unsigned char tail[32];

        memcpy(tail, from + size - 32, 32);
        memcpy(to, from, 32);
        memcpy(to + size - 32, tail, 32);
    }
}

/* Copy a packet that is not longer than a frame to where a descriptor says, or before that. */
static inline void xsk_fill(struct ebpfasm_umem *u, struct ebpfasm_desc *desc,
                            const unsigned char *data, uint32_t length)
{
    uint64_t end = (frame_of(u, desc->address) + 1) * u->frame_size;

    if (desc->address + length > end) /* into the headroom, then */
        desc->address = end - length;
    desc->length = length;
    copy_bytes(u->area + desc->address, data, length);
}

/* Complete and refill, taking the lock, after so many frames were received; and wake the driver where
 * it waits for buffers. */
void xsk_tend(struct ebpfasm_xsk *x, uint32_t received);

/* Descriptors ready in the rx ring, whole packets only; more than `limit` where one is longer. */
uint32_t xsk_ready(struct ebpfasm_xsk *x, uint32_t limit);
/* Read descriptor i behind those that are consumed; -1 where it names no frame of the queue's. */
static inline long xsk_look(struct ebpfasm_xsk *x, uint32_t i, struct ebpfasm_desc *out)
{
    struct ebpfasm_umem *u = x->umem;
    uint64_t index;

    *out = *ring_desc(&x->rx, x->rx.consumed + i);
    out->address = plain_address(u, out->address);
    index = frame_of(u, out->address);
    if (index < u->count && u->owner[index] == owned(FILL, x->queue))
        return (long)index;
    add_relaxed(&u->strays, 1);
    return -1;
}

void xsk_consume(struct ebpfasm_xsk *x, uint32_t count);
/* Remember what a frame is sent with, where completions are looked at. */
static inline void xsk_note(struct ebpfasm_umem *u, const struct ebpfasm_desc *desc)
{
    uint64_t index = frame_of(u, desc->address), flags = 0;

    if (desc->options & TX_METADATA)
        memcpy(&flags, u->area + desc->address - u->metadata, 8);
    u->sent_from[index] = desc->address;
    u->tickets[index] = flags & TXMD_TIMESTAMP
                            ? __atomic_add_fetch(&u->stamp_ticket, 1, __ATOMIC_RELAXED) : 0;
}

/* Put a frame that the caller owns into the tx ring; there must be room. */
static inline void xsk_enqueue(struct ebpfasm_xsk *x, const struct ebpfasm_desc *desc,
                               uint32_t index)
{
    if (x->umem->tickets)
        xsk_note(x->umem, desc);
    x->umem->owner[index] = owned(SENT, x->queue);
    *ring_desc(&x->tx, x->tx.produced++) = *desc;
}

void xsk_publish(struct ebpfasm_xsk *x, uint32_t count);
/* Wait for events of one or two sockets until a time of CLOCK_MONOTONIC; 0, or -errno. */
long xsk_wait(struct ebpfasm_xsk *x, int events, struct ebpfasm_xsk *other, int others,
              int64_t deadline);
int64_t xsk_now(void);

#endif
