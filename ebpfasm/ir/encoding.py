"""Python values to bytes by a shape. Nothing is masked, cut or left out: what does not fit, and
which field it is, is said."""

from __future__ import annotations

import operator
import struct
import sys
from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from ebpfasm.ir.decoding import bit_place, number_code
from ebpfasm.ir.given import fields_of, memory_of, raw_of, scalar_of
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, Text, said


class Misfit(Exception):
    """A value does not fit: the path of the field (empty: the whole value) and a sentence."""

    def __init__(self, path: str, sentence: str) -> None:
        super().__init__(path, sentence)
        self.path = path
        self.sentence = sentence


def encode(shape: Shape, value: Any, path: str = "") -> bytes:
    """The bytes of a value. Raises Misfit."""
    raw = raw_of(value)
    if raw is not None and not isinstance(shape, Text):
        if raw.nbytes != shape.size:
            raise Misfit(path, f"is {_said(shape)}; {raw.nbytes} bytes were given")
        return bytes(raw)
    match shape:
        case Number():
            return _number(shape, value, path)
        case Text():
            return _text(shape, value, path)
        case Octets():
            return _octets(shape, value, path)
        case Row():
            return _row(shape, value, path)
        case Record():
            return _record(shape, value, path)
        case _:
            assert_never(shape)


def limits(bits: int, signed: bool) -> tuple[int, int]:
    """The least and the greatest integer of so many bits."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _said(shape: Shape) -> str:
    if isinstance(shape, Number) and shape.kind not in ("bool", "float"):
        low, high = limits(8 * shape.size, shape.signed)
        return f"an integer from {low} to {high}"
    return said(shape)


def _number(shape: Number, value: Any, path: str) -> bytes:
    if shape.kind == "float":
        return _real(shape, value, path)
    number = _integer(shape, value, path)
    low, high = (0, 1) if shape.kind == "bool" else limits(8 * shape.size, shape.signed)
    if not low <= number <= high:
        raise Misfit(path, f"is {_said(shape)}; {number} was given")
    return number.to_bytes(shape.size, sys.byteorder, signed=shape.signed)


def _integer(shape: Number, value: Any, path: str) -> int:
    value = scalar_of(value)
    if isinstance(value, str) and shape.kind == "enum":
        if value not in shape.names:
            raise Misfit(path, f"is one of {', '.join(shape.names)}; {value!r} was given")
        return shape.names[value]
    try:
        return operator.index(value)
    except TypeError:
        raise Misfit(path, f"is {_said(shape)}; {value!r} was given") from None


def _real(shape: Number, value: Any, path: str) -> bytes:
    value = scalar_of(value)
    try:
        if isinstance(value, str):
            raise TypeError
        return struct.pack("=" + number_code(shape), value)
    except (TypeError, OverflowError, struct.error):
        raise Misfit(path, f"is {said(shape)}; {value!r} was given") from None


def _text(shape: Text, value: Any, path: str) -> bytes:
    text = value.encode() if isinstance(value, str) else memory_of(value)
    if text is None:
        raise Misfit(path, f"is {said(shape)}; {value!r} was given")
    if len(text) > shape.size:
        raise Misfit(path, f"is {said(shape)}; {len(text)} were given")
    return bytes(text).ljust(shape.size, b"\0")


def _octets(shape: Octets, value: Any, path: str) -> bytes:
    memory = memory_of(value)
    if memory is None and isinstance(value, Sequence) and not isinstance(value, str):
        try:
            memory = memoryview(bytes(value))
        except (TypeError, ValueError):
            memory = None
    if memory is None:
        raise Misfit(path, f"is {said(shape)}; {value!r} was given")
    if memory.nbytes != shape.size:
        raise Misfit(path, f"is {said(shape)}; {memory.nbytes} were given")
    return bytes(memory)


def _row(shape: Row, value: Any, path: str) -> bytes:
    if isinstance(value, str | Mapping) or not hasattr(value, "__len__"):
        raise Misfit(path, f"is {said(shape)}; {value!r} was given")
    if len(value) != shape.count:
        raise Misfit(path, f"is {said(shape)}; {len(value)} were given")
    each = enumerate(value)
    return b"".join(encode(shape.element, one, f"{path}[{index}]") for index, one in each)


def _record(shape: Record, value: Any, path: str) -> bytes:
    given = fields_of(value)
    if given is None:
        raise Misfit(path, f"is {said(shape)}; {value!r} was given")
    if not isinstance(given, Mapping):
        if len(given) != len(shape.fields):
            known = ", ".join(each.name for each in shape.fields)
            sentence = f"has {len(shape.fields)} fields ({known}); {len(given)} values were given"
            raise Misfit(path, sentence)
        given = {each.name: one for each, one in zip(shape.fields, given, strict=True)}
    _check_names(shape, given, path)
    return bytes(_Pieces(shape, path).join(given))


def _check_names(shape: Record, given: Mapping[str, Any], path: str) -> None:
    known = {each.name: each for each in shape.fields}
    for name in given:
        if name not in known:
            raise Misfit(
                _inner(path, str(name)), f"does not exist; {said(shape)} has no such field"
            )
    there = [known[name] for name in given]
    for each in shape.fields:
        beside = shape.overlaps and any(
            each.offset < other.end and other.offset < each.end for other in there
        )
        if each.name not in given and not beside and each.end > each.offset:
            raise Misfit(_inner(path, each.name), "is missing")


def _inner(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class _Pieces:
    """Joins fields into a record. Fields that share a place must agree on what is there."""

    def __init__(self, shape: Record, path: str) -> None:
        self.shape = shape
        self.path = path
        self.out = bytearray(shape.size)
        self.mask = bytearray(shape.size if shape.overlaps else 0)

    def join(self, given: Mapping[str, Any]) -> bytearray:
        """The whole record's bytes."""
        for each in self.shape.fields:
            if each.name in given:
                self._put(each, given[each.name])
        return self.out

    def _put(self, each: Field, value: Any) -> None:
        path = _inner(self.path, each.name)
        if each.bits:
            start, end, shift = bit_place(each)
            content = self._bits(each, value, path) << shift
            mask = ((1 << each.bits) - 1) << shift
        elif not self.shape.overlaps:
            start, end = each.offset // 8, each.end // 8
            self.out[start:end] = encode(each.shape, value, path)
            return
        else:
            start, end = each.offset // 8, each.end // 8
            content = int.from_bytes(encode(each.shape, value, path), sys.byteorder)
            mask = (1 << 8 * (end - start)) - 1
        there = int.from_bytes(self.out[start:end], sys.byteorder)
        if self.shape.overlaps:
            taken = int.from_bytes(self.mask[start:end], sys.byteorder)
            if (there ^ content) & taken & mask:
                raise Misfit(path, "lies where another field says otherwise; give one of them only")
            self.mask[start:end] = (taken | mask).to_bytes(end - start, sys.byteorder)
        self.out[start:end] = (there | content).to_bytes(end - start, sys.byteorder)

    def _bits(self, each: Field, value: Any, path: str) -> int:
        assert isinstance(each.shape, Number)  # BTF has no other bit-fields
        number = _integer(each.shape, value, path)
        low, high = limits(each.bits, each.shape.signed)
        if not low <= number <= high:
            raise Misfit(path, f"is an integer from {low} to {high}; {number} was given")
        return number & (1 << each.bits) - 1
