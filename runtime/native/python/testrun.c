/*
 * BPF_PROG_TEST_RUN: a Runner has what runs of one kind need.
 *
 * A run keeps the interpreter's lock where the one before took less than 20 microseconds: beside a
 * thread that computes, giving it away costs more than that. Frames are read where Python has them.
 */
#include "testrun.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SHORT = 20000 }; /* nanoseconds */

static int runner_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "result", "ctx_stays", NULL};
    struct runner *r = (struct runner *)self;
    PyObject *result;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iOp", names, &r->fd, &result, &r->ctx_stays))
        return -1;
    if (!PyType_Check(result) || !PyType_IsSubtype((PyTypeObject *)result, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "outcomes are named tuples");
        return -1;
    }
    hold(&r->result, result);
    if (!r->nothing)
        r->nothing = PyBytes_FromStringAndSize(NULL, 0);
    return r->nothing ? 0 : -1;
}

static int runner_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct runner *r = (struct runner *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(r->result);
    Py_VISIT(r->settings);
    for (int i = 0; i < 2; i++)
        Py_VISIT(r->given[i].outcome);
    return 0;
}

static int runner_clear(PyObject *self)
{
    struct runner *r = (struct runner *)self;

    for (int i = 0; i < 2; i++)
        Py_CLEAR(r->given[i].outcome);
    Py_CLEAR(r->result);
    Py_CLEAR(r->settings);
    return 0;
}

static void runner_dealloc(PyObject *self)
{
    struct runner *r = (struct runner *)self;

    PyObject_GC_UnTrack(self);
    runner_clear(self);
    Py_CLEAR(r->ctx);
    Py_CLEAR(r->nothing);
    PyMem_Free(r->out);
    PyMem_Free(r->ctx_room);
    free_object(self);
}

static void describe(struct runner *r, uint32_t repeat, uint32_t flags, uint32_t cpu,
                     uint32_t batch_size)
{
    uint32_t ctx_size = (uint32_t)PyBytes_Size(r->ctx);
    int ctx_comes_out = ctx_size && !r->ctx_stays;
    const void *ctx_in = ctx_comes_out ? PyBytes_AsString(r->ctx) : (char *)r->ctx_room;

    r->fresh = (struct test){
        .prog_fd = (uint32_t)r->fd,
        .data_size_out = r->room,
        .data_out = r->room ? (uintptr_t)r->out : 0,
        .repeat = repeat,
        .ctx_size_in = ctx_size,
        .ctx_size_out = ctx_comes_out ? ctx_size : 0,
        .ctx_in = ctx_size ? (uintptr_t)ctx_in : 0,
        .ctx_out = ctx_comes_out ? (uintptr_t)r->ctx_room : 0,
        .flags = flags,
        .cpu = cpu,
        .batch_size = batch_size,
    };
}

/* prepare(settings, ctx, longest): settings are repeat, room, flags, cpu and batch_size. */
static PyObject *prepare(PyObject *self, PyObject *args)
{
    struct runner *r = (struct runner *)self;
    PyObject *settings, *ctx;
    unsigned int repeat, room, flags, cpu, batch_size;
    unsigned char *out, *ctx_room;
    unsigned long long longest;

    if (!PyArg_ParseTuple(args, "O!SK:prepare", &PyTuple_Type, &settings, &ctx, &longest))
        return NULL;
    if (!PyArg_ParseTuple(settings, "IIIII", &repeat, &room, &flags, &cpu, &batch_size))
        return NULL;
    if (r->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread runs it");
        return NULL;
    }
    out = PyMem_Malloc(room ? room : 1);
    ctx_room = PyMem_Malloc((size_t)PyBytes_Size(ctx) + 1);
    if (!out || !ctx_room) {
        PyMem_Free(out);
        PyMem_Free(ctx_room);
        return PyErr_NoMemory();
    }
    PyMem_Free(r->out);
    PyMem_Free(r->ctx_room);
    r->out = out;
    r->ctx_room = ctx_room;
    hold(&r->settings, settings);
    hold(&r->ctx, ctx);
    r->room = room;
    r->duration = UINT32_MAX;
    r->longest = longest;
    describe(r, repeat, flags, cpu, batch_size);
    Py_RETURN_NONE;
}

/* Run once; what comes is in *attr. 0 or errno. Other threads may run meanwhile, not this runner. */
static int run_once(struct runner *r, struct test *attr, const char *data, uint32_t size)
{
    int error;

    attr->data_size_in = size;
    attr->data_in = size ? (uintptr_t)data : 0;
    if (r->duration < SHORT && attr->repeat <= 1) {
        error = syscall(__NR_bpf, PROG_TEST_RUN, attr, sizeof(*attr)) < 0 ? errno : 0;
    } else {
        r->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        error = syscall(__NR_bpf, PROG_TEST_RUN, attr, sizeof(*attr)) < 0 ? errno : 0;
        Py_END_ALLOW_THREADS
        r->busy = 0;
    }
    r->duration = attr->duration;
    r->needed = attr->data_size_out;
    return error;
}

/* The frame that came out: the very object that went in, where it is the same bytes. */
static PyObject *data_out(const struct runner *r, const struct test *attr, PyObject *data,
                          const char *bytes)
{
    uint32_t size = attr->data_size_out < r->room ? attr->data_size_out : r->room;

    if (size == attr->data_size_in && memcmp(r->out, bytes, size) == 0) {
        Py_INCREF(data);
        return data;
    }
    return PyBytes_FromStringAndSize((const char *)r->out, size);
}

static PyObject *ctx_out(const struct runner *r, const struct test *attr)
{
    uint32_t size = r->ctx_stays ? attr->ctx_size_in : attr->ctx_size_out;

    if (!attr->ctx_size_in || !size) {
        Py_INCREF(r->nothing);
        return r->nothing;
    }
    if (size > attr->ctx_size_in)
        size = attr->ctx_size_in;
    return PyBytes_FromStringAndSize((const char *)r->ctx_room, size);
}

/* A new outcome, which is noted. */
static PyObject *fresh_outcome(struct runner *r, const struct test *attr, PyObject *data,
                               struct given *given)
{
    PyObject *parts[] = {
        PyLong_FromUnsignedLong(attr->retval),
        data,
        PyLong_FromUnsignedLong(attr->duration),
        ctx_out(r, attr),
    };
    /* What the class's own __new__ does, without the tuple of arguments. */
    PyObject *made = PyType_GenericAlloc((PyTypeObject *)r->result, 4);

    for (int i = 0; i < 4; i++) {
        if (!made)
            Py_XDECREF(parts[i]);
        else if (!parts[i])
            Py_CLEAR(made);
        else
            PyTuple_SetItem(made, i, parts[i]);
    }
    if (made) {
        hold(&given->outcome, made);
        given->data = data;
        given->retval = attr->retval;
        given->duration = attr->duration;
    }
    return made;
}

/* An outcome that nobody has any more, made to say what came; only what differs is written. */
static PyObject *used_outcome(const struct test *attr, PyObject *data, struct given *given)
{
    PyObject *retval = NULL, *duration = NULL;

    if (given->retval != attr->retval && !(retval = PyLong_FromUnsignedLong(attr->retval)))
        goto error;
    if (given->duration != attr->duration && !(duration = PyLong_FromUnsignedLong(attr->duration)))
        goto error;
    if (retval)
        PyTuple_SetItem(given->outcome, 0, retval);
    if (duration)
        PyTuple_SetItem(given->outcome, 2, duration);
    if (given->data != data)
        PyTuple_SetItem(given->outcome, 1, data);
    else
        Py_DECREF(data);
    given->data = data;
    given->retval = attr->retval;
    given->duration = attr->duration;
    Py_INCREF(given->outcome);
    return given->outcome;
error:
    Py_XDECREF(retval);
    Py_DECREF(data);
    return NULL;
}

static PyObject *outcome(struct runner *r, const struct test *attr, PyObject *data,
                         const char *bytes)
{
    struct given *given = &r->given[r->turn++ & 1];
    PyObject *out = data_out(r, attr, data, bytes);

    if (given->outcome && Py_REFCNT(given->outcome) == 1 && !attr->ctx_size_in && out)
        return used_outcome(attr, out, given);
    return fresh_outcome(r, attr, out, given);
}

PyObject *ebpfasm_run_on(struct runner *r, PyObject *data, int *error)
{
    struct test attr = r->fresh;
    char *bytes;
    Py_ssize_t size;

    *error = 0;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0)
        return NULL;
    if (attr.ctx_size_in && r->ctx_stays)
        memcpy(r->ctx_room, PyBytes_AsString(r->ctx), attr.ctx_size_in);
    *error = run_once(r, &attr, bytes, (uint32_t)size);
    return *error ? NULL : outcome(r, &attr, data, bytes);
}

/* run(data): one run as prepared. Raises OSError. */
static PyObject *run(PyObject *self, PyObject *data)
{
    struct runner *r = (struct runner *)self;
    PyObject *made;
    int error;

    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "a frame is bytes");
        return NULL;
    }
    if (!is_usable(r)) {
        PyErr_SetString(PyExc_RuntimeError, "not prepared, or another thread runs it");
        return NULL;
    }
    made = ebpfasm_run_on(r, data, &error);
    if (error) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return made;
}

int ebpfasm_is_runner(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_dealloc) == (void *)runner_dealloc;
}

static PyMethodDef runner_methods[] = {
    {"prepare", prepare, METH_VARARGS, "make room for runs of a kind"},
    {"run", run, METH_O, "run once"},
    {"run_each", ebpfasm_run_each, METH_O, "run on each frame"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef runner_members[] = {
    {"settings", T_OBJECT, offsetof(struct runner, settings), READONLY, "what it is prepared for"},
    {"room", T_UINT, offsetof(struct runner, room), READONLY, "bytes for the frame that comes out"},
    {"needed", T_UINT, offsetof(struct runner, needed), READONLY, "bytes that the last one had"},
    {"longest", T_ULONGLONG, offsetof(struct runner, longest), READONLY, "frame it is meant for"},
    {"busy", T_INT, offsetof(struct runner, busy), READONLY, "whether a thread runs it"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot runner_slots[] = {
    {Py_tp_init, runner_init},
    {Py_tp_traverse, runner_traverse},
    {Py_tp_clear, runner_clear},
    {Py_tp_dealloc, runner_dealloc},
    {Py_tp_methods, runner_methods},
    {Py_tp_members, runner_members},
    {0, NULL},
};

PyType_Spec ebpfasm_runner_spec = {
    .name = "ebpfasm._objects.Runner",
    .basicsize = sizeof(struct runner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = runner_slots,
};
