/* BPF_PROG_TEST_RUN: what a Runner is, for the files that run frames with it. */
#ifndef EBPFASM_TESTRUN_H
#define EBPFASM_TESTRUN_H

#include "python.h"

enum { PROG_TEST_RUN = 10 }; /* enum bpf_cmd */

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

/*
 * An outcome that was given out. When nobody has it any more it becomes the next one, as zip() does
 * with its tuples; what it says is noted here, for all calls behind a system call are slow.
 */
struct given {
    PyObject *outcome;
    PyObject *data; /* its own */
    uint32_t retval, duration;
};

struct runner {
    PyObject_HEAD
    struct test fresh;     /* what each run begins with */
    struct given given[2]; /* two: the one before is often still somebody's */
    unsigned turn;
    PyObject *result;   /* the class of outcomes, a named tuple's */
    PyObject *settings; /* what runs are asked for, as Python has it */
    PyObject *ctx;      /* bytes; of the kinds that change it in place, each run gets a copy */
    PyObject *nothing;  /* b"" */
    unsigned char *out, *ctx_room;
    int fd, ctx_stays, busy;
    uint32_t room;
    uint32_t duration; /* of the last run; not known at first */
    uint32_t needed;
    unsigned long long longest; /* frame that it is meant for */
};

/* testrun.c. What a run gives, or NULL; *error is errno where the kernel refused, without exception. */
PyObject *ebpfasm_run_on(struct runner *r, PyObject *data, int *error);
int ebpfasm_is_runner(PyObject *object);

/* testruns.c: the method run_each */
PyObject *ebpfasm_run_each(PyObject *self, PyObject *tuple);

static inline int is_usable(const struct runner *r)
{
    return r->settings && !r->busy;
}

#endif
