"""A relocatable ELF file to an Object, as elf(5) and LLVM's BPF relocations say.

pyelftools reads the file's header and the headers of sections. Symbols and relocations are read
here: there may be a million of them, and their names need not be UTF-8.

What an Object does not keep: string tables, which are made again; .llvm_addrsig and groups, whose
content is numbers of this file's symbols and sections.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from elftools.common.utils import struct_parse
from elftools.elf.elffile import ELFFile
from elftools.elf.enums import ENUM_E_MACHINE, ENUM_SH_TYPE_BASE

from ebpfasm.errors import ElfError, error
from ebpfasm.ir.object import (
    SHF_GROUP,
    SHT_LLVM_ADDRSIG,
    SHT_NOBITS,
    Binding,
    Elsewhere,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
    RelocationType,
    SymbolType,
    Visibility,
)
from ebpfasm.isa.codec import ByteOrder

_MAGIC = b"\x7fELF"
_HEADER_SIZE, _SECTION_SIZE, _SYMBOL_SIZE, _REL_SIZE = 64, 64, 24, 16
_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_REL, _SHT_GROUP = 0, 2, 3, 4, 9, 17
_NOT_KEPT = frozenset((_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_REL, _SHT_GROUP, SHT_LLVM_ADDRSIG))
_SHN_XINDEX = 0xFFFF
_LONGEST_NAME = 4096  # bytes; a table without ends would make each name as long as the file

_BINDINGS: dict[int, Binding] = {0: "local", 1: "global", 2: "weak"}
_TYPES: dict[int, SymbolType] = {
    0: "notype", 1: "object", 2: "func", 3: "section", 4: "file", 5: "common", 6: "tls",
}  # fmt: skip
_VISIBILITIES: tuple[Visibility, ...] = ("default", "internal", "hidden", "protected")
# type -> name, and bytes of the place that is filled.
_RELOCATIONS: dict[int, tuple[RelocationType, int]] = {
    1: ("R_BPF_64_64", 16),
    2: ("R_BPF_64_ABS64", 8),
    3: ("R_BPF_64_ABS32", 4),
    4: ("R_BPF_64_NODYLD32", 4),
    10: ("R_BPF_64_32", 8),
}


def read_object(content: bytes, name: str = "<bytes>") -> Object:
    """Read a file's bytes; `name` is what messages call it.

    Symbols come in the file's order. Raises ElfError, and nothing else, for what is no relocatable
    64-bit object for BPF, is damaged, or says what an Object cannot hold.
    """
    try:
        return _Reader(content, name).object()
    except ElfError:
        raise
    except Exception as problem:  # pyelftools has no one exception for what is damaged
        message = f"{name} is a damaged ELF file"
        raise ElfError(error("elf-format", message)) from problem


@dataclass(frozen=True, slots=True)
class _Row:
    """A section's header with its content."""

    name: str
    type: int
    flags: int
    content: bytes
    size: int
    link: int
    info: int
    align: int
    entsize: int


class _Reader:
    def __init__(self, content: bytes, name: str) -> None:
        self._content = content
        self._name = name

    def object(self) -> Object:
        elf = self._open()
        self._order = "<" if elf.little_endian else ">"
        byteorder: ByteOrder = "little" if elf.little_endian else "big"
        rows = self._rows(elf)
        kept = [number for number, row in enumerate(rows) if row.type not in _NOT_KEPT]
        places = {number: index for index, number in enumerate(kept)}
        tables = [number for number, row in enumerate(rows) if row.type == _SHT_SYMTAB]
        if len(tables) > 1:
            self._damaged("has two symbol tables")
        symbols = self._symbols(rows, rows[tables[0]], places) if tables else ()
        relocations: dict[int, tuple[ObjectRelocation, ...]] = {}
        for row in rows:
            if row.type == _SHT_RELA:
                self._refuse("elf-relocation", f"{row.name} holds addends (RELA); BPF has none")
            if row.type == _SHT_REL and self._target(rows, row).type not in _NOT_KEPT:
                if [row.link] != tables:
                    self._damaged(f"has relocations without symbols in {row.name}")
                found = self._relocations(row, rows[row.info], len(symbols))
                relocations[row.info] = relocations.get(row.info, ()) + found
        sections = [_section(rows[number], relocations.get(number, ())) for number in kept]
        return Object(tuple(sections), symbols, byteorder)

    # What is wrong -----------------------------------------------------------------------------

    def _refuse(self, code: str, message: str, hint: str | None = None) -> NoReturn:
        raise ElfError(error(code, f"{self._name}: {message}", hint=hint))

    def _damaged(self, what: str) -> NoReturn:
        raise ElfError(error("elf-format", f"{self._name} is damaged: it {what}"))

    # The file and its sections -------------------------------------------------------------------

    def _open(self) -> ELFFile:
        content = self._content
        if not content.startswith(_MAGIC):
            self._refuse("elf-format", "this is no ELF file")
        if len(content) < _HEADER_SIZE:
            self._damaged("ends inside its header")
        if content[4] != 2:
            bits = "a 32-bit ELF file" if content[4] == 1 else "of no known ELF class"
            self._refuse("elf-machine", f"this is {bits}; objects for BPF have 64 bits")
        if content[5] not in (1, 2):
            self._damaged("names no byte order")
        machine = int.from_bytes(content[18:20], "little" if content[5] == 1 else "big")
        if machine != ENUM_E_MACHINE["EM_BPF"]:
            named = (name for name, number in ENUM_E_MACHINE.items() if number == machine)
            word = next((each for each in named if each.startswith("EM_")), f"number {machine}")
            hint = "compile with clang -target bpf -c"
            self._refuse("elf-machine", f"the machine is {word}, not EM_BPF", hint)
        elf = ELFFile(io.BytesIO(content))
        if elf["e_type"] != "ET_REL":
            self._refuse("elf-format", "this is no relocatable object")
        return elf

    def _rows(self, elf: ELFFile) -> list[_Row]:
        start, count, strings = elf["e_shoff"], elf["e_shnum"], elf["e_shstrndx"]
        if start == 0:
            self._refuse("elf-format", "there are no sections")
        if elf["e_shentsize"] != _SECTION_SIZE:
            self._damaged(f"has section headers of {elf['e_shentsize']} bytes")
        if count == 0 or strings == _SHN_XINDEX:
            self._refuse("elf-format", "there are too many sections")
        if start + count * _SECTION_SIZE > len(self._content):
            self._damaged("ends before its section headers")
        stream = io.BytesIO(self._content)
        headers = [
            struct_parse(elf.structs.Elf_Shdr, stream, start + number * _SECTION_SIZE)
            for number in range(count)
        ]
        if strings >= count:
            self._damaged("has no names of sections")
        names = self._part(headers[strings], f"section {strings}")
        return [self._row(number, each, names) for number, each in enumerate(headers)]

    def _row(self, number: int, header: Mapping[str, int | str], names: bytes) -> _Row:
        name = self._string(names, int(header["sh_name"]))
        fields = ("sh_flags", "sh_size", "sh_link", "sh_info", "sh_addralign", "sh_entsize")
        flags, size, link, info, align, entsize = (int(header[each]) for each in fields)
        if align & (align - 1):
            self._damaged(f"has section {name} with an alignment of {align} bytes")
        return _Row(
            name, _number(header["sh_type"]), flags, self._part(header, f"section {name}"),
            size, link, info, max(align, 1), entsize,
        )  # fmt: skip

    def _part(self, header: Mapping[str, int | str], what: str) -> bytes:
        if _number(header["sh_type"]) in (_SHT_NULL, SHT_NOBITS):
            return b""
        start, size = int(header["sh_offset"]), int(header["sh_size"])
        if start + size > len(self._content):
            self._damaged(f"ends inside {what}")
        return self._content[start : start + size]

    def _string(self, table: bytes, at: int) -> str:
        end = table.find(b"\0", at, at + _LONGEST_NAME)
        if at >= len(table) and at > 0:
            self._damaged("has a name outside its table")
        if end < 0 and table:
            self._damaged(f"has a name of more than {_LONGEST_NAME} bytes, or without an end")
        return table[at:end].decode("utf-8", "surrogateescape") if table else ""

    # Symbols -----------------------------------------------------------------------------------

    def _symbols(
        self, rows: Sequence[_Row], table: _Row, places: Mapping[int, int]
    ) -> tuple[ObjectSymbol, ...]:
        if table.link >= len(rows) or rows[table.link].type != _SHT_STRTAB:
            self._damaged("has no names of symbols")
        if len(table.content) % _SYMBOL_SIZE:
            self._damaged("has half a symbol in its table")
        names = rows[table.link].content
        found = []
        layout = struct.Struct(self._order + "IBBHQQ")
        for number, fields in enumerate(layout.iter_unpack(table.content)):
            if number > 0:  # the first one is none
                found.append(self._symbol(number, fields, rows, names, places))
        return tuple(found)

    def _symbol(
        self,
        number: int,
        fields: tuple[int, ...],
        rows: Sequence[_Row],
        names: bytes,
        places: Mapping[int, int],
    ) -> ObjectSymbol:
        at, info, other, place, value, size = fields
        type, binding = _TYPES.get(info & 15), _BINDINGS.get(info >> 4)
        if type is None or binding is None:
            self._refuse("elf-format", f"symbol {number} is of a kind that BPF has not")
        name = self._string(names, at)
        section: int | Elsewhere | None
        match place:
            case 0:
                section = None
            case 0xFFF1:
                section = "absolute"
                value -= (value >> 63) << 64
            case 0xFFF2:
                section = "common"
            case _ if place in places:
                section = places[place]
            case _:
                self._damaged(f"has symbol {name or number} in a section that it lacks")
        if type == "section" and isinstance(section, int):
            name = rows[place].name
        return ObjectSymbol(name, section, value, size, binding, type, _VISIBILITIES[other & 3])

    # Relocations -------------------------------------------------------------------------------

    def _target(self, rows: Sequence[_Row], row: _Row) -> _Row:
        if not 0 < row.info < len(rows):
            self._damaged(f"has {row.name} for a section that it lacks")
        return rows[row.info]

    def _relocations(self, row: _Row, target: _Row, symbols: int) -> tuple[ObjectRelocation, ...]:
        if len(row.content) % _REL_SIZE:
            self._damaged(f"has half a relocation in {row.name}")
        found = []
        for offset, info in struct.iter_unpack(self._order + "QQ", row.content):
            symbol, number = info >> 32, info & 0xFFFF_FFFF
            if number == 0:  # R_BPF_NONE
                continue
            if number not in _RELOCATIONS:
                self._refuse("elf-relocation", f"{row.name} has a relocation of kind {number}")
            type, size = _RELOCATIONS[number]
            if offset + size > len(target.content):
                self._damaged(f"has a relocation behind the end of {target.name}")
            if not 0 < symbol <= symbols:
                self._damaged(f"has a relocation without a symbol in {row.name}")
            found.append(ObjectRelocation(offset, type, symbol - 1))
        return tuple(found)


def _number(type: int | str) -> int:
    """A section's type, which pyelftools gives by name where it has one."""
    return ENUM_SH_TYPE_BASE[type] if isinstance(type, str) else type


def _section(row: _Row, relocations: tuple[ObjectRelocation, ...]) -> ObjectSection:
    return ObjectSection(
        row.name, row.type, row.flags & ~SHF_GROUP, row.align, row.content, row.size, row.entsize,
        relocations,
    )  # fmt: skip
