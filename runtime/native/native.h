/*
 * What the C files offer to Python. The headers in api/ hold declarations only: cffi reads them too,
 * and it knows no preprocessor. Every function works on plain buffers, knows no Python type and runs
 * without the interpreter's lock. Failure is a negative errno.
 */
#ifndef EBPFASM_NATIVE_H
#define EBPFASM_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#include "api/btf.h"
#include "api/code.h"
#include "api/disasm.h"
#include "api/maps.h"
#include "api/pcap.h"
#include "api/rings.h"
#include "api/syscall.h"
#include "api/text.h"
#include "api/vm.h"
#include "api/xsk.h"

#endif
