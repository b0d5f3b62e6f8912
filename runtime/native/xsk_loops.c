/* AF_XDP: whole loops over packets. */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "xsk.h"

#define BURST 64
#define ROUNDS 16 /* bursts between two looks at the clock */
#define SOON 50000 /* ns until frames on their way are looked for again: completions wake nobody */

/* How a burst went: packets, whether there were none, and whether frames or room lacked. */
struct burst {
    long packets;
    int idle, blocked;
};

static int is_stopped(struct ebpfasm_xsk *x)
{
    return __atomic_load_n(&x->stopped, __ATOMIC_RELAXED);
}

static uint32_t wanted(uint64_t done, uint64_t limit)
{
    return limit - done < BURST ? (uint32_t)(limit - done) : BURST;
}

/* Descriptors up to the end of the `packets`th packet, of `ready`. */
static uint32_t packets_within(struct ebpfasm_xsk *x, uint32_t ready, uint64_t packets)
{
    uint32_t i;

    if (!x->fragments)
        return ready < packets ? ready : (uint32_t)packets;
    for (i = 0; i < ready && packets; i++)
        packets -= !(ring_desc(&x->rx, x->rx.consumed + i)->options & PKT_CONTD);
    return i;
}

static void received(struct ebpfasm_xsk *x, uint32_t descs, uint64_t packets, uint64_t bytes)
{
    add_relaxed(&x->counters.received, packets);
    add_relaxed(&x->counters.received_bytes, bytes);
    xsk_consume(x, descs);
    pthread_mutex_lock(&x->umem->lock);
    x->queue->in_fill -= descs;
    pthread_mutex_unlock(&x->umem->lock);
}

static void sent(struct ebpfasm_xsk *x, uint32_t descs, uint64_t packets, uint64_t bytes)
{
    add_relaxed(&x->counters.sent, packets);
    add_relaxed(&x->counters.sent_bytes, bytes);
    xsk_publish(x, descs);
}

/* ---- drop and capture: frames go back to the pool */

/* What capture writes into; drop has none. */
struct writer {
    int file;
    uint32_t snap;
    size_t used, room;
    unsigned char *buffer;
    uint64_t written;
};

struct record {
    uint32_t seconds, nanoseconds, captured, length;
};

static long flush(struct writer *w)
{
    size_t done = 0;

    while (done < w->used) {
        ssize_t n = write(w->file, w->buffer + done, w->used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            memmove(w->buffer, w->buffer + done, w->used - done);
            w->used -= done;
            return -errno;
        }
        done += (size_t)n;
        w->written += (uint64_t)n;
    }
    w->used = 0;
    return 0;
}

/* Add the packet that begins at descriptor i; how many descriptors it has. */
static uint32_t add_packet(struct ebpfasm_xsk *x, struct writer *w, uint32_t i,
                           const struct timespec *now)
{
    struct record *head = (struct record *)(void *)(w->buffer + w->used);
    struct record r = { (uint32_t)now->tv_sec, (uint32_t)now->tv_nsec, 0, 0 };
    struct ebpfasm_desc d;
    uint32_t first = i;

    w->used += sizeof(r);
    do {
        uint32_t part;

        d = *ring_desc(&x->rx, x->rx.consumed + i++);
        d.address = plain_address(x->umem, d.address);
        part = d.length < w->snap - r.captured ? d.length : w->snap - r.captured;
        memcpy(w->buffer + w->used, x->umem->area + d.address, part);
        w->used += part;
        r.captured += part;
        r.length += d.length;
    } while (d.options & PKT_CONTD);
    memcpy(head, &r, sizeof(r));
    return i - first;
}

static struct burst take_burst(struct ebpfasm_xsk *x, struct writer *w, uint64_t limit)
{
    struct burst done = { 0, 0, 0 };
    uint32_t ready, give[BURST + 64], given = 0;
    struct timespec now;
    uint64_t bytes = 0;

    pthread_mutex_lock(&x->rx_lock);
    ready = packets_within(x, xsk_ready(x, BURST), limit);
    if (w && ready) {
        clock_gettime(CLOCK_REALTIME, &now);
        for (uint32_t i = 0; i < ready;)
            i += add_packet(x, w, i, &now);
    }
    for (uint32_t i = 0; i < ready; i++) {
        struct ebpfasm_desc d;
        long index = xsk_look(x, i, &d);

        done.packets += !(d.options & PKT_CONTD);
        bytes += d.length;
        if (index >= 0)
            give[given++] = (uint32_t)index;
    }
    if (ready) {
        pthread_mutex_lock(&x->umem->lock);
        for (uint32_t i = 0; i < given; i++)
            xsk_put_free(x->umem, give[i]);
        pthread_mutex_unlock(&x->umem->lock);
        received(x, ready, (uint64_t)done.packets, bytes);
    }
    pthread_mutex_unlock(&x->rx_lock);
    xsk_tend(x, 0);
    done.idle = !ready;
    return done;
}

static long take(struct ebpfasm_xsk *x, struct writer *w, uint64_t limit, int64_t deadline)
{
    uint64_t done = 0;
    long error = 0;

    if (!x->rx.entries)
        return -ENOBUFS;
    for (uint32_t round = 1; done < limit; round++) {
        struct burst burst;

        if (is_stopped(x)) {
            error = -ECANCELED;
            break;
        }
        burst = take_burst(x, w, wanted(done, limit));
        done += (uint64_t)burst.packets;
        if (w && (burst.idle || w->room - w->used < w->room / 2) && (error = flush(w)) < 0)
            break;
        if (burst.idle) {
            error = xsk_wait(x, POLLIN, NULL, 0, deadline);
            if (error < 0)
                break;
        }
        if ((burst.idle || round % ROUNDS == 0) && xsk_now() >= deadline)
            break;
    }
    if (w) {
        long late = flush(w);

        error = late < 0 ? late : error;
    }
    return done || error == -EINTR || !error ? (long)done : error;
}

long ebpfasm_xsk_drop(struct ebpfasm_xsk *x, uint64_t limit, int64_t deadline)
{
    INSIDE(x);
    return take(x, NULL, limit, deadline);
}

long ebpfasm_xsk_capture(struct ebpfasm_xsk *x, int file, uint32_t snap, uint64_t limit,
                         int64_t deadline, uint64_t *bytes)
{
    INSIDE(x);
    /* Room for two bursts of the longest packets; flush() comes when half of it is used. */
    size_t longest = x->umem->frame_size < snap ? x->umem->frame_size : snap;
    struct writer w = { .file = file, .snap = snap };
    long done;

    w.room = 2 * (BURST + 64) * (longest + sizeof(struct record));
    w.buffer = malloc(w.room);
    if (!w.buffer)
        return -ENOMEM;
    done = take(x, &w, limit, deadline);
    *bytes += w.written;
    free(w.buffer);
    return done;
}

/* ---- echo and forward: frames go on to a tx ring */

static void swap(unsigned char *a, unsigned char *b, size_t size)
{
    unsigned char kept[16];

    memcpy(kept, a, size);
    memcpy(a, b, size);
    memcpy(b, kept, size);
}

static void swap_ports(unsigned char *at, uint8_t protocol, const unsigned char *end)
{
    if ((protocol == 6 || protocol == 17) && at + 4 <= end) /* TCP, UDP */
        swap(at, at + 2, 2);
}

/* Source and destination change places up to a layer; sums over both stay what they were. */
static void swap_header(unsigned char *p, uint32_t length, int layer)
{
    const unsigned char *end = p + length;
    unsigned char *ip = p + 14;
    unsigned type;

    if (length < 14)
        return;
    swap(p, p + 6, 6);
    type = (unsigned)(p[12] << 8 | p[13]);
    while ((type == 0x8100 || type == 0x88a8) && ip + 4 <= end) { /* VLAN tags */
        type = (unsigned)(ip[2] << 8 | ip[3]);
        ip += 4;
    }
    if (layer < 3)
        return;
    if (type == 0x0800 && ip + 20 <= end && ip[0] >> 4 == 4) {
        int is_first = !((ip[6] & 0x1f) | ip[7]); /* later fragments have no ports */

        swap(ip + 12, ip + 16, 4);
        if (layer >= 4 && is_first)
            swap_ports(ip + 4 * (ip[0] & 15), ip[9], end);
    } else if (type == 0x86dd && ip + 40 <= end) {
        swap(ip + 8, ip + 24, 16);
        if (layer >= 4)
            swap_ports(ip + 40, ip[6], end);
    }
}

/* Change `x` packets' headers and send them on `y`, on one UMEM; rx_lock and tx_lock are held. */
static struct burst pass_on(struct ebpfasm_xsk *x, struct ebpfasm_xsk *y, int layer, uint32_t ready)
{
    struct burst done = { 0, 0, 0 };
    uint32_t queued = 0;
    uint64_t bytes = 0;
    int is_first = 1;

    for (uint32_t i = 0; layer && i < ready; i++)
        fetch_soon(x->umem, plain_address(x->umem, ring_desc(&x->rx, x->rx.consumed + i)->address));
    for (uint32_t i = 0; i < ready; i++) {
        struct ebpfasm_desc d;
        long index = xsk_look(x, i, &d);

        if (index >= 0) {
            if (layer && is_first)
                swap_header(x->umem->area + d.address, d.length, layer);
            xsk_enqueue(y, &d, (uint32_t)index);
            queued++;
        }
        is_first = !(d.options & PKT_CONTD);
        done.packets += is_first;
        bytes += d.length;
    }
    if (ready) {
        received(x, ready, (uint64_t)done.packets, bytes);
        sent(y, queued, (uint64_t)done.packets, bytes);
    }
    return done;
}

/* The same between two UMEMs: copies. Stops where the other pool is empty. */
static struct burst copy_on(struct ebpfasm_xsk *x, struct ebpfasm_xsk *y, uint32_t ready,
                            uint64_t *too_long)
{
    struct ebpfasm_umem *from = x->umem, *to = y->umem;
    struct burst done = { 0, 0, 0 };
    struct ebpfasm_desc copies[BURST + 64], d;
    uint32_t got, used = 0, kept = 0, i, give[BURST + 64], given = 0;
    uint64_t bytes = 0;

    got = (uint32_t)ebpfasm_umem_take(to, copies, ready, 0);
    for (i = 0; i < ready && used < got; i++) {
        long index = xsk_look(x, i, &d);
        uint64_t slot = frame_of(to, copies[used].address);
        uint32_t room = (uint32_t)((slot + 1) * to->frame_size - copies[used].address);

        if (index >= 0)
            give[given++] = (uint32_t)index;
        done.packets += !(d.options & PKT_CONTD);
        bytes += d.length;
        if (index < 0 || d.length > room || (d.options & PKT_CONTD && !y->fragments)) {
            *too_long += index >= 0;
            continue;
        }
        copies[used].length = d.length;
        copies[used].options = d.options & PKT_CONTD;
        memcpy(to->area + copies[used].address, from->area + d.address, d.length);
        xsk_enqueue(y, copies + used, (uint32_t)slot);
        used++;
        kept += !(d.options & PKT_CONTD);
    }
    if (used < got) {
        uint32_t bad;

        ebpfasm_umem_give(to, copies + used, got - used, &bad);
    }
    pthread_mutex_lock(&from->lock);
    for (uint32_t k = 0; k < given; k++)
        xsk_put_free(from, give[k]);
    pthread_mutex_unlock(&from->lock);
    if (i)
        received(x, i, (uint64_t)done.packets, bytes);
    if (used)
        sent(y, used, kept, bytes);
    return done;
}

static struct burst forward_burst(struct ebpfasm_xsk *x, struct ebpfasm_xsk *y, int layer,
                                  uint64_t limit, uint64_t *too_long)
{
    struct burst done;
    uint32_t room, ready, taken;

    pthread_mutex_lock(&x->rx_lock);
    pthread_mutex_lock(&y->tx_lock);
    room = ring_room(&y->tx, y->tx.size);
    ready = packets_within(x, xsk_ready(x, BURST), limit);
    taken = ready <= room ? ready : 0; /* a few slots more are soon there */
    done = x->umem == y->umem ? pass_on(x, y, layer, taken) : copy_on(x, y, taken, too_long);
    pthread_mutex_unlock(&y->tx_lock);
    pthread_mutex_unlock(&x->rx_lock);
    done.idle = !done.packets;
    done.blocked = done.idle && ready;
    return done;
}

/* The sooner of a deadline and a time so far away. */
static int64_t within(int64_t deadline, int64_t away)
{
    int64_t soon = xsk_now() + away;

    return soon < deadline ? soon : deadline;
}

static long forward(struct ebpfasm_xsk *x, struct ebpfasm_xsk *y, int layer, uint64_t limit,
                    int64_t deadline, uint64_t *too_long)
{
    uint64_t done = 0;
    long error = 0;

    if (!x->rx.entries || !y->tx.entries)
        return -ENOBUFS;
    for (uint32_t round = 1; done < limit && !error; round++) {
        struct burst burst;

        if (is_stopped(x) || is_stopped(y)) {
            error = -ECANCELED;
            break;
        }
        burst = forward_burst(x, y, layer, wanted(done, limit), too_long);
        done += (uint64_t)burst.packets;
        error = ebpfasm_xsk_kick(y);
        xsk_tend(x, 0);
        if (y != x)
            xsk_tend(y, 0);
        if (burst.blocked && !error)
            error = xsk_wait(y, 0, NULL, 0, within(deadline, SOON));
        else if (burst.idle && !error)
            error = xsk_wait(x, POLLIN, y == x ? NULL : y, 0,
                             ebpfasm_xsk_tend(y) ? within(deadline, 20 * SOON) : deadline);
        if ((burst.idle || round % ROUNDS == 0) && xsk_now() >= deadline)
            break;
    }
    return done || error == -EINTR || !error ? (long)done : error;
}

long ebpfasm_xsk_echo(struct ebpfasm_xsk *x, int layer, uint64_t limit, int64_t deadline)
{
    INSIDE(x);
    uint64_t none = 0;

    return forward(x, x, layer, limit, deadline, &none);
}

long ebpfasm_xsk_forward(struct ebpfasm_xsk *from, struct ebpfasm_xsk *to, uint64_t limit,
                         int64_t deadline, uint64_t *too_long)
{
    INSIDE_AS(first, from);
    INSIDE_AS(second, to);
    return forward(from, to, 0, limit, deadline, too_long);
}

/* ---- replay: frames come from the pool */

/* When the packet at a position is to be sent; `at` is where it is in the list. */
static int64_t due_at(const struct ebpfasm_replay *r, uint64_t at)
{
    if (!r->times)
        return 0;
    return r->begin + r->times[at] + (int64_t)(r->position / r->count) * r->period;
}

static int64_t due(const struct ebpfasm_replay *r)
{
    return due_at(r, r->position % r->count);
}

static struct burst replay_burst(struct ebpfasm_xsk *x, struct ebpfasm_replay *r, uint32_t limit)
{
    struct ebpfasm_umem *u = x->umem;
    struct burst done = { 0, 0, 0 };
    struct ebpfasm_desc descs[BURST];
    uint32_t room, got, bad;
    uint64_t bytes = 0, at = r->position % r->count;
    int64_t now = r->times ? xsk_now() : 1;

    pthread_mutex_lock(&x->tx_lock);
    room = ring_room(&x->tx, limit);
    got = (uint32_t)ebpfasm_umem_take(u, descs, room, 0);
    while (done.packets < got && due_at(r, at) <= now) {
        struct ebpfasm_desc *d = descs + done.packets;

        xsk_fill(u, d, r->data + r->offsets[at], r->lengths[at]);
        xsk_enqueue(x, d, (uint32_t)frame_of(u, d->address));
        bytes += d->length;
        done.packets++;
        r->position++;
        at = at + 1 < r->count ? at + 1 : 0;
    }
    if (done.packets)
        sent(x, (uint32_t)done.packets, (uint64_t)done.packets, bytes);
    if (done.packets < got)
        ebpfasm_umem_give(u, descs + done.packets, got - (uint32_t)done.packets, &bad);
    pthread_mutex_unlock(&x->tx_lock);
    done.idle = !done.packets;
    return done;
}

long ebpfasm_xsk_replay(struct ebpfasm_xsk *x, struct ebpfasm_replay *r, uint64_t limit,
                        int64_t deadline)
{
    INSIDE(x);
    uint64_t done = 0;
    long error = 0;

    if (!x->tx.entries)
        return -ENOBUFS;
    for (uint64_t i = 0; i < r->count; i++)
        if (!r->lengths[i] || r->lengths[i] > x->umem->frame_size)
            return -EMSGSIZE;
    for (uint32_t round = 1; done < limit && !error; round++) {
        struct burst burst;

        if (is_stopped(x)) {
            error = -ECANCELED;
            break;
        }
        burst = replay_burst(x, r, wanted(done, limit));
        done += (uint64_t)burst.packets;
        error = ebpfasm_xsk_kick(x);
        xsk_tend(x, 0);
        if (burst.idle && !error) {
            int64_t wake = due(r), soon = within(deadline, SOON);

            /* Nothing is due yet, or every frame is on its way. */
            wake = wake > soon ? wake : soon;
            error = xsk_wait(x, 0, NULL, 0, wake < deadline ? wake : deadline);
        }
        if ((burst.idle || round % ROUNDS == 0) && xsk_now() >= deadline)
            break;
    }
    return done || error == -EINTR || !error ? (long)done : error;
}
