/* Values of bytes: see decode.h. */
#include "decode.h"

#include <limits.h>
#include <string.h>

#define BY_HAND 32 /* values of a record that need no memory of their own */

int ebpfasm_is_atom(const struct decoder *d)
{
    return strchr("bBhHiIqQ?fdstz", d->code) != NULL;
}

/* ---- one value */

#define NUMBER(type, make)                                                                         \
    do {                                                                                           \
        type number_;                                                                              \
        memcpy(&number_, bytes, sizeof(number_));                                                  \
        return make(number_);                                                                      \
    } while (0)

/* PyLong_FromLong has a short way for what fits a digit or so, the unsigned ones have not. */
static inline PyObject *from_unsigned(uint64_t number)
{
    return number <= LONG_MAX ? PyLong_FromLong((long)number) : PyLong_FromUnsignedLongLong(number);
}

/* A bit-field: bits are counted from the end that the machine's bytes begin with. */
static PyObject *decode_bits(const struct decoder *d, const unsigned char *bytes)
{
    unsigned __int128 whole = 0;
    uint64_t number, mask = d->bits == 64 ? UINT64_MAX : (UINT64_C(1) << d->bits) - 1;

    for (size_t i = 0; i < d->size; i++) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        whole |= (unsigned __int128)bytes[i] << 8 * i;
#else
        whole = whole << 8 | bytes[i];
#endif
    }
    number = (uint64_t)(whole >> d->shift) & mask;
    if (d->is_bool)
        return PyBool_FromLong(number != 0);
    if (d->has_sign && number >> (d->bits - 1))
        return PyLong_FromLongLong((int64_t)(number | ~mask));
    return PyLong_FromUnsignedLongLong(number);
}

static PyObject *decode_text(const struct decoder *d, const unsigned char *bytes)
{
    size_t length = d->size;

    while (length && !bytes[length - 1])
        length--;
    return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)length);
}

/* Others may look at what holds others, so it never has an empty place. */
static PyObject *row_of_objects(const struct decoder *d, const unsigned char *bytes)
{
    PyObject *list = PyList_New(0), *tuple;

    for (size_t i = 0; list && i < d->count; i++) {
        PyObject *each = ebpfasm_decode(d->parts[0].decoder, bytes + i * d->stride);

        if (!each || PyList_Append(list, each) < 0)
            Py_CLEAR(list);
        Py_XDECREF(each);
    }
    if (!list || d->code == 'l')
        return list;
    tuple = PyList_AsTuple(list);
    Py_DECREF(list);
    return tuple;
}

static PyObject *decode_row(const struct decoder *d, const unsigned char *bytes)
{
    PyObject *made;

    if (!ebpfasm_is_atom(d->parts[0].decoder))
        return row_of_objects(d, bytes);
    made = d->code == 'l' ? PyList_New((Py_ssize_t)d->count) : PyTuple_New((Py_ssize_t)d->count);
    for (size_t i = 0; made && i < d->count; i++) {
        PyObject *each = ebpfasm_decode(d->parts[0].decoder, bytes + i * d->stride);

        if (!each)
            Py_CLEAR(made);
        else if (d->code == 'l')
            PyList_SetItem(made, (Py_ssize_t)i, each);
        else
            PyTuple_SetItem(made, (Py_ssize_t)i, each);
    }
    return made;
}

/* ---- records */

static PyObject *fill_dict(const struct decoder *d, const unsigned char *bytes, PyObject *dict)
{
    for (size_t i = 0; dict && i < d->length; i++) {
        const struct part *part = &d->parts[i];
        PyObject *each = ebpfasm_decode(part->decoder, bytes + part->offset);

        if (!each || PyDict_SetItem(dict, part->name, each) < 0)
            Py_CLEAR(dict);
        Py_XDECREF(each);
    }
    return dict;
}

/* Setting an item is what costs most: a value that is the same object, as small numbers are, stays. */
int ebpfasm_refill_dict(const struct decoder *d, const unsigned char *bytes, PyObject *dict)
{
    Py_ssize_t at = 0;
    PyObject *name, *value, *each;
    int result;

    if ((size_t)PyDict_Size(dict) != d->length)
        return 0;
    for (const struct part *part = d->parts; part < d->parts + d->length; part++) {
        if (!PyDict_Next(dict, &at, &name, &value) || name != part->name)
            return 0;
        each = ebpfasm_decode(part->decoder, bytes + part->offset);
        if (!each)
            return -1;
        result = each == value ? 0 : PyDict_SetItem(dict, part->name, each);
        Py_DECREF(each);
        if (result < 0)
            return -1;
    }
    return 1;
}

/*
 * A large dict of atoms is the copy of one that has all names already: an empty one would have to grow.
 * Nothing runs between that could decode another record meanwhile.
 */
static PyObject *decode_dict(const struct decoder *d, const unsigned char *bytes)
{
    return ebpfasm_refill_dict(d, bytes, d->make) < 0 ? NULL : PyDict_Copy(d->make);
}

/* A frozen dict is a dict whose own methods refuse; this is not one of them. */
static PyObject *decode_frozen(const struct decoder *d, const unsigned char *bytes)
{
    PyObject *made = PyObject_CallNoArgs(d->make);

    if (made && !PyDict_Check(made)) {
        Py_DECREF(made);
        PyErr_SetString(PyExc_TypeError, "a record that can be a key is a kind of dict");
        return NULL;
    }
    return fill_dict(d, bytes, made);
}

/* As the class's generated __init__ does it, or the frozen one of object. */
static PyObject *made_plainly(const struct decoder *d, PyObject **values)
{
    PyObject *made = PyType_GenericAlloc((PyTypeObject *)d->make, 0);

    for (size_t i = 0; i < d->length; i++) {
        if (made && d->parts[i].place) {
            *(PyObject **)((char *)made + d->parts[i].place) = values[i];
            continue;
        }
        if (made && PyObject_GenericSetAttr(made, d->parts[i].name, values[i]) < 0)
            Py_CLEAR(made);
        Py_DECREF(values[i]);
    }
    return made;
}

/* As the class's generated __new__ does it, without a tuple of arguments. */
static PyObject *made_tuple(const struct decoder *d, PyObject **values)
{
    PyObject *made = PyType_GenericAlloc((PyTypeObject *)d->make, (Py_ssize_t)d->length);

    for (size_t i = 0; i < d->length; i++) {
        if (made)
            PyTuple_SetItem(made, (Py_ssize_t)i, values[i]);
        else
            Py_DECREF(values[i]);
    }
    return made;
}

static PyObject *made_by_call(const struct decoder *d, PyObject **values)
{
    PyObject *named = PyDict_New(), *nothing = PyTuple_New(0), *made = NULL;
    int result = named && nothing ? 0 : -1;

    for (size_t i = 0; i < d->length; i++) {
        if (result == 0)
            result = PyDict_SetItem(named, d->parts[i].name, values[i]);
        Py_DECREF(values[i]);
    }
    if (result == 0)
        made = PyObject_Call(d->make, nothing, named);
    Py_XDECREF(nothing);
    Py_XDECREF(named);
    return made;
}

/*
 * All values come before the object: classes that are called may run anything, and nobody must see a
 * tuple that is not filled.
 */
static PyObject *decode_object(const struct decoder *d, const unsigned char *bytes)
{
    PyObject *few[BY_HAND], **values = few, *made = NULL;
    size_t i;

    if (d->length > BY_HAND && !(values = PyMem_Malloc(d->length * sizeof(*values))))
        return PyErr_NoMemory();
    for (i = 0; i < d->length; i++) {
        values[i] = ebpfasm_decode(d->parts[i].decoder, bytes + d->parts[i].offset);
        if (!values[i])
            break;
    }
    if (i < d->length)
        while (i)
            Py_DECREF(values[--i]);
    else if (d->code == 'T')
        made = made_tuple(d, values);
    else
        made = d->code == 'O' ? made_plainly(d, values) : made_by_call(d, values);
    if (values != few)
        PyMem_Free(values);
    return made;
}

static PyObject *decode_and_call(const struct decoder *d, const unsigned char *bytes)
{
    PyObject *value = ebpfasm_decode(d->parts[0].decoder, bytes), *made;

    if (!value)
        return NULL;
    made = PyObject_CallFunctionObjArgs(d->make, value, NULL);
    Py_DECREF(value);
    return made;
}

/* One switch for all: most values are numbers, and each jump of this kind costs as much as they do. */
PyObject *ebpfasm_decode(const struct decoder *d, const unsigned char *bytes)
{
    switch (d->code) {
    case 'b':
        return PyLong_FromLong((signed char)*bytes);
    case 'B':
        return PyLong_FromLong(*bytes);
    case '?':
        return PyBool_FromLong(*bytes != 0);
    case 'h':
        NUMBER(int16_t, PyLong_FromLong);
    case 'H':
        NUMBER(uint16_t, PyLong_FromLong);
    case 'i':
        NUMBER(int32_t, PyLong_FromLong);
    case 'I':
        NUMBER(uint32_t, from_unsigned);
    case 'q':
        NUMBER(int64_t, PyLong_FromLongLong);
    case 'Q':
        NUMBER(uint64_t, from_unsigned);
    case 'f':
        NUMBER(float, PyFloat_FromDouble);
    case 'd':
        NUMBER(double, PyFloat_FromDouble);
    case 's':
        return PyBytes_FromStringAndSize((const char *)bytes, (Py_ssize_t)d->size);
    case 't':
        return decode_text(d, bytes);
    case 'z':
        return decode_bits(d, bytes);
    case 'l': /* list */
    case 'L': /* tuple */
        return decode_row(d, bytes);
    case 'D': /* dict */
        return d->make ? decode_dict(d, bytes) : fill_dict(d, bytes, PyDict_New());
    case 'F': /* a dict that can be a key */
        return decode_frozen(d, bytes);
    case 'T': /* named tuple */
    case 'O': /* object with attributes */
    case 'C': /* what a call by keywords gives */
        return decode_object(d, bytes);
    case 'v': /* what a call with the value gives */
        return decode_and_call(d, bytes);
    default: /* decoder.c makes no other */
        PyErr_SetString(PyExc_SystemError, "no such Decoder");
        return NULL;
    }
}
