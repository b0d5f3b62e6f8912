/*
 * For the C files that know Python's types: its stable interface, as of 3.11.
 *
 * The module makes the types that each file describes (module.c); nobody keeps a pointer to one.
 */
#ifndef EBPFASM_PYTHON_H
#define EBPFASM_PYTHON_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>
#include <structmember.h>

/* A method of METH_FASTCALL, and one with keywords: tables of methods know only one type. */
#define METHOD(function) ((PyCFunction)(void (*)(void))(function))

/* Make a type and put it into the module under its name. 0, or -1 with an exception. */
static inline int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromModuleAndSpec(module, spec, NULL);
    int result;

    if (!type)
        return -1;
    result = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return result;
}

/* Let a place hold another object; the one before is given up last, for that may run code. */
static inline void hold(PyObject **place, PyObject *object)
{
    PyObject *before = *place;

    Py_XINCREF(object);
    *place = object;
    Py_XDECREF(before);
}

/* The end of every object here: a heap type is kept by its objects. */
static inline void free_object(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);

    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* decoder.c, each.c */
extern PyType_Spec ebpfasm_decoder_spec, ebpfasm_each_spec;
PyObject *ebpfasm_each(PyObject *module, PyObject *decoder, PyObject *const *args);
PyObject *ebpfasm_pairs(PyObject *module, PyObject *args);

/* elements.c, subscripts.c */
extern PyType_Spec ebpfasm_elements_spec, ebpfasm_subscripts_spec;
int ebpfasm_subscripts_ready(void);

/* rings.c */
PyObject *ebpfasm_short_ring_unread(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_short_perf_unread(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_short_ring_read(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_short_perf_read(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* testrun.c, testruns.c, runnable.c */
extern PyType_Spec ebpfasm_runner_spec, ebpfasm_runnable_spec;
PyObject *ebpfasm_longest(PyObject *module, PyObject *tuple);
PyObject *ebpfasm_test_run_method(PyObject *module, PyObject *const *args, Py_ssize_t count);

/* frames.c, sockets.c: add what they have to the module */
int ebpfasm_frames_fill(PyObject *module);
int ebpfasm_methods_fill(PyObject *module);
int ebpfasm_sockets_fill(PyObject *module);

/* A method of a class like another one, that shows a text: the signature first. */
PyObject *ebpfasm_new_method(PyObject *class, PyMethodDef like, PyObject *text);

#endif
