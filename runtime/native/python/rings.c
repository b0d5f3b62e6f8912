/*
 * Reading rings where little waits in them, without giving the interpreter's lock away: beside a thread
 * that computes it comes back after the interpreter's switch interval, 5 ms, in which one could read a
 * quarter of a million records. Where much waits, others may run meanwhile.
 *
 * Rings and records are given as the addresses of the structures in api/rings.h, which are cffi's.
 */
#include "python.h"

#include "native.h"

enum { LITTLE = 1 << 20 }; /* bytes, read in a millisecond or so */

/* The addresses in so many arguments; -1 with an exception. */
static int addresses(PyObject *const *args, Py_ssize_t count, Py_ssize_t needed, void **found)
{
    if (count != needed) {
        PyErr_SetString(PyExc_TypeError, "a ring's address, for reading that of the records too");
        return -1;
    }
    for (Py_ssize_t i = 0; i < needed; i++) {
        found[i] = PyLong_AsVoidPtr(args[i]);
        if (!found[i]) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "there is nothing at 0");
            return -1;
        }
    }
    return 0;
}

static int is_little(uint64_t unread, const ebpfasm_records *records)
{
    return unread <= LITTLE && records->room <= LITTLE;
}

PyObject *ebpfasm_short_ring_unread(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    void *at[1];

    (void)module;
    if (addresses(args, count, 1, at) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(ebpfasm_ring_unread(at[0]));
}

PyObject *ebpfasm_short_perf_unread(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    void *at[1];

    (void)module;
    if (addresses(args, count, 1, at) < 0)
        return NULL;
    return PyLong_FromUnsignedLongLong(ebpfasm_perf_unread(at[0]));
}

PyObject *ebpfasm_short_ring_read(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    void *at[2];
    long result;

    (void)module;
    if (addresses(args, count, 2, at) < 0)
        return NULL;
    if (is_little(ebpfasm_ring_unread(at[0]), at[1]))
        return PyLong_FromLong(ebpfasm_ring_read(at[0], at[1]));
    Py_BEGIN_ALLOW_THREADS
    result = ebpfasm_ring_read(at[0], at[1]);
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(result);
}

PyObject *ebpfasm_short_perf_read(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    void *at[2];
    long result;

    (void)module;
    if (addresses(args, count, 2, at) < 0)
        return NULL;
    if (is_little(ebpfasm_perf_unread(at[0]), at[1]))
        return PyLong_FromLong(ebpfasm_perf_read(at[0], at[1]));
    Py_BEGIN_ALLOW_THREADS
    result = ebpfasm_perf_read(at[0], at[1]);
    Py_END_ALLOW_THREADS
    return PyLong_FromLong(result);
}
