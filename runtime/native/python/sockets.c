/*
 * AF_XDP: the type under a socket, and what is called for each frame, with sockets and UMEMs given by
 * their native addresses.
 */
#include "frames.h"

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

/* ---- the type */

/* Where nothing is special: frames are neither left from a loop, nor sent and the kernel not told. */
static PyObject *recv_batch(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct socket *s = (struct socket *)self;

    if (count < 1 || count > 2 || names || !s->batches || !s->xsk || s->unkicked
        || (s->pending && PyObject_Size(s->pending)))
        return ebpfasm_by(self, "_recv_batch_by", args, count, names);
    return ebpfasm_frames_received(s->batches, self, (struct ebpfasm_xsk *)(uintptr_t)s->xsk,
                                   args[0], count > 1 ? args[1] : Py_None);
}

static PyObject *send_all(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    struct socket *s = (struct socket *)self;

    if (count != 1 || names || !s->xsk)
        return ebpfasm_by(self, "_send_all_by", args, count, names);
    return ebpfasm_send_all(s, args[0]);
}

/* socket_method(class of Sockets, name, text) */
static PyObject *socket_method(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    static const PyMethodDef methods[] = {
        {"recv_batch", METHOD(recv_batch), METH_FASTCALL | METH_KEYWORDS, NULL},
        {"send_all", METHOD(send_all), METH_FASTCALL | METH_KEYWORDS, NULL},
    };

    return ebpfasm_method_of(module, "Socket", methods, 2, args, count);
}

static int socket_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct socket *)self)->batches);
    Py_VISIT(((struct socket *)self)->pending);
    return 0;
}

static int socket_clear(PyObject *self)
{
    Py_CLEAR(((struct socket *)self)->batches);
    Py_CLEAR(((struct socket *)self)->pending);
    return 0;
}

static void socket_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    socket_clear(self);
    free_object(self);
}

static PyMemberDef socket_members[] = {
    {"pointer", T_ULONGLONG, offsetof(struct socket, xsk), 0, NULL},
    {"_unkicked", T_BOOL, offsetof(struct socket, unkicked), 0, NULL},
    {"_batches", T_OBJECT, offsetof(struct socket, batches), 0, NULL},
    {"_pending", T_OBJECT, offsetof(struct socket, pending), 0, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot socket_slots[] = {
    {Py_tp_members, socket_members},
    {Py_tp_traverse, socket_traverse},
    {Py_tp_clear, socket_clear},
    {Py_tp_dealloc, socket_dealloc},
    {0, NULL},
};

static PyType_Spec socket_spec = {
    .name = "ebpfasm._objects.Socket",
    .basicsize = sizeof(struct socket),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = socket_slots,
};

static PyMethodDef functions[] = {
    {"xsk_recv", METHOD(xsk_recv), METH_FASTCALL, NULL},
    {"xsk_send_one", METHOD(xsk_send_one), METH_FASTCALL, NULL},
    {"xsk_release", METHOD(xsk_release), METH_FASTCALL, NULL},
    {"umem_take", METHOD(umem_take), METH_FASTCALL, NULL},
    {"umem_give", METHOD(umem_give), METH_FASTCALL, NULL},
    {"socket_method", METHOD(socket_method), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int ebpfasm_sockets_fill(PyObject *module)
{
    if (add_type(module, &socket_spec) < 0 || ebpfasm_sending_fill(module) < 0)
        return -1;
    return PyModule_AddFunctions(module, functions);
}
