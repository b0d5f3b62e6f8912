"""BTF to bytes and back, in both byte orders (the kernel's Documentation/bpf/btf.rst, section 2).

Everything but the header is 32-bit words: a type is a name's offset, an info word (kind,
count, flag) and a size or type id, followed by words that its kind defines.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from typing import NamedTuple, assert_never

from ebpfasm.btf import types as t
from ebpfasm.btf.strings import Buffer, StringSection, StringTable
from ebpfasm.btf.types import Btf, BtfType, ByteOrder
from ebpfasm.errors import BtfError, error

MAGIC = 0xEB9F
VERSION = 1

# magic, version, flags, hdr_len, type_off, type_len, str_off, str_len; offsets count from the
# header's end. Newer kernels' headers are longer, and what they add is no part of the types.
_HEADER = "HBBIIIII"
_HEADER_SIZE = struct.calcsize("=" + _HEADER)
_HEADERS = {order: struct.Struct(order + _HEADER) for order in "<>"}
_MAGIC = MAGIC.to_bytes(2, "little")

_MAX_VLEN = 0x00FF_FFFF


class Shape(NamedTuple):
    """How a kind is laid out: words that follow the first three, and which fields are in use."""

    name: str
    type: type[BtfType]
    fixed: int = 0
    each: int = 0
    named: bool = True
    flag: bool = False
    third: bool = True


# fmt: off
SHAPES: dict[int, Shape] = {
    1:  Shape("INT", t.Int, fixed=1),
    2:  Shape("PTR", t.Ptr, named=False),
    3:  Shape("ARRAY", t.Array, fixed=3, named=False, third=False),
    4:  Shape("STRUCT", t.Struct, each=3, flag=True),
    5:  Shape("UNION", t.Union, each=3, flag=True),
    6:  Shape("ENUM", t.Enum, each=2, flag=True),
    7:  Shape("FWD", t.Fwd, flag=True, third=False),
    8:  Shape("TYPEDEF", t.Typedef),
    9:  Shape("VOLATILE", t.Volatile, named=False),
    10: Shape("CONST", t.Const, named=False),
    11: Shape("RESTRICT", t.Restrict, named=False),
    12: Shape("FUNC", t.Func),  # its count is the linkage
    13: Shape("FUNC_PROTO", t.FuncProto, each=2, named=False),
    14: Shape("VAR", t.Var, fixed=1),
    15: Shape("DATASEC", t.DataSec, each=3),
    16: Shape("FLOAT", t.Float),
    17: Shape("DECL_TAG", t.DeclTag, fixed=1, flag=True),
    18: Shape("TYPE_TAG", t.TypeTag, flag=True),
    19: Shape("ENUM64", t.Enum64, each=3, flag=True),
}
# fmt: on
_NUMBERS = {shape.name: number for number, shape in SHAPES.items()}

# The number of each class of types: BTF_KIND_*.
KINDS: dict[type[BtfType], int] = {shape.type: number for number, shape in SHAPES.items()}
_FUNC = _NUMBERS["FUNC"]


def decode(data: bytes, base: t.BaseTypes | None = None) -> Btf:
    """Read a .BTF section or a kernel's BTF file, of either byte order.

    `base` has the types that a split one, such as a module's, goes on from. Raises BtfError, and
    nothing else, where it is damaged: fields out of bounds, unknown kinds, reserved fields that
    are not zero, references to types that are not there.
    """
    header = read_header(data)
    strings = _strings(data, header, base)
    begin, end = header.types
    if (end - begin) % 4:
        raise _damaged("the type section is no whole number of words")
    words = struct.unpack(f"{header.order}{(end - begin) // 4}I", data[begin:end])
    types: list[BtfType] = []
    first = 1 if base is None else len(base) + 1
    position = 0
    while position < len(words):
        record = _record(words, position, first + len(types), strings.at)
        types.append(_READERS[record.kind](record))
        position += 3 + len(record.rest)
    btf = Btf(tuple(types), base)
    check_references(btf)
    return btf


def decode_strings(data: bytes) -> StringSection:
    """Read just the strings of BTF, which line info refers to by offset. Raises BtfError."""
    return _strings(data, read_header(data))


class Header(NamedTuple):
    """Where the sections are, as offsets into the data; `order` is the byte order's character."""

    order: str
    types: tuple[int, int]
    strings: tuple[int, int]

    @property
    def byteorder(self) -> ByteOrder:
        """The byte order by its name."""
        return "little" if self.order == "<" else "big"

    @property
    def swapped(self) -> bool:
        """Whether it was written in the other byte order than this machine's."""
        return self.order != ("<" if sys.byteorder == "little" else ">")


def read_header(data: Buffer) -> Header:
    """Read just the header. Raises BtfError where it is damaged or the sections do not fit."""
    if len(data) < _HEADER_SIZE:
        raise _damaged(f"{len(data)} bytes hold no BTF header")
    order = "<" if data[:2] == _MAGIC else ">"
    fields = _HEADERS[order].unpack_from(data)
    magic, version, flags, size, type_offset, type_size, string_offset, string_size = fields
    if magic != MAGIC:
        raise _damaged(f"BTF begins with {MAGIC:#06x} in either byte order, not {data[:2].hex()}")
    if version != VERSION or flags:
        raise _damaged(f"BTF version {version} with flags {flags:#x} is not known")
    if size < _HEADER_SIZE:
        raise _damaged(f"a header of {size} bytes is too short")
    types = size + type_offset, size + type_offset + type_size
    strings = size + string_offset, size + string_offset + string_size
    if max(types[1], strings[1]) > len(data):
        raise _damaged(f"the sections end beyond the {len(data)} bytes that there are")
    return Header(order, types, strings)


def _strings(data: bytes, header: Header, base: t.BaseTypes | None = None) -> StringSection:
    return StringSection(data, *header.strings, None if base is None else base.strings)


def read_type(words: tuple[int, ...], id: int, text: Callable[[int], str]) -> BtfType:
    """One type from its words; `text` gives the string at an offset. Raises BtfError."""
    record = _record(words, 0, id, text)
    return _READERS[record.kind](record)


class _Record(NamedTuple):
    id: int
    kind: int
    name: str
    vlen: int
    flag: bool
    third: int
    rest: tuple[int, ...]
    text: Callable[[int], str]

    def rows(self, width: int) -> list[tuple[int, ...]]:
        """The words after the first three, in groups."""
        return [self.rest[at : at + width] for at in range(0, len(self.rest), width)]


def _record(words: tuple[int, ...], position: int, id: int, text: Callable[[int], str]) -> _Record:
    if len(words) - position < 3:
        raise _damaged(f"type {id} is cut short")
    name, info, third = words[position : position + 3]
    kind, vlen, flag = info >> 24 & 0x7F, info & _MAX_VLEN, bool(info >> 31)
    shape = SHAPES.get(kind)
    if shape is None:
        raise _damaged(f"type {id} is of kind {kind}, which is not known")
    size = shape.fixed + shape.each * vlen
    rest = words[position + 3 : position + 3 + size]
    if len(rest) < size:
        raise _damaged(f"type {id}, {shape.name}, is cut short")
    if (
        (name and not shape.named)
        or (third and not shape.third)
        or (flag and not shape.flag)
        or (vlen and not shape.each and kind != _FUNC)
    ):
        raise _damaged(f"type {id}, {shape.name}, has a reserved field that is not zero")
    return _Record(id, kind, text(name), vlen, flag, third, rest, text)


def _members(record: _Record) -> tuple[t.Member, ...]:
    text = record.text
    if not record.flag:
        return tuple(t.Member(text(name), type, at) for name, type, at in record.rows(3))
    return tuple(
        t.Member(text(name), type, at & 0xFF_FFFF, at >> 24) for name, type, at in record.rows(3)
    )


def _int(record: _Record) -> t.Int:
    (data,) = record.rest
    if data >> 28 or data & 0xFF00:
        raise _damaged(f"type {record.id}, INT, has a reserved field that is not zero")
    return t.Int(record.name, record.third, data & 0xFF, data >> 24, data >> 16 & 0xFF)


def _enum(record: _Record) -> t.Enum:
    values = tuple(
        t.Enumerator(record.text(name), _signed(value, 32) if record.flag else value)
        for name, value in record.rows(2)
    )
    return t.Enum(record.name, record.third, values, record.flag)


def _enum64(record: _Record) -> t.Enum64:
    values = tuple(
        t.Enumerator(
            record.text(name), _signed(high << 32 | low, 64) if record.flag else high << 32 | low
        )
        for name, low, high in record.rows(3)
    )
    return t.Enum64(record.name, record.third, values, record.flag)


def _signed(value: int, width: int) -> int:
    return value - (1 << width) if value >> (width - 1) else value


def _func_proto(record: _Record) -> t.FuncProto:
    params = tuple(t.Param(record.text(name), type) for name, type in record.rows(2))
    return t.FuncProto(record.third, params)


def _datasec(record: _Record) -> t.DataSec:
    variables = tuple(t.SecVar(*row) for row in record.rows(3))
    return t.DataSec(record.name, record.third, variables)


_READERS: dict[int, Callable[[_Record], BtfType]] = {
    _NUMBERS["INT"]: _int,
    _NUMBERS["PTR"]: lambda r: t.Ptr(r.third),
    _NUMBERS["ARRAY"]: lambda r: t.Array(*r.rest),
    _NUMBERS["STRUCT"]: lambda r: t.Struct(r.name, r.third, _members(r)),
    _NUMBERS["UNION"]: lambda r: t.Union(r.name, r.third, _members(r)),
    _NUMBERS["ENUM"]: _enum,
    _NUMBERS["FWD"]: lambda r: t.Fwd(r.name, r.flag),
    _NUMBERS["TYPEDEF"]: lambda r: t.Typedef(r.name, r.third),
    _NUMBERS["VOLATILE"]: lambda r: t.Volatile(r.third),
    _NUMBERS["CONST"]: lambda r: t.Const(r.third),
    _NUMBERS["RESTRICT"]: lambda r: t.Restrict(r.third),
    _NUMBERS["FUNC"]: lambda r: t.Func(r.name, r.third, r.vlen),
    _NUMBERS["FUNC_PROTO"]: _func_proto,
    _NUMBERS["VAR"]: lambda r: t.Var(r.name, r.third, r.rest[0]),
    _NUMBERS["DATASEC"]: _datasec,
    _NUMBERS["FLOAT"]: lambda r: t.Float(r.name, r.third),
    _NUMBERS["DECL_TAG"]: lambda r: t.DeclTag(r.name, r.third, _signed(r.rest[0], 32), r.flag),
    _NUMBERS["TYPE_TAG"]: lambda r: t.TypeTag(r.name, r.third, r.flag),
    _NUMBERS["ENUM64"]: _enum64,
}


def check_references(btf: Btf) -> None:
    """See that types refer only to types that are there. Raises BtfError."""
    last = len(btf)
    for id, each in enumerate(btf.types, btf.first_id):
        for target in t.refers_to(each):
            if not 0 <= target <= last:
                raise _damaged(f"type {id} refers to type {target} of {last}")


def encode(
    btf: Btf, byteorder: ByteOrder = "little", *, strings: StringTable | None = None
) -> bytes:
    """Write a table of types as a .BTF section, each string once.

    `strings` may hold texts already, such as line info's; names are added to it. A split one's
    begin where its base's end. Raises BtfError where a number does not fit its field or a type
    refers to one that is not there.
    """
    check_references(btf)
    order = "<" if byteorder == "little" else ">"
    below = None if btf.base is None else btf.base.strings
    table = StringTable(base=below) if strings is None else strings
    chunks = []
    for id, each in enumerate(btf.types, btf.first_id):
        words = _words(each, table)
        try:
            chunks.append(struct.pack(f"{order}{len(words)}I", *words))
        except struct.error:
            raise _misfit(each, f"type {id} holds a number that does not fit 32 bits") from None
    types, texts = b"".join(chunks), table.section()
    sizes = _HEADER_SIZE, 0, len(types), len(types), len(texts)
    return struct.pack(order + _HEADER, MAGIC, VERSION, 0, *sizes) + types + texts


def _words(each: BtfType, strings: StringTable) -> list[int]:
    def head(kind: str, third: int, vlen: int = 0, flag: bool = False) -> list[int]:
        name = strings.add(getattr(each, "name", ""))
        return [name, _NUMBERS[kind] << 24 | _within(each, vlen, _MAX_VLEN) | flag << 31, third]

    match each:
        case t.Int():
            return [*head("INT", each.size), _int_data(each)]
        case t.Ptr():
            return head("PTR", each.type)
        case t.Array():
            return [*head("ARRAY", 0), each.type, each.index_type, each.nelems]
        case t.Struct() | t.Union():
            kind = "STRUCT" if isinstance(each, t.Struct) else "UNION"
            fields = any(member.bitfield_size for member in each.members)
            members = _member_words(each, strings, fields)
            return head(kind, each.size, len(each.members), fields) + members
        case t.Enum() | t.Enum64():
            kind, width = ("ENUM", 32) if isinstance(each, t.Enum) else ("ENUM64", 64)
            values = _enumerator_words(each, strings, width)
            return head(kind, each.size, len(each.values), each.signed) + values
        case t.Fwd():
            return head("FWD", 0, flag=each.union)
        case t.Typedef():
            return head("TYPEDEF", each.type)
        case t.Volatile():
            return head("VOLATILE", each.type)
        case t.Const():
            return head("CONST", each.type)
        case t.Restrict():
            return head("RESTRICT", each.type)
        case t.Func():
            return head("FUNC", each.type, each.linkage)
        case t.FuncProto():
            params = [word for p in each.params for word in (strings.add(p.name), p.type)]
            return head("FUNC_PROTO", each.type, len(each.params)) + params
        case t.Var():
            return [*head("VAR", each.type), each.linkage]
        case t.DataSec():
            places = [word for v in each.variables for word in (v.type, v.offset, v.size)]
            return head("DATASEC", each.size, len(each.variables)) + places
        case t.Float():
            return head("FLOAT", each.size)
        case t.DeclTag():
            component = _unsigned(each, each.component, 32, signed=True)
            return [*head("DECL_TAG", each.type, flag=each.attribute), component]
        case t.TypeTag():
            return head("TYPE_TAG", each.type, flag=each.attribute)
        case _:
            assert_never(each)


def _int_data(each: t.Int) -> int:
    encoding = _within(each, each.encoding, 0xF)
    offset = _within(each, each.offset_bits, 0xFF)
    return encoding << 24 | offset << 16 | _within(each, each.bits, 0xFF)


def _member_words(each: t.Struct | t.Union, strings: StringTable, bitfields: bool) -> list[int]:
    words: list[int] = []
    for member in each.members:
        place = member.offset_bits
        if bitfields:
            size = _within(each, member.bitfield_size, 0xFF)
            place = size << 24 | _within(each, place, 0xFF_FFFF)
        words += strings.add(member.name), member.type, place
    return words


def _enumerator_words(each: t.Enum | t.Enum64, strings: StringTable, width: int) -> list[int]:
    words: list[int] = []
    for value in each.values:
        number = _unsigned(each, value.value, width, signed=each.signed)
        words += strings.add(value.name), number & 0xFFFF_FFFF
        if width == 64:
            words.append(number >> 32)
    return words


def _unsigned(each: BtfType, value: int, width: int, *, signed: bool) -> int:
    low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
    if not low <= value <= high:
        raise _misfit(each, f"{value} is outside {low} to {high}")
    return value & (1 << width) - 1


def _within(each: BtfType, value: int, limit: int) -> int:
    if not 0 <= value <= limit:
        raise _misfit(each, f"{value} is outside 0 to {limit}")
    return value


def _misfit(each: BtfType, message: str) -> BtfError:
    name = getattr(each, "name", "")
    what = f"{type(each).__name__} {name}".rstrip()
    return BtfError(error("btf-range", f"{what}: {message}"))


def _damaged(message: str) -> BtfError:
    return BtfError(error("btf-format", message))
