/* AF_XDP: formats that were taken apart in Python, and values in rows of them. */
#ifndef EBPFASM_LAYOUT_H
#define EBPFASM_LAYOUT_H

#include "python.h"

#include <stdint.h>
#include <string.h>

struct field {
    uint32_t offset, size;
    char kind; /* 's' bytes; integers: 'u' and 'i', and 'U' and 'I' with the highest byte first */
};

struct layout {
    PyObject_HEAD
    struct field *fields;
    uint32_t count, size;
};

/* What was read of the row before: neighbours often have equal values, and these are one object. */
struct past {
    unsigned char *row;
    PyObject **values; /* none at first */
};

int ebpfasm_past_begin(struct past *p, const struct layout *layout);
void ebpfasm_past_end(struct past *p, const struct layout *layout);

/* A field's value in a row. */
PyObject *ebpfasm_field_get(const struct field *field, const unsigned char *row);
/* Whether a value is as plain as its field asks for; it is there then. */
int ebpfasm_field_put(const struct field *field, PyObject *given, unsigned char *to);

static inline int same(const unsigned char *a, const unsigned char *b, uint32_t size)
{
    switch (size) { /* of a fixed size it is an instruction or two */
    case 1:
        return *a == *b;
    case 2:
        return !memcmp(a, b, 2);
    case 4:
        return !memcmp(a, b, 4);
    case 6:
        return !memcmp(a, b, 6);
    case 8:
        return !memcmp(a, b, 8);
    default:
        return !memcmp(a, b, size);
    }
}

/* A new reference to a field's value in a row. */
static inline PyObject *read_value(struct past *p, const struct field *field, uint32_t i,
                            const unsigned char *row)
{
    PyObject *made = p->values[i];

    if (!made || !same(p->row + field->offset, row + field->offset, field->size)) {
        made = ebpfasm_field_get(field, row);
        if (!made)
            return NULL;
        Py_XDECREF(p->values[i]);
        p->values[i] = made;
        memcpy(p->row + field->offset, row + field->offset, field->size);
    }
    return Py_NewRef(made);
}

int ebpfasm_layout_fill(PyObject *module);

#endif
