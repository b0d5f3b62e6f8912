/* A test run's settings, and what comes of it. Output goes to `data_out` and `ctx_out`. */
struct ebpfasm_test_run {
    int prog_fd;
    uint32_t repeat, flags, cpu, batch_size;
    uint32_t retval, duration;
    unsigned char *data_out, *ctx_in, *ctx_out;
    uint32_t data_room, ctx_size, ctx_room; /* bytes there are */
    uint32_t data_size_out, ctx_size_out; /* bytes that came, or would have come */
};

/*
 * Run a program once on a frame of `size` bytes, 0 for none (BPF_PROG_TEST_RUN). Returns
 * data_size_out << 32 | retval, or -errno.
 */
int64_t ebpfasm_test_run(struct ebpfasm_test_run *run, const unsigned char *data, uint32_t size);

/*
 * The same for frame after frame, which lie behind each other in `data`. Frame i is sizes[i] bytes;
 * what becomes of it goes behind the others into `out`, which has `room` bytes, retvals[i],
 * durations[i] and sizes_out[i]. Returns how many ran; *error is -errno of the next one, or
 * -ENOBUFS where there is no room for what came out of it.
 */
size_t ebpfasm_test_run_each(struct ebpfasm_test_run *run, const unsigned char *data,
                             const uint32_t *sizes, size_t count, uint32_t *retvals,
                             uint32_t *durations, uint32_t *sizes_out, unsigned char *out,
                             size_t room, int *error);
