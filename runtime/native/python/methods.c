/*
 * Methods in C that stand for ones in Python: they show the text of those. A call then goes straight
 * to C, which counts where the processor has just come back from a system call.
 */
#include "frames.h"

#include <string.h>

PyObject *ebpfasm_new_method(PyObject *class, PyMethodDef like, PyObject *text)
{
    Py_ssize_t length;
    const char *shown = PyUnicode_AsUTF8AndSize(text, &length);
    PyMethodDef *def;

    if (!shown)
        return NULL;
    def = PyMem_Malloc(sizeof(*def) + (size_t)length + 1); /* it lives as long as the process */
    if (!def)
        return PyErr_NoMemory();
    memcpy(def + 1, shown, (size_t)length + 1);
    *def = like;
    def->ml_doc = (const char *)(def + 1);
    return PyDescr_NewMethod((PyTypeObject *)class, def);
}

PyObject *ebpfasm_by(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t count,
                     PyObject *names)
{
    PyObject *method = PyObject_GetAttrString(self, name), *result = NULL;
    PyObject *given = PyTuple_New(count), *named = PyDict_New();

    for (Py_ssize_t i = 0; given && i < count; i++)
        PyTuple_SetItem(given, i, Py_NewRef(args[i]));
    for (Py_ssize_t i = 0; named && names && i < PyTuple_Size(names); i++)
        if (PyDict_SetItem(named, PyTuple_GetItem(names, i), args[count + i]) < 0)
            Py_CLEAR(named);
    if (method && given && named)
        result = PyObject_Call(method, given, named);
    Py_XDECREF(method);
    Py_XDECREF(given);
    Py_XDECREF(named);
    return result;
}

static PyObject *send(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return count || names ? ebpfasm_by(self, "_send_by", args, count, names)
                          : ebpfasm_frames_send(self, Py_None);
}

static PyObject *swap(PyObject *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return count != 3 || names ? ebpfasm_by(self, "_swap_by", args, count, names)
                               : ebpfasm_frames_swap(self, args, count);
}

PyObject *ebpfasm_method_of(PyObject *module, const char *type, const PyMethodDef *methods,
                            size_t length, PyObject *const *args, Py_ssize_t count)
{
    PyObject *base = PyObject_GetAttrString(module, type);
    int fits = base && count == 3 && PyObject_IsSubclass(args[0], base) == 1;

    Py_XDECREF(base);
    for (size_t i = 0; fits && i < length; i++)
        if (PyUnicode_CompareWithASCIIString(args[1], methods[i].ml_name) == 0)
            return ebpfasm_new_method(args[0], methods[i], args[2]);
    if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "a class of %s, a method's name and a text are needed", type);
    return NULL;
}

/* frames_method(class of Frames, name, text) */
static PyObject *frames_method(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    static const PyMethodDef methods[] = {
        {"send", METHOD(send), METH_FASTCALL | METH_KEYWORDS, NULL},
        {"swap", METHOD(swap), METH_FASTCALL | METH_KEYWORDS, NULL},
        {"release", ebpfasm_frames_release, METH_NOARGS, NULL},
    };

    return ebpfasm_method_of(module, "Frames", methods, 3, args, count);
}

static PyMethodDef functions[] = {
    {"frames_method", METHOD(frames_method), METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

int ebpfasm_methods_fill(PyObject *module)
{
    return PyModule_AddFunctions(module, functions);
}
