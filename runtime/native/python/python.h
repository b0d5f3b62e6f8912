/*
 * For the C files that know Python's types: its stable interface, as of 3.11.
 */
#ifndef EBPFASM_PYTHON_H
#define EBPFASM_PYTHON_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030b0000
#include <Python.h>

#endif
