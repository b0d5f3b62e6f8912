"""bpf(2) for tests, straight through ctypes: it shares no code with what it judges."""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support import NR_BPF, NR_BPF_GENERIC

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, PROG_LOAD = 0, 1, 2, 5
PROG_TEST_RUN, OBJ_GET_INFO, BTF_LOAD = 10, 15, 18

ARRAY = 2
SOCKET_FILTER, XDP = 1, 6


class Refused(Exception):
    """The kernel's answer to a load: its errno and the whole log."""

    def __init__(self, number: int, log: str = "") -> None:
        super().__init__(f"{os.strerror(number)}\n{log}")
        self.errno = number
        self.log = log


def call(command: int, attributes: bytes) -> tuple[int, bytes]:
    """The result and the attributes as the kernel left them. Raises Refused."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    number = NR_BPF.get(platform.machine(), NR_BPF_GENERIC)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    result = libc.syscall(ctypes.c_long(number), command, buffer, len(attributes))
    if result < 0:
        raise Refused(ctypes.get_errno())
    return result, buffer.raw


def _pointer(buffer: ctypes.Array[ctypes.c_char]) -> int:
    return ctypes.addressof(buffer)


@contextmanager
def closing(fd: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def map_create(
    type: int, key: int, value: int, entries: int, *, btf: int = 0, ids: tuple[int, int] = (0, 0)
) -> int:
    """A new map's descriptor."""
    head = struct.pack("=5I", type, key, value, entries, 0).ljust(48, b"\0")
    return call(MAP_CREATE, head + struct.pack("=3I", btf, *ids))[0]


def map_lookup(fd: int, key: bytes, size: int) -> bytes:
    """The value under a key."""
    there, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    call(MAP_LOOKUP, struct.pack("=IIQQQ", fd, 0, _pointer(there), _pointer(value), 0))
    return value.raw


def map_update(fd: int, key: bytes, value: bytes) -> None:
    """Store a value under a key."""
    there = ctypes.create_string_buffer(key, len(key))
    what = ctypes.create_string_buffer(value, len(value))
    call(MAP_UPDATE, struct.pack("=IIQQQ", fd, 0, _pointer(there), _pointer(what), 0))


def btf_load(btf: bytes) -> int:
    """A descriptor of loaded BTF."""
    data, log = ctypes.create_string_buffer(btf, len(btf)), ctypes.create_string_buffer(1 << 16)
    attributes = struct.pack("=QQIII", _pointer(data), _pointer(log), len(btf), len(log), 1)
    try:
        return call(BTF_LOAD, attributes)[0]
    except Refused as refused:
        raise Refused(refused.errno, log.value.decode()) from None


def prog_load(
    code: bytes,
    type: int = XDP,
    *,
    btf: int = 0,
    func_info: bytes = b"",
    line_info: bytes = b"",
    log_level: int = 0,
) -> tuple[int, str]:
    """A loaded program's descriptor and the verifier's log. Raises Refused with the log.

    Without a log level the kernel takes no buffer for a log.
    """
    data = ctypes.create_string_buffer(code, len(code))
    license, log = ctypes.create_string_buffer(b"GPL"), ctypes.create_string_buffer(1 << 24)
    functions = ctypes.create_string_buffer(func_info, max(len(func_info), 1))
    lines = ctypes.create_string_buffer(line_info, max(len(line_info), 1))
    log_place = (len(log), _pointer(log)) if log_level else (0, 0)
    attributes = struct.pack(
        "=IIQQIIQII16sII", type, len(code) // 8, _pointer(data), _pointer(license),
        log_level, *log_place, 0, 0, b"judged", 0, 0,
    ) + struct.pack(
        "=IIQIIQII", btf, 8 if func_info else 0, _pointer(functions), len(func_info) // 8,
        16 if line_info else 0, _pointer(lines), len(line_info) // 16, 0,
    )  # fmt: skip
    try:
        fd, _ = call(PROG_LOAD, attributes)
    except Refused as refused:
        raise Refused(refused.errno, log.value.decode("utf-8", "replace")) from None
    return fd, log.value.decode("utf-8", "replace")


def prog_id(fd: int) -> int:
    """The id by which bpftool finds a loaded program."""
    return _info_word(fd, 1)


def map_id(fd: int) -> int:
    """The id by which bpftool finds a map."""
    return _info_word(fd, 1)


def _info_word(fd: int, index: int) -> int:
    info = ctypes.create_string_buffer(64)
    call(OBJ_GET_INFO, struct.pack("=IIQ", fd, len(info), _pointer(info)))
    return int(struct.unpack_from("=16I", info.raw)[index])


def run_once(fd: int, data: bytes = bytes(14)) -> int:
    """Run a program once on a packet; what it returns."""
    packet = ctypes.create_string_buffer(data, len(data))
    head = struct.pack("=IIIIQQII", fd, 0, len(data), 0, _pointer(packet), 0, 1, 0)
    _, answer = call(PROG_TEST_RUN, head.ljust(80, b"\0"))
    return int(struct.unpack_from("=I", answer, 4)[0])
