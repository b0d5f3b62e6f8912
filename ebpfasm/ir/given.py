"""What users give for a record: dicts, dataclasses, tuples, ctypes and numpy, seen as fields."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any


def fields_of(value: Any) -> Mapping[str, Any] | Sequence[Any] | None:
    """A value's fields by name, or in order where it has no names; None where it has none."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, tuple | list):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if is_ctypes(value, "Structure", "Union"):
        return _ctypes_fields(value)
    names = getattr(getattr(value, "dtype", None), "names", None)  # of a numpy record
    if names and getattr(value, "ndim", 0) == 0:
        return {name: value[name] for name in names}
    return None


def raw_of(value: Any) -> memoryview | None:
    """The bytes of a value that is nothing but bytes; None for any other."""
    if isinstance(value, bytes | bytearray | memoryview):
        return memoryview(value).cast("B") if len(value) else memoryview(b"")
    return None


def memory_of(value: Any) -> memoryview | None:
    """The memory of ctypes and numpy values and of bytes; None for any other."""
    if isinstance(value, bytes | bytearray | memoryview):
        return raw_of(value)
    if is_ctypes(value, "Structure", "Union", "Array", "_SimpleCData") or hasattr(value, "dtype"):
        tobytes = getattr(value, "tobytes", None)
        return memoryview(tobytes() if tobytes is not None else bytes(value))
    return None


def scalar_of(value: Any) -> Any:
    """The number in a ctypes scalar, an enumerator, or a numpy array of no dimensions."""
    if isinstance(value, Enum) and not isinstance(value, int):
        return value.value
    if is_ctypes(value, "_SimpleCData"):
        return value.value
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        return value.item()
    return value


def is_ctypes(value: Any, *names: str) -> bool:
    """Whether a value is of one of ctypes' classes, which are not loaded for the question."""
    ctypes = sys.modules.get("ctypes")
    return ctypes is not None and isinstance(value, tuple(getattr(ctypes, name) for name in names))


def _ctypes_fields(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for owner in reversed(type(value).__mro__):
        unnamed = owner.__dict__.get("_anonymous_", ())
        for name, *_ in owner.__dict__.get("_fields_", ()):
            inner = getattr(value, name)
            found |= _ctypes_fields(inner) if name in unnamed else {name: inner}
    return found
