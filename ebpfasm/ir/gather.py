"""The short way from values to bytes, for what is given in the plainest form: dicts, lists, ints.

One `struct` format takes all numbers of a shape at once. What is given otherwise, or does not fit,
is left to `encode`, which knows every form and says what is wrong.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from typing import Any

from ebpfasm.ir.decoding import number_code
from ebpfasm.ir.given import fields_of
from ebpfasm.ir.shapes import Number, Octets, Record, Row, Shape, Text

# What a packer raises for values that are none of its business.
UNUSUAL = (struct.error, KeyError, TypeError, ValueError, OverflowError)

Packer = Callable[[Any], bytes]
_Gather = Callable[[Any, list[Any]], None]


def packer(shape: Shape) -> Packer | None:
    """What turns values of a shape into bytes or raises one of UNUSUAL; None if nothing can."""
    if isinstance(shape, Record) and len(shape.fields) > 1 and _is_flat(shape):
        return _flat(shape)
    found = _compiled(shape)
    if found is None:
        return None
    format, gather = found
    pack = struct.Struct("=" + format).pack

    def packed(value: Any) -> bytes:
        out: list[Any] = []
        gather(value, out)
        return pack(*out)

    return packed


def _is_flat(shape: Record) -> bool:
    """Whether `struct` alone checks each field: integers, nothing else."""
    return not shape.overlaps and all(
        isinstance(each.shape, Number)
        and each.shape.kind not in ("bool", "float")
        and not each.bits
        for each in shape.fields
    )


def _flat(shape: Record) -> Packer:
    found = _compiled(shape)
    assert found is not None
    fields = sorted(shape.fields, key=lambda each: each.offset)
    pick, count = operator.itemgetter(*(each.name for each in fields)), len(fields)
    pack, by_name = struct.Struct("=" + found[0]).pack, _by_name(shape)

    def packed(value: Any) -> bytes:
        given = value if type(value) is dict else by_name(value)
        if len(given) != count:
            raise ValueError
        return pack(*pick(given))

    return packed


def _by_name(shape: Record) -> Callable[[Any], Any]:
    """What sees a dataclass, a tuple and the like as a dict."""
    names = tuple(each.name for each in shape.fields)

    def seen(value: Any) -> Any:
        given = fields_of(value)
        if isinstance(given, list | tuple):
            return dict(zip(names, given, strict=True))
        return given  # None has no length

    return seen


def _compiled(shape: Shape) -> tuple[str, _Gather] | None:
    match shape:
        case Number(kind="bool"):
            return number_code(shape), _bool
        case Number():
            return number_code(shape), lambda value, out: out.append(value)
        case Text(size=size):
            return f"{size}s", lambda value, out: out.append(_short(value, size))
        case Octets(size=size):
            return f"{size}s", lambda value, out: out.append(_whole(value, size))
        case Row():
            return _row(shape)
        case Record():
            return _record(shape)


def _bool(value: Any, out: list[Any]) -> None:
    if value is not True and value is not False:
        raise TypeError
    out.append(value)


def _short(value: Any, size: int) -> bytes:
    if type(value) is not bytes or len(value) > size:
        raise TypeError
    return value


def _whole(value: Any, size: int) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise TypeError
    return value


def _row(shape: Row) -> tuple[str, _Gather] | None:
    found = _compiled(shape.element)
    if found is None:
        return None
    format, gather = found
    count = shape.count

    def row(value: Any, out: list[Any]) -> None:
        if type(value) not in (list, tuple) or len(value) != count:
            raise TypeError
        for each in value:
            gather(each, out)

    many = f"{count}{format}" if isinstance(shape.element, Number) else format * count
    return many, row


def _record(shape: Record) -> tuple[str, _Gather] | None:
    if shape.overlaps or any(each.bits for each in shape.fields):
        return None
    format, end, steps = "", 0, []
    for each in sorted(shape.fields, key=lambda each: each.offset):
        found = _compiled(each.shape)
        if found is None:
            return None
        format += f"{each.offset // 8 - end}x{found[0]}"
        steps.append((each.name, found[1]))
        end = each.end // 8
    format += f"{shape.size - end}x"
    by_name = _by_name(shape)

    def record(value: Any, out: list[Any]) -> None:
        given = value if type(value) is dict else by_name(value)
        if len(given) != len(steps):
            raise ValueError
        for name, gather in steps:
            gather(given[name], out)

    return format, record
