"""One element of a map at a time: the calls in the native core, and the same in Python."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any, Protocol

from ebpfasm.native import native_objects
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

    def lookup(self, key: Bytes, flags: int = 0, /) -> bytes | None:
        """Read a value, None where there is none."""

    def update(self, key: Bytes, value: Bytes, flags: int = 0, /) -> None:
        """Write a value."""

    def delete(self, key: Bytes, /) -> bool:
        """Delete; False where there is nothing."""

    def take(self, key: Bytes, flags: int = 0) -> bytes | None:
        """Read a value and delete it, None where there is none."""

    def holds(self, value: Bytes) -> bool:
        """Ask a filter, whose look-up reads the value."""

    def close(self) -> None:
        """Make every later call fail with EBADF."""


class Subscripts:
    """What a map is to the native core, which has a shorter way from `m[key]` to an element."""

    __slots__ = ()

    def _direct(self, *looks: Any) -> None:
        """Say how keys and values look; nothing where there is no short way."""

    def _getitem(self, key: Any) -> Any:
        """Read an element the ordinary way."""
        raise NotImplementedError

    def _setitem(self, key: Any, value: Any) -> None:
        """Write one."""
        raise NotImplementedError

    def _delitem(self, key: Any) -> None:
        """Delete one."""
        raise NotImplementedError

    def __getitem__(self, key: Any) -> Any:
        return self._getitem(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._setitem(key, value)

    def __delitem__(self, key: Any) -> None:
        self._delitem(key)


_objects = native_objects()
if _objects is not None and not TYPE_CHECKING:
    Subscripts = _objects.Subscripts


def elements_of(fd: int, type: str, key_size: int, value_size: int) -> Elements:
    """The calls for an open map; `value_size` is what the kernel reads and writes."""
    objects = native_objects()
    if objects is None:
        return PlainElements(fd, value_size)
    made: Elements = objects.Elements(fd, key_size, value_size, type in _QUICK)
    return made


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
