/*
 * Rings between programs and user space (rings.c, perf.c). A ring's data is mapped twice in a row, so
 * that a record never wraps; `size` is a power of two. Positions count bytes and never go back.
 */
typedef struct {
	unsigned long *consumer, *producer;
	unsigned char *data;
	uint64_t size;
} ebpfasm_ring;

/* A perf ring: the page that describes it, and the data behind it, mapped once. */
typedef struct {
	unsigned char *page, *data;
	uint64_t size;
	uint64_t lost; /* records that the kernel says it had no room for, added up */
	uint64_t seen; /* overwritable: where the newest record was at the last reading */
} ebpfasm_perf;

/*
 * Where records go: their bytes one behind the other, and the place behind each. `length` is that of
 * every record, 0 for any. `refused` is the length of a record that did not fit or has another length,
 * `uniform` the length that all have so far, or -1.
 */
typedef struct {
	unsigned char *out;
	uint64_t room;
	uint32_t *ends; /* NULL where each record has `length` bytes */
	uint64_t capacity;
	uint32_t length, refused;
	uint64_t used, count;
	int64_t uniform;
} ebpfasm_records;

/*
 * Take records out of a ring, as many as there are and fit. Returns 0 where the ring is empty, or its
 * next record is not finished yet; 1 where the room is used up; -EMSGSIZE where the next record has
 * another length, and stays in the ring; -EBADMSG where the memory is no ring. Whatever was taken
 * before is in `records`.
 */
long ebpfasm_ring_read(const ebpfasm_ring *ring, ebpfasm_records *records);
/* Bytes between producer and consumer, headers and unfinished records included. */
uint64_t ebpfasm_ring_unread(const ebpfasm_ring *ring);

/*
 * The same for a ring whose newest records overwrite the oldest (BPF_F_RB_OVERWRITE): `oldest` is where
 * the oldest record begins, which the kernel moves on. A record that goes while it is read is not
 * taken. What went unread is added to *lost, in bytes with headers.
 */
long ebpfasm_ring_read_overwritable(const ebpfasm_ring *ring, const unsigned long *oldest,
                                    ebpfasm_records *records, uint64_t *lost);

/*
 * User space as the producer. Reserve returns where the record's bytes are in the data, -ENOSPC where
 * there is no room now, -E2BIG where there never is, -EBADMSG. Write copies records of one length and
 * returns how many there was room for.
 */
long ebpfasm_user_ring_reserve(const ebpfasm_ring *ring, uint32_t length);
void ebpfasm_user_ring_commit(const ebpfasm_ring *ring, uint64_t place, int discard);
long ebpfasm_user_ring_write(const ebpfasm_ring *ring, const unsigned char *records,
                             uint32_t length, uint64_t count);

/* The same for a perf ring; a record's length is what the program gave, rounded up to 8 with 4 more. */
long ebpfasm_perf_read(ebpfasm_perf *ring, ebpfasm_records *records);
uint64_t ebpfasm_perf_unread(const ebpfasm_perf *ring);
/* Read an overwritable ring whose output is paused, newest record first, back to what was seen. */
long ebpfasm_perf_snapshot(ebpfasm_perf *ring, ebpfasm_records *records);

/*
 * Map a perf event's page and data, `length` bytes, to write to the page where `write`. Returns 0 and
 * fills ring->page and data in, or -errno. A forked child has no such mapping: it must not unmap it.
 */
long ebpfasm_perf_map(ebpfasm_perf *ring, int fd, size_t length, int write);
void ebpfasm_perf_unmap(ebpfasm_perf *ring, size_t length);
