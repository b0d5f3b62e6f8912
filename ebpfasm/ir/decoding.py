"""Bytes to Python values by a shape.

Numbers come as int, bool or float, texts and bytes as bytes, rows as lists and records as dicts;
in keys, which must be hashable, rows are tuples and records FrozenFields. A Making says where
objects of a class are wanted instead. The native core has a decoder for all of it
(runtime/native/python/decode.c); `written_decoding` is the same in Python.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, NoReturn, Protocol

from ebpfasm.ir.making import Making
from ebpfasm.ir.shapes import Field, Number, Record, Shape
from ebpfasm.native import native_objects

_CODES = {1: "b", 2: "h", 4: "i", 8: "q"}

Buffer = bytes | bytearray | memoryview


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


class Decoder(Protocol):
    """How values of one shape are read."""

    @property
    def size(self) -> int:
        """Bytes of one."""

    def one(self, raw: Buffer, /) -> Any:
        """The value at the start of a buffer."""

    def many(self, raw: Buffer, count: int, stride: int, /) -> list[Any]:
        """The first `count` values, each `stride` bytes behind the one before."""

    def each(self, raw: Buffer, count: int, stride: int, /) -> Iterator[Any]:
        """The same in turn. The buffer must stay as it is meanwhile."""


def decoder(shape: Shape, making: Making | None = None, *, frozen: bool = False) -> Decoder:
    """The way to read a shape; `frozen` for keys, `making` where classes are wanted."""
    objects = native_objects()
    if objects is not None:
        from ebpfasm.ir.native_decoding import native_decoder

        return native_decoder(objects, shape, making, frozen=frozen)
    from ebpfasm.ir.written_decoding import WrittenDecoder

    return WrittenDecoder(shape, making, frozen=frozen)


def number_code(shape: Number) -> str:
    """The letter that `struct` has for a number."""
    if shape.kind == "float":
        return {4: "f", 8: "d"}[shape.size]
    if shape.kind == "bool" and shape.size == 1:
        return "?"
    code = _CODES[shape.size]
    return code if shape.signed else code.upper()


def in_pieces(shape: Record) -> bool:
    """Whether fields lie above each other or between bytes, so that each is read on its own."""
    return shape.overlaps or any(each.bits for each in shape.fields)


def fields_in_order(shape: Record) -> tuple[Field, ...]:
    """A record's fields in the order that Python sees them in."""
    if in_pieces(shape):
        return shape.fields
    return tuple(sorted(shape.fields, key=lambda each: (each.offset, each.end)))


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
