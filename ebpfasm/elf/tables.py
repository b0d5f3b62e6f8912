"""Symbols and relocations of an ELF file, read when somebody looks: there may be a million.

What is damaged is found beforehand, a column at a time. Layouts are elf(5)'s Elf64_Sym, Elf64_Rel.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import NoReturn

from ebpfasm.ir.object import (
    Binding,
    Elsewhere,
    ObjectRelocation,
    ObjectSymbol,
    RelocationType,
    SymbolType,
    Visibility,
)
from ebpfasm.ir.packed import Lazy
from ebpfasm.isa.codec import ByteOrder

_SYMBOL: dict[ByteOrder, struct.Struct] = {
    "little": struct.Struct("<IBBHQQ"), "big": struct.Struct(">IBBHQQ"),
}  # fmt: skip
_REL: dict[ByteOrder, struct.Struct] = {
    "little": struct.Struct("<QQ"), "big": struct.Struct(">QQ"),
}  # fmt: skip
SYMBOL_SIZE, REL_SIZE = 24, 16
LONGEST_NAME = 4096  # bytes; a table without ends would make each name as long as the file

_BINDINGS: dict[int, Binding] = {0: "local", 1: "global", 2: "weak"}
_TYPES: dict[int, SymbolType] = {
    0: "notype", 1: "object", 2: "func", 3: "section", 4: "file", 5: "common", 6: "tls",
}  # fmt: skip
_VISIBILITIES: tuple[Visibility, ...] = ("default", "internal", "hidden", "protected")
_INFOS = frozenset(binding << 4 | type for binding in _BINDINGS for type in _TYPES)
_LABEL = 0  # a local symbol without a type
_SECTION, _FILE = 3, 4
_UNNAMED = (_SECTION, _FILE)  # local ones
_UNDEFINED = 0
_ELSEWHERE: dict[int, Elsewhere | None] = {
    _UNDEFINED: None, 0xFFF1: "absolute", 0xFFF2: "common",
}  # fmt: skip
# type -> name, and bytes of the place that is filled.
RELOCATIONS: dict[int, tuple[RelocationType, int]] = {
    1: ("R_BPF_64_64", 16),
    2: ("R_BPF_64_ABS64", 8),
    3: ("R_BPF_64_ABS32", 4),
    4: ("R_BPF_64_NODYLD32", 4),
    10: ("R_BPF_64_32", 8),
}
_LARGEST_PLACE = 16
_NONE = 0  # R_BPF_NONE
_FEW = 16  # relocations that are quicker looked at one by one
_HOST = "<" if sys.byteorder == "little" else ">"

Refuse = Callable[[str, str], NoReturn]
Damaged = Callable[[str], NoReturn]


class Strings:
    """A string table. `damaged` raises the error for what is wrong with a name."""

    def __init__(self, table: bytes, damaged: Damaged) -> None:
        self._table = table
        self._damaged = damaged
        self._longest: int | None = None

    def at(self, offset: int) -> str:
        """The name at an offset, bytes that are not UTF-8 as surrogateescape spells them."""
        table = self._table
        end = table.find(b"\0", offset, offset + LONGEST_NAME)
        if end >= 0:
            return table[offset:end].decode("utf-8", "surrogateescape")
        if offset >= len(table) and offset > 0:
            self._damaged("has a name outside its table")
        if table:
            self._damaged(f"has a name of more than {LONGEST_NAME} bytes, or without an end")
        return ""

    def all_good(self, largest: int) -> bool:
        """Whether every name up to an offset can be read."""
        table = self._table
        if largest == 0:
            return not table or table.find(b"\0", 0, LONGEST_NAME) >= 0
        if largest >= len(table) or table[-1]:
            return False
        if self._longest is None:
            self._longest = max(map(len, table.split(b"\0")))
        return self._longest < LONGEST_NAME

    def begins(self, offset: int, text: bytes) -> bool:
        """Whether the name at an offset begins with a text."""
        return self._table.startswith(text, offset)


class Symbols(Lazy[ObjectSymbol]):
    """The symbols of a table, without its first one, which is none."""

    __slots__ = ("_layout", "_names", "_places", "_section_name", "data", "section_numbers")

    def __init__(
        self,
        data: bytes,
        byteorder: ByteOrder,
        names: Strings,
        places: Mapping[int, int | Elsewhere | None],
        section_name: Callable[[int], str],
    ) -> None:
        """`places` says for sections of the file, by their numbers, where their symbols are.

        `section_name` says what such a section is called. Each symbol's section is in
        `section_numbers`, as the file has it.
        """
        self.data = data[SYMBOL_SIZE:]
        self._layout = _SYMBOL[byteorder]
        self._names, self._places, self._section_name = names, places, section_name
        self.section_numbers = self._column("H", 3)

    def __len__(self) -> int:
        return len(self.data) // SYMBOL_SIZE

    def check(self, refuse: Refuse, damaged: Damaged) -> None:
        """Call an argument, which raises, for the first symbol that cannot be."""
        if len(self) == 0:
            return
        offsets = self._column("I", 0)
        if (
            _INFOS.issuperset(self.data[4::SYMBOL_SIZE])
            and self._places.keys() | _ELSEWHERE.keys() >= set(self.section_numbers)
            and self._names.all_good(max(offsets))
        ):
            return
        for number, fields in enumerate(self._layout.iter_unpack(self.data), 1):
            name, info, _, place, _, _ = fields
            if info not in _INFOS:
                refuse("elf-format", f"symbol {number} is of a kind that BPF has not")
            text = self._names.at(name)
            if not self._known(place):
                damaged(f"has symbol {text or number} in a section that it lacks")

    def _column(self, code: str, first: int) -> list[int]:
        return _column(self.data, SYMBOL_SIZE, code, first, self._layout.format[0])

    def _known(self, place: int) -> bool:
        return place in self._places or place in _ELSEWHERE

    def _make(self, index: int) -> ObjectSymbol:
        fields = self._layout.unpack_from(self.data, index * SYMBOL_SIZE)
        at, info, other, place, value, size = fields
        section: int | Elsewhere | None
        if place in self._places:
            section = self._places[place]
        else:
            section = _ELSEWHERE[place]
            if section == "absolute":
                value -= (value >> 63) << 64
        named = info & 15 == _SECTION and place in self._places
        name = self._section_name(place) if named else self._names.at(at)
        return ObjectSymbol(
            name, section, value, size, _BINDINGS[info >> 4], _TYPES[info & 15],
            _VISIBILITIES[other & 3],
        )  # fmt: skip

    def but_labels(self, executable: Sequence[bool]) -> list[tuple[int, ObjectSymbol]]:
        """Symbols with their numbers, without what no program can name.

        That are local ones without a type in executable sections, all in omitted ones, sections'
        and files'.
        """
        idle = {_UNDEFINED}  # a local name of nothing
        omitted = set[int]()
        for number, index in self._places.items():
            if index == "omitted":
                omitted.add(number)
            elif isinstance(index, int) and executable[index]:
                idle.add(number)
        make, infos = self._make, self.data[4::SYMBOL_SIZE]
        return [
            (number, make(number)) for number, place in enumerate(self.section_numbers)
            if infos[number] not in _UNNAMED and place not in omitted
            and (infos[number] != _LABEL or place not in idle)
        ]  # fmt: skip


class Relocations(Lazy[ObjectRelocation]):
    """The relocations of one section."""

    __slots__ = ("_layout", "data")

    def __init__(self, data: bytes, byteorder: ByteOrder) -> None:
        self._layout = _REL[byteorder]
        self.data = data

    def __len__(self) -> int:
        return len(self.data) // REL_SIZE

    @property
    def symbols(self) -> list[int]:
        """The number of each one's symbol, as an Object counts them."""
        return [each - 1 for each in self._column("I", 5 - self._low)]

    @property
    def _low(self) -> int:
        """Which of a row's 32-bit words has the kind; the other one has the symbol."""
        return 2 if self._layout.format[0] == "<" else 3

    def _kind(self, row: bytes) -> int:
        return int(self._layout.unpack(row)[1]) & 0xFFFF_FFFF

    def check(self, size: int, symbols: int) -> tuple[str, int] | None:
        """What is wrong first: "kind" and the number, "place", "symbol"; None for nothing.

        Takes out those that ask for nothing (R_BPF_NONE).
        """
        few = len(self.data) <= _FEW * REL_SIZE
        found = self._first_wrong(size, symbols) if few else None
        if few and found is None:
            return None
        kinds = set() if few else set(self._column("I", self._low))
        if found == ("kind", _NONE) or _NONE in kinds:
            rows = (self.data[at : at + REL_SIZE] for at in range(0, len(self.data), REL_SIZE))
            self.data = b"".join(row for row in rows if self._kind(row) != _NONE)
            return self.check(size, symbols)
        if few:
            return found
        owners, offsets = self._column("I", 5 - self._low), self.offsets
        if (
            RELOCATIONS.keys() >= kinds
            and max(offsets) + _LARGEST_PLACE <= size
            and min(owners) > 0
            and max(owners) <= symbols
        ):
            return None
        return self._first_wrong(size, symbols)

    def _first_wrong(self, size: int, symbols: int) -> tuple[str, int] | None:
        known = RELOCATIONS
        for offset, info in self._layout.iter_unpack(self.data):
            symbol, number = info >> 32, info & 0xFFFF_FFFF
            if number not in known:
                return "kind", number
            if offset + known[number][1] > size:
                return "place", offset
            if not 0 < symbol <= symbols:
                return "symbol", symbol
        return None

    @property
    def offsets(self) -> list[int]:
        """Where each is, in bytes of the section."""
        return self._column("Q", 0)

    def _column(self, code: str, first: int) -> list[int]:
        return _column(self.data, REL_SIZE, code, first, self._layout.format[0])

    def _make(self, index: int) -> ObjectRelocation:
        offset, info = self._layout.unpack_from(self.data, index * REL_SIZE)
        return ObjectRelocation(offset, RELOCATIONS[info & 0xFFFF_FFFF][0], (info >> 32) - 1)


_WIDTHS = {"H": 2, "I": 4, "Q": 8}


def _column(data: bytes, row: int, code: str, first: int, order: str) -> list[int]:
    """One field of all rows of `row` bytes: number `first` of a row's numbers of its width."""
    words: memoryview[int] = memoryview(data).cast(code)  # type: ignore[call-overload]
    column = words[first :: row // _WIDTHS[code]].tolist()
    if order == _HOST:
        return column
    swapped = array(code, column)
    swapped.byteswap()
    return swapped.tolist()
