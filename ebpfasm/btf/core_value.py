"""What a CO-RE relocation amounts to in one BTF: an offset, a size, a yes or no.

The same is computed for the program's own types, which says what the instruction holds so far,
and for the target's (libbpf's relo_core.c, bpf_core_calc_field_relo and its siblings).
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from ebpfasm.btf.core_path import Path, Step, malformed
from ebpfasm.btf.resolve import POINTER, plain, size_of
from ebpfasm.btf.types import (
    AnyEnum,
    Array,
    ByteOrder,
    Composite,
    Enum,
    Int,
    IntEncoding,
    Member,
    Ptr,
    Types,
)


class CoreKind(IntEnum):
    """What is asked (enum bpf_core_relo_kind)."""

    FIELD_BYTE_OFFSET = 0
    FIELD_BYTE_SIZE = 1
    FIELD_EXISTS = 2
    FIELD_SIGNED = 3
    FIELD_LSHIFT_U64 = 4
    FIELD_RSHIFT_U64 = 5
    TYPE_ID_LOCAL = 6
    TYPE_ID_TARGET = 7
    TYPE_EXISTS = 8
    TYPE_SIZE = 9
    ENUMVAL_EXISTS = 10
    ENUMVAL_VALUE = 11
    TYPE_MATCHES = 12

    @property
    def is_field(self) -> bool:
        """Whether it is about a member or element."""
        return self <= CoreKind.FIELD_RSHIFT_U64

    @property
    def is_enumerator(self) -> bool:
        """Whether it is about a value of an enumeration."""
        return self in (CoreKind.ENUMVAL_EXISTS, CoreKind.ENUMVAL_VALUE)

    @property
    def needs_target(self) -> bool:
        """Whether there is no answer where the target has no such thing."""
        if self is CoreKind.ENUMVAL_VALUE:
            return True
        return self.is_field and self is not CoreKind.FIELD_EXISTS


class Side(NamedTuple):
    """One of the two: its types, and what their machine is like."""

    types: Types
    pointer: int = POINTER
    byteorder: ByteOrder = "little"


class Value(NamedTuple):
    """An answer. `exact`: the compiler must have got the same from the program's own types.

    `size` is how many bytes are loaded or stored there, `type` of what type; 0 where the question
    is another one.
    """

    number: int
    exact: bool = True
    size: int = 0
    type: int = 0


def field_value(side: Side, kind: CoreKind, path: Path) -> Value:
    """The answer about a member or element. Raises BtfError."""
    if kind is CoreKind.FIELD_EXISTS:
        return Value(1)
    last = path.steps[-1]
    if not last.name:
        return _element(side, kind, path, last)
    owner = side.types.get(last.owner)
    assert isinstance(owner, Composite)
    member = owner.members[last.number]
    if member.bitfield_size:
        return _bitfield(side, kind, path.bits, member)
    type_id, each = plain(side.types, member.type)
    size = size_of(side.types, type_id, side.pointer)
    match kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return Value(path.bits // 8, True, _loaded(side, type_id), type_id)
        case CoreKind.FIELD_BYTE_SIZE:
            return Value(size)
        case CoreKind.FIELD_SIGNED:
            return Value(int(_is_signed(each)))
        case _:
            return Value(_shift(side, kind, path.bits, 8 * size, path.bits // 8, size))


def _element(side: Side, kind: CoreKind, path: Path, last: Step) -> Value:
    match kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return Value(path.bits // 8, True, _loaded(side, last.owner), last.owner)
        case CoreKind.FIELD_BYTE_SIZE:
            return Value(size_of(side.types, last.owner, side.pointer))
        case _:
            raise malformed(f"{kind.name} cannot be asked of an array's element")


def _loaded(side: Side, type_id: int) -> int:
    """Bytes that a load takes: of an array, those of an element."""
    type_id, each = plain(side.types, type_id)
    while isinstance(each, Array):
        type_id, each = plain(side.types, each.type)
    return size_of(side.types, type_id, side.pointer)


def _bitfield(side: Side, kind: CoreKind, bits: int, member: Member) -> Value:
    type_id, each = plain(side.types, member.type)
    size, width = size_of(side.types, type_id, side.pointer), member.bitfield_size
    if size not in (1, 2, 4, 8, 16):
        raise malformed(f"bit-field {member.name!r} is of a type of {size} bytes")
    begin = bits // 8 // size * size
    # The smallest load that has all of it.
    while bits + width - 8 * begin > 8 * size:
        if size >= 8:
            raise malformed(f"no load of 64 bits has all of bit-field {member.name!r}")
        size *= 2
        begin = bits // 8 // size * size
    match kind:
        case CoreKind.FIELD_BYTE_OFFSET:
            return Value(begin, exact=False)
        case CoreKind.FIELD_BYTE_SIZE:
            return Value(size, exact=False)
        case CoreKind.FIELD_SIGNED:
            return Value(int(_is_signed(each)))
        case _:
            exact = kind is CoreKind.FIELD_RSHIFT_U64
            return Value(_shift(side, kind, bits, width, begin, size), exact)


def _shift(side: Side, kind: CoreKind, bits: int, width: int, begin: int, size: int) -> int:
    """How far `width` bits are shifted in a 64-bit register after a load of `size` bytes."""
    if kind is CoreKind.FIELD_RSHIFT_U64:
        return 64 - width & _U64
    assert kind is CoreKind.FIELD_LSHIFT_U64
    if side.byteorder == "little":
        return 64 - (bits + width - 8 * begin) & _U64
    return (8 - size) * 8 + (bits - 8 * begin) & _U64


_U64 = (1 << 64) - 1


def _is_signed(each: object) -> bool:
    match each:
        case Int(encoding=encoding):
            return bool(encoding & IntEncoding.SIGNED)
        case _:
            return isinstance(each, AnyEnum) and each.signed


def type_value(side: Side, kind: CoreKind, root: int) -> Value:
    """The answer about a type. Raises BtfError."""
    match kind:
        case CoreKind.TYPE_ID_LOCAL | CoreKind.TYPE_ID_TARGET:
            return Value(root, exact=False)  # ids change when objects are linked
        case CoreKind.TYPE_SIZE:
            return Value(size_of(side.types, root, side.pointer))
        case _:
            return Value(1)


def enumerator_value(side: Side, kind: CoreKind, enumeration: int, index: int) -> Value:
    """The answer about an enumerator. Raises BtfError."""
    if kind is CoreKind.ENUMVAL_EXISTS:
        return Value(1)
    each = side.types.get(enumeration)
    assert isinstance(each, AnyEnum)
    number = each.values[index].value
    if isinstance(each, Enum) and number >> 31 == 1:
        number -= 1 << 32  # libbpf extends the sign of an unsigned one, too
    return Value(number & _U64)


def safely_resized(ours: Side, mine: Value, theirs: Side, found: Value) -> bool:
    """Whether a load or store may be made as large as the target's member.

    Unsigned numbers and pointers may: a load fills the upper bits with zeros.
    """
    if mine.size == found.size:
        return True
    pair = ours.types.get(mine.type), theirs.types.get(found.type)
    match pair:
        case Ptr(), Ptr():
            return True
        case Int() as a, Int() as b:
            return IntEncoding.SIGNED not in (a.encoding, b.encoding)
        case _:
            return False
