/*
 * The module `ebpfasm._objects`: the few calls that make so many Python objects, or are made so often,
 * that the steps of the interpreter between them would cost more than what they do. It lies in the
 * same file as `ebpfasm._native` and is loaded beside it by ebpfasm/native.py.
 *
 * A function here keeps the interpreter's lock unless it says otherwise.
 */
#include "python.h"

static PyMethodDef functions[] = {
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ebpfasm._objects",
    .m_size = 0,
    .m_methods = functions,
};

PyMODINIT_FUNC PyInit__objects(void);

PyMODINIT_FUNC PyInit__objects(void)
{
    return PyModuleDef_Init(&module);
}
