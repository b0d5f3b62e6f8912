"""A large BTF, such as the running kernel's, read lazily: no object for a type until it is asked.

A kernel's BTF has more than a hundred thousand types, of which a program needs a few dozen.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from functools import cached_property

from ebpfasm.btf.codec import KINDS, encode, read_header, read_type
from ebpfasm.btf.file import read_file
from ebpfasm.btf.resolve import POINTER
from ebpfasm.btf.scan import scan
from ebpfasm.btf.strings import Buffer, StringSection
from ebpfasm.btf.types import Btf, BtfType, ByteOrder, Int
from ebpfasm.errors import BtfError, error
from ebpfasm.frozen import replace

_ALL_KINDS = 0xFFFF_FFFF

# How compilers write the type that is as long as a pointer.
_LONGS = (
    "long int",
    "long",
    "long unsigned int",
    "unsigned long",
    "int long",
    "long unsigned",
    "unsigned long int",
    "unsigned int long",
    "int unsigned long",
    "int long unsigned",
)


class BtfIndex:
    """Types of one BTF by id and by name.

    `data` is a .BTF section or a file of /sys/kernel/btf, of either byte order; `base` is what a
    module's (a split BTF) goes on from: its ids and string offsets begin where the base's end.
    Raises BtfError where the header or the table of types is damaged; `get` raises it for the
    type that is asked for.
    """

    def __init__(self, data: Buffer, base: BtfIndex | None = None) -> None:
        header = read_header(data)
        self.raw, self.base = data, base
        self.first_id = 1 if base is None else len(base) + 1
        self._order, self._begin = header.order, header.types[0]
        self.byteorder: ByteOrder = header.byteorder
        below: StringSection | None = None if base is None else base.strings
        self.strings: StringSection = StringSection(data, *header.strings, below)
        self._scan = scan(data, header, self.strings, self.first_id)
        self._known: dict[int, BtfType] = {}
        self._kinds: bytes | None = None  # of each type of its own, when they are asked for

    @classmethod
    def of(
        cls, source: Btf | Buffer | str | os.PathLike[str], base: BtfIndex | None = None
    ) -> BtfIndex:
        """Index BTF given as a value, as bytes or as a file's path.

        An ELF file's is in its section .BTF. Raises EbpfError where the file cannot be read,
        BtfError where it is, or has, no BTF.
        """
        match source:
            case Btf():
                return cls(encode(source), base)
            case bytes() | mmap.mmap():
                return cls(source, base)
            case _:
                path = os.fspath(source)
                data, below = read_file(path)
                try:
                    if base is None and below is not None:
                        base = cls(below)
                    return cls(data, base)
                except BtfError as problem:
                    found = problem.diagnostics
                    named = [replace(each, message=f"{path}: {each.message}") for each in found]
                    raise BtfError(*named) from None

    def __len__(self) -> int:
        """The highest id, the base's types included."""
        return self.first_id + len(self._scan.at) - 2

    def get(self, type_id: int) -> BtfType | None:
        """The type with an id, None for void. Raises BtfError."""
        known = self._known.get(type_id)
        if known is not None or type_id == 0:
            return known
        number = type_id - self.first_id
        if number < 0 and type_id > 0:
            assert self.base is not None
            return self.base.get(type_id)
        found = self._known[type_id] = read_type(self.words(type_id), type_id, self.strings.at)
        return found

    def words(self, type_id: int) -> tuple[int, ...]:
        """The words of a type of its own. Raises BtfError where there is none of that id."""
        at, number = self._scan.at, type_id - self.first_id
        if not 0 <= number < len(at) - 1:
            raise BtfError(error("btf-format", f"there is no type {type_id}"))
        begin = at[number]
        count = (at[number + 1] - begin) // 4
        return struct.unpack_from(f"{self._order}{count}I", self.raw, self._begin + begin)

    def patched(self, raw: bytes) -> BtfIndex:
        """The same types at the same places, in bytes where some of their numbers are others."""
        made = BtfIndex.__new__(BtfIndex)
        made.__dict__.update(self.__dict__)
        made.raw, made._known = raw, {}
        return made

    def place(self, type_id: int) -> int:
        """Where a type of its own, which there is, begins in `raw`, in bytes."""
        return self._begin + self._scan.at[type_id - self.first_id]

    def find(self, kind: type[BtfType], name: str) -> list[int]:
        """Ids of all types of that kind and name, the base's first. An empty name has none."""
        return self._find(name, 1 << KINDS[kind], by_essence=False)

    def candidates(self, kinds: tuple[type[BtfType], ...], name: str) -> list[int]:
        """Ids of all types of these kinds whose names are alike but for flavours (`___x`)."""
        return self._find(name, _mask(kinds), by_essence=True)

    def _find(self, name: str, kinds: int, *, by_essence: bool) -> list[int]:
        wanted = name.encode("utf-8", "surrogateescape")
        if not wanted:
            return []
        own = self._scan.find(wanted, kinds, by_essence=by_essence)
        if self.base is None:
            return own
        return self.base._find(name, kinds, by_essence=by_essence) + own

    def of_kind(self, *kinds: type[BtfType]) -> Iterator[int]:
        """Ids of all types of these kinds, the base's left out, unnamed ones too."""
        if self._kinds is None:
            raw, top = self.raw, 3 if self._order == "<" else 0
            places = self._begin + 4 + top  # the kind is in an info word's highest byte
            self._kinds = bytes([raw[places + at] & 0x7F for at in self._scan.at[:-1]])
        there = self._kinds
        if len(kinds) == 1:
            return _places(there, KINDS[kinds[0]], self.first_id)
        mask = _mask(kinds)
        return (type_id for type_id, kind in enumerate(there, self.first_id) if mask >> kind & 1)

    @cached_property
    def pointer_size(self) -> int:
        """Bytes of a pointer on its machine: as many as `long` has there, as libbpf guesses."""
        if self.base is not None:
            return self.base.pointer_size
        for name in _LONGS:
            for found in map(self.get, self.find(Int, name)):
                if isinstance(found, Int) and found.size in (4, 8):
                    return found.size
        return POINTER

    @property
    def names(self) -> list[str]:
        """The names of all types, the base's left out, in order and without repetitions."""
        layout = struct.Struct(f"{self._order}I")
        offsets = dict.fromkeys(
            layout.unpack_from(self.raw, self._begin + at)[0] for at in self._scan.at[:-1]
        )
        return list(dict.fromkeys(self.strings.at(each) for each in offsets if each))


def _places(kinds: bytes, kind: int, first_id: int) -> Iterator[int]:
    at = kinds.find(kind)
    while at >= 0:
        yield first_id + at
        at = kinds.find(kind, at + 1)


def _mask(kinds: tuple[type[BtfType], ...]) -> int:
    return sum({1 << KINDS[each] for each in kinds}) if kinds else _ALL_KINDS
