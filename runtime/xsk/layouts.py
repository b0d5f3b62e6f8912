"""Formats of the struct module, taken apart for the native core."""

from __future__ import annotations

import re
import struct
import sys
from functools import cache
from typing import Any

from ebpfasm.native import native_objects

_ITEM = re.compile(r"(\d*)([a-zA-Z?])\s*")
_SIGNED, _UNSIGNED = "bhilq", "BHILQ"


@cache
def layout(format: str) -> tuple[Any | None, struct.Struct]:
    """How rows of a format are read and written: natively, where all of it is bytes and integers,
    and by the struct module. Raises struct.error.
    """
    whole = struct.Struct(format)
    fields = _fields(format.strip())
    objects = native_objects()
    if fields is None or objects is None:
        return None, whole
    return objects.Layout(tuple(fields), whole.size), whole


def _fields(format: str) -> list[tuple[int, int, int]] | None:
    """Kind, offset and size of each value; None where one is neither bytes nor an integer."""
    order = format[0] if format[:1] in tuple("@=<>!") else "@"
    is_big = order in ">!" or (order in "@=" and sys.byteorder == "big")
    found: list[tuple[int, int, int]] = []
    before = order
    for item in _ITEM.finditer(format, format.startswith(order)):
        before += item[0]
        code, count = item[2], int(item[1] or 1)
        size = struct.calcsize(order + code)
        begin = struct.calcsize(before) - count * size
        match code:
            case "x":
                continue
            case "s":
                found.append((ord("s"), begin, count))
                continue
            case "c":
                kind = "s"
            case _ if code in _SIGNED:
                kind = "I" if is_big else "i"
            case _ if code in _UNSIGNED:
                kind = "U" if is_big else "u"
            case _:
                return None
        found += [(ord(kind), begin + at * size, size) for at in range(count)]
    return found
