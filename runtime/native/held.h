/*
 * For the code that cffi writes, and for it alone: functions named ebpfasm_held_... keep the
 * interpreter's lock.
 *
 * cffi gives the lock away around every call. Another thread that computes then takes it, and the
 * caller gets it back after 100 microseconds or more, for a call that takes one. A wrapper's name
 * is known when it is compiled, so the question costs nothing.
 */
#ifndef EBPFASM_HELD_H
#define EBPFASM_HELD_H

#define EBPFASM_HELD_NAME "_cffi_f_ebpfasm_held_"
#define EBPFASM_HELD                                                                               \
    (__builtin_strncmp(__func__, EBPFASM_HELD_NAME, sizeof(EBPFASM_HELD_NAME) - 1) == 0)

#undef Py_BEGIN_ALLOW_THREADS
#undef Py_END_ALLOW_THREADS
#define Py_BEGIN_ALLOW_THREADS                                                                     \
    {                                                                                              \
        PyThreadState *state_ = EBPFASM_HELD ? NULL : PyEval_SaveThread();
#define Py_END_ALLOW_THREADS                                                                       \
    if (!EBPFASM_HELD)                                                                             \
        PyEval_RestoreThread(state_);                                                              \
    }

/*
 * They also do without what cffi calls through a table for each argument and call: after a system
 * call the processor has forgotten where such calls lead. They set no errno of C's, and take ints.
 */
#if defined(_cffi_restore_errno) && defined(_cffi_save_errno) && defined(_cffi_to_c_u64)
static inline void ebpfasm_cffi_restore_errno(void)
{
    _cffi_restore_errno();
}

static inline void ebpfasm_cffi_save_errno(void)
{
    _cffi_save_errno();
}

static inline unsigned long long ebpfasm_cffi_to_c_u64(PyObject *object)
{
    return _cffi_to_c_u64(object);
}

#undef _cffi_restore_errno
#undef _cffi_save_errno
#undef _cffi_to_c_u64
#define _cffi_restore_errno() (EBPFASM_HELD ? (void)0 : ebpfasm_cffi_restore_errno())
#define _cffi_save_errno() (EBPFASM_HELD ? (void)0 : ebpfasm_cffi_save_errno())
#define _cffi_to_c_u64(object)                                                                     \
    (EBPFASM_HELD && PyLong_CheckExact(object) ? PyLong_AsUnsignedLongLong(object)                 \
                                               : ebpfasm_cffi_to_c_u64(object))
#endif

#endif
