/* AF_XDP: packets that are copied into free frames. */
#include "frames.h"

#define AT_ONCE 64
#define FEW 64 /* packets, which the kernel sends in some 50 microseconds and never sleeps over */

/*
 * Beside a thread that computes, giving the lock away for less than its switch interval of 5 ms costs
 * all of that; and alone, as much as all else that Python does for a burst.
 */
long ebpfasm_tell(struct ebpfasm_xsk *x, Py_ssize_t packets)
{
    long told;

    if (packets <= FEW)
        return ebpfasm_xsk_kick(x);
    Py_BEGIN_ALLOW_THREADS
    told = ebpfasm_xsk_kick(x);
    Py_END_ALLOW_THREADS
    return told;
}

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
    uint32_t width; /* of a row */
    Py_ssize_t count;
};

/* 0, or -1 with an exception: rows of another kind, or no array. */
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
        s->width = s->rows.shape[1] > UINT32_MAX ? UINT32_MAX : (uint32_t)s->rows.shape[1];
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

/* Send up to AT_ONCE packets: as ebpfasm_xsk_send_all; INT64_MIN with an exception. */
static int64_t send_some(struct ebpfasm_xsk *x, const struct sending *s, Py_ssize_t from, int *given)
{
    int most = s->count - from < AT_ONCE ? (int)(s->count - from) : AT_ONCE;
    struct packets p;
    int64_t sent = 0;

    p.buffered = 0;
    for (*given = 0; s->tuple && *given < most; (*given)++)
        if (add(&p, *given, PyTuple_GetItem(s->tuple, from + *given)) < 0) {
            sent = INT64_MIN;
            break;
        }
    if (!s->tuple) {
        *given = most;
        sent = ebpfasm_xsk_send_rows(x, (unsigned char *)s->rows.buf + from * s->width, s->width,
                                     (uint32_t)most);
    } else if (!sent) {
        sent = ebpfasm_xsk_send_all(x, p.data, p.lengths, (uint32_t)*given);
    }
    for (int i = 0; i < p.buffered; i++)
        PyBuffer_Release(p.buffers + i);
    return sent;
}

/*
 * How many packets were put into the tx ring, from one on, until one did not fit; a negative errno
 * where none was. If all were, the kernel is told, and what it says comes back where that is an errno.
 * INT64_MIN with an exception.
 */
static int64_t send_from(struct ebpfasm_xsk *x, const struct sending *s, Py_ssize_t from,
                         char *unkicked)
{
    Py_ssize_t done = 0;
    int64_t sent = 0;
    int given = 0;

    while (sent == given && from + done < s->count) {
        sent = send_some(x, s, from + done, &given);
        done += sent > 0 ? (Py_ssize_t)sent : 0;
    }
    if (sent == INT64_MIN)
        return sent;
    if (done && from + done == s->count) {
        long told;

        *unkicked = 0; /* before the kernel is told: other threads may send meanwhile */
        told = ebpfasm_tell(x, done);
        if (told < 0)
            return told;
    }
    return sent < 0 && !done ? sent : done;
}

/* xsk_send_all(socket, packets, from): as send_from, for a tuple of packets, or an array's rows. */
static PyObject *xsk_send_all(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct ebpfasm_xsk *x;
    struct sending s;
    Py_ssize_t from;
    int64_t sent;
    char nobody_s;

    (void)module;
    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "a socket, packets and a number are needed");
    x = PyLong_AsVoidPtr(args[0]);
    from = PyLong_AsSsize_t(args[2]);
    if (PyErr_Occurred() || !x || from < 0)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "no socket or packet");
    if (begin(&s, args[1]) < 0)
        return NULL;
    sent = send_from(x, &s, from, &nobody_s);
    end(&s);
    return sent == INT64_MIN ? NULL : PyLong_FromLongLong(sent);
}

/* What send_all() does with packets alone; where not all fit, or one is refused, Python goes on. */
PyObject *ebpfasm_send_all(struct socket *socket, PyObject *packets)
{
    PyObject *given, *result;
    struct sending s;
    int64_t sent;

    if (PyList_Check(packets))
        given = PyList_AsTuple(packets); /* whoever has it may change it meanwhile */
    else
        given = Py_NewRef(packets);
    if (!given)
        return NULL;
    if (begin(&s, given) < 0) {
        PyErr_Clear();
        Py_DECREF(given);
        return ebpfasm_by((PyObject *)socket, "_send_all_by", &packets, 1, NULL);
    }
    sent = send_from((struct ebpfasm_xsk *)(uintptr_t)socket->xsk, &s, 0, &socket->unkicked);
    end(&s);
    if (sent == INT64_MIN)
        result = NULL;
    else if (sent == s.count)
        result = PyLong_FromLongLong(sent);
    else
        result = PyObject_CallMethod((PyObject *)socket, "_send_rest", "OLO", given, (long long)sent,
                                     Py_None);
    Py_DECREF(given);
    return result;
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
    {"xsk_send_bytes", METHOD(xsk_send_bytes), METH_FASTCALL, NULL},
    {"xsk_send_all", METHOD(xsk_send_all), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int ebpfasm_sending_fill(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
