/*
 * The module `ebpfasm._objects`: the few calls that make so many Python objects, or are made so often,
 * that the steps of the interpreter between them would cost more than what they do. It lies in the
 * same file as `ebpfasm._native` and is loaded beside it by ebpfasm/native.py.
 *
 * A function here keeps the interpreter's lock unless it says otherwise.
 */
#include "python.h"

static PyMethodDef functions[] = {
    {"pairs", ebpfasm_pairs, METH_VARARGS,
     "pairs(decoder, decoder, keys, values, count, stride, stride), see each.c"},
    {"ring_unread", METHOD(ebpfasm_short_ring_unread), METH_FASTCALL, "ring_unread(ring)"},
    {"perf_unread", METHOD(ebpfasm_short_perf_unread), METH_FASTCALL, "perf_unread(ring)"},
    {"ring_read", METHOD(ebpfasm_short_ring_read), METH_FASTCALL, "ring_read(ring, records)"},
    {"perf_read", METHOD(ebpfasm_short_perf_read), METH_FASTCALL, "perf_read(ring, records)"},
    {"longest", ebpfasm_longest, METH_O, "longest(frames): length of the longest, see testruns.c"},
    {"test_run_method", METHOD(ebpfasm_test_run_method), METH_FASTCALL,
     "test_run_method(class, text): the method test_run for a class, see runnable.c"},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module)
{
    PyType_Spec *types[] = {&ebpfasm_decoder_spec,  &ebpfasm_each_spec,
                            &ebpfasm_elements_spec, &ebpfasm_subscripts_spec,
                            &ebpfasm_runner_spec,   &ebpfasm_runnable_spec};

    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
        if (add_type(module, types[i]) < 0)
            return -1;
    if (ebpfasm_subscripts_ready() < 0)
        return -1;
    if (ebpfasm_frames_fill(module) < 0 || ebpfasm_methods_fill(module) < 0)
        return -1;
    return ebpfasm_sockets_fill(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, fill},
    {0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "ebpfasm._objects",
    .m_size = 0,
    .m_methods = functions,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__objects(void);

PyMODINIT_FUNC PyInit__objects(void)
{
    return PyModuleDef_Init(&module);
}
