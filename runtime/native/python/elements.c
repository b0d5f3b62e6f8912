/*
 * Elements of maps, one at a time: the type Elements makes the system calls.
 *
 * Calls that never sleep keep the interpreter's lock: beside a thread that computes, giving it away
 * costs a hundred times as much as the call.
 */
#include "elements.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The part of union bpf_attr that the commands for elements read. */
struct element {
    uint32_t map_fd, padding;
    uint64_t key, value, flags;
};

int ebpfasm_element(const struct elements *e, int cmd, const void *key, const void *value,
                    uint64_t flags)
{
    struct element attr = {
        .map_fd = (uint32_t)e->fd,
        .key = e->key_size ? (uintptr_t)key : 0,
        .value = (uintptr_t)value,
        .flags = flags,
    };
    /* A deletion has a key only, and what stands behind it must be zero. */
    size_t size = cmd == MAP_DELETE_ELEM ? offsetof(struct element, value) : sizeof(attr);
    int error;

    if (e->quick)
        return syscall(__NR_bpf, cmd, &attr, size) < 0 ? errno : 0;
    Py_BEGIN_ALLOW_THREADS
    error = syscall(__NR_bpf, cmd, &attr, size) < 0 ? errno : 0;
    Py_END_ALLOW_THREADS
    return error;
}

static PyObject *refused(int error)
{
    errno = error;
    return PyErr_SetFromErrno(PyExc_OSError);
}

/* ---- elements as bytes */

static int elements_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    struct elements *e = (struct elements *)self;
    Py_ssize_t key_size, value_size;

    (void)kwargs;
    if (!PyArg_ParseTuple(args, "innp:Elements", &e->fd, &key_size, &value_size, &e->quick))
        return -1;
    if (key_size < 0 || value_size < 0) {
        PyErr_SetString(PyExc_ValueError, "sizes are not negative");
        return -1;
    }
    e->key_size = (size_t)key_size;
    e->value_size = (size_t)value_size;
    return 0;
}

/* A buffer of exactly this size; the kernel would read and write past the end of others. */
static int take_buffer(PyObject *object, Py_buffer *buffer, size_t size)
{
    if (PyObject_GetBuffer(object, buffer, PyBUF_SIMPLE) < 0)
        return -1;
    if ((size_t)buffer->len == size)
        return 0;
    PyErr_Format(PyExc_ValueError, "it is %zu bytes, not %zd", size, buffer->len);
    PyBuffer_Release(buffer);
    return -1;
}

static int flags_of(PyObject *const *args, Py_ssize_t count, Py_ssize_t needed, uint64_t *flags)
{
    *flags = 0;
    if (count == needed)
        return 0;
    if (count != needed + 1) {
        PyErr_SetString(PyExc_TypeError, "a key, for writing a value, and flags");
        return -1;
    }
    *flags = PyLong_AsUnsignedLongLong(args[needed]);
    return PyErr_Occurred() ? -1 : 0;
}

/* The value, None where there is none. Raises OSError. */
static PyObject *read_element(PyObject *self, int cmd, PyObject *const *args, Py_ssize_t count)
{
    struct elements *e = (struct elements *)self;
    PyObject *value;
    Py_buffer key;
    uint64_t flags;
    int error;

    if (flags_of(args, count, 1, &flags) < 0 || take_buffer(args[0], &key, e->key_size) < 0)
        return NULL;
    value = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)e->value_size);
    error = value ? ebpfasm_element(e, cmd, key.buf, PyBytes_AsString(value), flags) : 0;
    PyBuffer_Release(&key);
    if (!error)
        return value;
    Py_DECREF(value);
    if (error == ENOENT)
        Py_RETURN_NONE;
    return refused(error);
}

static PyObject *lookup(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return read_element(self, MAP_LOOKUP_ELEM, args, count);
}

static PyObject *take(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    return read_element(self, MAP_TAKE_ELEM, args, count);
}

static PyObject *update(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct elements *e = (struct elements *)self;
    Py_buffer key, value;
    uint64_t flags;
    int error;

    if (flags_of(args, count, 2, &flags) < 0 || take_buffer(args[0], &key, e->key_size) < 0)
        return NULL;
    if (take_buffer(args[1], &value, e->value_size) < 0) {
        PyBuffer_Release(&key);
        return NULL;
    }
    error = ebpfasm_element(e, MAP_UPDATE_ELEM, key.buf, value.buf, flags);
    PyBuffer_Release(&key);
    PyBuffer_Release(&value);
    if (error)
        return refused(error);
    Py_RETURN_NONE;
}

static PyObject *outcome(int error)
{
    if (error && error != ENOENT)
        return refused(error);
    return PyBool_FromLong(!error);
}

static PyObject *delete (PyObject *self, PyObject *given)
{
    struct elements *e = (struct elements *)self;
    Py_buffer key;
    int error;

    if (take_buffer(given, &key, e->key_size) < 0)
        return NULL;
    error = ebpfasm_element(e, MAP_DELETE_ELEM, key.buf, NULL, 0);
    PyBuffer_Release(&key);
    return outcome(error);
}

/* Of a filter, whose look-up reads the value. */
static PyObject *holds(PyObject *self, PyObject *given)
{
    struct elements *e = (struct elements *)self;
    Py_buffer value;
    int error;

    if (take_buffer(given, &value, e->value_size) < 0)
        return NULL;
    error = ebpfasm_element(e, MAP_LOOKUP_ELEM, NULL, value.buf, 0);
    PyBuffer_Release(&value);
    return outcome(error);
}

static PyObject *close_elements(PyObject *self, PyObject *unused)
{
    (void)unused;
    ((struct elements *)self)->fd = -1;
    Py_RETURN_NONE;
}

static void elements_dealloc(PyObject *self)
{
    free_object(self);
}

int ebpfasm_is_elements(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_dealloc) == (void *)elements_dealloc;
}

static PyMethodDef elements_methods[] = {
    {"lookup", METHOD(lookup), METH_FASTCALL, "lookup(key, flags=0): the value or None"},
    {"take", METHOD(take), METH_FASTCALL, "take(key, flags=0): the value or None, deleted"},
    {"update", METHOD(update), METH_FASTCALL, "update(key, value, flags=0)"},
    {"delete", delete, METH_O, "delete(key): whether it was there"},
    {"holds", holds, METH_O, "holds(value): whether a filter has it"},
    {"close", close_elements, METH_NOARGS, "make every later call fail with EBADF"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot elements_slots[] = {
    {Py_tp_init, elements_init},
    {Py_tp_dealloc, elements_dealloc},
    {Py_tp_methods, elements_methods},
    {0, NULL},
};

PyType_Spec ebpfasm_elements_spec = {
    .name = "ebpfasm._objects.Elements",
    .basicsize = sizeof(struct elements),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = elements_slots,
};
