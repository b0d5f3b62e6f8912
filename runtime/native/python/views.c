/*
 * AF_XDP: memoryviews of a burst's frames. Their buffers are the batch's own, and counted: leases
 * do not end while somebody looks.
 */
#include "frames.h"

int ebpfasm_frames_getbuffer(PyObject *self, Py_buffer *view, int flags)
{
    struct frames *f = (struct frames *)self;
    uint64_t begin, end, size;

    if (!f->shown) {
        view->obj = NULL;
        PyErr_SetString(PyExc_BufferError, "a batch has a buffer for each frame: iterate over it");
        return -1;
    }
    size = f->xsk->umem->size;
    begin = f->shown->address < size ? f->shown->address : size;
    end = begin + f->shown->length < size ? begin + f->shown->length : size;
    f->shown = NULL;
    if (PyBuffer_FillInfo(view, self, f->xsk->umem->area + begin, (Py_ssize_t)(end - begin), 0,
                          flags) < 0)
        return -1;
    f->views++;
    return 0;
}

void ebpfasm_frames_releasebuffer(PyObject *self, Py_buffer *view)
{
    (void)view;
    ((struct frames *)self)->views--;
}

int ebpfasm_frames_nobody_looks(struct frames *f)
{
    PyObject *view, *done;

    if (!f->views)
        return 0;
    if (f->left) {
        view = Py_NewRef(PyWeakref_GetObject(f->left));
        done = view == Py_None ? Py_NewRef(view) : PyObject_CallMethod(view, "release", NULL);
        Py_DECREF(view);
        if (!done)
            return -1;
        Py_DECREF(done);
        Py_CLEAR(f->left);
    }
    if (!f->views)
        return 0;
    PyErr_SetString(PyExc_BufferError, "views of the batch's frames are still in use: copy them");
    return -1;
}

struct views {
    PyObject_HEAD
    struct frames *batch; /* NULL at the end */
    PyObject *last;
    uint32_t at;
};

/* The last view ends with the loop, though its variable still holds it. */
static PyObject *views_end(struct views *v)
{
    struct frames *batch = v->batch;
    PyObject *last = v->last, *done;

    v->batch = NULL;
    v->last = NULL;
    done = last ? PyObject_CallMethod(last, "release", NULL) : Py_NewRef(Py_None);
    Py_XDECREF(last);
    if (done)
        ebpfasm_frames_nobody_looks(batch); /* sets an exception, or there are just no more */
    Py_XDECREF(done);
    Py_DECREF(batch);
    return NULL;
}

static PyObject *views_next(PyObject *self)
{
    struct views *v = (struct views *)self;
    struct frames *f = v->batch;
    PyObject *view;

    if (!f)
        return NULL;
    if (!f->home || v->at >= f->count)
        return views_end(v);
    f->shown = descs_of(f) + v->at++;
    view = PyMemoryView_FromObject((PyObject *)f);
    f->shown = NULL;
    if (view)
        hold(&v->last, view);
    return view;
}

static int views_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct views *v = (struct views *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT((PyObject *)v->batch);
    Py_VISIT(v->last);
    return 0;
}

static int views_clear(PyObject *self)
{
    struct views *v = (struct views *)self;

    Py_CLEAR(v->batch);
    Py_CLEAR(v->last);
    return 0;
}

static void views_dealloc(PyObject *self)
{
    struct views *v = (struct views *)self;

    PyObject_GC_UnTrack(self);
    /* The loop was left: its variable may go on until the leases end. */
    if (v->batch && v->last && Py_REFCNT(v->last) > 1) {
        PyObject *left = PyWeakref_NewRef(v->last, NULL);

        if (!left)
            PyErr_Clear();
        hold(&v->batch->left, left);
        Py_XDECREF(left);
    }
    views_clear(self);
    free_object(self);
}

static PyType_Slot views_slots[] = {
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, views_next},
    {Py_tp_traverse, views_traverse},
    {Py_tp_clear, views_clear},
    {Py_tp_dealloc, views_dealloc},
    {0, NULL},
};

static PyType_Spec views_spec = {
    .name = "ebpfasm._objects.Views",
    .basicsize = sizeof(struct views),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = views_slots,
};

static PyTypeObject *views_type; /* the process has one module */

PyObject *ebpfasm_frames_iter(PyObject *self)
{
    struct frames *f = (struct frames *)self;
    struct views *v;

    if (!f->home)
        return ebpfasm_frames_home(f);
    v = (struct views *)((allocfunc)PyType_GetSlot(views_type, Py_tp_alloc))(views_type, 0);
    if (v)
        v->batch = (struct frames *)Py_NewRef(self);
    return (PyObject *)v;
}

int ebpfasm_views_fill(PyObject *module)
{
    views_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &views_spec, NULL);
    return views_type ? 0 : -1;
}
