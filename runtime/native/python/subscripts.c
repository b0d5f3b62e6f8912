/*
 * The type Subscripts, what a map is to this file: the shortest way from `m[key]` to the system call
 * and back. A map says with _direct() how its keys and values look; whatever is not settled here at
 * once goes the ordinary way, the map's _getitem, _setitem and _delitem, which know why.
 */
#include "decode.h"
#include "elements.h"

#include <errno.h>
#include <string.h>

enum { ON_STACK = 256 }; /* bytes of a key or value that need no memory of their own */

/* How values become bytes: integers by a code of struct, what else there is by a call. */
struct packing {
    char code;
    PyObject *pack;
};

struct subscripts {
    PyObject_HEAD
    struct elements *elements; /* NULL: there is no short way */
    struct decoder *read;      /* makes values */
    struct packing key, value;
};

struct room {
    unsigned char few[ON_STACK];
    unsigned char *bytes;
};

static int make_room(struct room *room, size_t size)
{
    room->bytes = size <= ON_STACK ? room->few : PyMem_Malloc(size);
    if (!room->bytes)
        PyErr_NoMemory();
    return room->bytes ? 0 : -1;
}

static void free_room(struct room *room)
{
    if (room->bytes != room->few)
        PyMem_Free(room->bytes);
}

/* ---- values to bytes. 1: done, 0: by the ordinary way, -1: an exception */

#define STORE(type)                                                                                \
    do {                                                                                           \
        type number_ = (type)number;                                                               \
        memcpy(to, &number_, sizeof(number_));                                                     \
    } while (0)

static void store(uint64_t number, size_t size, unsigned char *to)
{
    switch (size) {
    case 1:
        STORE(uint8_t);
        break;
    case 2:
        STORE(uint16_t);
        break;
    case 4:
        STORE(uint32_t);
        break;
    default:
        STORE(uint64_t);
    }
}

static int pack_integer(char code, PyObject *value, size_t size, unsigned char *to)
{
    unsigned bits = 8 * (unsigned)size;
    int overflow, is_signed = code >= 'a';
    long long lowest = -(1LL << (bits - 2)) * 2;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);

    if (is_signed && (overflow || number < lowest || number > -(lowest + 1)))
        return 0;
    if (!is_signed && overflow) { /* the upper half of 64 bits, or nothing that fits */
        uint64_t large = overflow > 0 && bits == 64 ? PyLong_AsUnsignedLongLong(value) : UINT64_MAX;

        if (large == UINT64_MAX) {
            PyErr_Clear();
            return 0;
        }
        number = (long long)large;
    } else if (!is_signed && (number < 0 || (bits < 64 && number >> bits))) {
        return 0;
    }
    store((uint64_t)number, size, to);
    return 1;
}

static int pack(const struct packing *packing, PyObject *value, size_t size, unsigned char *to)
{
    PyObject *raw, *call = packing->pack;
    Py_buffer buffer;
    int result;

    if (packing->code && PyLong_CheckExact(value))
        return pack_integer(packing->code, value, size, to);
    Py_INCREF(call); /* what it runs may give the map other types */
    raw = PyObject_CallFunctionObjArgs(call, value, NULL);
    Py_DECREF(call);
    if (!raw)
        return -1;
    result = PyObject_GetBuffer(raw, &buffer, PyBUF_SIMPLE);
    if (result == 0) {
        result = (size_t)buffer.len == size;
        if (result)
            memcpy(to, buffer.buf, size);
        PyBuffer_Release(&buffer);
    }
    Py_DECREF(raw);
    return result;
}

/* ---- the ordinary way */

static struct {
    PyObject *get, *set, *delete;
} names;

static int make_names(void)
{
    if (!names.get)
        names.get = PyUnicode_InternFromString("_getitem");
    if (!names.set)
        names.set = PyUnicode_InternFromString("_setitem");
    if (!names.delete)
        names.delete = PyUnicode_InternFromString("_delitem");
    return names.get && names.set && names.delete ? 0 : -1;
}

static int nothing_but_success(PyObject *result)
{
    Py_XDECREF(result);
    return result ? 0 : -1;
}

/* As Python raises it: a tuple is a key, and not the arguments of KeyError. */
static void no_such_key(PyObject *key)
{
    PyObject *arguments = PyTuple_New(1);

    if (!arguments)
        return;
    Py_INCREF(key);
    PyTuple_SetItem(arguments, 0, key);
    PyErr_SetObject(PyExc_KeyError, arguments);
    Py_DECREF(arguments);
}

/* ---- the slots */

static PyObject *read_value(struct elements *elements, struct decoder *decoder, PyObject *key,
                            const unsigned char *key_bytes, int *error)
{
    struct room room;
    PyObject *made = NULL;

    if (make_room(&room, elements->value_size) < 0)
        return NULL;
    *error = ebpfasm_element(elements, MAP_LOOKUP_ELEM, key_bytes, room.bytes, 0);
    if (!*error)
        made = ebpfasm_decode(decoder, room.bytes);
    else if (*error == ENOENT)
        no_such_key(key);
    free_room(&room);
    return made;
}

static PyObject *subscript(PyObject *self, PyObject *key)
{
    struct subscripts *s = (struct subscripts *)self;
    struct elements *elements = s->elements;
    struct decoder *decoder = s->read;
    PyObject *made = NULL;
    struct room room;
    int packed, error = 0;

    if (!elements)
        return PyObject_CallMethodObjArgs(self, names.get, key, NULL);
    if (make_room(&room, elements->key_size) < 0)
        return NULL;
    Py_INCREF((PyObject *)elements); /* what is called may close the map */
    Py_INCREF((PyObject *)decoder);
    packed = pack(&s->key, key, elements->key_size, room.bytes);
    if (packed > 0)
        made = read_value(elements, decoder, key, room.bytes, &error);
    free_room(&room);
    Py_DECREF((PyObject *)elements);
    Py_DECREF((PyObject *)decoder);
    if (packed < 0 || (packed > 0 && (!error || error == ENOENT)))
        return made;
    return PyObject_CallMethodObjArgs(self, names.get, key, NULL);
}

/* 1: done, 0: by the ordinary way, -1: an exception */
static int write_element(struct subscripts *s, struct elements *elements, PyObject *key,
                         PyObject *value, const unsigned char *key_bytes)
{
    struct room room;
    int result, error;

    if (!value) {
        error = ebpfasm_element(elements, MAP_DELETE_ELEM, key_bytes, NULL, 0);
        if (error == ENOENT)
            no_such_key(key);
        return error == ENOENT ? -1 : !error;
    }
    if (make_room(&room, elements->value_size) < 0)
        return -1;
    result = pack(&s->value, value, elements->value_size, room.bytes);
    if (result > 0)
        result = !ebpfasm_element(elements, MAP_UPDATE_ELEM, key_bytes, room.bytes, 0);
    free_room(&room);
    return result;
}

static int ass_subscript(PyObject *self, PyObject *key, PyObject *value)
{
    struct subscripts *s = (struct subscripts *)self;
    struct elements *elements = s->elements;
    struct room room;
    int result = 0;

    if (elements) {
        if (make_room(&room, elements->key_size) < 0)
            return -1;
        Py_INCREF((PyObject *)elements);
        result = pack(&s->key, key, elements->key_size, room.bytes);
        if (result > 0)
            result = write_element(s, elements, key, value, room.bytes);
        free_room(&room);
        Py_DECREF((PyObject *)elements);
    }
    if (result)
        return result > 0 ? 0 : -1;
    if (value)
        return nothing_but_success(PyObject_CallMethodObjArgs(self, names.set, key, value, NULL));
    return nothing_but_success(PyObject_CallMethodObjArgs(self, names.delete, key, NULL));
}

/* ---- the type */

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    struct subscripts *s = (struct subscripts *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)s->elements);
    Py_VISIT((PyObject *)s->read);
    Py_VISIT(s->key.pack);
    Py_VISIT(s->value.pack);
    return 0;
}

static int clear(PyObject *self)
{
    struct subscripts *s = (struct subscripts *)self;

    Py_CLEAR(s->elements); /* first: without it nobody asks for the others */
    Py_CLEAR(s->read);
    Py_CLEAR(s->key.pack);
    Py_CLEAR(s->value.pack);
    return 0;
}

static void dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    free_object(self);
}

static int take_packing(struct packing *packing, const char *code, PyObject *pack, size_t size)
{
    const char *codes = "bBhHiIqQ", *sizes = "11224488";
    const char *found = *code ? strchr(codes, *code) : NULL;

    if (*code && (!found || (size_t)(sizes[found - codes] - '0') != size)) {
        PyErr_SetString(PyExc_ValueError, "no integer of that size has this code");
        return -1;
    }
    packing->code = *code;
    hold(&packing->pack, pack);
    return 0;
}

/*
 * _direct(elements, key code, pack key, value code, pack value, decoder): how keys and values look.
 * Codes are those of integers, else empty. _direct() alone: there is no short way.
 */
static PyObject *direct(PyObject *self, PyObject *args)
{
    struct subscripts *s = (struct subscripts *)self;
    PyObject *elements = NULL, *pack_key, *pack_value, *decoder;
    const char *key_code, *value_code;
    const struct elements *e;

    if (!PyArg_ParseTuple(args, "|OsOsOO:_direct", &elements, &key_code, &pack_key, &value_code,
                          &pack_value, &decoder))
        return NULL;
    Py_CLEAR(s->elements);
    if (!elements)
        Py_RETURN_NONE;
    if (PyTuple_Size(args) != 6 || !ebpfasm_is_elements(elements) || !ebpfasm_is_decoder(decoder)) {
        PyErr_SetString(PyExc_TypeError, "Elements and a Decoder are needed");
        return NULL;
    }
    e = (struct elements *)elements;
    if (((struct decoder *)decoder)->size > e->value_size) {
        PyErr_SetString(PyExc_ValueError, "the Decoder reads more than a value has");
        return NULL;
    }
    if (take_packing(&s->key, key_code, pack_key, e->key_size) < 0
        || take_packing(&s->value, value_code, pack_value, e->value_size) < 0)
        return NULL;
    hold((PyObject **)&s->read, decoder);
    hold((PyObject **)&s->elements, elements);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_direct", direct, METH_VARARGS, "how keys and values look, see subscripts.c"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_mp_subscript, subscript},
    {Py_mp_ass_subscript, ass_subscript},
    {0, NULL},
};

PyType_Spec ebpfasm_subscripts_spec = {
    .name = "ebpfasm._objects.Subscripts",
    .basicsize = sizeof(struct subscripts),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};

/* Before the first one is made. 0, or -1 with an exception. */
int ebpfasm_subscripts_ready(void)
{
    return make_names();
}
