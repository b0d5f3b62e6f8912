/* A test run's settings, and what comes of it. Output goes to `data_out` and `ctx_out`. */
struct ebpfasm_test_run {
    int prog_fd;
    uint32_t repeat, flags, cpu, batch_size;
    uint32_t retval, duration;
    unsigned char *data, *data_out, *ctx_in, *ctx_out;
    uint32_t data_size, data_room, ctx_size, ctx_room; /* bytes there are */
    uint32_t data_size_out, ctx_size_out; /* bytes that came, or would have come */
    int error; /* 0, or the last run's -errno */
};

/*
 * Run a program once on run->data (BPF_PROG_TEST_RUN); `run` is the address of a struct
 * ebpfasm_test_run. Where it has no context and the frame came out as it went in, returns
 * duration << 32 | retval; else, and where it failed, -1, and the struct says what came.
 */
int64_t ebpfasm_test_run(uint64_t run);

/* The same where the run before took less than 20 microseconds; else does nothing, returns -2. */
int64_t ebpfasm_held_test_run(uint64_t run);

/*
 * Run it on frame after frame, which lie behind each other in `data`. Frame i is sizes[i] bytes;
 * what becomes of it goes behind the others into `out`, which has `room` bytes, retvals[i],
 * durations[i] and sizes_out[i]. Returns how many ran; *error is -errno of the next one, or
 * -ENOBUFS where there is no room for what came out of it.
 */
size_t ebpfasm_test_run_each(struct ebpfasm_test_run *run, const unsigned char *data,
                             const uint32_t *sizes, size_t count, uint32_t *retvals,
                             uint32_t *durations, uint32_t *sizes_out, unsigned char *out,
                             size_t room, int *error);
