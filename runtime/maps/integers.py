"""The shortest way to one element, for maps of integers: one call, no buffer.

Python's part of a look-up costs as much as the kernel's, so each step counts here. What these
classes do not settle at once goes the ordinary way, which knows why: keys that are not there,
bytes, negative numbers, mistakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ebpfasm.ir.values import Codec, Plain
from ebpfasm.native import native_core
from ebpfasm.runtime.maps.map import Map

_MOST_FD = 1 << 26  # what fits a tag

# Types whose calls never sleep, and whose keys and values are what they seem.
_TYPES = frozenset({"hash", "array", "lru_hash"})

_core = native_core()
_none: Callable[..., int] = lambda *_: -1  # noqa: E731
_get = _core.lib.ebpfasm_held_get if _core else _none
_get_wide = _core.lib.ebpfasm_held_get_wide if _core else _none
_put = _core.lib.ebpfasm_held_put if _core else _none
_put_wide = _core.lib.ebpfasm_held_put_wide if _core else _none
_drop = _core.lib.ebpfasm_held_drop if _core else _none
_drop_wide = _core.lib.ebpfasm_held_drop_wide if _core else _none

# What Python and numpy raise for keys and values that are no integers of this size.
_OTHERS = (TypeError, ValueError, OverflowError)


class IntegerMap(Map):
    """A map with integers of up to 8 bytes as values, and of up to 4 as keys.

    The tag is what runtime/native/api/maps.h says, None when the map is closed.
    """

    def __getitem__(self, key: Any) -> Any:
        try:
            if not key >> 32:
                value = _get(self._tag + key)
                if value >= 0:
                    return value
        except _OTHERS:
            pass
        return Map.__getitem__(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        try:
            if not key >> 32 and not value >> 64 and not _put(self._tag + key, value):
                return
        except _OTHERS:
            pass
        Map.__setitem__(self, key, value)

    def __delitem__(self, key: Any) -> None:
        try:
            if not key >> 32 and not _drop(self._tag + key):
                return
        except _OTHERS:
            pass
        Map.__delitem__(self, key)

    def close(self) -> None:
        """Give the descriptor back."""
        self._tag = None
        super().close()


class WideIntegerMap(IntegerMap):
    """A map with integers of up to 8 bytes as values and of 8 as keys."""

    def __getitem__(self, key: Any) -> Any:
        try:
            if not key >> 64:
                value = _get_wide(self._tag, key)
                if value >= 0:
                    return value
        except _OTHERS:
            pass
        return Map.__getitem__(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        try:
            if not key >> 64 and not value >> 64 and not _put_wide(self._tag, key, value):
                return
        except _OTHERS:
            pass
        Map.__setitem__(self, key, value)

    def __delitem__(self, key: Any) -> None:
        try:
            if not key >> 64 and not _drop_wide(self._tag, key):
                return
        except _OTHERS:
            pass
        Map.__delitem__(self, key)


def integer_class(type: str, key: Codec, value: Codec, fd: int) -> type[IntegerMap] | None:
    """The class for a map of integers; None for others, and where the core is missing."""
    both = isinstance(key, Plain) and isinstance(value, Plain) and key.integer and value.integer
    if not both or type not in _TYPES or fd >= _MOST_FD or native_core() is None:
        return None
    return WideIntegerMap if key.size == 8 else IntegerMap


def tag_of(key: Codec, value: Codec, fd: int) -> int:
    """What the native core takes for the map."""
    logs = (key.size.bit_length() - 1) << 26 | (value.size.bit_length() - 1) << 28
    return (fd | logs | key.signed << 30 | value.signed << 31) << 32
