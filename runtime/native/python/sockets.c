/* AF_XDP: what is called for each frame. Sockets and UMEMs are given by their native addresses. */
#include "frames.h"

#include <errno.h>

#define AT_ONCE 64

/* Integers, the first of them an address that is not NULL; 0, or -1 with an exception. */
static int integers(PyObject *const *args, Py_ssize_t count, Py_ssize_t wanted, uint64_t *out)
{
    if (count != wanted) {
        PyErr_Format(PyExc_TypeError, "%zd arguments", wanted);
        return -1;
    }
    for (Py_ssize_t i = 0; i < count; i++) {
        out[i] = PyLong_AsUnsignedLongLong(args[i]);
        if (out[i] == UINT64_MAX && PyErr_Occurred())
            return -1;
    }
    if (out[0])
        return 0;
    PyErr_SetString(PyExc_ValueError, "no address");
    return -1;
}

static void *pointer(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

/* xsk_recv(socket, descriptors, limit, peek): as ebpfasm_xsk_recv. */
static PyObject *xsk_recv(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    uint64_t at[4];

    (void)module;
    if (integers(args, count, 4, at) < 0)
        return NULL;
    return PyLong_FromLong(ebpfasm_xsk_recv(pointer(at[0]), pointer(at[1]), (uint32_t)at[2],
                                            (int)at[3]));
}

/* xsk_send_one(socket, address, length): as ebpfasm_xsk_send_one. */
static PyObject *xsk_send_one(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    uint64_t at[3];

    (void)module;
    if (integers(args, count, 3, at) < 0)
        return NULL;
    return PyLong_FromLong(ebpfasm_xsk_send_one(pointer(at[0]), at[1], (uint32_t)at[2], 0));
}

/* xsk_release(socket, address): as ebpfasm_xsk_release. */
static PyObject *xsk_release(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    uint64_t at[2];

    (void)module;
    if (integers(args, count, 2, at) < 0)
        return NULL;
    return PyLong_FromLong(ebpfasm_xsk_release(pointer(at[0]), at[1]));
}

/* umem_take(umem, descriptors, count, length): as ebpfasm_umem_take. */
static PyObject *umem_take(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    uint64_t at[4];

    (void)module;
    if (integers(args, count, 4, at) < 0)
        return NULL;
    return PyLong_FromLong(ebpfasm_umem_take(pointer(at[0]), pointer(at[1]), (uint32_t)at[2],
                                             (uint32_t)at[3]));
}

/* umem_give(umem, addresses): give a list of frames back; 0, or a negative errno where one of them
 * was nobody's. */
static PyObject *umem_give(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_umem *umem;
    long result = 0;

    (void)module;
    if (count != 2 || !PyList_Check(args[1]))
        return PyErr_Format(PyExc_TypeError, "a UMEM and a list are needed");
    if (!(umem = PyLong_AsVoidPtr(args[0])))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no UMEM");
    for (Py_ssize_t i = 0; i < PyList_Size(args[1]); i++) {
        uint64_t address = PyLong_AsUnsignedLongLong(PyList_GetItem(args[1], i));
        long one;

        if (address == UINT64_MAX && PyErr_Occurred())
            return NULL;
        one = ebpfasm_umem_give_one(umem, address);
        result = one < 0 ? one : result;
    }
    return PyLong_FromLong(result);
}

/* ---- packets that are copied */

struct packets {
    const unsigned char *data[AT_ONCE];
    uint32_t lengths[AT_ONCE];
    Py_buffer buffers[AT_ONCE]; /* of those that are no bytes objects */
    int buffered;
};

static int add(struct packets *p, int at, PyObject *packet)
{
    Py_buffer *buffer = p->buffers + p->buffered;
    Py_ssize_t size;

    if (PyBytes_Check(packet)) {
        p->data[at] = (const unsigned char *)PyBytes_AsString(packet);
        size = PyBytes_Size(packet);
    } else {
        if (PyObject_GetBuffer(packet, buffer, PyBUF_SIMPLE) < 0)
            return -1;
        p->buffered++;
        p->data[at] = buffer->buf;
        size = buffer->len;
    }
    p->lengths[at] = size > UINT32_MAX ? UINT32_MAX : (uint32_t)size;
    return 0;
}

/* A tuple of packets, or an array of bytes, a row a packet. */
struct sending {
    PyObject *tuple;
    Py_buffer rows; /* where there is no tuple */
    Py_ssize_t count;
};

/* 0, or -1 with an exception. */
static int begin(struct sending *s, PyObject *packets)
{
    s->tuple = PyTuple_Check(packets) ? packets : NULL;
    if (s->tuple) {
        s->count = PyTuple_Size(packets);
        return 0;
    }
    if (PyObject_GetBuffer(packets, &s->rows, PyBUF_C_CONTIGUOUS) < 0)
        return -1;
    if (s->rows.ndim == 2 && s->rows.itemsize == 1) {
        s->count = s->rows.shape[0];
        return 0;
    }
    PyBuffer_Release(&s->rows);
    PyErr_SetString(PyExc_TypeError, "packets are the rows of an array of bytes");
    return -1;
}

static void end(struct sending *s)
{
    if (!s->tuple)
        PyBuffer_Release(&s->rows);
}

/* Row `from + at` is a packet like any other. */
static int add_one(struct packets *p, int at, const struct sending *s, Py_ssize_t from)
{
    Py_ssize_t width;

    if (s->tuple)
        return add(p, at, PyTuple_GetItem(s->tuple, from + at));
    width = s->rows.shape[1];
    p->data[at] = (const unsigned char *)s->rows.buf + (from + at) * width;
    p->lengths[at] = width > UINT32_MAX ? UINT32_MAX : (uint32_t)width;
    return 0;
}

/* Send up to AT_ONCE packets: as ebpfasm_xsk_send_all; INT64_MIN with an exception. */
static int64_t send_some(struct ebpfasm_xsk *x, const struct sending *s, Py_ssize_t from, int *given)
{
    struct packets p;
    int64_t sent = 0;

    p.buffered = 0;
    for (*given = 0; *given < AT_ONCE && from + *given < s->count; (*given)++)
        if (add_one(&p, *given, s, from) < 0) {
            sent = INT64_MIN;
            break;
        }
    if (!sent)
        sent = ebpfasm_xsk_send_all(x, p.data, p.lengths, (uint32_t)*given);
    for (int i = 0; i < p.buffered; i++)
        PyBuffer_Release(p.buffers + i);
    return sent;
}

/* xsk_send_all(socket, packets, from): how many of a tuple's packets, or of an array's rows, were put
 * into the tx ring, from one on, until one did not fit; a negative errno where none was. If all were,
 * the kernel is told, and what it says comes back where that is an errno. */
static PyObject *xsk_send_all(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_xsk *x;
    struct sending s;
    Py_ssize_t from, done = 0;
    int64_t sent = 0;
    int given = 0;

    (void)module;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "a socket, packets and a number are needed");
    x = PyLong_AsVoidPtr(args[0]);
    from = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred() || !x || from < 0)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no socket or packet");
    if (begin(&s, args[1]) < 0)
        return NULL;
    while (sent == given && from + done < s.count) {
        sent = send_some(x, &s, from + done, &given);
        done += sent > 0 ? (Py_ssize_t)sent : 0;
    }
    end(&s);
    if (sent == INT64_MIN)
        return NULL;
    if (done && from + done == s.count) {
        long told;

        Py_BEGIN_ALLOW_THREADS
        told = ebpfasm_xsk_kick(x);
        Py_END_ALLOW_THREADS
        if (told < 0)
            return PyLong_FromLong(told);
    }
    return PyLong_FromLongLong(sent < 0 && !done ? sent : done);
}

/* xsk_send_bytes(socket, packet): as ebpfasm_xsk_send_bytes. */
static PyObject *xsk_send_bytes(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_xsk *x;
    struct packets p;
    long sent;

    (void)module;
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "two arguments");
    if (!(x = PyLong_AsVoidPtr(args[0])))
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no socket");
    p.buffered = 0;
    if (add(&p, 0, args[1]) < 0)
        return NULL;
    sent = ebpfasm_xsk_send_bytes(x, p.data[0], p.lengths[0]);
    if (p.buffered)
        PyBuffer_Release(p.buffers);
    return PyLong_FromLong(sent);
}

static PyMethodDef functions[] = {
    {"xsk_recv", METHOD(xsk_recv), METH_FASTCALL, NULL},
    {"xsk_send_one", METHOD(xsk_send_one), METH_FASTCALL, NULL},
    {"xsk_send_bytes", METHOD(xsk_send_bytes), METH_FASTCALL, NULL},
    {"xsk_send_all", METHOD(xsk_send_all), METH_FASTCALL, NULL},
    {"xsk_release", METHOD(xsk_release), METH_FASTCALL, NULL},
    {"umem_take", METHOD(umem_take), METH_FASTCALL, NULL},
    {"umem_give", METHOD(umem_give), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int ebpfasm_sockets_fill(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
