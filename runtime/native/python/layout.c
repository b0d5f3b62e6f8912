/*
 * AF_XDP: a Layout is a format of the struct module that was taken apart in Python. What is not as
 * plain as most headers and values are is left to that module.
 */
#include "layout.h"

static int read_field(struct field *field, PyObject *item)
{
    unsigned int kind, offset, size;

    if (!PyArg_ParseTuple(item, "III", &kind, &offset, &size))
        return -1;
    if (!kind || !strchr("suiUI", (int)kind) || (kind != 's' && (!size || size > 8))) {
        PyErr_SetString(PyExc_ValueError, "a field is of no kind that is known");
        return -1;
    }
    *field = (struct field){offset, size, (char)kind};
    return 0;
}

/* Layout(fields, size): fields are tuples of a kind, an offset and a size. */
static PyObject *layout_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    PyObject *fields;
    struct layout *made;
    unsigned int size;

    (void)kwargs;
    if (!PyArg_ParseTuple(args, "O!I", &PyTuple_Type, &fields, &size))
        return NULL;
    made = (struct layout *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (!made)
        return NULL;
    made->size = size;
    made->count = (uint32_t)PyTuple_Size(fields);
    made->fields = PyMem_Calloc(made->count + 1, sizeof(*made->fields));
    if (!made->fields)
        PyErr_NoMemory();
    for (uint32_t i = 0; i < made->count && !PyErr_Occurred(); i++) {
        struct field *field = made->fields + i;

        if (read_field(field, PyTuple_GetItem(fields, i)) == 0 &&
            (field->offset > size || field->size > size - field->offset))
            PyErr_SetString(PyExc_ValueError, "a field leaves the row");
    }
    if (PyErr_Occurred())
        Py_CLEAR(made);
    return (PyObject *)made;
}

static void layout_dealloc(PyObject *self)
{
    PyMem_Free(((struct layout *)self)->fields);
    free_object(self);
}

static PyType_Slot layout_slots[] = {
    {Py_tp_new, layout_new},
    {Py_tp_dealloc, layout_dealloc},
    {0, NULL},
};

static PyType_Spec layout_spec = {
    .name = "ebpfasm._objects.Layout",
    .basicsize = sizeof(struct layout),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = layout_slots,
};

int ebpfasm_layout_fill(PyObject *module)
{
    return add_type(module, &layout_spec);
}

PyObject *ebpfasm_field_get(const struct field *field, const unsigned char *row)
{
    const unsigned char *at = row + field->offset;
    uint64_t number = 0;
    int shift = 64 - 8 * (int)field->size;

    if (field->kind == 's')
        return PyBytes_FromStringAndSize((const char *)at, field->size);
    if (field->kind == 'U' || field->kind == 'I')
        for (uint32_t i = 0; i < field->size; i++)
            number = number << 8 | at[i];
    else
        for (uint32_t i = field->size; i-- > 0;)
            number = number << 8 | at[i];
    if (field->kind == 'i' || field->kind == 'I')
        return PyLong_FromLongLong((int64_t)(number << shift) >> shift);
    return PyLong_FromUnsignedLongLong(number);
}

int ebpfasm_past_begin(struct past *p, const struct layout *layout)
{
    p->row = PyMem_Calloc(1, (size_t)layout->size + 1);
    p->values = PyMem_Calloc(layout->count + 1, sizeof(*p->values));
    if (p->row && p->values)
        return 0;
    PyErr_NoMemory();
    return -1;
}

void ebpfasm_past_end(struct past *p, const struct layout *layout)
{
    for (uint32_t i = 0; p->values && i < layout->count; i++)
        Py_XDECREF(p->values[i]);
    PyMem_Free(p->values);
    PyMem_Free(p->row);
    p->values = NULL;
    p->row = NULL;
}

static inline void copy(unsigned char *to, const char *from, size_t size)
{
    switch (size) { /* as in same() */
    case 4:
        memcpy(to, from, 4);
        return;
    case 6:
        memcpy(to, from, 6);
        return;
    default:
        memcpy(to, from, size);
    }
}

static int put_bytes(uint32_t room, PyObject *given, unsigned char *to)
{
    char *from;
    Py_ssize_t size;

    if (!PyBytes_CheckExact(given) || PyBytes_AsStringAndSize(given, &from, &size) < 0)
        return 0;
    if (size >= room) {
        copy(to, from, room);
        return 1;
    }
    memset(to, 0, room);
    memcpy(to, from, (size_t)size);
    return 1;
}

int ebpfasm_field_put(const struct field *field, PyObject *given, unsigned char *to)
{
    uint32_t bits = 8 * field->size;
    uint64_t number;

    if (field->kind == 's')
        return put_bytes(field->size, given, to);
    if (!PyLong_CheckExact(given))
        return 0;
    if (field->kind == 'i' || field->kind == 'I') {
        long long is_signed = PyLong_AsLongLong(given);

        if (bits < 64 && (is_signed < -(1ll << (bits - 1)) || is_signed >= 1ll << (bits - 1)))
            return 0;
        number = (uint64_t)is_signed;
    } else {
        number = PyLong_AsUnsignedLongLong(given);
        if (bits < 64 && number >> bits)
            return 0;
    }
    if (number == UINT64_MAX && PyErr_Occurred())
        return 0;
    for (uint32_t i = 0; i < field->size; i++, number >>= 8)
        to[field->kind == 'U' || field->kind == 'I' ? field->size - 1 - i : i] =
            (unsigned char)number;
    return 1;
}
