"""What a C type looks like to Python: a tree of numbers, texts, rows and records.

It is made from BTF. Members of unnamed structs and unions belong to their owner, as in C, and
typedefs and qualifiers are gone. Sizes are in bytes; places of fields are in bits, since
bit-fields lie between bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Literal, assert_never

from ebpfasm.btf import types as t
from ebpfasm.errors import BtfError, error
from ebpfasm.frozen import dataclass

_POINTER = 8  # bytes, in every BPF program
_DEEPEST = 64  # types inside each other; only damaged BTF has more

NumberKind = Literal["int", "bool", "float", "enum", "pointer"]


@dataclass(frozen=True, slots=True)
class Number:
    """A number; `names` are an enumeration's, with their values."""

    size: int
    signed: bool = False
    kind: NumberKind = "int"
    names: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Text:
    """An array of char: bytes without the zeros at its end."""

    size: int


@dataclass(frozen=True, slots=True)
class Octets:
    """Bytes, all of them: an array of unsigned char, or what has no other look."""

    size: int


@dataclass(frozen=True, slots=True)
class Row:
    """An array."""

    element: Shape
    count: int

    @property
    def size(self) -> int:
        """Bytes of all elements."""
        return self.count * self.element.size


@dataclass(frozen=True, slots=True)
class Field:
    """A member: `offset` in bits from the record's start, `bits` of a bit-field, else 0."""

    name: str
    shape: Shape
    offset: int
    bits: int = 0

    @property
    def end(self) -> int:
        """The first bit behind it."""
        return self.offset + (self.bits or 8 * self.shape.size)


@dataclass(frozen=True, slots=True)
class Record:
    """A struct or union. `overlaps`: some fields share their place, so not all need be given."""

    name: str
    size: int
    fields: tuple[Field, ...]
    overlaps: bool = False


Shape = Number | Text | Octets | Row | Record


def shape_of(btf: t.Types, type_id: int) -> Shape:
    """The look of a type. Raises BtfError where it has no size, as functions have none."""
    return _shape(btf, type_id, 0)


def _shape(btf: t.Types, type_id: int, depth: int) -> Shape:
    if depth > _DEEPEST:
        raise BtfError(error("btf-format", "types lie too deep inside each other"))
    match each := plain_type(btf, type_id):
        case t.Int():
            return _integer(each)
        case t.Enum() | t.Enum64() if each.size in (1, 2, 4, 8):
            names = {value.name: value.value for value in each.values}
            return Number(each.size, each.signed, "enum", names)
        case t.Float() if each.size in (4, 8):
            return Number(each.size, kind="float")
        case t.Float():
            return Octets(each.size)
        case t.Ptr():
            return Number(_POINTER, kind="pointer")
        case t.Array():
            return _array(btf, each, depth)
        case t.Struct() | t.Union():
            fields = tuple(_fields(btf, each, 0, depth))
            return _inside(Record(each.name, each.size, fields, _overlap(fields)))
        case t.DataSec():
            return _inside(Record(each.name, each.size, tuple(_variables(btf, each, depth))))
        case _:
            what = type(each).__name__ if each is not None else "void"
            raise BtfError(error("btf-format", f"type {type_id}, a {what}, has no size"))


def plain_type(btf: t.Types, type_id: int) -> t.BtfType | None:
    """A type without its typedefs, qualifiers and tags; None for void. Raises BtfError."""
    for _ in range(_DEEPEST):
        match each := btf.get(type_id):
            case (
                t.Typedef(type=target) | t.Const(type=target) | t.Volatile(type=target)
                | t.Restrict(type=target) | t.TypeTag(type=target) | t.Var(type=target)
                | t.DeclTag(type=target)
            ):  # fmt: skip
                type_id = target
            case _:
                return each
    raise BtfError(error("btf-format", f"type {type_id} leads in a circle"))


def _integer(each: t.Int) -> Shape:
    if each.size not in (1, 2, 4, 8):
        return Octets(each.size)  # __int128
    kind: NumberKind = "bool" if each.encoding & t.IntEncoding.BOOL else "int"
    return Number(each.size, bool(each.encoding & t.IntEncoding.SIGNED), kind)


def _array(btf: t.Types, each: t.Array, depth: int) -> Shape:
    element = plain_type(btf, each.type)
    if isinstance(element, t.Int) and element.size == 1:
        # Compilers mark char only by its name.
        if element.name == "char" or element.encoding & t.IntEncoding.CHAR:
            return Text(each.nelems)
        if not element.encoding:
            return Octets(each.nelems)
    return Row(_shape(btf, each.type, depth + 1), each.nelems)


def _fields(btf: t.Types, owner: t.Struct | t.Union, start: int, depth: int) -> Iterator[Field]:
    if depth > _DEEPEST:
        raise BtfError(error("btf-format", "types lie too deep inside each other"))
    for member in owner.members:
        offset = start + member.offset_bits
        if member.name:
            shape = _shape(btf, member.type, depth + 1)
            yield Field(member.name, shape, offset, member.bitfield_size)
            continue
        inner = plain_type(btf, member.type)
        if isinstance(inner, t.Struct | t.Union):  # an unnamed bit-field is padding
            yield from _fields(btf, inner, offset, depth + 1)


def _variables(btf: t.Types, section: t.DataSec, depth: int) -> Iterator[Field]:
    """The variables of a section, which is a struct of them; compilers leave out the places."""
    end = 0
    for each in sorted(section.variables, key=lambda each: each.offset):
        variable = btf.get(each.type)
        if not isinstance(variable, t.Var) or each.offset < end:
            raise BtfError(
                error("btf-format", f"section {section.name} says not where variables lie")
            )
        yield Field(variable.name, _shape(btf, each.type, depth + 1), 8 * each.offset)
        end = each.offset + each.size


def _inside(record: Record) -> Record:
    """The record, unless a field leaves it. Raises BtfError."""
    for each in record.fields:
        if each.end > 8 * record.size:
            message = f"{each.name} leaves {record.name or 'its struct'}, of {record.size} bytes"
            raise BtfError(error("btf-format", message))
    return record


def _overlap(fields: tuple[Field, ...]) -> bool:
    end = 0
    for each in sorted(fields, key=lambda each: each.offset):
        if each.offset < end and each.end > each.offset:
            return True
        end = max(end, each.end)
    return False


def difference(one: Shape, other: Shape, where: str = "") -> str | None:
    """Where two shapes differ, as a path and a sentence; None where they have the same look.

    Names of records and of enumerators do not count.
    """
    match one, other:
        case Number(), Number():
            same = (one.size, one.signed, one.kind == "float") == (
                other.size, other.signed, other.kind == "float",
            )  # fmt: skip
            return None if same else f"{_at(where)}is {said(one)} and not {said(other)}"
        case Row(), Row() if one.count == other.count:
            return difference(one.element, other.element, f"{where}[]")
        case Record(), Record():
            return _record_difference(one, other, where)
        case ((Text() | Octets()), (Text() | Octets())) if one.size == other.size:
            return None
        case _:
            return f"{_at(where)}is {said(one)} and not {said(other)}"


def _record_difference(one: Record, other: Record, where: str) -> str | None:
    others = {each.name: each for each in other.fields}
    for each in one.fields:
        path = f"{where}.{each.name}" if where else each.name
        there = others.pop(each.name, None)
        if there is None:
            return f"there is no field {path}"
        if (there.offset, there.bits) != (each.offset, each.bits):
            return f"{_at(path)}is at {_place(each)} and not at {_place(there)}"
        if found := difference(each.shape, there.shape, path):
            return found
    if others:
        name = next(iter(others))
        return f"there is no field {f'{where}.{name}' if where else name}"
    if one.size != other.size:
        return f"{_at(where)}has {one.size} bytes and not {other.size}"
    return None


def _at(where: str) -> str:
    return f"field {where} " if where else "it "


def _place(each: Field) -> str:
    if each.bits:
        return f"bit {each.offset} ({each.bits} bits)"
    return f"byte {each.offset // 8}"


def said(shape: Shape) -> str:
    """A shape in words, for messages.

    >>> said(Number(4, signed=True)), said(Row(Number(2), 3))
    ('a signed integer of 4 bytes', 'an array of 3 (an unsigned integer of 2 bytes)')
    """
    match shape:
        case Number(kind="float"):
            return f"a floating-point number of {_bytes(shape.size)}"
        case Number(kind="bool"):
            return "a bool"
        case Number():
            sign = "a signed" if shape.signed else "an unsigned"
            return f"{sign} integer of {_bytes(shape.size)}"
        case Text():
            return f"text of up to {_bytes(shape.size)}"
        case Octets():
            return f"{_bytes(shape.size)}"
        case Row():
            return f"an array of {shape.count} ({said(shape.element)})"
        case Record():
            return f"struct {shape.name}".rstrip() + f" of {_bytes(shape.size)}"
        case _:
            assert_never(shape)


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size} bytes"
