/*
 * The type Each: values of bytes, or pairs of a key and a value, made one by one as a loop asks. What
 * a loop lets go of is then used again for the next one, and stays in the processor's caches.
 */
#include "decode.h"

#include <string.h>

/* Records of one decoder, so many bytes apart. */
struct column {
    struct decoder *decoder;
    Py_buffer buffer;
    Py_ssize_t stride;
};

struct each {
    PyObject_HEAD
    struct column keys, values; /* keys.decoder is NULL where there are values alone */
    Py_ssize_t next, count;
    PyObject *pair; /* the last one, which is used again where nobody kept it */
    int atoms;      /* whether neither holds other objects */
    PyObject *kept[2]; /* the last two, likewise: a loop has one in hand while it asks for another */
    unsigned turn;
    char again; /* the code of a decoder whose records can be used again, or 0 */
};

static PyObject *at(const struct column *column, Py_ssize_t index)
{
    return ebpfasm_decode(column->decoder,
                          (const unsigned char *)column->buffer.buf + index * column->stride);
}

/* Since Python 3.14 a tuple remembers its hash, and only Python itself can make it forget. */
static int tuples_remember(void)
{
    return Py_Version >= 0x030e0000;
}

/* Whether objects of the class have nothing beside what a record fills, and end unseen. */
static int is_bare(PyObject *class, Py_ssize_t size)
{
    struct {
        const char *name;
        Py_ssize_t value;
    } facts[] = {{"__basicsize__", size}, {"__dictoffset__", 0}, {"__weakrefoffset__", 0}};
    int bare = !PyObject_HasAttrString(class, "__del__");

    for (size_t i = 0; bare && i < sizeof(facts) / sizeof(*facts); i++) {
        PyObject *fact = PyObject_GetAttrString(class, facts[i].name);

        bare = fact && PyLong_AsSsize_t(fact) == facts[i].value;
        Py_XDECREF(fact);
    }
    PyErr_Clear();
    return bare;
}

static Py_ssize_t size_of_tuples(void)
{
    PyObject *size = PyObject_GetAttrString((PyObject *)&PyTuple_Type, "__basicsize__");
    Py_ssize_t found = size ? PyLong_AsSsize_t(size) : -1;

    Py_XDECREF(size);
    return found;
}

/*
 * Whether records can be used again: dicts, named tuples, and objects with a slot for each field.
 * Their code, or 0.
 */
static char used_again(const struct decoder *d)
{
    int slots = d->code == 'O';

    if (!d->code || !strchr("DTO", d->code))
        return 0;
    for (size_t i = 0; i < d->length; i++) {
        if (!ebpfasm_is_atom(d->parts[i].decoder))
            return 0;
        slots = slots && d->parts[i].place;
    }
    if (d->code == 'D')
        return 'D';
    if (d->code == 'T')
        return !tuples_remember() && is_bare(d->make, size_of_tuples()) ? 'T' : 0;
    return slots && is_bare(d->make, (Py_ssize_t)(sizeof(PyObject) + d->length * sizeof(PyObject *)))
               ? 'O'
               : 0;
}

/* Put a record's values into a named tuple or an object of the one before. 1, or -1. */
static int refill_object(const struct decoder *d, const unsigned char *bytes, PyObject *object)
{
    for (const struct part *part = d->parts; part < d->parts + d->length; part++) {
        PyObject *each = ebpfasm_decode(part->decoder, bytes + part->offset);

        if (!each)
            return -1;
        if (d->code == 'T') {
            PyTuple_SetItem(object, part - d->parts, each);
        } else {
            hold((PyObject **)((char *)object + part->place), each);
            Py_DECREF(each);
        }
    }
    return 1;
}

/*
 * The next record: one that nobody has any more gets the new values, which spares making and ending
 * one. Meanwhile it is nobody else's, as for pairs.
 */
static PyObject *used_at(struct each *e, Py_ssize_t index)
{
    PyObject **kept = &e->kept[e->turn++ & 1], *record = *kept;
    const struct column *column = &e->values;
    const struct decoder *d = column->decoder;
    const unsigned char *bytes = (unsigned char *)column->buffer.buf + index * column->stride;
    int filled = 0;

    *kept = NULL;
    if (record && Py_REFCNT(record) == 1)
        filled = e->again == 'D' ? ebpfasm_refill_dict(d, bytes, record)
                                 : refill_object(d, bytes, record);
    if (filled < 1) {
        Py_XDECREF(record);
        record = filled < 0 ? NULL : ebpfasm_decode(d, bytes);
    }
    hold(kept, record);
    return record;
}

/*
 * Steals both. What goes with the old values may run code that asks for the next pair: until this one
 * is done it is nobody else's.
 */
static PyObject *pair_of(struct each *e, PyObject *key, PyObject *value)
{
    PyObject *pair = e->pair, *other;

    e->pair = NULL;
    if (!pair || Py_REFCNT(pair) != 1 || tuples_remember()) {
        Py_XDECREF(pair);
        pair = PyTuple_New(2);
    } else if (!e->atoms && !PyObject_GC_IsTracked(pair)) {
        PyObject_GC_Track(pair); /* the collector forgets tuples of what it need not look at */
    }
    if (!pair) {
        Py_DECREF(key);
        Py_DECREF(value);
        return NULL;
    }
    PyTuple_SetItem(pair, 0, key);
    PyTuple_SetItem(pair, 1, value);
    other = e->pair;
    e->pair = pair;
    Py_XDECREF(other);
    Py_INCREF(pair);
    return pair;
}

static PyObject *next_of(PyObject *self)
{
    struct each *e = (struct each *)self;
    Py_ssize_t index = e->next;
    PyObject *key, *value;

    if (index >= e->count)
        return NULL;
    e->next = index + 1;
    if (!e->keys.decoder)
        return e->again ? used_at(e, index) : at(&e->values, index);
    key = at(&e->keys, index);
    if (!key)
        return NULL;
    value = e->again ? used_at(e, index) : at(&e->values, index);
    if (!value) {
        Py_DECREF(key);
        return NULL;
    }
    return pair_of(e, key, value);
}

static PyObject *length_hint(PyObject *self, PyObject *unused)
{
    struct each *e = (struct each *)self;

    (void)unused;
    return PyLong_FromSsize_t(e->count - e->next);
}

static void free_column(struct column *column)
{
    if (column->buffer.obj)
        PyBuffer_Release(&column->buffer);
    Py_CLEAR(column->decoder);
}

static int visit_column(const struct column *column, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)column->decoder);
    Py_VISIT(column->buffer.obj);
    return 0;
}

static int each_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct each *e = (struct each *)self;
    int result = visit_column(&e->keys, visit, arg);

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(e->pair);
    Py_VISIT(e->kept[0]);
    Py_VISIT(e->kept[1]);
    return result ? result : visit_column(&e->values, visit, arg);
}

static int each_clear(PyObject *self)
{
    struct each *e = (struct each *)self;

    e->count = 0; /* nothing comes any more */
    Py_CLEAR(e->pair);
    Py_CLEAR(e->kept[0]);
    Py_CLEAR(e->kept[1]);
    free_column(&e->keys);
    free_column(&e->values);
    return 0;
}

static void each_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    each_clear(self);
    free_object(self);
}

/* Take a column of so many values. 0, or -1 with an exception. */
static int fill_column(struct column *column, PyObject *decoder, PyObject *buffer, Py_ssize_t count,
                       Py_ssize_t stride)
{
    Py_ssize_t size, room;

    if (!ebpfasm_is_decoder(decoder)) {
        PyErr_SetString(PyExc_TypeError, "a Decoder is needed");
        return -1;
    }
    Py_INCREF(decoder);
    column->decoder = (struct decoder *)decoder;
    column->stride = stride;
    if (PyObject_GetBuffer(buffer, &column->buffer, PyBUF_SIMPLE) < 0)
        return -1;
    size = (Py_ssize_t)column->decoder->size;
    room = column->buffer.len - size;
    if (count < 0 || stride < 0 || (count && room < 0)
        || (count && stride && count - 1 > room / stride)) {
        PyErr_SetString(PyExc_ValueError, "there are fewer bytes than that takes");
        return -1;
    }
    return 0;
}

static struct each *new_each(PyObject *module)
{
    PyObject *type = PyObject_GetAttrString(module, "Each"), *made;

    if (!type)
        return NULL;
    made = PyType_GenericAlloc((PyTypeObject *)type, 0);
    Py_DECREF(type);
    return (struct each *)made;
}

static PyObject *finished(struct each *e, Py_ssize_t count, int filled)
{
    if (filled < 0) {
        Py_XDECREF((PyObject *)e);
        return NULL;
    }
    e->count = count;
    e->again = used_again(e->values.decoder);
    return (PyObject *)e;
}

/* The values of a decoder in turn: `args` are buffer, count and stride. */
PyObject *ebpfasm_each(PyObject *module, PyObject *decoder, PyObject *const *args)
{
    Py_ssize_t count = PyLong_AsSsize_t(args[1]), stride = PyLong_AsSsize_t(args[2]);
    struct each *e;

    if (PyErr_Occurred())
        return NULL;
    e = new_each(module);
    return finished(e, count, e ? fill_column(&e->values, decoder, args[0], count, stride) : -1);
}

/* pairs(decoder, decoder, keys, values, count, stride, stride): keys with their values in turn */
PyObject *ebpfasm_pairs(PyObject *module, PyObject *args)
{
    PyObject *of_keys, *of_values, *keys, *values;
    Py_ssize_t count, key_stride, value_stride;
    struct each *e;
    int filled = -1;

    if (!PyArg_ParseTuple(args, "OOOOnnn:pairs", &of_keys, &of_values, &keys, &values, &count,
                          &key_stride, &value_stride))
        return NULL;
    e = new_each(module);
    if (e)
        filled = fill_column(&e->keys, of_keys, keys, count, key_stride);
    if (filled == 0)
        filled = fill_column(&e->values, of_values, values, count, value_stride);
    if (filled == 0)
        e->atoms = ebpfasm_is_atom(e->keys.decoder) && ebpfasm_is_atom(e->values.decoder);
    return finished(e, count, filled);
}

static PyMethodDef methods[] = {
    {"__length_hint__", length_hint, METH_NOARGS, "how many are left"},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, next_of},
    {Py_tp_traverse, each_traverse},
    {Py_tp_clear, each_clear},
    {Py_tp_dealloc, each_dealloc},
    {Py_tp_methods, methods},
    {0, NULL},
};

PyType_Spec ebpfasm_each_spec = {
    .name = "ebpfasm._objects.Each",
    .basicsize = sizeof(struct each),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = slots,
};
