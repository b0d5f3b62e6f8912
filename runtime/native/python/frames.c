/*
 * AF_XDP: the type under a Batch, and what is done once for each burst. Frames are handed out and
 * taken back here with the interpreter's lock, which is given away to wait and to have the kernel
 * send many. Sockets are passed with their native address, which they keep alive.
 */
#include "frames.h"

#include <errno.h>
#include <math.h>

#define MOST_FRAGMENTS 32
#define SLICE 100000000 /* ns to wait at a time: what is down, or gone, wakes nobody */

PyObject *ebpfasm_frames_home(const struct frames *f)
{
    if (f->home)
        return Py_NewRef(f->home);
    PyErr_SetString(PyExc_ValueError, "the batch was given back or sent");
    return NULL;
}

/* ---- making them */

/* Room for so many descriptors, and no lease yet. */
static struct frames *allocate(PyObject *class, uint32_t room)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot((PyTypeObject *)class, Py_tp_alloc);

    return (struct frames *)alloc((PyTypeObject *)class, room);
}

static PyObject *begin(struct frames *f, PyObject *home, struct ebpfasm_xsk *x, uint32_t count)
{
    f->home = Py_NewRef(home);
    f->xsk = x;
    f->count = count;
    return (PyObject *)f;
}

/* How many frames are asked for, and of those how many there can be; 0 with an exception. */
static uint32_t how_many(PyObject *number, uint32_t most)
{
    long count = PyLong_AsLong(number);

    if (count == -1 && PyErr_Occurred())
        return 0;
    if (count < 1) {
        PyErr_Format(PyExc_ValueError, "a burst is at least one frame, not %ld", count);
        return 0;
    }
    most = most ? most : 1;
    return (unsigned long)count < most ? (uint32_t)count : most;
}

/* Nanoseconds of CLOCK_MONOTONIC; -1 with an exception. None is for ever, 0 is now. */
static int64_t deadline_of(PyObject *timeout)
{
    double seconds;

    if (timeout == Py_None)
        return INT64_MAX;
    seconds = PyFloat_AsDouble(timeout);
    if (seconds == -1.0 && PyErr_Occurred())
        return -1;
    if (isnan(seconds)) {
        PyErr_SetString(PyExc_ValueError, "a timeout is a number of seconds");
        return -1;
    }
    if (seconds <= 0)
        return 0;
    return seconds < 1e9 ? xsk_now() + (int64_t)(seconds * 1e9) : INT64_MAX;
}

/* Wait for frames: as ebpfasm_xsk_recv, or INT64_MIN with an exception. */
static int64_t patiently(struct ebpfasm_xsk *x, struct ebpfasm_desc *descs, uint32_t limit,
                         int64_t deadline)
{
    for (;;) {
        int64_t now = xsk_now(), until = deadline - now < SLICE ? deadline : now + SLICE;
        long got;

        if (now >= deadline)
            return 0;
        Py_BEGIN_ALLOW_THREADS
        got = ebpfasm_xsk_recv_until(x, descs, limit, 0, until);
        Py_END_ALLOW_THREADS
        if (got && got != -EINTR)
            return got;
        if (PyErr_CheckSignals() < 0)
            return INT64_MIN;
    }
}

/* A batch; the socket says why there can be none. */
PyObject *ebpfasm_frames_received(PyObject *class, PyObject *home, struct ebpfasm_xsk *x,
                                  PyObject *limit, PyObject *timeout)
{
    uint32_t most = how_many(limit, x->rx.size);
    struct frames *made;
    int64_t got;

    if (!most)
        return NULL;
    made = allocate(class, most + (x->fragments ? MOST_FRAGMENTS : 0));
    if (!made)
        return NULL;
    got = ebpfasm_xsk_recv(x, made->descs, most, 0);
    if (!got) {
        int64_t deadline = deadline_of(timeout);

        got = deadline < 0 ? INT64_MIN : patiently(x, made->descs, most, deadline);
    }
    if (got >= 0)
        return begin(made, home, x, (uint32_t)got);
    Py_DECREF(made);
    return got == INT64_MIN ? NULL : PyObject_CallMethod(home, "fail", "L", (long long)got);
}

/* received(socket, native, limit, timeout) */
static PyObject *frames_received(PyObject *class, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_xsk *x;

    if (count != 4 || !(x = PyLong_AsVoidPtr(args[1])))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "four arguments");
    return ebpfasm_frames_received(class, args[0], x, args[2], args[3]);
}

/* taken(socket, native, count, length, timeout): a batch of free frames; the socket waits for them
 * where none is free, and says what is wrong with a length. */
static PyObject *frames_taken(PyObject *class, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_xsk *x;
    struct frames *made;
    uint32_t wanted, got;
    long length;

    if (count != 5 || !(x = PyLong_AsVoidPtr(args[1])))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_TypeError, "five arguments");
    length = PyLong_AsLong(args[3]);
    if ((length == -1 && PyErr_Occurred()) || !(wanted = how_many(args[2], x->umem->count)))
        return NULL;
    if (length < 0 || length > (long)(x->umem->frame_size - PACKET_HEADROOM - x->umem->headroom))
        return PyObject_CallMethod(args[0], "does_not_fit", "l", length);
    made = allocate(class, wanted);
    if (!made)
        return NULL;
    got = (uint32_t)ebpfasm_umem_take(x->umem, made->descs, wanted, (uint32_t)length);
    if (got)
        return begin(made, args[0], x, got);
    Py_DECREF(made);
    return PyObject_CallMethod(args[0], "wait_for_frames", "IlO", wanted, length, args[4]);
}

static uint32_t room_of(PyObject *memory)
{
    return (uint32_t)(PyByteArray_Size(memory) / (Py_ssize_t)sizeof(struct ebpfasm_desc));
}

/* made(socket, native, descriptors): a batch of frames that are the user's already. */
static PyObject *frames_made(PyObject *class, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_xsk *x;
    struct frames *made;

    if (count != 3 || !PyByteArray_Check(args[2]))
        return PyErr_Format(PyExc_TypeError, "three arguments, the last a bytearray");
    if (!(x = PyLong_AsVoidPtr(args[1])))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no socket");
    if (!(made = allocate(class, 0)))
        return NULL;
    hold(&made->memory, args[2]);
    return begin(made, args[0], x, room_of(args[2]));
}

/* keep(descriptors): those that are left. */
static PyObject *frames_keep(PyObject *self, PyObject *memory)
{
    struct frames *f = (struct frames *)self;

    if (!PyByteArray_Check(memory))
        return PyErr_Format(PyExc_TypeError, "descriptors are a bytearray");
    f->count = room_of(memory);
    hold(&f->memory, memory);
    Py_RETURN_NONE;
}

/* ---- the end of the leases */

static uint32_t packets_of(struct frames *f)
{
    const struct ebpfasm_desc *descs = descs_of(f);
    uint32_t packets = 0;

    if (f->xsk && !f->xsk->fragments)
        return f->count;
    for (uint32_t i = 0; i < f->count; i++)
        packets += !(descs[i].options & PKT_CONTD);
    return packets;
}

/* attempt(native): as ebpfasm_xsk_send; where all were put into the ring the leases have ended. */
static PyObject *frames_attempt(PyObject *self, PyObject *native)
{
    struct frames *f = (struct frames *)self;
    struct ebpfasm_xsk *to = PyLong_AsVoidPtr(native);
    long sent;

    if (!to || ebpfasm_frames_nobody_looks(f) < 0)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no socket");
    if (!f->home)
        return ebpfasm_frames_home(f);
    sent = ebpfasm_xsk_send(to, descs_of(f), f->count, &f->bad);
    if (sent == (long)f->count)
        Py_CLEAR(f->home);
    return PyLong_FromLong(sent);
}

/* send(timeout): on the socket they came from, and tell the kernel; how many packets. Where not all
 * fit, or one is refused, it goes on in Python. */
PyObject *ebpfasm_frames_send(PyObject *self, PyObject *timeout)
{
    struct frames *f = (struct frames *)self;
    struct ebpfasm_xsk *x = f->xsk;
    PyObject *home, *result;
    uint32_t packets;
    long sent, told;

    if (ebpfasm_frames_nobody_looks(f) < 0 || !(home = ebpfasm_frames_home(f)))
        return NULL;
    packets = packets_of(f);
    sent = ebpfasm_xsk_send(x, descs_of(f), f->count, &f->bad);
    if (sent == (long)f->count) {
        Py_CLEAR(f->home);
        told = ebpfasm_tell(x, f->count);
        result = told < 0 ? PyObject_CallMethod(home, "fail", "l", told)
                          : PyLong_FromUnsignedLong(packets);
    } else {
        result = PyObject_CallMethod(self, "_send_rest", "OlO", home, sent, timeout);
    }
    Py_DECREF(home);
    return result;
}

/* The descriptors, to be read and written: from here on they lie there. */
static PyObject *frames_memory(PyObject *self, void *closure)
{
    struct frames *f = (struct frames *)self;

    (void)closure;
    if (!f->memory)
        f->memory = PyByteArray_FromStringAndSize((const char *)f->descs,
                                                  (Py_ssize_t)(f->count * sizeof(*f->descs)));
    return Py_XNewRef(f->memory);
}

static PyObject *frames_packets(PyObject *self, void *closure)
{
    (void)closure;
    return PyLong_FromUnsignedLong(packets_of((struct frames *)self));
}

/* 0, or a negative errno with `bad`. */
static long give_back(struct frames *f)
{
    long result = f->count ? ebpfasm_xsk_release_all(f->xsk, descs_of(f), f->count, &f->bad) : 0;

    if (!result)
        Py_CLEAR(f->home);
    return result;
}

PyObject *ebpfasm_frames_release(PyObject *self, PyObject *none)
{
    struct frames *f = (struct frames *)self;

    (void)none;
    if (!f->home)
        Py_RETURN_NONE;
    if (ebpfasm_frames_nobody_looks(f) < 0)
        return NULL;
    if (give_back(f) < 0)
        return PyObject_CallMethod(self, "_refused", "I", f->bad);
    Py_RETURN_NONE;
}

static void frames_finalize(PyObject *self)
{
    struct frames *f = (struct frames *)self;
    PyObject *type, *value, *traceback;

    if (!f->home)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (f->count && PyErr_WarnFormat(PyExc_ResourceWarning, 1,
                                     "%u leases of a batch were forgotten", f->count) < 0)
        PyErr_WriteUnraisable(self);
    give_back(f);
    PyErr_Restore(type, value, traceback);
}

/* ---- the type */

static Py_ssize_t frames_length(PyObject *self)
{
    return ((struct frames *)self)->count;
}

static int frames_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct frames *f = (struct frames *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(f->home);
    Py_VISIT(f->left);
    return 0;
}

static int frames_clear(PyObject *self)
{
    struct frames *f = (struct frames *)self;

    Py_CLEAR(f->home);
    Py_CLEAR(f->left);
    return 0;
}

static void frames_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    frames_clear(self);
    Py_CLEAR(((struct frames *)self)->memory);
    free_object(self);
}

static PyMethodDef frames_methods[] = {
    {"_received", METHOD(frames_received), METH_FASTCALL | METH_CLASS, NULL},
    {"_taken", METHOD(frames_taken), METH_FASTCALL | METH_CLASS, NULL},
    {"_made", METHOD(frames_made), METH_FASTCALL | METH_CLASS, NULL},
    {"_keep", frames_keep, METH_O, NULL},
    {"_send", ebpfasm_frames_send, METH_O, NULL},
    {"_attempt", frames_attempt, METH_O, NULL},
    {"_release", ebpfasm_frames_release, METH_NOARGS, NULL},
    {"_swap", METHOD(ebpfasm_frames_swap), METH_FASTCALL, NULL},
    {"_read", METHOD(ebpfasm_frames_read), METH_FASTCALL, NULL},
    {"_write", METHOD(ebpfasm_frames_write), METH_FASTCALL, NULL},
    {"_unpack", METHOD(ebpfasm_frames_unpack), METH_FASTCALL, NULL},
    {"_pack", METHOD(ebpfasm_frames_pack), METH_FASTCALL, NULL},
    {"_headers", METHOD(ebpfasm_frames_headers), METH_FASTCALL, NULL},
    {"_put", METHOD(ebpfasm_frames_put), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef frames_members[] = {
    {"_home", T_OBJECT, offsetof(struct frames, home), READONLY, NULL},
    {"_bad", T_UINT, offsetof(struct frames, bad), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef frames_getset[] = {
    {"_memory", frames_memory, NULL, NULL, NULL},
    {"_packets", frames_packets, NULL, NULL, NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot frames_slots[] = {
    {Py_tp_methods, frames_methods},
    {Py_tp_members, frames_members},
    {Py_tp_getset, frames_getset},
    {Py_tp_iter, ebpfasm_frames_iter},
    {Py_sq_length, frames_length},
    {Py_bf_getbuffer, ebpfasm_frames_getbuffer},
    {Py_bf_releasebuffer, ebpfasm_frames_releasebuffer},
    {Py_tp_traverse, frames_traverse},
    {Py_tp_clear, frames_clear},
    {Py_tp_finalize, frames_finalize},
    {Py_tp_dealloc, frames_dealloc},
    {0, NULL},
};

static PyType_Spec frames_spec = {
    .name = "ebpfasm._objects.Frames",
    .basicsize = sizeof(struct frames),
    .itemsize = sizeof(struct ebpfasm_desc),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = frames_slots,
};

int ebpfasm_frames_fill(PyObject *module)
{
    if (ebpfasm_views_fill(module) < 0 || add_type(module, &frames_spec) < 0)
        return -1;
    return ebpfasm_headers_fill(module);
}
