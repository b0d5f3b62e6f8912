"""An Object as an ELF file, laid out as LLVM's assembler does it (elf(5); EM_BPF is 247).

Sections stand in their order, each followed in the table by its relocations; then come
.llvm_addrsig and the symbol table, local symbols first. Names of sections and symbols share one
string table in which a name that ends another one takes no room.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ebpfasm.ir.object import (
    SHF_EXCLUDE,
    SHF_GROUP,
    SHT_LLVM_ADDRSIG,
    SHT_NOBITS,
    Object,
    ObjectSection,
    ObjectSymbol,
)

EM_BPF = 247

_SHT_SYMTAB, _SHT_STRTAB, _SHT_REL, _SHT_GROUP = 2, 3, 9, 17
_GRP_COMDAT = 1
_ADDRSIG = ".llvm_addrsig"
_SHF_INFO_LINK = 0x40
_SHN_ABS, _SHN_COMMON = 0xFFF1, 0xFFF2
_SHN_LORESERVE = 0xFF00
_RELOCATIONS = {
    "R_BPF_64_64": 1,
    "R_BPF_64_ABS64": 2,
    "R_BPF_64_ABS32": 3,
    "R_BPF_64_NODYLD32": 4,
    "R_BPF_64_32": 10,
}
_BINDINGS = {"local": 0, "global": 1, "weak": 2}
_TYPES = {"notype": 0, "object": 1, "func": 2, "section": 3, "file": 4, "common": 5, "tls": 6}
_VISIBILITIES = {"default": 0, "internal": 1, "hidden": 2, "protected": 3}

_HEADER = "16sHHIQQQIHHHHHH"
_SECTION = "IIQQQQIIQQ"
_SYMBOL = "IBBHQQ"
_REL = "QQ"
_SYMBOL_SIZE, _REL_SIZE, _HEADER_SIZE, _SECTION_SIZE = 24, 16, 64, 64


def write_elf(source: Object) -> bytes:
    """Write an object as ELF64 of its byte order. Never fails for an object that is consistent."""
    return _Writer(source).write()


@dataclass(slots=True)
class _Row:
    """A section header on its way, with the content that goes into the file."""

    name: str
    type: int
    flags: int = 0
    content: bytes = b""
    size: int = 0
    link: int = 0
    info: int = 0
    align: int = 1
    entsize: int = 0
    offset: int = 0


class _Writer:
    def __init__(self, source: Object) -> None:
        self._source = source
        self._order = "<" if source.byteorder == "little" else ">"
        # LLVM: file symbols, then locals, then the rest, each in the order of mention.
        ranks = {index: _rank(each) for index, each in enumerate(source.symbols)}
        self._sorted = sorted(ranks, key=ranks.__getitem__)
        self._numbers = {index: number for number, index in enumerate(self._sorted, 1)}

    def write(self) -> bytes:
        source = self._source
        names = {each.name for each in source.symbols if each.type != "section"}
        names |= {each.name for each in source.sections} | {".strtab", ".symtab"}
        names |= {f".rel{each.name}" for each in source.sections if each.relocations}
        names |= {".group" for each in source.sections if each.group}
        names |= {_ADDRSIG} if source.addrsig is not None else set()
        strings, offsets = _string_table(names)
        rows = [_Row(".strtab", _SHT_STRTAB, content=strings)]
        places: dict[int, int] = {}
        relocations: list[_Row] = []
        groups: dict[str, int] = {}  # name -> number of the section that lists its members
        for index, each in enumerate(source.sections):
            if each.group and each.group not in groups:
                groups[each.group] = len(rows) + 1
                rows.append(self._group_row(each.group))
            first = places[index] = len(rows) + 1
            rows.append(_section_row(each))
            if each.relocations:
                relocations.append(self._relocation_row(each, len(rows)))
                rows.append(relocations[-1])
            if each.group:
                members = range(first, len(rows) + 1)
                row = rows[groups[each.group] - 1]
                row.content += struct.pack(f"{self._order}{len(members)}I", *members)
        symtab = len(rows) + (1 if source.addrsig is None else 2)
        for row in (*relocations, *(rows[number - 1] for number in groups.values())):
            row.link = symtab
        if source.addrsig is not None:
            addrsig = self._addrsig_row(source.addrsig, symtab)
            rows.append(addrsig)
            relocations.append(addrsig)
        local = sum(1 for each in source.symbols if each.binding == "local")
        rows.append(
            _Row(
                ".symtab", _SHT_SYMTAB, content=self._symbols(places, offsets, groups),
                link=1, info=local + 1, align=8, entsize=_SYMBOL_SIZE,
            )
        )  # fmt: skip
        return self._file(rows, relocations, offsets)

    def _relocation_row(self, each: ObjectSection, target: int) -> _Row:
        content = b"".join(
            struct.pack(
                self._order + _REL,
                relocation.offset,
                self._numbers[relocation.symbol] << 32 | _RELOCATIONS[relocation.type],
            )
            for relocation in each.relocations
        )
        flags = _SHF_INFO_LINK if not each.group else SHF_GROUP
        return _Row(
            f".rel{each.name}", _SHT_REL, flags, content,
            info=target, align=8, entsize=_REL_SIZE,
        )  # fmt: skip

    def _group_row(self, name: str) -> _Row:
        """The section that lists a group's members, none of them yet."""
        symbol = next(n for n, each in enumerate(self._source.symbols) if each.name == name)
        return _Row(
            ".group", _SHT_GROUP, content=struct.pack(f"{self._order}I", _GRP_COMDAT),
            info=self._numbers[symbol], align=4, entsize=4,
        )  # fmt: skip

    def _addrsig_row(self, symbols: Sequence[int], link: int) -> _Row:
        content = b"".join(_uleb128(self._numbers[each]) for each in symbols)
        return _Row(_ADDRSIG, SHT_LLVM_ADDRSIG, SHF_EXCLUDE, content, link=link)

    def _symbols(
        self, places: Mapping[int, int], offsets: Mapping[str, int], groups: Mapping[str, int]
    ) -> bytes:
        rows = [bytes(_SYMBOL_SIZE)]
        for index in self._sorted:
            each = self._source.symbols[index]
            match each.section:
                case None | "omitted":
                    # A name that only a group has is the group.
                    place = groups.get(each.name, 0) if each.binding == "local" else 0
                case "absolute":
                    place = _SHN_ABS
                case "common":
                    place = _SHN_COMMON
                case number:
                    place = places[number]
            name = 0 if each.type == "section" else offsets[each.name]
            info = _BINDINGS[each.binding] << 4 | _TYPES[each.type]
            other = _VISIBILITIES[each.visibility]
            rows.append(
                struct.pack(
                    self._order + _SYMBOL, name, info, other, place,
                    each.value & 0xFFFF_FFFF_FFFF_FFFF, each.size,
                )
            )  # fmt: skip
        return b"".join(rows)

    def _file(
        self, rows: Sequence[_Row], relocations: Sequence[_Row], offsets: Mapping[str, int]
    ) -> bytes:
        strtab, *contents = rows
        behind = {id(each) for each in relocations}
        *content, symtab = [each for each in contents if id(each) not in behind]
        content = [*sorted(content, key=lambda each: each.type == _SHT_GROUP), symtab]
        chunks: list[bytes] = []
        end = _HEADER_SIZE
        for row in (*content, *relocations, strtab):
            row.offset = _aligned(end, row.align)
            chunks += bytes(row.offset - end), row.content
            end = row.offset + len(row.content)
        table = _aligned(end, 8)
        chunks.append(bytes(table - end))
        chunks.append(bytes(_SECTION_SIZE))
        chunks += (self._section_header(row, offsets) for row in rows)
        return b"".join([self._header(table, len(rows) + 1), *chunks])

    def _header(self, table: int, count: int) -> bytes:
        ident = b"\x7fELF" + bytes([2, 1 if self._order == "<" else 2, 1]) + bytes(9)
        return struct.pack(
            self._order + _HEADER, ident, 1, EM_BPF, 1, 0, 0, table, 0,
            _HEADER_SIZE, 0, 0, _SECTION_SIZE, count, 1,
        )  # fmt: skip

    def _section_header(self, row: _Row, offsets: Mapping[str, int]) -> bytes:
        size = row.size if row.type == SHT_NOBITS else len(row.content)
        return struct.pack(
            self._order + _SECTION, offsets[row.name], row.type, row.flags, 0, row.offset, size,
            row.link, row.info, row.align, row.entsize,
        )  # fmt: skip


def _uleb128(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _rank(symbol: ObjectSymbol) -> int:
    if symbol.binding != "local":
        return 2
    return 0 if symbol.type == "file" else 1


def _section_row(each: ObjectSection) -> _Row:
    content = b"" if each.type == SHT_NOBITS else each.content
    return _Row(
        each.name, each.type, each.flags, content, each.size,
        align=each.align, entsize=each.entsize,
    )  # fmt: skip


def _aligned(offset: int, align: int) -> int:
    return -(-offset // align) * align if align > 1 else offset


def _string_table(names: Iterable[str]) -> tuple[bytes, dict[str, int]]:
    """The bytes, and each name's offset: names sorted from their ends share their tails."""
    encoded = {name: name.encode("utf-8", "surrogateescape") for name in names}
    chunks, size, previous = [b"\0"], 1, b""
    offsets = {}
    for name, text in sorted(encoded.items(), key=lambda item: item[1][::-1], reverse=True):
        if previous.endswith(text) and size > 1:
            offsets[name] = size - len(text) - 1
            continue
        offsets[name] = size
        chunks.append(text + b"\0")
        size += len(text) + 1
        previous = text
    offsets[""] = 0
    return b"".join(chunks), offsets
