"""Records of one shape to Python values, in one comprehension that is written for the shape.

It gives what ebpfasm.ir.decoding gives, several times as fast where there are many: names instead
of places in a tuple, and no call a record.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, assert_never

from ebpfasm.ir.decoding import decoder as plain_decoder
from ebpfasm.ir.decoding import number_code
from ebpfasm.ir.shapes import Number, Octets, Record, Row, Shape, Text

_MOST = 40  # values of a record that get a name each


class Making(NamedTuple):
    """What is made of a record instead of a dict, and of the records in it, by field."""

    make: Callable[..., Any]
    inner: Mapping[str, Making]
    is_tuple: bool = False  # a class of named tuples


def decoder(shape: Shape, making: Making | None = None) -> Callable[[memoryview], list[Any]]:
    """A function from a buffer of records, one behind the other, to their values."""
    code = _Code(_count(shape))
    text = _expression(shape, making, code)
    code.names["unpack"] = struct.Struct(f"={''.join(code.formats)}").iter_unpack
    made: Callable[[memoryview], list[Any]] = eval(
        f"lambda data: [{text} for {code.targets} in unpack(data)]", code.names
    )
    return made


class _Code:
    """Python text that turns a record's unpacked values into one value."""

    def __init__(self, count: int) -> None:
        self.formats: list[str] = []
        self.names: dict[str, Any] = {"zero": b"\0"}
        self.taken = 0
        named = 0 < count <= _MOST
        self.targets = ", ".join(f"v{i}" for i in range(count)) + "," if named else "t"

    def take(self, format: str) -> str:
        """Text of the next value, of a struct format."""
        self.formats.append(format)
        self.taken += 1
        return self._value(self.taken - 1)

    def take_several(self, code: str, count: int) -> str:
        """Text of the next values, with commas between."""
        self.formats.append(f"{count}{code}")
        start, self.taken = self.taken, self.taken + count
        if self.targets == "t":
            return f"*t[{start}:{self.taken}]"
        return ", ".join(map(self._value, range(start, self.taken)))

    def _value(self, index: int) -> str:
        return f"t[{index}]" if self.targets == "t" else f"v{index}"

    def name(self, value: Any) -> str:
        """A name under which the text finds a value."""
        name = f"f{len(self.names)}"
        self.names[name] = value
        return name


def _in_pieces(shape: Record) -> bool:
    return shape.overlaps or any(field.bits for field in shape.fields)


def _count(shape: Shape) -> int:
    """How many values are unpacked of a shape."""
    match shape:
        case Row(element=Number(), count=count):
            return count
        case Record(fields=fields) if not _in_pieces(shape):
            return sum(_count(field.shape) for field in fields)
        case _:
            return 1


def _expression(shape: Shape, making: Making | None, code: _Code) -> str:
    match shape:
        case Number():
            return code.take(number_code(shape))
        case Text(size=size):
            return f"{code.take(f'{size}s')}.rstrip(zero)"
        case Octets(size=size):
            return code.take(f"{size}s")
        case Row(element=Number() as element, count=count):
            return f"[{code.take_several(number_code(element), count)}]"
        case Record() if not _in_pieces(shape):
            return _record(shape, making, code)
        case Row() | Record():
            raw = code.take(f"{shape.size}s")
            text = f"{code.name(plain_decoder(shape).one)}({raw})"
            return text if making is None else f"{code.name(_from_dict(making))}({text})"
        case _:
            assert_never(shape)


def _record(shape: Record, making: Making | None, code: _Code) -> str:
    values, at = [], 0
    inner = {} if making is None else making.inner
    for field in shape.fields:
        code.formats.append(f"{field.offset // 8 - at}x")
        values.append((field.name, _expression(field.shape, inner.get(field.name), code)))
        at = field.end // 8
    code.formats.append(f"{shape.size - at}x")
    if making is None:
        return f"{{{', '.join(f'{name!r}: {value}' for name, value in values)}}}"
    arguments = "".join(f"{value}, " for _, value in values)
    if making.is_tuple:  # what the class's own __new__ does, without the call of it
        return f"{code.name(tuple.__new__)}({code.name(making.make)}, ({arguments}))"
    return f"{code.name(making.make)}({arguments})"


def _from_dict(making: Making) -> Callable[[dict[str, Any]], Any]:
    return lambda found: making.make(*found.values())
