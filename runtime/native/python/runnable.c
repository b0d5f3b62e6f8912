/*
 * A Runnable, what a program is to this file, takes the shortest way to a Runner where `test_run` is
 * given nothing but a frame.
 */
#include "testrun.h"

#include <errno.h>

struct runnable {
    PyObject_HEAD
    PyObject *quick; /* a Runner, or something else of the class's, or NULL */
    struct runner *runner;
};

static struct {
    PyObject *ordinary, *refused;
} names;

static int make_names(void)
{
    if (!names.ordinary)
        names.ordinary = PyUnicode_InternFromString("_test_run");
    if (!names.refused)
        names.refused = PyUnicode_InternFromString("_run_again");
    return names.ordinary && names.refused ? 0 : -1;
}

/* Have the program say what an errno means, or run once more. */
static PyObject *refused(PyObject *program, PyObject *runner, PyObject *data, int error)
{
    PyObject *type, *refusal, *traceback, *made;

    errno = error;
    PyErr_SetFromErrno(PyExc_OSError);
    PyErr_Fetch(&type, &refusal, &traceback);
    PyErr_NormalizeException(&type, &refusal, &traceback);
    made = PyObject_CallMethodObjArgs(program, names.refused, runner, data, refusal, NULL);
    Py_XDECREF(type);
    Py_XDECREF(refusal);
    Py_XDECREF(traceback);
    return made;
}

/* The class's own way: all arguments to its _test_run. */
static PyObject *ordinarily(PyObject *self, PyObject *const *args, Py_ssize_t count,
                            PyObject *keywords)
{
    PyObject *function = PyObject_GetAttr(self, names.ordinary);
    PyObject *positional = PyTuple_New(count), *named = PyDict_New(), *made = NULL;
    Py_ssize_t extra = keywords ? PyTuple_Size(keywords) : 0;

    if (!function || !positional || !named)
        goto out;
    for (Py_ssize_t i = 0; i < count; i++) {
        Py_INCREF(args[i]);
        PyTuple_SetItem(positional, i, args[i]);
    }
    for (Py_ssize_t i = 0; i < extra; i++)
        if (PyDict_SetItem(named, PyTuple_GetItem(keywords, i), args[count + i]) < 0)
            goto out;
    made = PyObject_Call(function, positional, named);
out:
    Py_XDECREF(function);
    Py_XDECREF(positional);
    Py_XDECREF(named);
    return made;
}

static PyObject *test_run(PyObject *self, PyObject *const *args, Py_ssize_t count,
                          PyObject *keywords)
{
    struct runner *r = ((struct runnable *)self)->runner;
    PyObject *made;
    int error;

    if (count != 1 || keywords || !r || !PyBytes_CheckExact(args[0]) || !is_usable(r)
        || (size_t)PyBytes_Size(args[0]) > r->longest)
        return ordinarily(self, args, count, keywords);
    Py_INCREF((PyObject *)r); /* the program may be closed meanwhile */
    made = ebpfasm_run_on(r, args[0], &error);
    if (error)
        made = refused(self, (PyObject *)r, args[0], error);
    Py_DECREF((PyObject *)r);
    return made;
}

static PyObject *get_quick(PyObject *self, void *unused)
{
    PyObject *quick = ((struct runnable *)self)->quick;

    (void)unused;
    if (!quick)
        Py_RETURN_NONE;
    Py_INCREF(quick);
    return quick;
}

static int set_quick(PyObject *self, PyObject *quick, void *unused)
{
    struct runnable *runnable = (struct runnable *)self;

    (void)unused;
    runnable->runner = quick && ebpfasm_is_runner(quick) ? (struct runner *)quick : NULL;
    hold(&runnable->quick, quick);
    return 0;
}

static int runnable_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((struct runnable *)self)->quick);
    return 0;
}

static int runnable_clear(PyObject *self)
{
    ((struct runnable *)self)->runner = NULL;
    Py_CLEAR(((struct runnable *)self)->quick);
    return 0;
}

static void runnable_dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    runnable_clear(self);
    free_object(self);
}

static int is_runnable(PyTypeObject *type)
{
    while (type && PyType_GetSlot(type, Py_tp_dealloc) != (void *)runnable_dealloc)
        type = PyType_GetSlot(type, Py_tp_base);
    return type != NULL;
}

static PyGetSetDef runnable_getset[] = {
    {"_quick", get_quick, set_quick, "the Runner for a frame alone, or None", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot runnable_slots[] = {
    {Py_tp_traverse, runnable_traverse},
    {Py_tp_clear, runnable_clear},
    {Py_tp_dealloc, runnable_dealloc},
    {Py_tp_getset, runnable_getset},
    {0, NULL},
};

PyType_Spec ebpfasm_runnable_spec = {
    .name = "ebpfasm._objects.Runnable",
    .basicsize = sizeof(struct runnable),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = runnable_slots,
};

/*
 * test_run_method(class, text): a method of a class of Runnables. It uses `_quick` for a frame alone,
 * and calls `_test_run` for everything else. `text` is what help() shows of it, the
 * signature first.
 */
PyObject *ebpfasm_test_run_method(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    PyMethodDef like = {"test_run", METHOD(test_run), METH_FASTCALL | METH_KEYWORDS, NULL};

    (void)module;
    if (make_names() < 0)
        return NULL;
    /* of a class that has no `quick` at its place nothing may be asked */
    if (count != 2 || !PyType_Check(args[0]) || !is_runnable((PyTypeObject *)args[0])) {
        PyErr_SetString(PyExc_TypeError, "test_run_method(class of Runnables, text)");
        return NULL;
    }
    return ebpfasm_new_method(args[0], like, args[1]);
}
