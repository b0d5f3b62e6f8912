/* AF_XDP: opening and closing sockets. */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "xsk.h"

/* Places of the rings for mmap. */
#define PLACE_RX 0
#define PLACE_TX INT64_C(0x80000000)
#define PLACE_FILL INT64_C(0x100000000)
#define PLACE_COMPLETION INT64_C(0x180000000)

#define PREFER_BUSY_POLL 69 /* SO_*, the same on all architectures that AF_XDP is used on */
#define BUSY_POLL 46
#define BUSY_POLL_BUDGET 70

enum step { STEP_SOCKET = 1, STEP_UMEM, STEP_RINGS, STEP_MAP, STEP_BIND, STEP_BUSY, STEP_MEMORY };

struct umem_reg {
    uint64_t address, length;
    uint32_t chunk_size, headroom, flags, metadata;
};

struct place {
    uint64_t producer, consumer, entries, flags;
};

struct places {
    struct place rx, tx, fill, completion;
};

struct address {
    uint16_t family, flags;
    uint32_t ifindex, queue, shared_fd;
};

static int set(int fd, int level, int name, const void *value, socklen_t size)
{
    return setsockopt(fd, level, name, value, size) < 0 ? -errno : 0;
}

static int set_size(int fd, int name, uint32_t size)
{
    return size ? set(fd, SOL_XDP_LEVEL, name, &size, sizeof(size)) : 0;
}

static int map_ring(struct ring *r, int fd, const struct place *at, int64_t where, uint32_t size,
                    size_t entry)
{
    size_t length = at->entries + size * entry;
    unsigned char *map;

    if (!size)
        return 0;
    map = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, where);
    if (map == MAP_FAILED)
        return -errno;
    r->map = map;
    r->map_size = length;
    r->producer = (uint32_t *)(map + at->producer);
    r->consumer = (uint32_t *)(map + at->consumer);
    r->flags = (uint32_t *)(map + at->flags);
    r->entries = map + at->entries;
    r->size = size;
    r->produced = load_acquire(r->producer);
    r->consumed = load_acquire(r->consumer);
    return 0;
}

static void unmap_ring(struct ring *r)
{
    if (r->map)
        munmap(r->map, r->map_size);
    memset(r, 0, sizeof(*r));
}

static int register_umem(int fd, const struct ebpfasm_xsk_config *c)
{
    const struct ebpfasm_umem *u = c->umem;
    struct umem_reg reg = {
        .address = (uintptr_t)u->area,
        .length = u->size,
        .chunk_size = u->frame_size,
        .headroom = u->headroom,
        .flags = c->umem_flags,
        .metadata = u->metadata,
    };

    return set(fd, SOL_XDP_LEVEL, OPT_UMEM_REG, &reg, sizeof(reg));
}

static int make_rings(struct ebpfasm_xsk_config *c, int fd)
{
    int error = set_size(fd, OPT_RX_RING, c->rx_size);

    if (!error)
        error = set_size(fd, OPT_TX_RING, c->tx_size);
    if (!error && !c->queue)
        error = set_size(fd, OPT_FILL_RING, c->fill_size);
    if (!error && !c->queue)
        error = set_size(fd, OPT_COMPLETION_RING, c->completion_size);
    return error;
}

static int map_rings(struct ebpfasm_xsk_config *c, struct ebpfasm_xsk *x, int own_queue)
{
    struct places at;
    socklen_t size = sizeof(at);
    int error;

    if (getsockopt(x->fd, SOL_XDP_LEVEL, OPT_MMAP_OFFSETS, &at, &size) < 0)
        return -errno;
    if (size < sizeof(at)) /* before 5.4 the kernel had no flags words */
        return -EOPNOTSUPP;
    error = map_ring(&x->rx, x->fd, &at.rx, PLACE_RX, c->rx_size, sizeof(struct ebpfasm_desc));
    if (!error)
        error = map_ring(&x->tx, x->fd, &at.tx, PLACE_TX, c->tx_size, sizeof(struct ebpfasm_desc));
    if (!error && own_queue)
        error = map_ring(&x->queue->fill, x->fd, &at.fill, PLACE_FILL, c->fill_size, 8);
    if (!error && own_queue)
        error = map_ring(&x->queue->completion, x->fd, &at.completion, PLACE_COMPLETION,
                         c->completion_size, 8);
    return error;
}

static int bind_to(int fd, const struct ebpfasm_xsk_config *c)
{
    struct address address = {
        .family = AF_XDP_FAMILY,
        .flags = (uint16_t)(c->shared_fd >= 0 ? FLAG_SHARED_UMEM : c->flags),
        .ifindex = c->ifindex,
        .queue = c->queue_id,
        .shared_fd = c->shared_fd >= 0 ? (uint32_t)c->shared_fd : 0,
    };

    return bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

static int poll_busily(int fd, int microseconds, int budget)
{
    int prefer = 1, error;

    if (!microseconds)
        return 0;
    error = set(fd, SOL_SOCKET, PREFER_BUSY_POLL, &prefer, sizeof(prefer));
    if (!error)
        error = set(fd, SOL_SOCKET, BUSY_POLL, &microseconds, sizeof(microseconds));
    if (!error && budget)
        error = set(fd, SOL_SOCKET, BUSY_POLL_BUDGET, &budget, sizeof(budget));
    return error;
}

/* One call into the kernel sends 32 packets; newer ones can be asked for more. */
static void send_more_at_once(int fd, uint32_t tx_size)
{
    set_size(fd, OPT_MAX_TX_BUDGET, tx_size < MOST_AT_ONCE ? tx_size : MOST_AT_ONCE);
}

static int set_up(struct ebpfasm_xsk_config *c, struct ebpfasm_xsk *x, int own_queue)
{
    int error = 0;

    c->step = STEP_UMEM;
    if (c->shared_fd < 0)
        error = register_umem(x->fd, c);
    if (error)
        return error;
    c->step = STEP_RINGS;
    error = make_rings(c, x->fd);
    if (error)
        return error;
    send_more_at_once(x->fd, c->tx_size);
    c->step = STEP_MAP;
    error = map_rings(c, x, own_queue);
    if (error)
        return error;
    c->step = STEP_BUSY;
    error = poll_busily(x->fd, c->busy_poll, c->busy_budget);
    if (error)
        return error;
    c->step = STEP_BIND;
    return bind_to(x->fd, c);
}

static void tear_down(struct ebpfasm_xsk *x)
{
    unmap_ring(&x->rx);
    unmap_ring(&x->tx);
    if (x->wake_fd >= 0)
        close(x->wake_fd);
    if (x->fd >= 0)
        close(x->fd);
    x->fd = x->wake_fd = -1;
}

void ebpfasm_xsk_delete(struct ebpfasm_xsk *x)
{
    if (!x)
        return;
    pthread_mutex_destroy(&x->rx_lock);
    pthread_mutex_destroy(&x->tx_lock);
    free(x);
}

struct ebpfasm_xsk *ebpfasm_xsk_open(struct ebpfasm_xsk_config *c, int *error)
{
    struct ebpfasm_xsk *x = calloc(1, sizeof(*x));
    struct ebpfasm_queue *own = c->queue ? NULL : calloc(1, sizeof(*own));

    c->step = STEP_MEMORY;
    *error = -ENOMEM;
    if (!x || (!c->queue && !own)) {
        free(x);
        free(own);
        return NULL;
    }
    if (own) {
        own->umem = c->umem;
        own->number = c->number;
        own->target = c->rx_size ? c->target : 0;
        own->wakes = c->wakes;
    }
    pthread_mutex_init(&x->rx_lock, NULL);
    pthread_mutex_init(&x->tx_lock, NULL);
    x->umem = c->umem;
    x->queue = c->queue ? c->queue : own;
    x->fragments = c->fragments;
    x->wakes = x->queue->wakes;
    c->step = STEP_SOCKET;
    x->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    x->fd = socket(AF_XDP_FAMILY, SOCK_RAW | SOCK_CLOEXEC, 0);
    *error = x->fd < 0 || x->wake_fd < 0 ? -errno : set_up(c, x, own != NULL);
    if (*error) {
        if (own)
            ebpfasm_queue_close(own);
        tear_down(x);
        ebpfasm_xsk_delete(x);
        return NULL;
    }
    if (!own && c->rx_size && x->queue->target < c->target)
        x->queue->target = c->target;
    xsk_tend(x, 0);
    return x;
}

struct ebpfasm_queue *ebpfasm_xsk_queue(struct ebpfasm_xsk *x)
{
    return x->queue;
}

int ebpfasm_xsk_fd(struct ebpfasm_xsk *x)
{
    return x->fd;
}

void ebpfasm_xsk_stop(struct ebpfasm_xsk *x)
{
    uint64_t one = 1;

    __atomic_store_n(&x->stopped, 1, __ATOMIC_SEQ_CST);
    while (write(x->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void ebpfasm_xsk_close(struct ebpfasm_xsk *x)
{
    struct ebpfasm_umem *u = x->umem;
    struct ebpfasm_desc desc;

    ebpfasm_xsk_stop(x);
    while (__atomic_load_n(&x->users, __ATOMIC_SEQ_CST))
        sched_yield();
    /* Other sockets may go on with the queue's fill and completion rings: what lies in this one's
     * own rings is not theirs. */
    for (uint32_t i = x->rx.entries ? ring_ready(&x->rx, x->rx.size) : 0; i > 0; i--) {
        long index = xsk_look(x, 0, &desc);

        xsk_consume(x, 1);
        pthread_mutex_lock(&u->lock);
        x->queue->in_fill--;
        if (index >= 0)
            xsk_put_free(u, (uint32_t)index);
        pthread_mutex_unlock(&u->lock);
    }
    if (x->tx.entries) {
        uint32_t consumed = load_acquire(x->tx.consumer), at;
        uint16_t sent = owned(SENT, x->queue);

        /* Linux 5.10 may have sent a frame, and said so in the completion ring, before it says that
         * it took it out of the tx ring: the frame is somebody else's by now. */
        pthread_mutex_lock(&u->lock);
        for (at = consumed; at != x->tx.produced; at++) {
            uint64_t index = frame_of(u, ring_desc(&x->tx, at)->address);

            if (u->owner[index] != sent)
                continue;
            xsk_put_free(u, (uint32_t)index);
            x->queue->in_tx--;
        }
        pthread_mutex_unlock(&u->lock);
        store_release(x->tx.producer, consumed);
    }
    tear_down(x);
}

void ebpfasm_queue_close(struct ebpfasm_queue *q)
{
    struct ebpfasm_umem *u = q->umem;

    unmap_ring(&q->fill);
    unmap_ring(&q->completion);
    pthread_mutex_lock(&u->lock);
    for (uint32_t i = 0; i < u->count; i++)
        if (u->owner[i] == owned(FILL, q) || u->owner[i] == owned(SENT, q))
            xsk_put_free(u, i);
    pthread_mutex_unlock(&u->lock);
    free(q);
}
