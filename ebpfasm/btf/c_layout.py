"""Where a C compiler would put a struct's members, and what has to be written to make it agree.

BTF says where members lie, C says it by order, alignment and attributes: a struct is packed where
a member lies off its alignment, and gaps larger than the natural ones are unnamed bit-fields.
"""

from __future__ import annotations

from collections.abc import Iterator

from ebpfasm.btf.resolve import POINTER, plain, size_of
from ebpfasm.btf.types import AnyEnum, Array, Composite, Float, Int, Member, Ptr, Struct, Types
from ebpfasm.errors import BtfError, error

_DEEPEST = 64  # structs inside each other
_LARGEST_PAD = 1 << 24  # bytes: what is larger is no kernel's struct

_PADS = ((64, "long"), (32, "int"), (16, "short"), (8, "char"))


class Layout:
    """Alignments of types, remembered. All in bits."""

    def __init__(self, types: Types, pointer: int = POINTER) -> None:
        self._types, self._pointer = types, pointer
        self._packed: dict[int, bool] = {}
        self._aligned: dict[int, int] = {}

    def align(self, type_id: int, depth: int = 0) -> int:
        """The alignment that C gives a type as it is printed. Raises BtfError."""
        if depth > _DEEPEST:
            raise BtfError(error("btf-format", "structs lie inside each other without end"))
        known = self._aligned.get(type_id)
        if known is None:
            known = self._aligned[type_id] = self._align(type_id, depth)
        return known

    def _align(self, type_id: int, depth: int) -> int:
        found, each = plain(self._types, type_id)
        match each:
            case Array():
                return self.align(each.type, depth + 1)
            case Ptr():
                return 8 * self._pointer
            case Int() | Float():
                return 8 * _power(min(each.size, 16))
            case _ if isinstance(each, AnyEnum):
                return 8 * _power(min(each.size, 8))
            case _ if isinstance(each, Composite):
                if self.is_packed(found, each, depth + 1):
                    return 8
                return max([8, *(self._in_struct(member, depth + 1) for member in each.members)])
            case _:
                return 8

    def _in_struct(self, member: Member, depth: int) -> int:
        return 8 if member.bitfield_size and not member.name else self.align(member.type, depth)

    def is_packed(self, type_id: int, each: Composite, depth: int = 0) -> bool:
        """Whether a struct must be packed to have its members where they are."""
        known = self._packed.get(type_id)
        if known is None:
            self._packed[type_id] = False  # while its members are looked at
            known = self._packed[type_id] = self._is_packed(each, depth)
        return known

    def _is_packed(self, each: Composite, depth: int) -> bool:
        largest = 8
        for member in each.members:
            align = self.align(member.type, depth + 1)
            largest = max(largest, align)
            if member.bitfield_size:
                unit = self.bits(member.type)
                if member.offset_bits % unit + member.bitfield_size > unit:
                    return True
            elif member.offset_bits % align:
                return True
        return bool(8 * each.size % largest)

    def bits(self, type_id: int) -> int:
        """The size of a type. Raises BtfError."""
        return 8 * size_of(self._types, type_id, self._pointer) or 8

    def gaps(self, type_id: int, each: Composite) -> Iterator[tuple[Member | None, str]]:
        """Each member with what is to be written before it, and None for what ends the struct."""
        packed, at = self.is_packed(type_id, each), 0
        for member in each.members:
            if not isinstance(each, Struct):
                yield member, ""
                continue
            place = self._natural(member, at, packed=packed)
            yield member, "" if place == member.offset_bits else _padding(at, member.offset_bits)
            width = member.bitfield_size or 8 * size_of(self._types, member.type, self._pointer)
            at = member.offset_bits + width
        end = _up(at, 8 if packed else self.align(type_id))
        if isinstance(each, Struct):
            yield None, _padding(at, 8 * each.size) if end < 8 * each.size else ""

    def _natural(self, member: Member, at: int, *, packed: bool) -> int:
        """Where a member lies if nothing is written before it."""
        if member.bitfield_size:
            unit = self.bits(member.type)
            return _up(at, unit) if not packed and at % unit + member.bitfield_size > unit else at
        return _up(at, 8 if packed else self.align(member.type))


def _padding(at: int, to: int) -> str:
    """Unnamed bit-fields from one bit to another."""
    if to < at or to - at > 8 * _LARGEST_PAD:
        raise BtfError(error("btf-format", f"a member at bit {to} follows one that ends at {at}"))
    parts = []
    while at < to:
        for unit, word in _PADS:
            width = min(unit - at % unit, to - at)
            # The unit that ends at a boundary of its own or has all that is left.
            if unit == 8 or width == unit or (at + width == to and width > unit // 2):
                parts.append(f"{word}: {width};")
                at += width
                break
    return " ".join(parts)


def _up(at: int, align: int) -> int:
    return (at + align - 1) // align * align


def _power(size: int) -> int:
    """The largest power of two that divides into a size, at least 1."""
    return 1 << max(0, size.bit_length() - 1)
