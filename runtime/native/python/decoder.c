/* The type Decoder: how one is made of parts, and its methods. What it does is in decode.c. */
#include "decode.h"

#include <string.h>

#define NEVER_GROWS 5 /* items for which an empty dict has room */

static struct decoder *as_decoder(PyObject *object)
{
    if (ebpfasm_is_decoder(object))
        return (struct decoder *)object;
    PyErr_SetString(PyExc_TypeError, "a Decoder is needed");
    return NULL;
}

static size_t number_size(char code)
{
    const char *codes = "bB?hHiIfqQd", *sizes = "11122444888";
    const char *found = code ? strchr(codes, code) : NULL;

    return found ? (size_t)(sizes[found - codes] - '0') : 0;
}

static int add_part(struct decoder *d, size_t offset, PyObject *name, PyObject *each)
{
    struct decoder *decoder = as_decoder(each);
    struct part *part = &d->parts[d->length];

    if (!decoder)
        return -1;
    if (offset > d->size || decoder->size > d->size - offset) {
        PyErr_SetString(PyExc_ValueError, "a part leaves the whole");
        return -1;
    }
    part->offset = offset;
    part->decoder = decoder;
    Py_INCREF(each);
    if (name) {
        Py_INCREF(name);
        PyUnicode_InternInPlace(&name);
        part->name = name;
    }
    d->length++;
    return 0;
}

static int make_parts(struct decoder *d, size_t count)
{
    d->parts = PyMem_Calloc(count ? count : 1, sizeof(*d->parts));
    if (!d->parts)
        PyErr_NoMemory();
    return d->parts ? 0 : -1;
}

/* Decoder("row", element, count, stride, tuple) */
static int init_row(struct decoder *d, PyObject *args)
{
    PyObject *element;
    Py_ssize_t count, stride;
    int is_tuple;
    const struct decoder *each;

    if (!PyArg_ParseTuple(args, "OOnnp:row", &element, &element, &count, &stride, &is_tuple))
        return -1;
    each = as_decoder(element);
    if (!each)
        return -1;
    if (count < 0 || stride < 0 || (size_t)stride < each->size
        || (stride && count > PY_SSIZE_T_MAX / stride)) {
        PyErr_SetString(PyExc_ValueError, "no row is like that");
        return -1;
    }
    d->code = is_tuple ? 'L' : 'l';
    d->count = (size_t)count;
    d->stride = (size_t)stride;
    d->size = d->count * d->stride;
    if (make_parts(d, 1) < 0)
        return -1;
    if (count)
        return add_part(d, 0, NULL, element);
    d->size = each->size; /* of which it looks at nothing */
    if (add_part(d, 0, NULL, element) < 0)
        return -1;
    d->size = 0;
    return 0;
}

/* What the code says of the class that makes records. */
static int check_class(char code, PyObject *make)
{
    if (code == 'D')
        return 0;
    if (code == 'C' || (code == 'F' && PyCallable_Check(make)))
        return 0;
    if (PyType_Check(make) && code == 'T' && PyType_IsSubtype((PyTypeObject *)make, &PyTuple_Type))
        return 0;
    if (PyType_Check(make) && code == 'O' && !PyType_IsSubtype((PyTypeObject *)make, &PyTuple_Type))
        return 0;
    PyErr_SetString(PyExc_TypeError, "no such record is made so");
    return -1;
}

/*
 * Where objects of a class keep an attribute that has a slot: found by setting it. 0 where there is
 * no slot, or making an object could be noticed.
 */
static size_t place_of(PyObject *type, PyObject *name)
{
    PyObject *slot = PyObject_GetAttr(type, name), *size, *mark = NULL, *probe = NULL;
    size_t place = 0, end = 0;

    if (slot && Py_TYPE(slot) == &PyMemberDescr_Type && !PyObject_HasAttrString(type, "__del__")) {
        size = PyObject_GetAttrString(type, "__basicsize__");
        end = size ? PyLong_AsSize_t(size) : 0;
        Py_XDECREF(size);
        mark = PyList_New(0);
        probe = mark ? PyType_GenericAlloc((PyTypeObject *)type, 0) : NULL;
    }
    if (probe && !PyErr_Occurred() && PyObject_GenericSetAttr(probe, name, mark) == 0)
        for (size_t at = sizeof(PyObject); at + sizeof(mark) <= end; at += sizeof(mark))
            if (memcmp((char *)probe + at, &mark, sizeof(mark)) == 0)
                place = at;
    PyErr_Clear();
    Py_XDECREF(probe);
    Py_XDECREF(mark);
    Py_XDECREF(slot);
    return place;
}

/* The dict that large ones of atoms are copies of; others have none. */
static int make_model(struct decoder *d)
{
    if (d->length <= NEVER_GROWS)
        return 0;
    for (size_t i = 0; i < d->length; i++)
        if (!ebpfasm_is_atom(d->parts[i].decoder))
            return 0;
    d->make = PyDict_New();
    if (!d->make)
        return -1;
    for (size_t i = 0; i < d->length; i++)
        if (PyDict_SetItem(d->make, d->parts[i].name, Py_None) < 0)
            return -1;
    if ((size_t)PyDict_Size(d->make) < d->length) /* two of a name */
        Py_CLEAR(d->make);
    return 0;
}

/* Decoder("record", size, ((name, offset, decoder), ...), code, class) */
static int init_record(struct decoder *d, PyObject *args)
{
    PyObject *fields, *make, *kind;
    Py_ssize_t size, count;
    int code;

    if (!PyArg_ParseTuple(args, "OnO!CO:record", &kind, &size, &PyTuple_Type, &fields, &code, &make))
        return -1;
    if (!code || code > 127 || !strchr("DFTOC", code) || size < 0) {
        PyErr_SetString(PyExc_ValueError, "no record is like that");
        return -1;
    }
    count = PyTuple_Size(fields);
    if (check_class((char)code, make) < 0 || make_parts(d, (size_t)count) < 0)
        return -1;
    d->code = (char)code;
    d->size = (size_t)size;
    if (code != 'D')
        hold(&d->make, make);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *name, *decoder;
        Py_ssize_t offset;

        if (!PyArg_ParseTuple(PyTuple_GetItem(fields, i), "UnO", &name, &offset, &decoder))
            return -1;
        if (offset < 0 || add_part(d, (size_t)offset, name, decoder) < 0) {
            if (!PyErr_Occurred())
                PyErr_SetString(PyExc_ValueError, "a part leaves the whole");
            return -1;
        }
        if (code == 'O')
            d->parts[i].place = place_of(make, name);
    }
    return code == 'D' ? make_model(d) : 0;
}

/* Decoder("bits", size, shift, bits, signed, bool) */
static int init_bits(struct decoder *d, PyObject *args)
{
    PyObject *kind;
    Py_ssize_t size;

    if (!PyArg_ParseTuple(args, "OnIIpp:bits", &kind, &size, &d->shift, &d->bits, &d->has_sign,
                          &d->is_bool))
        return -1;
    if (size < 1 || size > 9 || d->shift > 7 || d->bits < 1 || d->bits > 64
        || d->shift + d->bits > 8 * (size_t)size) {
        PyErr_SetString(PyExc_ValueError, "no bit-field is like that");
        return -1;
    }
    d->code = 'z';
    d->size = (size_t)size;
    return 0;
}

/* Decoder("call", callable, decoder) */
static int init_call(struct decoder *d, PyObject *args)
{
    PyObject *kind, *make, *decoder;

    if (!PyArg_ParseTuple(args, "OOO:call", &kind, &make, &decoder))
        return -1;
    if (!as_decoder(decoder) || make_parts(d, 1) < 0)
        return -1;
    d->code = 'v';
    d->size = as_decoder(decoder)->size;
    hold(&d->make, make);
    return add_part(d, 0, NULL, decoder);
}

/* Decoder("I"), Decoder("s", size), Decoder("t", size): numbers as of struct, bytes, text */
static int init_simple(struct decoder *d, PyObject *args, const char *code)
{
    PyObject *kind;
    Py_ssize_t size = 0;

    if (!PyArg_ParseTuple(args, "O|n:Decoder", &kind, &size))
        return -1;
    if (strlen(code) == 1 && strchr("st", *code) && size >= 0) {
        d->size = (size_t)size;
    } else if (strlen(code) != 1 || !(d->size = number_size(*code))) {
        PyErr_Format(PyExc_ValueError, "no Decoder is called %s", code);
        return -1;
    }
    d->code = *code;
    return 0;
}

static int fill(struct decoder *d, PyObject *args)
{
    PyObject *kind = PyTuple_Size(args) > 0 ? PyTuple_GetItem(args, 0) : NULL;
    const char *code = kind ? PyUnicode_AsUTF8AndSize(kind, NULL) : NULL;

    if (!code) {
        if (!kind)
            PyErr_SetString(PyExc_TypeError, "a Decoder is of a kind");
        return -1;
    }
    if (strcmp(code, "row") == 0)
        return init_row(d, args);
    if (strcmp(code, "record") == 0)
        return init_record(d, args);
    if (strcmp(code, "bits") == 0)
        return init_bits(d, args);
    if (strcmp(code, "call") == 0)
        return init_call(d, args);
    return init_simple(d, args, code);
}

/* In tp_new, so that nobody changes one that is in use. */
static PyObject *decoder_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *made = PyType_GenericAlloc(type, 0);

    (void)kwargs;
    if (made && fill((struct decoder *)made, args) < 0)
        Py_CLEAR(made);
    return made;
}

static int decoder_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct decoder *d = (struct decoder *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(d->make);
    for (size_t i = 0; i < d->length; i++)
        Py_VISIT((PyObject *)d->parts[i].decoder);
    return 0;
}

/* Without tp_clear: whoever decodes needs the parts. A class breaks the circles it is in. */
static void decoder_dealloc(PyObject *self)
{
    struct decoder *d = (struct decoder *)self;

    PyObject_GC_UnTrack(self);
    Py_CLEAR(d->make);
    for (size_t i = 0; i < d->length; i++) {
        Py_XDECREF(d->parts[i].name);
        Py_DECREF((PyObject *)d->parts[i].decoder);
    }
    PyMem_Free(d->parts);
    free_object(self);
}

int ebpfasm_is_decoder(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_dealloc) == (void *)decoder_dealloc;
}

/* ---- methods */

static int too_short(void)
{
    PyErr_SetString(PyExc_ValueError, "there are fewer bytes than that takes");
    return -1;
}

/* one(buffer): the value at its start */
static PyObject *one(PyObject *self, PyObject *given)
{
    struct decoder *d = (struct decoder *)self;
    PyObject *made = NULL;
    Py_buffer buffer;

    if (PyObject_GetBuffer(given, &buffer, PyBUF_SIMPLE) < 0)
        return NULL;
    if ((size_t)buffer.len < d->size)
        too_short();
    else
        made = ebpfasm_decode(d, buffer.buf);
    PyBuffer_Release(&buffer);
    return made;
}

static int is_inside(const Py_buffer *buffer, Py_ssize_t count, Py_ssize_t stride, size_t size)
{
    if (count <= 0)
        return count == 0;
    if (stride < 0 || size > (size_t)buffer->len)
        return 0;
    return stride == 0 || count - 1 <= (buffer->len - (Py_ssize_t)size) / stride;
}

/* many(buffer, count, stride): a list of that many values, so many bytes apart */
static PyObject *many(PyObject *self, PyObject *args)
{
    struct decoder *d = (struct decoder *)self;
    PyObject *made = NULL;
    Py_ssize_t count, stride;
    Py_buffer buffer;

    if (!PyArg_ParseTuple(args, "y*nn:many", &buffer, &count, &stride))
        return NULL;
    if (is_inside(&buffer, count, stride, d->size))
        made = PyList_New(0);
    else
        too_short();
    for (Py_ssize_t i = 0; made && i < count; i++) {
        PyObject *each = ebpfasm_decode(d, (unsigned char *)buffer.buf + i * stride);

        if (!each || PyList_Append(made, each) < 0)
            Py_CLEAR(made);
        Py_XDECREF(each);
    }
    PyBuffer_Release(&buffer);
    return made;
}

/* each(buffer, count, stride): the same values in turn; the buffer must stay as it is. */
static PyObject *each(PyObject *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t length,
                      PyObject *keywords)
{
    PyObject *module = PyType_GetModule(type);

    if (!module)
        return NULL;
    if (length != 3 || keywords) {
        PyErr_SetString(PyExc_TypeError, "each(buffer, count, stride)");
        return NULL;
    }
    return ebpfasm_each(module, self, args);
}

static PyMethodDef methods[] = {
    {"each", METHOD(each), METH_METHOD | METH_FASTCALL | METH_KEYWORDS,
     "each(buffer, count, stride): the values in turn"},
    {"one", one, METH_O, "one(buffer): the value at its start"},
    {"many", many, METH_VARARGS, "many(buffer, count, stride): a list of values"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef members[] = {
    {"size", T_PYSSIZET, offsetof(struct decoder, size), READONLY, "bytes that it reads"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_new, decoder_new},
    {Py_tp_traverse, decoder_traverse},
    {Py_tp_dealloc, decoder_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {0, NULL},
};

PyType_Spec ebpfasm_decoder_spec = {
    .name = "ebpfasm._objects.Decoder",
    .basicsize = sizeof(struct decoder),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = slots,
};
