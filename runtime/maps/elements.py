"""One element of a map at a time: calls with buffers that are made once.

A cell is the memory of one call: its attributes, a key and a value. Whoever calls takes a cell
out of the row of free ones and puts it back, so that two threads on one map never share one.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from ebpfasm.native import native_core
from ebpfasm.runtime import syscall

Bytes = bytes | bytearray

# Map types whose calls never sleep: they may keep the interpreter's lock.
_QUICK = frozenset({
    "hash", "array", "percpu_hash", "percpu_array", "lru_hash", "lru_percpu_hash", "lpm_trie",
    "queue", "stack", "bloom_filter", "stack_trace",
})  # fmt: skip

_NO_FD = 0xFFFF_FFFF  # as the kernel sees -1
_ELEMENT = struct.Struct("=IxxxxQQQ")  # map_fd, key, value or next_key, flags


class Elements(Protocol):
    """The calls. Sizes are the caller's to check; all raise OSError."""

    def lookup(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value, None where there is none."""

    def update(self, key: Bytes, value: Bytes, flags: int = 0) -> None:
        """Write a value."""

    def delete(self, key: Bytes) -> bool:
        """Delete; False where there is nothing."""

    def take(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value and delete it, None where there is none."""

    def holds(self, value: Bytes) -> bool:
        """Ask a filter, whose look-up reads the value."""

    def close(self) -> None:
        """Make every later call fail with EBADF."""


def elements_of(fd: int, type: str, key_size: int, value_size: int) -> Elements:
    """The calls for an open map; `value_size` is what the kernel reads and writes."""
    core = native_core()
    if core is None:
        return PlainElements(fd, value_size)
    return NativeElements(core, fd, key_size, value_size, quick=type in _QUICK)


class _Cell(NamedTuple):
    key: memoryview
    value: memoryview
    place: int  # of the attributes
    attributes: Any
    memory: Any  # what the views look at


class NativeElements:
    """The calls through the native core."""

    def __init__(self, core: Any, fd: int, key_size: int, value_size: int, *, quick: bool) -> None:
        self._core = core
        self._fd = fd
        self._sizes = key_size, value_size
        self._free: list[_Cell] = []
        lib = core.lib
        self._lookup = lib.ebpfasm_held_lookup if quick else lib.ebpfasm_map_lookup
        self._update = lib.ebpfasm_held_update if quick else lib.ebpfasm_map_update
        self._delete = lib.ebpfasm_held_delete if quick else lib.ebpfasm_map_delete
        self._take = lib.ebpfasm_held_take if quick else lib.ebpfasm_map_take

    def close(self) -> None:
        """Make every later call fail with EBADF."""
        self._fd = _NO_FD
        self._free = []

    def _new_cell(self) -> _Cell:
        ffi = self._core.ffi
        key_size, value_size = self._sizes
        memory = [ffi.new("unsigned char[]", max(size, 1)) for size in self._sizes]
        places = [int(ffi.cast("uintptr_t", each)) for each in memory]
        attributes = ffi.new("struct ebpfasm_element *")
        attributes.map_fd = self._fd
        attributes.key = places[0] if key_size else 0
        attributes.value = places[1]
        return _Cell(
            memoryview(ffi.buffer(memory[0], key_size)),
            memoryview(ffi.buffer(memory[1], value_size)),
            int(ffi.cast("uintptr_t", attributes)),
            attributes,
            memory,
        )

    def lookup(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value, None where there is none."""
        return self._read(self._lookup, key, flags)

    def take(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value and delete it, None where there is none."""
        return self._read(self._take, key, flags)

    def _read(self, call: Callable[[int], int], key: Bytes, flags: int) -> bytes | None:
        free = self._free
        try:
            cell = free.pop()
        except IndexError:
            cell = self._new_cell()
        there, value, place, attributes, _ = cell
        there[:] = key
        if flags:
            attributes.flags = flags
        result = call(place)
        found = None if result else value.tobytes()
        if flags:
            attributes.flags = 0
        free.append(cell)
        if result and result != -errno.ENOENT:
            raise OSError(-result, os.strerror(-result))
        return found

    def update(self, key: Bytes, value: Bytes, flags: int = 0) -> None:
        """Write a value."""
        free = self._free
        try:
            cell = free.pop()
        except IndexError:
            cell = self._new_cell()
        there, room, place, attributes, _ = cell
        there[:] = key
        room[:] = value
        attributes.flags = flags
        result = self._update(place)
        attributes.flags = 0
        free.append(cell)
        if result:
            raise OSError(-result, os.strerror(-result))

    def delete(self, key: Bytes) -> bool:
        """Delete; False where there is nothing."""
        free = self._free
        try:
            cell = free.pop()
        except IndexError:
            cell = self._new_cell()
        cell.key[:] = key
        result = self._delete(cell.place)
        free.append(cell)
        if result and result != -errno.ENOENT:
            raise OSError(-result, os.strerror(-result))
        return not result

    def holds(self, value: Bytes) -> bool:
        """Ask a filter, whose look-up reads the value."""
        free = self._free
        try:
            cell = free.pop()
        except IndexError:
            cell = self._new_cell()
        cell.value[:] = value
        result = self._lookup(cell.place)
        free.append(cell)
        if result and result != -errno.ENOENT:
            raise OSError(-result, os.strerror(-result))
        return not result


class PlainElements:
    """The calls without the native core."""

    def __init__(self, fd: int, value_size: int) -> None:
        self._fd = fd
        self._value_size = value_size

    def close(self) -> None:
        """Make every later call fail with EBADF."""
        self._fd = _NO_FD

    def _call(self, command: int, key: Bytes, value: bytearray, flags: int = 0) -> bool:
        """Whether it was there."""
        there = bytearray(key)
        places = syscall.address(there), syscall.address(value)
        try:
            syscall.bpf(command, bytearray(_ELEMENT.pack(self._fd, *places, flags)))
        except OSError as refusal:
            if refusal.errno != errno.ENOENT or command == syscall.MAP_UPDATE_ELEM:
                raise
            return False
        return True

    def lookup(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value, None where there is none."""
        value = bytearray(self._value_size)
        return bytes(value) if self._call(syscall.MAP_LOOKUP_ELEM, key, value, flags) else None

    def take(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value and delete it, None where there is none."""
        value = bytearray(self._value_size)
        taken = self._call(syscall.MAP_LOOKUP_AND_DELETE_ELEM, key, value, flags)
        return bytes(value) if taken else None

    def update(self, key: Bytes, value: Bytes, flags: int = 0) -> None:
        """Write a value."""
        self._call(syscall.MAP_UPDATE_ELEM, key, bytearray(value), flags)

    def delete(self, key: Bytes) -> bool:
        """Delete; False where there is nothing."""
        return self._call(syscall.MAP_DELETE_ELEM, key, bytearray())

    def holds(self, value: Bytes) -> bool:
        """Ask a filter, whose look-up reads the value."""
        return self._call(syscall.MAP_LOOKUP_ELEM, b"", bytearray(value))
