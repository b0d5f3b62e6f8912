/* BPF_PROG_TEST_RUN over buffers that are kept from run to run. */

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "native.h"

enum { PROG_TEST_RUN = 10 }; /* enum bpf_cmd */
enum { SHORT = 20000 };      /* nanoseconds; giving the interpreter's lock away costs more */

/* The part of union bpf_attr that the command reads and writes. */
struct test {
    uint32_t prog_fd, retval;
    uint32_t data_size_in, data_size_out;
    uint64_t data_in, data_out;
    uint32_t repeat, duration;
    uint32_t ctx_size_in, ctx_size_out;
    uint64_t ctx_in, ctx_out;
    uint32_t flags, cpu;
    uint32_t batch_size, padding;
};

static inline int run_once(struct ebpfasm_test_run *run, const unsigned char *data, uint32_t size)
{
    struct test attr = {
        .prog_fd = (uint32_t)run->prog_fd,
        .data_size_in = size,
        .data_size_out = run->data_room,
        .data_in = size ? (uintptr_t)data : 0,
        .data_out = run->data_room ? (uintptr_t)run->data_out : 0,
        .repeat = run->repeat,
        .ctx_size_in = run->ctx_size,
        .ctx_size_out = run->ctx_room,
        .ctx_in = run->ctx_size ? (uintptr_t)run->ctx_in : 0,
        .ctx_out = run->ctx_room ? (uintptr_t)run->ctx_out : 0,
        .flags = run->flags,
        .cpu = run->cpu,
        .batch_size = run->batch_size,
    };

    run->error = syscall(__NR_bpf, PROG_TEST_RUN, &attr, sizeof(attr)) < 0 ? -errno : 0;
    run->retval = attr.retval;
    run->duration = attr.duration;
    run->data_size_out = attr.data_size_out;
    run->ctx_size_out = attr.ctx_size_out;
    return run->error;
}

static inline int64_t run_kept(struct ebpfasm_test_run *run)
{
    uint32_t size = run->data_size;

    if (run_once(run, run->data, size) < 0 || run->ctx_size || run->data_size_out != size)
        return -1;
    if (size > run->data_room || (size && memcmp(run->data_out, run->data, size)) || run->duration > INT32_MAX)
        return -1;
    return (int64_t)run->duration << 32 | run->retval;
}

int64_t ebpfasm_test_run(uint64_t run)
{
    return run_kept((void *)(uintptr_t)run);
}

int64_t ebpfasm_held_test_run(uint64_t place)
{
    struct ebpfasm_test_run *run = (void *)(uintptr_t)place;

    return run->duration >= SHORT || run->repeat > 1 ? -2 : run_kept(run);
}

size_t ebpfasm_test_run_each(struct ebpfasm_test_run *run, const unsigned char *data,
                             const uint32_t *sizes, size_t count, uint32_t *retvals,
                             uint32_t *durations, uint32_t *sizes_out, unsigned char *out,
                             size_t room, int *error)
{
    *error = 0;
    for (size_t i = 0; i < count; i++) {
        int result = run_once(run, data, sizes[i]);

        if (result < 0 || run->data_size_out > room) {
            *error = result < 0 ? result : -ENOBUFS;
            return i;
        }
        memcpy(out, run->data_out, run->data_size_out);
        out += run->data_size_out;
        room -= run->data_size_out;
        data += sizes[i];
        retvals[i] = run->retval;
        durations[i] = run->duration;
        sizes_out[i] = run->data_size_out;
    }
    return count;
}
