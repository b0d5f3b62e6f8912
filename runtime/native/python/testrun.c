/*
 * BPF_PROG_TEST_RUN: a Runner has what runs of one kind need. A Runnable, what a program is to this
 * file, takes the shortest way to one where `test_run` is given nothing but a frame.
 *
 * A run keeps the interpreter's lock where the one before took less than 20 microseconds: beside a
 * thread that computes, giving it away costs more than that. Frames are read where Python has them.
 */
#include "python.h"

#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROG_TEST_RUN = 10 }; /* enum bpf_cmd */
enum { SHORT = 20000 };      /* nanoseconds */

/* The part of union bpf_attr that the command reads and writes. */
struct test {
    uint32_t prog_fd, retval;
    uint32_t data_size_in, data_size_out;
    uint64_t data_in, data_out;
    uint32_t repeat, duration;
    uint32_t ctx_size_in, ctx_size_out;
    uint64_t ctx_in, ctx_out;
    uint32_t flags, cpu;
    uint32_t batch_size, padding;
};

/*
 * An outcome that was given out. When nobody has it any more it becomes the next one, as zip() does
 * with its tuples; what it says is noted here, for all calls behind a system call are slow.
 */
struct given {
    PyObject *outcome;
    PyObject *data; /* its own */
    uint32_t retval, duration;
};

struct runner {
    PyObject_HEAD
    struct test fresh;     /* what each run begins with */
    struct given given[2]; /* two: the one before is often still somebody's */
    unsigned turn;
    PyObject *result;   /* the class of outcomes, a named tuple's */
    PyObject *settings; /* what runs are asked for, as Python has it */
    PyObject *ctx;      /* bytes; of the kinds that change it in place, each run gets a copy */
    PyObject *nothing;  /* b"" */
    unsigned char *out, *ctx_room;
    int fd, ctx_stays, busy;
    uint32_t room;
    uint32_t duration; /* of the last run; not known at first */
    uint32_t needed;
    unsigned long long longest; /* frame that it is meant for */
};

static int runner_init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"fd", "result", "ctx_stays", NULL};
    struct runner *r = (struct runner *)self;
    PyObject *result;

    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "iOp", names, &r->fd, &result, &r->ctx_stays))
        return -1;
    if (!PyType_Check(result) || !PyType_IsSubtype((PyTypeObject *)result, &PyTuple_Type)) {
        PyErr_SetString(PyExc_TypeError, "outcomes are named tuples");
        return -1;
    }
    hold(&r->result, result);
    if (!r->nothing)
        r->nothing = PyBytes_FromStringAndSize(NULL, 0);
    return r->nothing ? 0 : -1;
}

static int runner_traverse(PyObject *self, visitproc visit, void *arg)
{
    struct runner *r = (struct runner *)self;

    Py_VISIT(Py_TYPE(self));
    Py_VISIT(r->result);
    Py_VISIT(r->settings);
    for (int i = 0; i < 2; i++)
        Py_VISIT(r->given[i].outcome);
    return 0;
}

static int runner_clear(PyObject *self)
{
    struct runner *r = (struct runner *)self;

    for (int i = 0; i < 2; i++)
        Py_CLEAR(r->given[i].outcome);
    Py_CLEAR(r->result);
    Py_CLEAR(r->settings);
    return 0;
}

static void runner_dealloc(PyObject *self)
{
    struct runner *r = (struct runner *)self;

    PyObject_GC_UnTrack(self);
    runner_clear(self);
    Py_CLEAR(r->ctx);
    Py_CLEAR(r->nothing);
    PyMem_Free(r->out);
    PyMem_Free(r->ctx_room);
    free_object(self);
}

static void describe(struct runner *r, uint32_t repeat, uint32_t flags, uint32_t cpu,
                     uint32_t batch_size)
{
    uint32_t ctx_size = (uint32_t)PyBytes_Size(r->ctx);
    int ctx_comes_out = ctx_size && !r->ctx_stays;
    const void *ctx_in = ctx_comes_out ? PyBytes_AsString(r->ctx) : (char *)r->ctx_room;

    r->fresh = (struct test){
        .prog_fd = (uint32_t)r->fd,
        .data_size_out = r->room,
        .data_out = r->room ? (uintptr_t)r->out : 0,
        .repeat = repeat,
        .ctx_size_in = ctx_size,
        .ctx_size_out = ctx_comes_out ? ctx_size : 0,
        .ctx_in = ctx_size ? (uintptr_t)ctx_in : 0,
        .ctx_out = ctx_comes_out ? (uintptr_t)r->ctx_room : 0,
        .flags = flags,
        .cpu = cpu,
        .batch_size = batch_size,
    };
}

/* prepare(settings, ctx, longest): settings are repeat, room, flags, cpu and batch_size. */
static PyObject *prepare(PyObject *self, PyObject *args)
{
    struct runner *r = (struct runner *)self;
    PyObject *settings, *ctx;
    unsigned int repeat, room, flags, cpu, batch_size;
    unsigned char *out, *ctx_room;
    unsigned long long longest;

    if (!PyArg_ParseTuple(args, "O!SK:prepare", &PyTuple_Type, &settings, &ctx, &longest))
        return NULL;
    if (!PyArg_ParseTuple(settings, "IIIII", &repeat, &room, &flags, &cpu, &batch_size))
        return NULL;
    if (r->busy) {
        PyErr_SetString(PyExc_RuntimeError, "another thread runs it");
        return NULL;
    }
    out = PyMem_Malloc(room ? room : 1);
    ctx_room = PyMem_Malloc((size_t)PyBytes_Size(ctx) + 1);
    if (!out || !ctx_room) {
        PyMem_Free(out);
        PyMem_Free(ctx_room);
        return PyErr_NoMemory();
    }
    PyMem_Free(r->out);
    PyMem_Free(r->ctx_room);
    r->out = out;
    r->ctx_room = ctx_room;
    hold(&r->settings, settings);
    hold(&r->ctx, ctx);
    r->room = room;
    r->duration = UINT32_MAX;
    r->longest = longest;
    describe(r, repeat, flags, cpu, batch_size);
    Py_RETURN_NONE;
}

/* Run once; what comes is in *attr. 0 or errno. Other threads may run meanwhile, not this runner. */
static int run_once(struct runner *r, struct test *attr, const char *data, uint32_t size)
{
    int error;

    attr->data_size_in = size;
    attr->data_in = size ? (uintptr_t)data : 0;
    if (r->duration < SHORT && attr->repeat <= 1) {
        error = syscall(__NR_bpf, PROG_TEST_RUN, attr, sizeof(*attr)) < 0 ? errno : 0;
    } else {
        r->busy = 1;
        Py_BEGIN_ALLOW_THREADS
        error = syscall(__NR_bpf, PROG_TEST_RUN, attr, sizeof(*attr)) < 0 ? errno : 0;
        Py_END_ALLOW_THREADS
        r->busy = 0;
    }
    r->duration = attr->duration;
    r->needed = attr->data_size_out;
    return error;
}

/* The frame that came out: the very object that went in, where it is the same bytes. */
static PyObject *data_out(const struct runner *r, const struct test *attr, PyObject *data,
                          const char *bytes)
{
    uint32_t size = attr->data_size_out < r->room ? attr->data_size_out : r->room;

    if (size == attr->data_size_in && memcmp(r->out, bytes, size) == 0) {
        Py_INCREF(data);
        return data;
    }
    return PyBytes_FromStringAndSize((const char *)r->out, size);
}

static PyObject *ctx_out(const struct runner *r, const struct test *attr)
{
    uint32_t size = r->ctx_stays ? attr->ctx_size_in : attr->ctx_size_out;

    if (!attr->ctx_size_in || !size) {
        Py_INCREF(r->nothing);
        return r->nothing;
    }
    if (size > attr->ctx_size_in)
        size = attr->ctx_size_in;
    return PyBytes_FromStringAndSize((const char *)r->ctx_room, size);
}

/* A new outcome, which is noted. */
static PyObject *fresh_outcome(struct runner *r, const struct test *attr, PyObject *data,
                               struct given *given)
{
    PyObject *parts[] = {
        PyLong_FromUnsignedLong(attr->retval),
        data,
        PyLong_FromUnsignedLong(attr->duration),
        ctx_out(r, attr),
    };
    /* What the class's own __new__ does, without the tuple of arguments. */
    PyObject *made = PyType_GenericAlloc((PyTypeObject *)r->result, 4);

    for (int i = 0; i < 4; i++) {
        if (!made)
            Py_XDECREF(parts[i]);
        else if (!parts[i])
            Py_CLEAR(made);
        else
            PyTuple_SetItem(made, i, parts[i]);
    }
    if (made) {
        hold(&given->outcome, made);
        given->data = data;
        given->retval = attr->retval;
        given->duration = attr->duration;
    }
    return made;
}

/* An outcome that nobody has any more, made to say what came; only what differs is written. */
static PyObject *used_outcome(const struct test *attr, PyObject *data, struct given *given)
{
    PyObject *retval = NULL, *duration = NULL;

    if (given->retval != attr->retval && !(retval = PyLong_FromUnsignedLong(attr->retval)))
        goto error;
    if (given->duration != attr->duration && !(duration = PyLong_FromUnsignedLong(attr->duration)))
        goto error;
    if (retval)
        PyTuple_SetItem(given->outcome, 0, retval);
    if (duration)
        PyTuple_SetItem(given->outcome, 2, duration);
    if (given->data != data)
        PyTuple_SetItem(given->outcome, 1, data);
    else
        Py_DECREF(data);
    given->data = data;
    given->retval = attr->retval;
    given->duration = attr->duration;
    Py_INCREF(given->outcome);
    return given->outcome;
error:
    Py_XDECREF(retval);
    Py_DECREF(data);
    return NULL;
}

static PyObject *outcome(struct runner *r, const struct test *attr, PyObject *data,
                         const char *bytes)
{
    struct given *given = &r->given[r->turn++ & 1];
    PyObject *out = data_out(r, attr, data, bytes);

    if (given->outcome && Py_REFCNT(given->outcome) == 1 && !attr->ctx_size_in && out)
        return used_outcome(attr, out, given);
    return fresh_outcome(r, attr, out, given);
}

/* What a run gives, or NULL; *error is errno where the kernel refused, and no exception is set. */
static PyObject *run_on(struct runner *r, PyObject *data, int *error)
{
    struct test attr = r->fresh;
    char *bytes;
    Py_ssize_t size;

    *error = 0;
    if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0)
        return NULL;
    if (attr.ctx_size_in && r->ctx_stays)
        memcpy(r->ctx_room, PyBytes_AsString(r->ctx), attr.ctx_size_in);
    *error = run_once(r, &attr, bytes, (uint32_t)size);
    return *error ? NULL : outcome(r, &attr, data, bytes);
}

static int is_usable(struct runner *r)
{
    return r->settings && !r->busy;
}

/* run(data): one run as prepared. Raises OSError. */
static PyObject *run(PyObject *self, PyObject *data)
{
    struct runner *r = (struct runner *)self;
    PyObject *made;
    int error;

    if (!PyBytes_CheckExact(data)) {
        PyErr_SetString(PyExc_TypeError, "a frame is bytes");
        return NULL;
    }
    if (!is_usable(r)) {
        PyErr_SetString(PyExc_RuntimeError, "not prepared, or another thread runs it");
        return NULL;
    }
    made = run_on(r, data, &error);
    if (error) {
        errno = error;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return made;
}

/* ---- frame after frame */

struct frame {
    const char *data;
    uint32_t size;
};

/* Columns of what comes of frames: where the next one goes. */
struct columns {
    uint32_t *retvals, *durations, *sizes;
    char *out;
    size_t room, used;
};

static size_t run_frames(struct runner *r, const struct frame *frames, size_t count,
                         struct columns *to, int *error)
{
    *error = 0;
    for (size_t i = 0; i < count; i++) {
        struct test attr = r->fresh;

        attr.data_size_in = frames[i].size;
        attr.data_in = frames[i].size ? (uintptr_t)frames[i].data : 0;
        if (to->room - to->used >= r->room) /* else it is copied, where it fits */
            attr.data_out = r->room ? (uintptr_t)(to->out + to->used) : 0;
        *error = syscall(__NR_bpf, PROG_TEST_RUN, &attr, sizeof(attr)) < 0 ? errno : 0;
        r->needed = attr.data_size_out;
        if (*error || attr.data_size_out > to->room - to->used)
            return i;
        if (attr.data_out && attr.data_out == (uintptr_t)r->out)
            memcpy(to->out + to->used, r->out, attr.data_size_out);
        to->retvals[i] = attr.retval;
        to->durations[i] = attr.duration;
        to->sizes[i] = attr.data_out ? attr.data_size_out : 0;
        to->used += to->sizes[i];
    }
    return count;
}

/* The frames of a tuple; NULL with an exception. */
static struct frame *frames_of(PyObject *tuple, size_t count, size_t *total)
{
    struct frame *frames = PyMem_Calloc(count + 1, sizeof(*frames));

    if (!frames)
        return (void *)PyErr_NoMemory();
    for (size_t i = 0; i < count; i++) {
        PyObject *each = PyTuple_GetItem(tuple, (Py_ssize_t)i);

        if (!PyBytes_CheckExact(each)) {
            PyErr_SetString(PyExc_TypeError, "frames are bytes");
            PyMem_Free(frames);
            return NULL;
        }
        frames[i] = (struct frame){PyBytes_AsString(each), (uint32_t)PyBytes_Size(each)};
        *total += frames[i].size;
    }
    return frames;
}

/* longest(frames): the length of the longest one of a tuple, -1 where one is not bytes. */
PyObject *ebpfasm_longest(PyObject *module, PyObject *tuple)
{
    Py_ssize_t count = PyTuple_Size(tuple), most = 0;

    (void)module;
    if (count < 0)
        return NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *each = PyTuple_GetItem(tuple, i);
        Py_ssize_t size = PyBytes_CheckExact(each) ? PyBytes_Size(each) : -1;

        if (size < 0)
            return PyLong_FromLong(-1);
        most = size > most ? size : most;
    }
    return PyLong_FromSsize_t(most);
}

/*
 * run_each(frames) -> retvals, durations, sizes, data, errno: a tuple of frames, until one is refused
 * or the room for what comes out is used up; numbers are columns of 32 bits in bytes. It gives the
 * lock away.
 */
static PyObject *run_each(PyObject *self, PyObject *tuple)
{
    struct runner *r = (struct runner *)self;
    PyObject *made = NULL;
    struct frame *frames;
    struct columns to = {.used = 0};
    size_t count, done, total = 0;
    int error;

    if (!PyTuple_CheckExact(tuple) || !is_usable(r)) {
        PyErr_SetString(PyExc_TypeError, "a prepared runner takes a tuple of frames");
        return NULL;
    }
    count = (size_t)PyTuple_Size(tuple);
    frames = frames_of(tuple, count, &total);
    if (!frames)
        return NULL;
    to.room = total + total / 4 + r->room;
    to.retvals = PyMem_Calloc(count + 1, 3 * sizeof(uint32_t));
    to.out = PyMem_Malloc(to.room + 1);
    if (!to.retvals || !to.out) {
        PyErr_NoMemory();
        goto out;
    }
    to.durations = to.retvals + count;
    to.sizes = to.durations + count;
    r->busy = 1;
    Py_BEGIN_ALLOW_THREADS
    done = run_frames(r, frames, count, &to, &error);
    Py_END_ALLOW_THREADS
    r->busy = 0;
    made = Py_BuildValue("y#y#y#y#i", (char *)to.retvals, (Py_ssize_t)(4 * done),
                         (char *)to.durations, (Py_ssize_t)(4 * done), (char *)to.sizes,
                         (Py_ssize_t)(4 * done), to.out, (Py_ssize_t)to.used, error);
out:
    PyMem_Free(frames);
    PyMem_Free(to.retvals);
    PyMem_Free(to.out);
    return made;
}

static PyMethodDef runner_methods[] = {
    {"prepare", prepare, METH_VARARGS, "make room for runs of a kind"},
    {"run", run, METH_O, "run once"},
    {"run_each", run_each, METH_O, "run on each frame"},
    {NULL, NULL, 0, NULL},
};

static PyMemberDef runner_members[] = {
    {"settings", T_OBJECT, offsetof(struct runner, settings), READONLY, "what it is prepared for"},
    {"room", T_UINT, offsetof(struct runner, room), READONLY, "bytes for the frame that comes out"},
    {"needed", T_UINT, offsetof(struct runner, needed), READONLY, "bytes that the last one had"},
    {"longest", T_ULONGLONG, offsetof(struct runner, longest), READONLY, "frame it is meant for"},
    {"busy", T_INT, offsetof(struct runner, busy), READONLY, "whether a thread runs it"},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot runner_slots[] = {
    {Py_tp_init, runner_init},
    {Py_tp_traverse, runner_traverse},
    {Py_tp_clear, runner_clear},
    {Py_tp_dealloc, runner_dealloc},
    {Py_tp_methods, runner_methods},
    {Py_tp_members, runner_members},
    {0, NULL},
};

PyType_Spec ebpfasm_runner_spec = {
    .name = "ebpfasm._objects.Runner",
    .basicsize = sizeof(struct runner),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = runner_slots,
};

/* ---- the method of programs */

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

static int is_runner(PyObject *object)
{
    return PyType_GetSlot(Py_TYPE(object), Py_tp_dealloc) == (void *)runner_dealloc;
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
    made = run_on(r, args[0], &error);
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
    runnable->runner = quick && is_runner(quick) ? (struct runner *)quick : NULL;
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
