/* BPF_PROG_TEST_RUN on frame after frame. */
#include "testrun.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct frame {
    const char *data;
    uint32_t size;
};

/* Columns of what comes of frames: where the next one goes. */
struct columns {
    uint32_t *retvals, *durations, *sizes;
    char *out;
    size_t room, used;
};

static size_t run_frames(struct runner *r, const struct frame *frames, size_t count,
                         struct columns *to, int *error)
{
    *error = 0;
    for (size_t i = 0; i < count; i++) {
        struct test attr = r->fresh;

        attr.data_size_in = frames[i].size;
        attr.data_in = frames[i].size ? (uintptr_t)frames[i].data : 0;
        if (to->room - to->used >= r->room) /* else it is copied, where it fits */
            attr.data_out = r->room ? (uintptr_t)(to->out + to->used) : 0;
        *error = syscall(__NR_bpf, PROG_TEST_RUN, &attr, sizeof(attr)) < 0 ? errno : 0;
        r->needed = attr.data_size_out;
        if (*error || attr.data_size_out > to->room - to->used)
            return i;
        if (attr.data_out && attr.data_out == (uintptr_t)r->out)
            memcpy(to->out + to->used, r->out, attr.data_size_out);
        to->retvals[i] = attr.retval;
        to->durations[i] = attr.duration;
        to->sizes[i] = attr.data_out ? attr.data_size_out : 0;
        to->used += to->sizes[i];
    }
    return count;
}

/* The frames of a tuple; NULL with an exception. */
static struct frame *frames_of(PyObject *tuple, size_t count, size_t *total)
{
    struct frame *frames = PyMem_Calloc(count + 1, sizeof(*frames));

    if (!frames)
        return (void *)PyErr_NoMemory();
    for (size_t i = 0; i < count; i++) {
        PyObject *each = PyTuple_GetItem(tuple, (Py_ssize_t)i);

        if (!PyBytes_CheckExact(each)) {
            PyErr_SetString(PyExc_TypeError, "frames are bytes");
            PyMem_Free(frames);
            return NULL;
        }
        frames[i] = (struct frame){PyBytes_AsString(each), (uint32_t)PyBytes_Size(each)};
        *total += frames[i].size;
    }
    return frames;
}

/* longest(frames): the length of the longest one of a tuple, -1 where one is not bytes. */
PyObject *ebpfasm_longest(PyObject *module, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple), most = 0;

    (void)module;
    if (count < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *each = PyTuple_GetItem(tuple, i);
        Py_ssize_t size = PyBytes_CheckExact(each) ? PyBytes_Size(each) : -1;

        if (size < 0)
            return PyLong_FromLong(-1);
        most = size > most ? size : most;
    }
    return PyLong_FromSsize_t(most);
}

/*
 * run_each(frames) -> retvals, durations, sizes, data, errno: a tuple of frames, until one is refused
 * or the room for what comes out is used up; numbers are columns of 32 bits in bytes. It gives the
 * lock away.
 */
PyObject *ebpfasm_run_each(PyObject *self, PyObject *tuple)
{
    struct runner *r = (struct runner *)self;
    PyObject *made = NULL;
    struct frame *frames;
    struct columns to = {.used = 0};
    size_t count, done, total = 0;
    int error;

    if (!PyTuple_CheckExact(tuple) || !is_usable(r)) {
        PyErr_SetString(PyExc_TypeError, "a prepared runner takes a tuple of frames");
        return NULL;
    }
    count = (size_t)PyTuple_Size(tuple);
    frames = frames_of(tuple, count, &total);
    if (!frames)
        return NULL;
    to.room = total + total / 4 + r->room;
    to.retvals = PyMem_Calloc(count + 1, 3 * sizeof(uint32_t));
    to.out = PyMem_Malloc(to.room + 1);
    if (!to.retvals || !to.out) {
        PyErr_NoMemory();
        goto out;
    }
    to.durations = to.retvals + count;
    to.sizes = to.durations + count;
    r->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    done = run_frames(r, frames, count, &to, &error);
    Py_END_ALLOW_THREADS
    r->busy = 0;
    made = Py_BuildValue("y#y#y#y#i", (char *)to.retvals, (Py_ssize_t)(4 * done),
                         (char *)to.durations, (Py_ssize_t)(4 * done), (char *)to.sizes,
                         (Py_ssize_t)(4 * done), to.out, (Py_ssize_t)to.used, error);
out:
    PyMem_Free(frames);
    PyMem_Free(to.retvals);
    PyMem_Free(to.out);
    return made;
}
