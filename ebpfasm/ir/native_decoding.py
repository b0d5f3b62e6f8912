"""The native core's decoder for a shape."""

from __future__ import annotations

from typing import Any, assert_never

from ebpfasm.ir.decoding import (
    Decoder,
    FrozenFields,
    bit_place,
    fields_in_order,
    in_pieces,
    number_code,
)
from ebpfasm.ir.making import Making
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, Text

_CODES = {"call": "C", "tuple": "T", "plain": "O"}  # of Decoder("record", ...)


def native_decoder(objects: Any, shape: Shape, making: Making | None, *, frozen: bool) -> Decoder:
    """Build one; `objects` is the module that has them."""
    made: Decoder = _Builder(objects.Decoder, frozen).build(shape, making)
    return made


class _Builder:
    def __init__(self, make: Any, frozen: bool) -> None:
        self.make = make
        self.frozen = frozen

    def build(self, shape: Shape, making: Making | None) -> Any:
        if making is not None and making.how == "value":
            return self.make("call", making.make, self.build(shape, None))
        match shape:
            case Number():
                return self.make(number_code(shape))
            case Text(size=size):
                return self.make("t", size)
            case Octets(size=size):
                return self.make("s", size)
            case Row(element=element, count=count):
                inner = self.build(element, making and making.element)
                is_tuple = self.frozen if making is None else making.make is tuple
                return self.make("row", inner, count, element.size, is_tuple)
            case Record():
                return self._record(shape, making)
            case _:
                assert_never(shape)

    def _record(self, shape: Record, making: Making | None) -> Any:
        inner = {} if making is None else making.fields
        pieces = in_pieces(shape)
        parts = {
            each.name: self._part(each, inner.get(each.name), pieces)
            for each in fields_in_order(shape)
        }
        if making is None:
            code, make = ("F", FrozenFields) if self.frozen else ("D", None)
            return self.make("record", shape.size, tuple(parts.values()), code, make)
        fields = tuple(parts[name] for name in making.names)
        return self.make("record", shape.size, fields, _CODES[making.how], making.make)

    def _part(self, each: Field, making: Making | None, pieces: bool) -> tuple[str, int, Any]:
        if not pieces or not each.bits:
            return each.name, each.offset // 8, self.build(each.shape, making)
        start, end, shift = bit_place(each)
        kind = each.shape if isinstance(each.shape, Number) else Number(8)
        is_bool = kind.kind == "bool"
        bits = self.make("bits", end - start, shift, each.bits, kind.signed, is_bool)
        if making is not None:
            bits = self.make("call", making.make, bits)
        return each.name, start, bits
