"""bpf(2): command numbers, the call itself, and addresses of buffers for its attributes.

Attributes are packed with `struct` by the callers, as `union bpf_attr` in linux/bpf.h lays them
out. The call goes through the native core; without it, or with EBPFASM_NO_NATIVE=1 in the
environment when the first call is made, through ctypes.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from ebpfasm.native import native_core

# enum bpf_cmd, the part that is used here
MAP_CREATE = 0
MAP_LOOKUP_ELEM = 1
MAP_UPDATE_ELEM = 2
MAP_DELETE_ELEM = 3
MAP_GET_NEXT_KEY = 4
PROG_LOAD = 5
OBJ_PIN = 6
OBJ_GET = 7
PROG_ATTACH = 8
PROG_DETACH = 9
PROG_TEST_RUN = 10
PROG_GET_NEXT_ID = 11
MAP_GET_NEXT_ID = 12
PROG_GET_FD_BY_ID = 13
MAP_GET_FD_BY_ID = 14
OBJ_GET_INFO_BY_FD = 15
PROG_QUERY = 16
RAW_TRACEPOINT_OPEN = 17
BTF_LOAD = 18
BTF_GET_FD_BY_ID = 19
TASK_FD_QUERY = 20
MAP_LOOKUP_AND_DELETE_ELEM = 21
MAP_FREEZE = 22
BTF_GET_NEXT_ID = 23
MAP_LOOKUP_BATCH = 24
MAP_LOOKUP_AND_DELETE_BATCH = 25
MAP_UPDATE_BATCH = 26
MAP_DELETE_BATCH = 27
LINK_CREATE = 28
LINK_UPDATE = 29
LINK_GET_FD_BY_ID = 30
LINK_GET_NEXT_ID = 31
ENABLE_STATS = 32
ITER_CREATE = 33
LINK_DETACH = 34
PROG_BIND_MAP = 35
TOKEN_CREATE = 36
PROG_STREAM_READ_BY_FD = 37

# Commands that an old kernel charges to the limit of locked memory, and those that a signal
# interrupts with EAGAIN or EINTR though trying again is all there is to do.
_CHARGED = frozenset({MAP_CREATE, PROG_LOAD, BTF_LOAD})
_INTERRUPTED = {
    PROG_LOAD: frozenset({errno.EAGAIN, errno.EINTR}),
    PROG_TEST_RUN: frozenset({errno.EINTR}),
}
_ATTEMPTS = 5  # as often as libbpf tries

# __NR_bpf of the architectures whose tables differ from asm-generic/unistd.h's
_NUMBERS = {
    "x86_64": 321,
    "i386": 357,
    "i686": 357,
    "armv6l": 386,
    "armv7l": 386,
    "ppc64": 361,
    "ppc64le": 361,
    "s390x": 351,
    "sparc64": 349,
}
_GENERIC_NUMBER = 280


class _Engine(NamedTuple):
    """One way into the kernel: the raw call, which answers -errno, and a buffer's address."""

    name: str
    call: Callable[[int, bytearray], int]
    address: Callable[[bytearray], int]


def bpf(command: int, attributes: bytearray) -> int:
    """Call bpf(2) and return its result: 0 or a new descriptor (close-on-exec).

    The kernel may write into `attributes`. Raises OSError with the call's errno. A load that a
    signal interrupts is tried again, after Python's own signal handlers ran. Where a charged
    command is refused for want of locked memory (before Linux 5.11) the limit is raised once.
    """
    engine = _engine()
    for _ in range(_ATTEMPTS):
        result = engine.call(command, attributes)
        if result >= 0:
            return result
        if result == -errno.EPERM and command in _CHARGED and _raise_memlock():
            continue
        if -result not in _INTERRUPTED.get(command, ()):
            break
    raise OSError(-result, os.strerror(-result))


def address(buffer: bytearray) -> int:
    """Return where a buffer's bytes are, 0 for an empty one.

    The address holds as long as the buffer lives and is not resized: keep a name on it.
    """
    return _engine().address(buffer) if buffer else 0


def engine_name() -> str:
    """Say which way calls take: "native" or "ctypes"."""
    return _engine().name


@cache
def _engine() -> _Engine:
    core = native_core()
    return _ctypes_engine() if core is None else _native_engine(core)


def _native_engine(core: Any) -> _Engine:
    raw, from_buffer, cast = core.lib.ebpfasm_bpf, core.ffi.from_buffer, core.ffi.cast

    def call(command: int, attributes: bytearray) -> int:
        return int(raw(command, from_buffer(attributes), len(attributes)))

    def place(buffer: bytearray) -> int:
        return int(cast("uintptr_t", from_buffer(buffer)))

    return _Engine("native", call, place)


def _ctypes_engine() -> _Engine:
    import ctypes
    import platform

    syscall = ctypes.CDLL(None, use_errno=True).syscall
    syscall.restype = ctypes.c_long
    number = ctypes.c_long(_NUMBERS.get(platform.machine(), _GENERIC_NUMBER))

    def call(command: int, attributes: bytearray) -> int:
        there = (ctypes.c_char * len(attributes)).from_buffer(attributes)
        result = syscall(number, ctypes.c_int(command), there, ctypes.c_uint(len(attributes)))
        return -ctypes.get_errno() if result < 0 else int(result)

    def place(buffer: bytearray) -> int:
        return ctypes.addressof(ctypes.c_char.from_buffer(buffer))

    return _Engine("ctypes", call, place)


def _raise_memlock() -> bool:
    """Lift the limit of locked memory as far as it goes; False where it is there already."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    for limit in (resource.RLIM_INFINITY, hard):
        if soft in (limit, resource.RLIM_INFINITY):
            return False
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
        except (OSError, ValueError):
            continue
        return True
    return False
