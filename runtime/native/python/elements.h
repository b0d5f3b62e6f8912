/* Elements of a map, one at a time: see elements.c. */
#ifndef EBPFASM_ELEMENTS_H
#define EBPFASM_ELEMENTS_H

#include "python.h"

#include <stdint.h>

enum { MAP_LOOKUP_ELEM = 1, MAP_UPDATE_ELEM = 2, MAP_DELETE_ELEM = 3, MAP_TAKE_ELEM = 21 };

struct elements {
    PyObject_HEAD
    int fd, quick; /* quick: its calls never sleep */
    size_t key_size, value_size;
};

int ebpfasm_is_elements(PyObject *object);

/* Make a call of enum bpf_cmd. 0 or errno, with no exception set. */
int ebpfasm_element(const struct elements *elements, int cmd, const void *key, const void *value,
                    uint64_t flags);

#endif
