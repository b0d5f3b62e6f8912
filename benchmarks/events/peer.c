/*
 * Read the records that a program sends in test runs, with libbpf: nanoseconds a record, in the best of
 * so many rounds. peer ring|perf PROGRAM_ID MAP_ID RECORDS ROUNDS
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static unsigned long long sum, seen;

static int on_ring(void *ctx, void *data, size_t size)
{
    (void)ctx;
    (void)size;
    sum += *(unsigned long long *)data;
    seen++;
    return 0;
}

static void on_perf(void *ctx, int cpu, void *data, unsigned int size)
{
    (void)cpu;
    on_ring(ctx, data, size);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void send_records(int program, int records)
{
    char frame[64] = {0};
    LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
                .repeat = records);

    if (bpf_prog_test_run_opts(program, &run))
        exit(1);
}

int main(int argc, char **argv)
{
    int program, map, records, rounds, is_ring;
    struct ring_buffer *ring = NULL;
    struct perf_buffer *perf = NULL;
    double best = 1e18;

    if (argc != 6)
        return 2;
    is_ring = !strcmp(argv[1], "ring");
    program = bpf_prog_get_fd_by_id(atoi(argv[2]));
    map = bpf_map_get_fd_by_id(atoi(argv[3]));
    records = atoi(argv[4]);
    rounds = atoi(argv[5]);
    if (is_ring)
        ring = ring_buffer__new(map, on_ring, NULL, NULL);
    else
        perf = perf_buffer__new(map, 64, on_perf, NULL, NULL, NULL);
    if (!ring && !perf)
        return 1;
    for (int i = 0; i < rounds; i++) {
        double begin, taken;

        send_records(program, records);
        seen = 0;
        begin = now();
        if (is_ring)
            ring_buffer__consume(ring);
        else
            perf_buffer__consume(perf);
        taken = (now() - begin) / seen;
        if (taken < best)
            best = taken;
    }
    ring_buffer__free(ring);
    perf_buffer__free(perf);
    printf("%.2f %llu\n", best, sum);
    return 0;
}
