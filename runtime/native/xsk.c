/* AF_XDP: the pool of frames, and the four rings. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "xsk.h"

#define STAMPS 4096 /* timestamps that wait to be read */
#define SEND_MOST 64 /* packets that one call copies */
#define PROBE_AFTER 10000000 /* ns of waiting in vain */

/* ---- the pool */

struct ebpfasm_umem *ebpfasm_umem_new(unsigned char *area, uint32_t frame_size, uint32_t count,
                                      uint32_t headroom, uint32_t metadata, int unaligned)
{
    struct ebpfasm_umem *u = calloc(1, sizeof(*u));

    if (!u)
        return NULL;
    pthread_mutex_init(&u->lock, NULL);
    u->area = area;
    u->size = (uint64_t)frame_size * count;
    u->frame_size = frame_size;
    u->count = count;
    u->headroom = headroom;
    u->metadata = metadata;
    u->unaligned = unaligned;
    u->shift = frame_size & (frame_size - 1) ? 0 : __builtin_ctz(frame_size);
    u->free = calloc(count, sizeof(*u->free));
    u->owner = calloc(count, sizeof(*u->owner));
    u->sent_from = metadata ? calloc(count, sizeof(*u->sent_from)) : NULL;
    u->tickets = metadata ? calloc(count, sizeof(*u->tickets)) : NULL;
    u->stamps = metadata ? calloc(STAMPS, sizeof(*u->stamps)) : NULL;
    if (!u->free || !u->owner || (metadata && (!u->sent_from || !u->tickets || !u->stamps))) {
        ebpfasm_umem_delete(u);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) /* the first frame is taken first */
        u->free[i] = count - 1 - i;
    u->free_count = count;
    return u;
}

void ebpfasm_umem_delete(struct ebpfasm_umem *u)
{
    if (!u)
        return;
    pthread_mutex_destroy(&u->lock);
    free(u->free);
    free(u->owner);
    free(u->sent_from);
    free(u->tickets);
    free(u->stamps);
    free(u);
}

void ebpfasm_umem_census(struct ebpfasm_umem *u, uint64_t *counts)
{
    pthread_mutex_lock(&u->lock);
    memset(counts, 0, 5 * sizeof(*counts));
    for (uint32_t i = 0; i < u->count; i++)
        counts[u->owner[i] & ((1 << OWNER_BITS) - 1)]++;
    counts[4] = u->strays;
    pthread_mutex_unlock(&u->lock);
}

long ebpfasm_umem_take(struct ebpfasm_umem *u, struct ebpfasm_desc *descs, uint32_t count,
                            uint32_t length)
{
    uint64_t frame_size = u->frame_size, begin = PACKET_HEADROOM + u->headroom;
    uint32_t i;

    pthread_mutex_lock(&u->lock);
    count = count < u->free_count ? count : u->free_count;
    for (i = 0; i < count; i++) {
        uint32_t index = xsk_take_free(u);

        descs[i] = (struct ebpfasm_desc){ index * frame_size + begin, length, 0 };
    }
    pthread_mutex_unlock(&u->lock);
    return i;
}

long ebpfasm_umem_give_one(struct ebpfasm_umem *u, uint64_t address)
{
    struct ebpfasm_desc desc = { .address = address };
    uint32_t bad;

    return ebpfasm_umem_give(u, &desc, 1, &bad);
}

long ebpfasm_umem_give(struct ebpfasm_umem *u, const struct ebpfasm_desc *descs,
                            uint32_t count, uint32_t *bad)
{
    long result = 0;

    pthread_mutex_lock(&u->lock);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t index = frame_of(u, descs[i].address);

        if (index >= u->count || u->owner[index] != USER) {
            *bad = i;
            result = -EINVAL;
            break;
        }
        xsk_put_free(u, (uint32_t)index);
    }
    pthread_mutex_unlock(&u->lock);
    return result;
}

void ebpfasm_umem_read(struct ebpfasm_umem *u, const struct ebpfasm_desc *descs,
                            uint32_t count, int64_t start, uint32_t width, unsigned char *rows)
{
    for (uint32_t i = 0; i < count && count > 1; i++)
        fetch_soon(u, descs[i].address + (uint64_t)start);
    for (uint32_t i = 0; i < count; i++, rows += width) {
        uint32_t before, inside;
        const unsigned char *from = xsk_row(u, descs + i, start, width, &before, &inside);

        if (inside != width)
            memset(rows, 0, width);
        if (inside)
            copy_bytes(rows + before, from, inside);
    }
}

long ebpfasm_umem_write(struct ebpfasm_umem *u, const struct ebpfasm_desc *descs,
                             uint32_t count, int64_t start,
                             uint32_t width, const unsigned char *rows, uint32_t step)
{
    uint32_t before, inside;

    if (!width)
        return 0;
    for (uint32_t i = 0; i < count; i++) {
        xsk_row(u, descs + i, start, width, &before, &inside);
        if (inside != width)
            return -EINVAL;
    }
    for (uint32_t i = 0; i < count; i++, rows += step)
        copy_bytes(xsk_row(u, descs + i, start, width, &before, &inside), rows, width);
    return 0;
}

static inline void exchange(unsigned char *a, unsigned char *b, uint32_t width)
{
    unsigned char kept[64];

    for (uint32_t part; width; width -= part, a += part, b += part) {
        part = width < sizeof(kept) ? width : sizeof(kept);
        memcpy(kept, a, part);
        memcpy(a, b, part);
        memcpy(b, kept, part);
    }
}

long ebpfasm_umem_swap(struct ebpfasm_umem *u, const struct ebpfasm_desc *descs,
                            uint32_t count, int64_t first, int64_t second, uint32_t width)
{
    uint32_t before, inside;
    int64_t low = first < second ? first : second;
    uint32_t span = (uint32_t)(first + second - 2 * low) + width;

    for (uint32_t i = 0; i < count; i++) {
        fetch_soon(u, descs[i].address + (uint64_t)low);
        xsk_row(u, descs + i, low, span, &before, &inside);
        if (inside != span)
            return -EINVAL;
    }
    for (uint32_t i = 0; i < count; i++) {
        unsigned char *a = xsk_row(u, descs + i, first, width, &before, &inside);
        unsigned char *b = xsk_row(u, descs + i, second, width, &before, &inside);

        if (width == 6) /* Ethernet addresses: of a fixed size the compiler makes two moves */
            exchange(a, b, 6);
        else
            exchange(a, b, width);
    }
    return 0;
}

long ebpfasm_umem_timestamps(struct ebpfasm_umem *u, struct ebpfasm_timestamp *out,
                                  uint32_t count)
{
    uint32_t i;

    pthread_mutex_lock(&u->lock);
    for (i = 0; i < count && u->stamp_count; i++, u->stamp_count--)
        out[i] = u->stamps[u->stamp_first++ % STAMPS];
    pthread_mutex_unlock(&u->lock);
    return i;
}

/* ---- fill and completion, with the UMEM's lock held */

/* A frame came back with the time it was sent at before its data, if one was asked for. */
static void stamp(struct ebpfasm_umem *u, uint64_t index)
{
    struct ebpfasm_timestamp *slot;

    if (!u->tickets[index])
        return;
    if (u->stamp_count == STAMPS) { /* nobody reads them: the oldest goes */
        u->stamp_first++;
        u->stamp_count--;
    }
    slot = u->stamps + (u->stamp_first + u->stamp_count++) % STAMPS;
    slot->ticket = u->tickets[index];
    memcpy(&slot->time, u->area + u->sent_from[index] - u->metadata + 8, 8);
    u->tickets[index] = 0;
}

void xsk_complete(struct ebpfasm_queue *q)
{
    struct ebpfasm_umem *u = q->umem;
    uint32_t count = ring_ready(&q->completion, q->completion.size), in_tx = q->in_tx;
    uint16_t sent = owned(SENT, q);

    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = *ring_address(&q->completion, q->completion.consumed + i);
        uint64_t index = frame_of(u, plain_address(u, address));

        if (index >= u->count || u->owner[index] != sent) {
            u->strays++;
            continue;
        }
        if (u->tickets)
            stamp(u, index);
        xsk_put_free(u, (uint32_t)index);
        in_tx--;
    }
    if (count) {
        q->in_tx = in_tx;
        q->completion.consumed += count;
        store_release(q->completion.consumer, q->completion.consumed);
    }
}

void xsk_refill(struct ebpfasm_queue *q)
{
    struct ebpfasm_umem *u = q->umem;
    uint32_t wanted, count;

    if (q->in_fill >= q->target)
        return;
    wanted = q->target - q->in_fill;
    if (wanted > u->free_count)
        wanted = u->free_count;
    count = ring_room(&q->fill, wanted);
    if (!count)
        return;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = xsk_take_free(u);

        u->owner[index] = owned(FILL, q);
        *ring_address(&q->fill, q->fill.produced + i) = (uint64_t)index * u->frame_size;
    }
    q->fill.produced += count;
    q->in_fill += count;
    store_release(q->fill.producer, q->fill.produced);
}

void xsk_tend(struct ebpfasm_xsk *x, uint32_t received)
{
    pthread_mutex_lock(&x->umem->lock);
    x->queue->in_fill -= received;
    xsk_complete(x->queue);
    xsk_refill(x->queue);
    pthread_mutex_unlock(&x->umem->lock);
    /* The flag of the fill ring speaks of receiving: the driver sleeps until it is told. */
    if (x->rx.entries && x->wakes && (load_acquire(x->queue->fill.flags) & RING_NEED_WAKEUP))
        recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL);
}

long ebpfasm_xsk_tend(struct ebpfasm_xsk *x)
{
    INSIDE(x);
    uint32_t left;

    xsk_tend(x, 0);
    pthread_mutex_lock(&x->umem->lock);
    left = x->queue->in_tx;
    pthread_mutex_unlock(&x->umem->lock);
    return left;
}

/* ---- receiving, with rx_lock held */

uint32_t xsk_ready(struct ebpfasm_xsk *x, uint32_t limit)
{
    struct ring *r = &x->rx;
    uint32_t ready = ring_ready(r, limit), whole = ready, most;

    if (!x->fragments || !ready)
        return ready;
    while (whole && (ring_desc(r, r->consumed + whole - 1)->options & PKT_CONTD))
        whole--;
    if (whole)
        return whole;
    most = ring_ready(r, r->size);
    for (whole = ready; whole < most; whole++)
        if (!(ring_desc(r, r->consumed + whole)->options & PKT_CONTD))
            return whole + 1;
    return 0; /* the rest of the packet is not published yet */
}

void xsk_consume(struct ebpfasm_xsk *x, uint32_t count)
{
    x->rx.consumed += count;
    store_release(x->rx.consumer, x->rx.consumed);
}

long ebpfasm_xsk_recv(struct ebpfasm_xsk *x, struct ebpfasm_desc *descs, uint32_t limit,
                           int peek)
{
    INSIDE(x);
    struct ebpfasm_umem *u = x->umem;
    uint32_t ready, count = 0;
    uint64_t bytes = 0, packets = 0;

    if (!x->rx.entries)
        return -ENOBUFS;
    pthread_mutex_lock(&x->rx_lock);
    /* What an earlier peek left unpublished was handed out since. */
    store_release(x->rx.consumer, x->rx.consumed);
    ready = xsk_ready(x, limit);
    for (uint32_t i = 0; i < ready; i++) {
        long index = xsk_look(x, i, descs + count);

        if (index < 0)
            continue;
        u->owner[index] = USER;
        bytes += descs[count].length;
        packets += !(descs[count].options & PKT_CONTD);
        count++;
    }
    if (peek)
        x->rx.consumed += ready;
    else if (ready)
        xsk_consume(x, ready);
    add_relaxed(&x->counters.received, packets);
    add_relaxed(&x->counters.received_bytes, bytes);
    pthread_mutex_unlock(&x->rx_lock);
    xsk_tend(x, ready);
    return count;
}

long ebpfasm_xsk_unread(struct ebpfasm_xsk *x, const struct ebpfasm_desc *descs,
                             uint32_t count)
{
    INSIDE(x);
    struct ebpfasm_umem *u = x->umem;
    uint32_t left, same = 1;
    uint64_t bytes = 0, packets = 0;

    pthread_mutex_lock(&x->rx_lock);
    left = x->rx.consumed - __atomic_load_n(x->rx.consumer, __ATOMIC_RELAXED);
    /* The same descriptors must still lie there, unpublished, as the last ones that were read. */
    if (left < count)
        same = 0;
    for (uint32_t i = 0; same && i < count; i++) {
        struct ebpfasm_desc there = *ring_desc(&x->rx, x->rx.consumed - count + i);

        same = plain_address(u, there.address) == descs[i].address &&
               u->owner[frame_of(u, descs[i].address)] == USER;
    }
    if (same) {
        for (uint32_t i = 0; i < count; i++) {
            u->owner[frame_of(u, descs[i].address)] = owned(FILL, x->queue);
            bytes += descs[i].length;
            packets += !(descs[i].options & PKT_CONTD);
        }
        x->rx.consumed -= count;
        add_relaxed(&x->counters.received, -packets);
        add_relaxed(&x->counters.received_bytes, -bytes);
        pthread_mutex_lock(&u->lock);
        x->queue->in_fill += count;
        pthread_mutex_unlock(&u->lock);
    }
    store_release(x->rx.consumer, x->rx.consumed);
    pthread_mutex_unlock(&x->rx_lock);
    return same;
}

/* ---- sending, with tx_lock held */

void xsk_publish(struct ebpfasm_xsk *x, uint32_t count)
{
    pthread_mutex_lock(&x->umem->lock);
    x->queue->in_tx += count; /* before the kernel can complete them */
    pthread_mutex_unlock(&x->umem->lock);
    store_release(x->tx.producer, x->tx.produced);
}

/* Whether a descriptor is a frame of the user's, inside its chunk, with room for its metadata. */
static inline int sendable(const struct ebpfasm_umem *u, const struct ebpfasm_desc *d,
                           uint64_t index)
{
    uint64_t offset = d->address - index * u->frame_size;
    uint64_t before = d->options & TX_METADATA ? u->metadata : 0;

    return index < u->count && u->owner[index] == USER && d->length > 0 &&
           offset + d->length <= u->frame_size && offset >= before &&
           !(d->options & ~(uint32_t)(PKT_CONTD | TX_METADATA)) &&
           (u->metadata || !(d->options & TX_METADATA));
}

long ebpfasm_xsk_send(struct ebpfasm_xsk *x, const struct ebpfasm_desc *descs, uint32_t count,
                      uint32_t *bad)
{
    INSIDE(x);
    struct ebpfasm_umem *u = x->umem;
    uint32_t room, i;
    uint64_t bytes = 0, packets = 0;

    if (!x->tx.entries)
        return -ENOBUFS;
    pthread_mutex_lock(&x->tx_lock);
    room = ring_room(&x->tx, count);
    while (room && room < count && (descs[room - 1].options & PKT_CONTD))
        room--;
    for (i = 0; i < count; i++) {
        uint64_t index = frame_of(u, descs[i].address);

        if (!sendable(u, descs + i, index))
            break;
        u->owner[index] = owned(SENT, x->queue); /* finds doubles */
        if (i >= room)
            continue;
        *ring_desc(&x->tx, x->tx.produced + i) = descs[i];
        bytes += descs[i].length;
        packets += !(descs[i].options & PKT_CONTD);
    }
    *bad = i;
    if (i < count)
        room = 0, bytes = 0, packets = 0;
    for (uint32_t k = room; k < i; k++)
        u->owner[frame_of(u, descs[k].address)] = USER;
    for (uint32_t k = 0; u->tickets && k < room; k++)
        xsk_note(u, descs + k);
    x->tx.produced += room;
    if (room)
        xsk_publish(x, room);
    add_relaxed(&x->counters.sent, packets);
    add_relaxed(&x->counters.sent_bytes, bytes);
    pthread_mutex_unlock(&x->tx_lock);
    return i < count ? -EINVAL : (long)room;
}

long ebpfasm_xsk_send_one(struct ebpfasm_xsk *x, uint64_t address, uint32_t length,
                          uint32_t options)
{
    struct ebpfasm_desc desc = { address, length, options };
    uint32_t bad;

    return ebpfasm_xsk_send(x, &desc, 1, &bad);
}

/*
 * Copy packets into free frames and send those: packets of different lengths, or rows of a table
 * where there is no array of packets. As many as there are frames and room for.
 */
static long send_copies(struct ebpfasm_xsk *x, const unsigned char *const *packets,
                        const uint32_t *lengths, const unsigned char *rows, uint32_t width,
                        uint32_t count)
{
    struct ebpfasm_umem *u = x->umem;
    uint32_t free[SEND_MOST];
    uint64_t bytes = 0;

    pthread_mutex_lock(&x->tx_lock);
    count = ring_room(&x->tx, count);
    pthread_mutex_lock(&u->lock);
    count = count < u->free_count ? count : u->free_count;
    for (uint32_t i = 0; i < count; i++)
        free[i] = xsk_take_free(u);
    x->queue->in_tx += count; /* before the kernel can complete them */
    pthread_mutex_unlock(&u->lock);
    for (uint32_t i = 0; i < count; i++, rows += width) {
        struct ebpfasm_desc desc = {
            (uint64_t)free[i] * u->frame_size + PACKET_HEADROOM + u->headroom, 0, 0,
        };

        xsk_fill(u, &desc, packets ? packets[i] : rows, packets ? lengths[i] : width);
        xsk_enqueue(x, &desc, free[i]);
        bytes += desc.length;
    }
    if (count)
        store_release(x->tx.producer, x->tx.produced);
    add_relaxed(&x->counters.sent, count);
    add_relaxed(&x->counters.sent_bytes, bytes);
    pthread_mutex_unlock(&x->tx_lock);
    return count;
}

static int fits(const struct ebpfasm_umem *u, uint32_t length)
{
    return length > 0 && length <= u->frame_size;
}

long ebpfasm_xsk_send_all(struct ebpfasm_xsk *x, const unsigned char *const *packets,
                          const uint32_t *lengths, uint32_t count)
{
    INSIDE(x);
    if (!x->tx.entries)
        return -ENOBUFS;
    count = count < SEND_MOST ? count : SEND_MOST;
    for (uint32_t i = 0; i < count; i++)
        if (!fits(x->umem, lengths[i]))
            return -EMSGSIZE;
    return send_copies(x, packets, lengths, NULL, 0, count);
}

long ebpfasm_xsk_send_rows(struct ebpfasm_xsk *x, const unsigned char *rows, uint32_t width,
                           uint32_t count)
{
    INSIDE(x);
    if (!x->tx.entries)
        return -ENOBUFS;
    if (!fits(x->umem, width))
        return -EMSGSIZE;
    return send_copies(x, NULL, NULL, rows, width, count < SEND_MOST ? count : SEND_MOST);
}

long ebpfasm_xsk_send_bytes(struct ebpfasm_xsk *x, const unsigned char *data, uint32_t length)
{
    return ebpfasm_xsk_send_rows(x, data, length, 1);
}

long ebpfasm_xsk_kick(struct ebpfasm_xsk *x)
{
    INSIDE(x);
    uint32_t before, after = load_acquire(x->tx.consumer);

    /* The flag of the tx ring speaks of sending; without need_wakeup the kernel is always told. */
    if (x->wakes && !(load_acquire(x->tx.flags) & RING_NEED_WAKEUP))
        return 0;
    for (;;) {
        long result = sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);
        int error = result < 0 ? errno : 0;
        uint32_t in_tx;

        if (error == EBUSY)
            add_relaxed(&x->counters.tx_dropped, 1);
        else if (error && error != EAGAIN && error != ENOBUFS && error != EINTR)
            return -error;
        pthread_mutex_lock(&x->umem->lock);
        in_tx = x->queue->in_tx;
        xsk_complete(x->queue);
        in_tx -= x->queue->in_tx;
        pthread_mutex_unlock(&x->umem->lock);
        before = after;
        after = load_acquire(x->tx.consumer);
        /*
         * It sends a few at a time; go on while it does, and stop where it waits for others. Where
         * there is more it says EAGAIN, and Linux 5.10 tells so only, and by what is completed.
         */
        if (after == __atomic_load_n(x->tx.producer, __ATOMIC_RELAXED)
            || (after == before && !(error == EAGAIN && in_tx)))
            return 0;
    }
}

long ebpfasm_xsk_release(struct ebpfasm_xsk *x, uint64_t address)
{
    struct ebpfasm_xsk *inside __attribute__((cleanup(xsk_leave))) = xsk_enter(x);
    long result = ebpfasm_umem_give_one(x->umem, address);

    if (inside && !result)
        xsk_tend(x, 0);
    return result;
}

long ebpfasm_xsk_release_all(struct ebpfasm_xsk *x, const struct ebpfasm_desc *descs,
                             uint32_t count, uint32_t *bad)
{
    struct ebpfasm_xsk *inside __attribute__((cleanup(xsk_leave))) = xsk_enter(x);
    long result = ebpfasm_umem_give(x->umem, descs, count, bad);

    if (inside)
        xsk_tend(x, 0);
    return result;
}

/* ---- waiting */

int64_t xsk_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * A socket whose interface is down, or gone, is never ready and wakes nobody: ask it. Before Linux
 * 5.11 nothing can be asked by receiving.
 */
static long probe(struct ebpfasm_xsk *x)
{
    long result = x->rx.entries ? recvfrom(x->fd, NULL, 0, MSG_DONTWAIT, NULL, NULL) : -1;

    if (result < 0 && (!x->rx.entries || errno == EOPNOTSUPP))
        result = sendto(x->fd, NULL, 0, MSG_DONTWAIT, NULL, 0);

    return result < 0 && (errno == ENETDOWN || errno == ENXIO || errno == ENODEV) ? -errno : 0;
}

long xsk_wait(struct ebpfasm_xsk *x, int events, struct ebpfasm_xsk *other, int others,
              int64_t deadline)
{
    struct pollfd fds[4] = {
        { .fd = x->wake_fd, .events = POLLIN },
        { .fd = x->fd, .events = (short)events },
        { .fd = other ? other->wake_fd : -1, .events = POLLIN },
        { .fd = other ? other->fd : -1, .events = (short)others },
    };
    int64_t left = deadline - xsk_now();
    struct timespec timeout = { .tv_sec = left / 1000000000, .tv_nsec = left % 1000000000 };
    int ready;
    long gone = 0;

    if (left <= 0)
        return 0;
    ready = ppoll(fds, other ? 4 : 2, &timeout, NULL);
    if (ready < 0)
        return -errno;
    if (fds[0].revents || fds[2].revents)
        return -ECANCELED;
    if (!ready && left >= PROBE_AFTER)
        gone = probe(x);
    if (!ready && left >= PROBE_AFTER && !gone && other)
        gone = probe(other);
    return gone;
}

long ebpfasm_xsk_probe(struct ebpfasm_xsk *x)
{
    INSIDE(x);
    return probe(x);
}

long ebpfasm_xsk_wait(struct ebpfasm_xsk *x, int events, int64_t deadline)
{
    INSIDE(x);
    return xsk_wait(x, events, NULL, 0, deadline);
}

long ebpfasm_xsk_recv_until(struct ebpfasm_xsk *x, struct ebpfasm_desc *descs, uint32_t limit,
                            int peek, int64_t deadline)
{
    INSIDE(x);
    long waited = xsk_wait(x, POLLIN, NULL, 0, deadline);

    return waited < 0 ? waited : ebpfasm_xsk_recv(x, descs, limit, peek);
}

void ebpfasm_xsk_counters(struct ebpfasm_xsk *x, struct ebpfasm_xsk_counters *out)
{
    out->received = __atomic_load_n(&x->counters.received, __ATOMIC_RELAXED);
    out->received_bytes = __atomic_load_n(&x->counters.received_bytes, __ATOMIC_RELAXED);
    out->sent = __atomic_load_n(&x->counters.sent, __ATOMIC_RELAXED);
    out->sent_bytes = __atomic_load_n(&x->counters.sent_bytes, __ATOMIC_RELAXED);
    out->tx_dropped = __atomic_load_n(&x->counters.tx_dropped, __ATOMIC_RELAXED);
}
