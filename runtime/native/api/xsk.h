/*
 * AF_XDP sockets: frames of a UMEM, rings, and whole loops over them. Every function may be called
 * from several threads at once; failure is a negative errno. Addresses are plain offsets into the
 * UMEM, in unaligned mode too. What is called for each frame or burst is reached through
 * native/python/frames.c, which keeps the interpreter's lock: it takes microseconds.
 */

/* struct xdp_desc */
struct ebpfasm_desc {
    uint64_t address;
    uint32_t length;
    uint32_t options;
};

struct ebpfasm_xsk_counters {
    uint64_t received, received_bytes;
    uint64_t sent, sent_bytes;
    uint64_t tx_dropped; /* the device's queue refused them; they completed all the same */
};

struct ebpfasm_timestamp {
    uint64_t ticket;
    uint64_t time;
};

struct ebpfasm_umem;
struct ebpfasm_queue;
struct ebpfasm_xsk;

/* Frames over memory that stays the caller's; NULL without memory. */
struct ebpfasm_umem *ebpfasm_umem_new(unsigned char *area, uint32_t frame_size, uint32_t count,
                                      uint32_t headroom, uint32_t metadata, int unaligned);
void ebpfasm_umem_delete(struct ebpfasm_umem *umem);
/* How many frames are free, the user's, in the kernel to receive and to send; and strays. */
void ebpfasm_umem_census(struct ebpfasm_umem *umem, uint64_t *counts);
/* Make up to `count` free frames the user's; how many. Each begins behind the headroom. */
long ebpfasm_umem_take(struct ebpfasm_umem *umem, struct ebpfasm_desc *descs, uint32_t count,
                            uint32_t length);
/* Give the user's frames back. -EINVAL for a frame that is not the user's: *bad is its position,
 * and those before it are given back. */
long ebpfasm_umem_give(struct ebpfasm_umem *umem, const struct ebpfasm_desc *descs,
                            uint32_t count, uint32_t *bad);
long ebpfasm_umem_give_one(struct ebpfasm_umem *umem, uint64_t address);
/* Copy `width` bytes from `start` on of each frame's data to or from rows; bytes outside a frame's
 * chunk read as 0. Writing past a chunk is -EINVAL with nothing written;
 * rows to write are `step` bytes apart. */
void ebpfasm_umem_read(struct ebpfasm_umem *umem, const struct ebpfasm_desc *descs,
                            uint32_t count, int64_t start, uint32_t width, unsigned char *rows);
long ebpfasm_umem_write(struct ebpfasm_umem *umem, const struct ebpfasm_desc *descs,
                             uint32_t count, int64_t start, uint32_t width,
                             const unsigned char *rows, uint32_t step);
/* Exchange two ranges of each frame's data that do not overlap; -EINVAL as above. */
long ebpfasm_umem_swap(struct ebpfasm_umem *umem, const struct ebpfasm_desc *descs,
                            uint32_t count, int64_t first, int64_t second, uint32_t width);
/* Timestamps of completed frames, oldest first; how many. */
long ebpfasm_umem_timestamps(struct ebpfasm_umem *umem, struct ebpfasm_timestamp *out,
                             uint32_t count);

/*
 * Open an AF_XDP socket: register the UMEM (or share it with `shared`), make and map the rings,
 * bind. With `queue` its rings are shared, else *made is a new queue. `step` says what failed.
 */
struct ebpfasm_xsk_config {
    struct ebpfasm_umem *umem;
    struct ebpfasm_queue *queue;
    int shared_fd; /* a bound socket on the same UMEM, -1 for the first one */
    uint32_t ifindex, queue_id;
    uint32_t rx_size, tx_size, fill_size, completion_size;
    uint32_t flags;      /* XDP_COPY and so on, for bind */
    uint32_t umem_flags; /* XDP_UMEM_* */
    uint16_t number;     /* of a new queue in its UMEM */
    uint32_t target;     /* frames that it keeps with the kernel */
    int fragments, wakes;
    int busy_poll, busy_budget; /* microseconds and frames; 0: none */
    int step;
};
struct ebpfasm_xsk *ebpfasm_xsk_open(struct ebpfasm_xsk_config *config, int *error);
/* Wait until nobody is inside, give unsent and unread frames back, unmap and close. Every call on
 * the socket answers -ECANCELED then, until it is deleted. */
void ebpfasm_xsk_close(struct ebpfasm_xsk *xsk);
void ebpfasm_xsk_delete(struct ebpfasm_xsk *xsk);
struct ebpfasm_queue *ebpfasm_xsk_queue(struct ebpfasm_xsk *xsk);
/* Unmap a queue's rings and give every frame that the kernel had back; behind its last socket. */
void ebpfasm_queue_close(struct ebpfasm_queue *queue);
int ebpfasm_xsk_fd(struct ebpfasm_xsk *xsk);
/* Make every wait and loop on the socket end with -ECANCELED. */
void ebpfasm_xsk_stop(struct ebpfasm_xsk *xsk);
void ebpfasm_xsk_counters(struct ebpfasm_xsk *xsk, struct ebpfasm_xsk_counters *out);

/*
 * Receive up to `limit` descriptors, whole packets only; a single packet longer than `limit` comes
 * whole, so there must be room for 32 more. The frames are the user's then. With `peek` the rx
 * ring's consumer index stays where it is until the next call, and ebpfasm_xsk_unread can
 * put the last `count` back; it returns 0 where somebody else has received meanwhile, and 1
 * otherwise.
 */
long ebpfasm_xsk_recv(struct ebpfasm_xsk *xsk, struct ebpfasm_desc *descs, uint32_t limit,
                           int peek);
/* The same, waiting for a first packet: 0 where none came until `deadline`, or before that. */
long ebpfasm_xsk_recv_until(struct ebpfasm_xsk *xsk, struct ebpfasm_desc *descs, uint32_t limit,
                            int peek, int64_t deadline);
long ebpfasm_xsk_unread(struct ebpfasm_xsk *xsk, const struct ebpfasm_desc *descs,
                             uint32_t count);
/*
 * Put the user's frames into the tx ring, whole packets only; how many descriptors fitted. They are
 * the kernel's then. -EINVAL with *bad for one that is no frame of the user's or leaves its chunk:
 * then none is sent.
 */
long ebpfasm_xsk_send(struct ebpfasm_xsk *xsk, const struct ebpfasm_desc *descs,
                           uint32_t count, uint32_t *bad);
long ebpfasm_xsk_send_one(struct ebpfasm_xsk *xsk, uint64_t address, uint32_t length,
                          uint32_t options);
/* Copy a packet into a free frame and send that: 1, or 0 where there is no frame or no room. */
long ebpfasm_xsk_send_bytes(struct ebpfasm_xsk *xsk, const unsigned char *data,
                                 uint32_t length);
/* The same for some of many packets, 64 at most; how many. -EMSGSIZE where one of them is empty or
 * longer than a frame: then none is sent. */
long ebpfasm_xsk_send_all(struct ebpfasm_xsk *xsk, const unsigned char *const *packets,
                          const uint32_t *lengths, uint32_t count);
/* The same for packets of one width that lie one behind the other. */
long ebpfasm_xsk_send_rows(struct ebpfasm_xsk *xsk, const unsigned char *rows, uint32_t width,
                           uint32_t count);
/* Tell the kernel to send what is in the tx ring, where it wants to be told; take completions. */
long ebpfasm_xsk_kick(struct ebpfasm_xsk *xsk);
/* Give one of the user's frames back, and tend; on a closed socket too. */
long ebpfasm_xsk_release(struct ebpfasm_xsk *xsk, uint64_t address);
long ebpfasm_xsk_release_all(struct ebpfasm_xsk *xsk, const struct ebpfasm_desc *descs,
                             uint32_t count, uint32_t *bad);
/* Take completions and refill the fill ring; how many frames the kernel still has to send. */
long ebpfasm_xsk_tend(struct ebpfasm_xsk *xsk);
/* Wait for `events` of poll(2) until a time of CLOCK_MONOTONIC in ns: 0 then or before that. */
long ebpfasm_xsk_wait(struct ebpfasm_xsk *xsk, int events, int64_t deadline);
/* -ENETDOWN or -ENXIO where the interface is down or gone, else 0. */
long ebpfasm_xsk_probe(struct ebpfasm_xsk *xsk);

/*
 * Loops. Each goes on until `limit` packets or `deadline`, returns how many it did, and is called
 * again: so its caller hears signals. -ECANCELED after ebpfasm_xsk_stop.
 */
long ebpfasm_xsk_drop(struct ebpfasm_xsk *xsk, uint64_t limit, int64_t deadline);
/* Send each packet back with source and destination swapped: of Ethernet (layer 2), and of IPv4 and
 * IPv6 (3), and the ports of UDP and TCP (4). Checksums stay right. */
long ebpfasm_xsk_echo(struct ebpfasm_xsk *xsk, int layer, uint64_t limit, int64_t deadline);
/* Send what one socket receives on another one: the same frame on one UMEM, else a copy. A packet
 * that fits no frame of the other UMEM is dropped and counted in *too_long. */
long ebpfasm_xsk_forward(struct ebpfasm_xsk *from, struct ebpfasm_xsk *to, uint64_t limit,
                         int64_t deadline, uint64_t *too_long);
/* Write packets as records of a pcap file with nanoseconds, at most `snap` bytes of each. */
long ebpfasm_xsk_capture(struct ebpfasm_xsk *xsk, int file, uint32_t snap, uint64_t limit,
                         int64_t deadline, uint64_t *bytes);

/* Packets to send again and again: `position` counts them. With `times` (ns) each is not sent
 * before `begin` + its time + so many `period`s as there were rounds. */
struct ebpfasm_replay {
    const unsigned char *data;
    const uint64_t *offsets;
    const uint32_t *lengths;
    const int64_t *times;
    uint64_t count;
    int64_t begin, period;
    uint64_t position;
};
long ebpfasm_xsk_replay(struct ebpfasm_xsk *xsk, struct ebpfasm_replay *replay, uint64_t limit,
                        int64_t deadline);
