/*
 * A Decoder makes a Python value of bytes: a number, bytes, a row, a record, or what a class makes of
 * those. It is a tree; ebpfasm/ir/native_decoding.py builds one for a shape.
 */
#ifndef EBPFASM_DECODE_H
#define EBPFASM_DECODE_H

#include "python.h"

#include <stddef.h>
#include <stdint.h>

struct decoder;

struct part {
    size_t offset;
    size_t place; /* in an object with slots: where the value goes, 0 where that is not known */
    PyObject *name;
    struct decoder *decoder;
};

struct decoder {
    PyObject_HEAD
    char code;   /* what it makes, see decode() */
    size_t size; /* bytes that it reads */
    /* of bit-fields */
    unsigned shift, bits;
    int has_sign, is_bool;
    /* of rows: how many of the one part, and how far apart */
    size_t count, stride;
    /* of records and rows */
    size_t length;
    struct part *parts;
    PyObject *make; /* the class, or what is called; of dicts of atoms, one to be copied */
};

int ebpfasm_is_decoder(PyObject *object);

/* The value of the bytes, of which there are decoder->size; NULL with an exception. */
PyObject *ebpfasm_decode(const struct decoder *decoder, const unsigned char *bytes);

/*
 * Put a record's values into a dict of the one before, if that has the names still, in their order,
 * and no more. 1, or 0 where it has not, or -1 with an exception.
 */
int ebpfasm_refill_dict(const struct decoder *decoder, const unsigned char *bytes, PyObject *dict);

/* Whether its values hold no others, so that no garbage hangs on them. */
int ebpfasm_is_atom(const struct decoder *decoder);

#endif
