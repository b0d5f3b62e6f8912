/* AF_XDP: what a batch does with the contents of its frames. */
#include "frames.h"

#include <errno.h>
#include <stdlib.h>

/* swap(first, second, width) */
PyObject *ebpfasm_frames_swap(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct frames *f = (struct frames *)self;
    long long at[3];
    PyObject *home;
    long result;

    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "three arguments");
    for (int i = 0; i < 3; i++) {
        at[i] = PyLong_AsLongLong(args[i]);
        if (at[i] == -1 && PyErr_Occurred())
            return NULL;
    }
    if (at[2] < 0 || llabs(at[0] - at[1]) < at[2])
        return PyErr_Format(PyExc_ValueError, "the two ranges overlap");
    if (!(home = ebpfasm_frames_home(f)))
        return NULL;
    if (at[2] > UINT32_MAX || llabs(at[0]) > UINT32_MAX || llabs(at[1]) > UINT32_MAX)
        result = -EINVAL;
    else
        result = ebpfasm_umem_swap(f->xsk->umem, descs_of(f), f->count, at[0], at[1],
                                   (uint32_t)at[2]);
    Py_DECREF(home);
    if (result)
        return PyObject_CallMethod(self, "_leaves", "LL", at[0] < at[1] ? at[0] : at[1],
                                   llabs(at[0] - at[1]) + at[2]);
    Py_RETURN_NONE;
}

/* A rectangle of bytes: read(start, width, into), and write(start, from) or
 * write(start, from, width, step); without width and step all of it goes to each frame. */
static PyObject *copy(PyObject *self, PyObject *start_at, PyObject *buffer, int64_t width,
                      int64_t step, int write)
{
    struct frames *f = (struct frames *)self;
    long long start = PyLong_AsLongLong(start_at);
    struct ebpfasm_umem *u;
    Py_buffer rows;
    PyObject *home;
    long result = -EINVAL;

    if (PyErr_Occurred() || !(home = ebpfasm_frames_home(f)))
        return NULL;
    if (PyObject_GetBuffer(buffer, &rows, write ? PyBUF_SIMPLE : PyBUF_WRITABLE) < 0) {
        Py_DECREF(home);
        return NULL;
    }
    u = f->xsk->umem;
    width = width < 0 ? rows.len : width;
    if (width > UINT32_MAX || step > UINT32_MAX || step < 0 ||
        (f->count && rows.len < step * (f->count - 1) + width))
        PyErr_SetString(PyExc_ValueError, "the rows are of another size");
    else if (write && start >= -(int64_t)UINT32_MAX && start <= UINT32_MAX)
        result = ebpfasm_umem_write(u, descs_of(f), f->count, start, (uint32_t)width, rows.buf,
                                    (uint32_t)step);
    else if (!write) {
        ebpfasm_umem_read(u, descs_of(f), f->count, start > UINT32_MAX ? UINT32_MAX : start,
                          (uint32_t)width, rows.buf);
        result = 0;
    }
    PyBuffer_Release(&rows);
    Py_DECREF(home);
    if (PyErr_Occurred())
        return NULL;
    if (result)
        return PyObject_CallMethod(self, "_leaves", "LL", start, (long long)width);
    Py_RETURN_NONE;
}

PyObject *ebpfasm_frames_read(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long width;

    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "three arguments");
    width = PyLong_AsLong(args[1]);
    if (width < 0)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no width");
    return copy(self, args[0], args[2], width, width, 0);
}

PyObject *ebpfasm_frames_write(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    long width = -1, step = 0;

    if (count != 2 && count != 4)
        return PyErr_Format(PyExc_TypeError, "two or four arguments");
    if (count == 4) {
        width = PyLong_AsLong(args[2]);
        step = PyLong_AsLong(args[3]);
        if (PyErr_Occurred())
            return NULL;
    }
    return copy(self, args[0], args[1], width, step, 1);
}
