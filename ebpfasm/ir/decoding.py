"""Bytes to Python values by a shape: one `struct` format for all that it can say, and few objects.

Numbers come as int, bool or float, texts and bytes as bytes, rows as lists and records as dicts;
in keys, which must be hashable, rows are tuples and records FrozenFields.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, assert_never

from ebpfasm.frozen import dataclass
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, Text

_MOST = 64  # texts or records of a row that stand in a format one by one

_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}

# Takes what `struct` unpacked and the place of the first value in it.
Build = Callable[[tuple[Any, ...], int], Any]

Rows = Iterable[tuple[Any, ...]]
One = Callable[[bytes | bytearray | memoryview], Any]


class FrozenFields(dict[str, Any]):
    """A record that can be the key of a dict; otherwise a dict that cannot be changed."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("a key of a map cannot be changed: make a dict of it")

    __setitem__ = __delitem__ = update = setdefault = clear = _refuse
    pop = popitem = __ior__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenFields, (dict(self),)


@dataclass(frozen=True, slots=True)
class Decoder:
    """How values of one shape are read: `one` makes that at the start of a buffer."""

    format: str
    size: int
    one: One
    all: Callable[[Rows], list[Any]]

    def many(self, raw: bytes | bytearray | memoryview, count: int, stride: int) -> list[Any]:
        """The first `count` values, each `stride` bytes behind the one before."""
        rows = struct.iter_unpack(
            f"{self.format}{stride - self.size}x", memoryview(raw)[: count * stride]
        )
        return self.all(rows)


def decoder(shape: Shape, *, frozen: bool = False) -> Decoder:
    """The way to read a shape; `frozen` for keys."""
    format, _, build = _compiled(shape, frozen)
    format = "=" + format
    take, make = struct.Struct(format).unpack_from, build or _first
    if isinstance(shape, Record) and _is_flat(shape):
        return Decoder(format, shape.size, *_written(shape, frozen, take))
    return Decoder(
        format, shape.size,
        lambda raw: make(take(raw), 0), lambda rows: [make(row, 0) for row in rows],
    )  # fmt: skip


def _is_flat(shape: Record) -> bool:
    """Whether each of its fields is a value of `struct` as it comes."""
    return len(shape.fields) > 0 and not shape.overlaps and all(
        isinstance(each.shape, Number | Octets) and not each.bits for each in shape.fields
    )  # fmt: skip


def _written(
    shape: Record, frozen: bool, take: Callable[..., tuple[Any, ...]]
) -> tuple[One, Callable[[Rows], list[Any]]]:
    """`one` and `all` of a flat record, as code with its names: in a third of the time."""
    fields = sorted(shape.fields, key=lambda each: each.offset)
    values = "".join(f"v{number}, " for number in range(len(fields)))
    pairs = ", ".join(f"{each.name!r}: v{number}" for number, each in enumerate(fields))
    made = f"kind({{{pairs}}})" if frozen else f"{{{pairs}}}"
    scope: dict[str, Any] = {"take": take, "kind": FrozenFields}
    exec(
        f"def one(raw):\n {values}= take(raw)\n return {made}\n"
        f"def all(rows): return [{made} for {values}in rows]\n",
        scope,
    )
    return scope["one"], scope["all"]


def number_code(shape: Number) -> str:
    """The letter that `struct` has for a number."""
    if shape.kind == "float":
        return {4: "f", 8: "d"}[shape.size]
    if shape.kind == "bool" and shape.size == 1:
        return "?"
    code = _CODES[shape.size]
    return code if shape.signed else code.upper()


def _first(flat: tuple[Any, ...], at: int) -> Any:
    return flat[at]


def _compiled(shape: Shape, frozen: bool) -> tuple[str, int, Build | None]:
    """Format, how many values it gives, and what makes one of them; None takes the value as is."""
    match shape:
        case Number():
            return number_code(shape), 1, None
        case Octets(size=size):
            return f"{size}s", 1, None
        case Text(size=size):
            return f"{size}s", 1, lambda flat, at: flat[at].rstrip(b"\0")
        case Row():
            return _row(shape, frozen)
        case Record():
            if shape.overlaps or any(each.bits for each in shape.fields):
                return f"{shape.size}s", 1, _in_pieces(shape, frozen)
            return _record(shape, frozen)
        case _:
            assert_never(shape)


def _row(shape: Row, frozen: bool) -> tuple[str, int, Build]:
    kind: Callable[[Any], Any] = tuple if frozen else list
    count = shape.count
    format, width, build = _compiled(shape.element, frozen)
    if isinstance(shape.element, Number):
        return f"{count}{format}", count, lambda flat, at: kind(flat[at : at + count])
    if count > _MOST:
        element = decoder(shape.element, frozen=frozen)
        size = shape.element.size
        return f"{shape.size}s", 1, lambda flat, at: kind(element.many(flat[at], count, size))
    make = build or _first

    def row(flat: tuple[Any, ...], at: int) -> Any:
        return kind(make(flat, at + each * width) for each in range(count))

    return format * count, width * count, row


def _record(shape: Record, frozen: bool) -> tuple[str, int, Build]:
    kind: Callable[[Any], Any] = FrozenFields if frozen else dict
    format, end, total, builds = "", 0, 0, []
    for each in sorted(shape.fields, key=lambda each: each.offset):
        inner, width, build = _compiled(each.shape, frozen)
        format += f"{each.offset // 8 - end}x{inner}"
        builds.append((each.name, total, build))
        end, total = each.end // 8, total + width
    format += f"{shape.size - end}x"
    if all(build is None for _, _, build in builds):
        names = tuple(name for name, _, _ in builds)
        # what stands behind is left alone: there are as many names as values
        return (
            format,
            total,
            lambda flat, at: kind(zip(names, flat[at:] if at else flat, strict=False)),
        )
    steps = [(name, at, build or _first) for name, at, build in builds]
    return (
        format,
        total,
        lambda flat, at: kind({name: make(flat, at + shift) for name, shift, make in steps}),
    )


def _in_pieces(shape: Record, frozen: bool) -> Build:
    """A record whose fields lie above each other or between bytes: each is read on its own."""
    kind: Callable[[Any], Any] = FrozenFields if frozen else dict
    steps = [(each, _piece(each, frozen)) for each in shape.fields]
    return lambda flat, at: kind({each.name: read(flat[at]) for each, read in steps})


def _piece(each: Field, frozen: bool) -> Callable[[bytes], Any]:
    if each.bits:
        return lambda raw: read_bits(raw, each)
    whole = decoder(each.shape, frozen=frozen)
    start, end = each.offset // 8, each.end // 8
    return lambda raw: whole.one(raw[start:end])


def read_bits(raw: bytes | bytearray, each: Field) -> int | bool:
    """A bit-field's value; bits are counted from the end that the machine's bytes begin with."""
    start, end, shift = bit_place(each)
    value = int.from_bytes(raw[start:end], sys.byteorder) >> shift & (1 << each.bits) - 1
    if isinstance(each.shape, Number):
        if each.shape.kind == "bool":
            return bool(value)
        if each.shape.signed and value >> each.bits - 1:
            return value - (1 << each.bits)
    return value


def bit_place(each: Field) -> tuple[int, int, int]:
    """The bytes that hold a bit-field, from and to, and how far it lies from their lowest bit."""
    start, end = each.offset // 8, -(-each.end // 8)
    if sys.byteorder == "little":
        return start, end, each.offset % 8
    return start, end, 8 * end - each.end
