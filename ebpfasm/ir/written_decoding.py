"""Decoding in Python: code that is written for a shape, with one `struct` format for all it reads.

The values of a record get names each, so that there is neither a place in a tuple to look up nor
a call a record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any, assert_never

from ebpfasm.ir.decoding import (
    Buffer,
    FrozenFields,
    fields_in_order,
    in_pieces,
    number_code,
    read_bits,
)
from ebpfasm.ir.making import Making
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, Text

_MOST = 40  # numbers of a row that get a name each


class WrittenDecoder:
    """A Decoder; see ebpfasm.ir.decoding."""

    def __init__(self, shape: Shape, making: Making | None = None, *, frozen: bool = False) -> None:
        self.size = shape.size
        code = _Code(frozen)
        text = code.expression(shape, making)
        self._format = f"={''.join(code.formats)}"
        code.names["take"] = struct.Struct(self._format).unpack_from
        # What the text says comes from the shape: names of fields in quotes, and our own.
        exec(
            f"def one(raw):\n {code.targets} = take(raw)\n return {text}\n"
            f"def all(rows): return [{text} for {code.targets} in rows]\n",
            code.names,
        )
        self.one: Callable[[Buffer], Any] = code.names["one"]
        self._all: Callable[[Iterator[tuple[Any, ...]]], list[Any]] = code.names["all"]

    def many(self, raw: Buffer, count: int, stride: int, /) -> list[Any]:
        """The first `count` values, each `stride` bytes behind the one before."""
        if not self.size:
            return [self.one(raw) for _ in range(count)]
        view = memoryview(raw).cast("B")
        last = view[(count - 1) * stride :][: self.size] if count else b""
        whole = view[: (count - 1) * stride] if count else b""
        rows = struct.Struct(f"{self._format}{stride - self.size}x").iter_unpack(whole)
        return [*self._all(rows), self.one(last)] if count else []

    def each(self, raw: Buffer, count: int, stride: int, /) -> Iterator[Any]:
        """The same in turn."""
        return iter(self.many(raw, count, stride))


class _Code:
    """Python text that turns a record's unpacked values into one value."""

    def __init__(self, frozen: bool) -> None:
        self.frozen = frozen
        self.formats: list[str] = []
        self.names: dict[str, Any] = {
            "zero": b"\0", "tuple": tuple, "new": tuple.__new__, "frozen": FrozenFields,
        }  # fmt: skip
        self.taken = 0

    @property
    def targets(self) -> str:
        """The names of what is unpacked, for an assignment."""
        return "".join(f"v{i}, " for i in range(self.taken)) or "_"

    def expression(self, shape: Shape, making: Making | None) -> str:
        """Text of a value; what it reads is put behind the formats."""
        if making is not None and making.how == "value":
            return f"{self._name(making.make)}({self.expression(shape, None)})"
        match shape:
            case Number():
                return self._take(number_code(shape))
            case Text(size=size):
                return f"{self._take(f'{size}s')}.rstrip(zero)"
            case Octets(size=size):
                return self._take(f"{size}s")
            case Row():
                return self._row(shape, making)
            case Record():
                return self._record(shape, making)
            case _:
                assert_never(shape)

    def _row(self, shape: Row, making: Making | None) -> str:
        is_tuple = self.frozen if making is None else making.make is tuple
        element = None if making is None else making.element
        if isinstance(shape.element, Number) and element is None:
            return self._numbers(number_code(shape.element), shape, is_tuple)
        reader = WrittenDecoder(shape.element, element, frozen=self.frozen)
        raw = self._take(f"{shape.size}s")
        text = f"{self._name(reader.many)}({raw}, {shape.count}, {shape.element.size})"
        return f"tuple({text})" if is_tuple else text

    def _numbers(self, code: str, shape: Row, is_tuple: bool) -> str:
        if shape.count > _MOST:
            unpack = struct.Struct(f"={shape.count}{code}").unpack
            text = f"{self._name(unpack)}({self._take(f'{shape.size}s')})"
            return text if is_tuple else f"list({text})"
        values = "".join(f"{self._take(code)}, " for _ in range(shape.count))
        return f"({values})" if is_tuple else f"[{values}]"

    def _record(self, shape: Record, making: Making | None) -> str:
        inner = {} if making is None else making.fields
        values: dict[str, str] = {}
        if in_pieces(shape):
            raw = self._take(f"{shape.size}s")
            for field in shape.fields:
                read = _piece(field, inner.get(field.name), self.frozen)
                values[field.name] = f"{self._name(read)}({raw})"
        else:
            at = 0
            for field in fields_in_order(shape):
                self.formats.append(f"{field.offset // 8 - at}x")
                values[field.name] = self.expression(field.shape, inner.get(field.name))
                at = field.end // 8
            self.formats.append(f"{shape.size - at}x")
        return self._object(values, making)

    def _object(self, values: dict[str, str], making: Making | None) -> str:
        if making is None:
            pairs = ", ".join(f"{name!r}: {value}" for name, value in values.items())
            return f"frozen({{{pairs}}})" if self.frozen else f"{{{pairs}}}"
        make = self._name(making.make)
        if making.how == "tuple":  # what the class's own __new__ does, without the call of it
            return f"new({make}, ({''.join(f'{values[name]}, ' for name in making.names)}))"
        return f"{make}({', '.join(f'{name}={values[name]}' for name in making.names)})"

    def _take(self, format: str) -> str:
        """The name of the next value, of a struct format."""
        self.formats.append(format)
        self.taken += 1
        return f"v{self.taken - 1}"

    def _name(self, value: Any) -> str:
        """A name under which the text finds a value."""
        name = f"f{len(self.names)}"
        self.names[name] = value
        return name


def _piece(each: Field, making: Making | None, frozen: bool) -> Callable[[bytes], Any]:
    """What reads a field of a record of such bytes."""
    if each.bits:
        make = None if making is None else making.make
        return lambda raw: read_bits(raw, each) if make is None else make(read_bits(raw, each))
    whole = WrittenDecoder(each.shape, making, frozen=frozen).one
    start, end = each.offset // 8, each.end // 8
    return lambda raw: whole(raw[start:end])
