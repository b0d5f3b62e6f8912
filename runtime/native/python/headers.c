/*
 * AF_XDP: values of a header of each frame of a burst, as the struct module would have them; pack()
 * returns the rows where it leaves them to that.
 */
#include "frames.h"
#include "layout.h"

#include <errno.h>

/* ---- reading */

static PyObject *values(struct past *past, const struct layout *layout, const unsigned char *row)
{
    PyObject *made = PyTuple_New(layout->count), *one;

    for (uint32_t i = 0; made && i < layout->count; i++) {
        one = read_value(past, layout->fields + i, i, row);
        if (!one || PyTuple_SetItem(made, i, one) < 0)
            Py_CLEAR(made);
    }
    return made;
}

/* Where in the contents; out of any frame where it is that far away. */
static int read_start(PyObject *number, int64_t *start)
{
    long long given = PyLong_AsLongLong(number);

    if (given == -1 && PyErr_Occurred())
        return -1;
    *start = given > UINT32_MAX || given < -(long long)UINT32_MAX ? UINT32_MAX : given;
    return 0;
}

/* A frame's row: in place, or copied where a part of it is outside. */
static unsigned char *row_of(struct frames *f, uint32_t i, int64_t start, uint32_t size,
                             unsigned char *copy)
{
    uint32_t before, inside;
    unsigned char *row = xsk_row(f->xsk->umem, descs_of(f) + i, start, size, &before, &inside);

    if (inside == size && row)
        return row;
    ebpfasm_umem_read(f->xsk->umem, descs_of(f) + i, 1, start, size, copy);
    return copy;
}

static void fetch_all(struct frames *f, int64_t start)
{
    for (uint32_t i = 0; i < f->count; i++)
        fetch_soon(f->xsk->umem, descs_of(f)[i].address + (uint64_t)start);
}

/* unpack(layout, start): a list of tuples. */
PyObject *ebpfasm_frames_unpack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct frames *f = (struct frames *)self;
    const struct layout *layout;
    PyObject *home, *made = NULL, *one;
    unsigned char *row;
    struct past past = {NULL, NULL};
    int64_t start;

    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "two arguments");
    layout = (const struct layout *)args[0];
    if (read_start(args[1], &start) < 0 || !(home = ebpfasm_frames_home(f)))
        return NULL;
    fetch_all(f, start);
    row = PyMem_Malloc((size_t)layout->size + 1);
    if (!row)
        PyErr_NoMemory();
    else if (ebpfasm_past_begin(&past, layout) == 0)
        made = PyList_New(f->count);
    for (uint32_t i = 0; made && i < f->count; i++) {
        one = values(&past, layout, row_of(f, i, start, layout->size, row));
        if (!one || PyList_SetItem(made, i, one) < 0)
            Py_CLEAR(made);
    }
    ebpfasm_past_end(&past, layout);
    PyMem_Free(row);
    Py_DECREF(home);
    return made;
}

/* ---- writing */

static int put_rows(const struct layout *layout, PyObject *rows, uint32_t count, unsigned char *to)
{
    const struct field *fields = layout->fields;
    int is_list = PyList_Check(rows);

    if ((is_list ? PyList_Size(rows) : PyTuple_Size(rows)) != count)
        return 0;
    for (uint32_t i = 0; i < count; i++, to += layout->size) {
        PyObject *row = is_list ? PyList_GetItem(rows, i) : PyTuple_GetItem(rows, i);

        if (!PyTuple_Check(row) || PyTuple_Size(row) != layout->count)
            return 0;
        for (uint32_t k = 0; k < layout->count; k++)
            if (!ebpfasm_field_put(fields + k, PyTuple_GetItem(row, k), to + fields[k].offset))
                return 0;
    }
    return 1;
}

/* pack(layout, rows, start): None; or the rows, where the struct module is to do it, or to say what
 * is wrong. */
PyObject *ebpfasm_frames_pack(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct frames *f = (struct frames *)self;
    const struct layout *layout;
    PyObject *home, *rows, *result = NULL;
    unsigned char *packed;
    int64_t start;

    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "three arguments");
    layout = (const struct layout *)args[0];
    if (read_start(args[2], &start) < 0)
        return NULL;
    if (!(rows = PySequence_Fast(args[1], "rows are needed, one for each frame")))
        return NULL;
    if (!(home = ebpfasm_frames_home(f))) {
        Py_DECREF(rows);
        return NULL;
    }
    packed = PyMem_Calloc(f->count + 1, layout->size + 1);
    if (!packed)
        PyErr_NoMemory();
    else if (!put_rows(layout, rows, f->count, packed)) {
        PyErr_Clear();
        result = Py_NewRef(rows);
    } else if (ebpfasm_umem_write(f->xsk->umem, descs_of(f), f->count, start, layout->size, packed,
                                  layout->size)) {
        result = PyObject_CallMethod(self, "_leaves", "LI", (long long)start, layout->size);
    } else {
        result = Py_NewRef(Py_None);
    }
    PyMem_Free(packed);
    Py_DECREF(rows);
    Py_DECREF(home);
    return result;
}

/* put(at, start, bytes): write to one frame. */
PyObject *ebpfasm_frames_put(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct frames *f = (struct frames *)self;
    unsigned long at;
    int64_t start;

    if (count != 3 || !PyBytes_Check(args[2]))
        return PyErr_Format(PyExc_TypeError, "three arguments, the last bytes");
    at = PyLong_AsUnsignedLong(args[0]);
    if (PyErr_Occurred() || read_start(args[1], &start) < 0)
        return NULL;
    if (!f->home)
        return ebpfasm_frames_home(f);
    if (at >= f->count || ebpfasm_umem_write(f->xsk->umem, descs_of(f) + at, 1, start,
                                             (uint32_t)PyBytes_Size(args[2]),
                                             (unsigned char *)PyBytes_AsString(args[2]), 0))
        return PyObject_CallMethod(self, "_leaves", "Ln", (long long)start,
                                   PyBytes_Size(args[2]));
    Py_RETURN_NONE;
}

/* ---- reading and writing, frame by frame */

/*
 * An iterator over lists of values; what the loop's body changed of one is written when it is done.
 * A list is used again for the frame after the next one, where nobody else has it by then.
 */
struct headers {
    PyObject_HEAD
    struct frames *batch; /* NULL at the end */
    PyObject *home;       /* keeps the memory */
    struct layout *layout;
    PyObject *plain; /* the struct.Struct, for values that are not plain */
    PyObject *lists[2];
    struct past past;
    unsigned char *row; /* in the frame, or `odd` where a part of it is outside */
    unsigned char *odd;
    int64_t start;
    uint32_t next; /* frame */
};

static PyTypeObject *headers_type; /* the process has one module */

/* A value as the struct module packs it, where ebpfasm_field_put() does not. 0, or -1 with its error. */
static int put_oddly(struct headers *h, PyObject *list, uint32_t i, unsigned char *to)
{
    PyObject *pack = PyObject_GetAttrString(h->plain, "pack"), *given = PyList_AsTuple(list);
    PyObject *packed = pack && given ? PyObject_CallObject(pack, given) : NULL;
    const struct field *field = h->layout->fields + i;

    Py_XDECREF(pack);
    Py_XDECREF(given);
    if (!packed)
        return -1;
    if (to)
        memcpy(to, PyBytes_AsString(packed) + field->offset, field->size);
    Py_DECREF(packed);
    return 0;
}

/* Write a field to its frame. 0, or -1 with an exception. */
static int headers_store(struct headers *h, uint32_t i, PyObject *list)
{
    const struct field *field = h->layout->fields + i;
    unsigned char *to = h->row + field->offset;

    if (ebpfasm_field_put(field, PyList_GetItem(list, i), to))
        return 0;
    PyErr_Clear();
    if (put_oddly(h, list, i, h->odd) < 0)
        return -1;
    if (h->batch->home) /* what ran may have ended the leases */
        memcpy(to, h->odd, field->size);
    return 0;
}

/* Write what was changed of the frame before the next one. 0, or -1 with an exception. */
static int headers_write(struct headers *h)
{
    PyObject *list = h->lists[h->next & 1];

    if (!h->next)
        return 0;
    if (PyList_Size(list) != h->layout->count)
        return put_oddly(h, list, h->layout->count, NULL); /* says how many are needed */
    for (uint32_t i = 0; i < h->layout->count; i++) {
        if (PyList_GetItem(list, i) == h->past.values[i])
            continue;
        if (!h->batch->home) {
            ebpfasm_frames_home(h->batch);
            return -1;
        }
        if (h->row == h->odd) {
            PyObject_CallMethod((PyObject *)h->batch, "_leaves", "LI", (long long)h->start,
                                h->layout->size);
            return -1;
        }
        if (headers_store(h, i, list) < 0)
            return -1;
    }
    return 0;
}

static PyObject *headers_list(struct headers *h)
{
    PyObject **place = h->lists + (h->next & 1), *list = *place;

    /* It was of the frame before the last one. */
    if (!list || Py_REFCNT(list) > 1 || PyList_Size(list) != h->layout->count) {
        list = PyList_New(h->layout->count);
        if (!list)
            return NULL;
        Py_XDECREF(*place);
        *place = list;
    }
    for (uint32_t i = 0; i < h->layout->count; i++) {
        PyObject *one = read_value(&h->past, h->layout->fields + i, i, h->row);

        if (!one || PyList_SetItem(list, i, one) < 0)
            return NULL;
    }
    return Py_NewRef(list);
}

static PyObject *headers_next(PyObject *self)
{
    struct headers *h = (struct headers *)self;
    struct frames *f = h->batch;

    if (!f)
        return NULL;
    if (headers_write(h) < 0 || h->next >= f->count) {
        Py_CLEAR(h->batch);
        return NULL;
    }
    if (!f->home)
        return ebpfasm_frames_home(f);
    h->row = row_of(f, h->next++, h->start, h->layout->size, h->odd);
    return headers_list(h);
}

/* headers(layout, struct, start): the iterator. */
PyObject *ebpfasm_frames_headers(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    struct frames *f = (struct frames *)self;
    struct headers *h;
    int64_t start;

    if (count != 3)
        return PyErr_Format(PyExc_TypeError, "three arguments");
    if (read_start(args[2], &start) < 0)
        return NULL;
    if (!f->home)
        return ebpfasm_frames_home(f);
    h = (struct headers *)((allocfunc)PyType_GetSlot(headers_type, Py_tp_alloc))(headers_type, 0);
    if (!h)
        return NULL;
    h->layout = (struct layout *)Py_NewRef(args[0]);
    h->plain = Py_NewRef(args[1]);
    h->start = start;
    h->odd = PyMem_Calloc(1, (size_t)h->layout->size + 1);
    if (!h->odd || ebpfasm_past_begin(&h->past, h->layout) < 0) {
        Py_DECREF(h);
        return PyErr_NoMemory();
    }
    h->batch = (struct frames *)Py_NewRef(self);
    h->home = Py_NewRef(f->home);
    fetch_all(f, start);
    return (PyObject *)h;
}

static int headers_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct headers *h = (struct headers *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)h->batch);
    Py_VISIT(h->home);
    Py_VISIT(h->lists[0]);
    Py_VISIT(h->lists[1]);
    return 0;
}

static int headers_clear(PyObject *self)
{
    struct headers *h = (struct headers *)self;

    Py_CLEAR(h->batch);
    Py_CLEAR(h->home);
    Py_CLEAR(h->lists[0]);
    Py_CLEAR(h->lists[1]);
    return 0;
}

/* A loop that is left has been through with its last frame. */
static void headers_finalize(PyObject *self)
{
    struct headers *h = (struct headers *)self;
    PyObject *type, *value, *traceback;

    if (!h->batch)
        return;
    PyErr_Fetch(&type, &value, &traceback);
    if (headers_write(h) < 0)
        PyErr_WriteUnraisable(self);
    PyErr_Restore(type, value, traceback);
}

static void headers_dealloc(PyObject *self)
{
    struct headers *h = (struct headers *)self;

    PyObject_GC_UnTrack(self);
    headers_finalize(self);
    headers_clear(self);
    if (h->layout)
        ebpfasm_past_end(&h->past, h->layout);
    Py_CLEAR(h->layout);
    Py_CLEAR(h->plain);
    PyMem_Free(h->odd);
    free_object(self);
}

static PyType_Slot headers_slots[] = {
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, headers_next},
    {Py_tp_traverse, headers_traverse},
    {Py_tp_clear, headers_clear},
    {Py_tp_dealloc, headers_dealloc},
    {0, NULL},
};

static PyType_Spec headers_spec = {
    .name = "ebpfasm._objects.Headers",
    .basicsize = sizeof(struct headers),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = headers_slots,
};

int ebpfasm_headers_fill(PyObject *module)
{
    headers_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &headers_spec, NULL);
    return headers_type ? ebpfasm_layout_fill(module) : -1;
}
