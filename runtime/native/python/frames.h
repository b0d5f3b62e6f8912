/* AF_XDP sockets and batches, for the files that make Python objects of them. */
#ifndef EBPFASM_FRAMES_H
#define EBPFASM_FRAMES_H

#include "python.h"
#include "xsk.h"

struct socket {
    PyObject_HEAD
    unsigned long long xsk; /* the native socket's address; it lives as long as this one */
    PyObject *batches; /* the class of what is received, or NULL */
    PyObject *pending; /* frames that a loop has left behind, or NULL */
    char unkicked;     /* something was sent and the kernel not told */
};

struct frames {
    PyObject_VAR_HEAD
    PyObject *home;   /* the socket; NULL when the leases have ended */
    PyObject *memory; /* a bytearray of descriptors, where Python has seen them, or NULL */
    PyObject *left;   /* a weak reference to the last view of a loop that was left, or NULL */
    struct ebpfasm_xsk *xsk;
    const struct ebpfasm_desc *shown; /* the frame that the next buffer is of, or NULL */
    uint32_t count;
    uint32_t bad; /* position of the frame that was refused */
    Py_ssize_t views; /* buffers that are alive */
    struct ebpfasm_desc descs[];
};

static inline struct ebpfasm_desc *descs_of(struct frames *f)
{
    return f->memory ? (struct ebpfasm_desc *)(void *)PyByteArray_AsString(f->memory) : f->descs;
}

/* A new reference to the socket, so that frames stay mapped meanwhile; NULL with ValueError. */
PyObject *ebpfasm_frames_home(const struct frames *f);

/* sending.c */
int ebpfasm_sending_fill(PyObject *module);
/* As ebpfasm_xsk_kick, for so many packets: a burst of them keeps the interpreter's lock. */
long ebpfasm_tell(struct ebpfasm_xsk *x, Py_ssize_t packets);
PyObject *ebpfasm_send_all(struct socket *socket, PyObject *packets);

/* methods.c: have a method in Python do it, whatever was given. */
PyObject *ebpfasm_by(PyObject *self, const char *name, PyObject *const *args, Py_ssize_t count,
                     PyObject *names);
/* One of the methods for a class of those, `args` are the class, a method's name and a text. */
PyObject *ebpfasm_method_of(PyObject *module, const char *type, const PyMethodDef *methods,
                            size_t length, PyObject *const *args, Py_ssize_t count);

/* frames.c: a batch of a socket's; then methods; those that take more than one argument have an array and its length. */
PyObject *ebpfasm_frames_received(PyObject *class, PyObject *home, struct ebpfasm_xsk *x,
                                  PyObject *limit, PyObject *timeout);
PyObject *ebpfasm_frames_send(PyObject *self, PyObject *timeout);
PyObject *ebpfasm_frames_release(PyObject *self, PyObject *none);

/* contents.c */
PyObject *ebpfasm_frames_swap(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_frames_read(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_frames_write(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* views.c */
int ebpfasm_views_fill(PyObject *module);
PyObject *ebpfasm_frames_iter(PyObject *self);
int ebpfasm_frames_getbuffer(PyObject *self, Py_buffer *view, int flags);
void ebpfasm_frames_releasebuffer(PyObject *self, Py_buffer *view);
/* 0 where nobody looks at the frames, or only the variable of a loop that was left, which ends so;
 * else -1 with BufferError. */
int ebpfasm_frames_nobody_looks(struct frames *f);

/* headers.c */
int ebpfasm_headers_fill(PyObject *module);
PyObject *ebpfasm_frames_unpack(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_frames_pack(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_frames_headers(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *ebpfasm_frames_put(PyObject *self, PyObject *const *args, Py_ssize_t count);

#endif
