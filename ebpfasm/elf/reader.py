"""A relocatable ELF file to an Object, as elf(5) and LLVM's BPF relocations say.

Headers are read here, for a small object takes no longer to read than a header of pyelftools;
symbols and relocations in elf.tables. What pyelftools knows of other machines is asked for
messages.

What an Object does not keep: string tables, which are made again; .llvm_addrsig and groups, whose
content is numbers of this file's symbols and sections.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NoReturn

from ebpfasm.elf.tables import REL_SIZE, SYMBOL_SIZE, Relocations, Strings, Symbols
from ebpfasm.errors import ElfError, error
from ebpfasm.ir.object import (
    SHF_GROUP,
    SHT_LLVM_ADDRSIG,
    SHT_NOBITS,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
)
from ebpfasm.isa.codec import ByteOrder

_MAGIC = b"\x7fELF"
_HEADER_SIZE, _SECTION_SIZE = 64, 64
_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_REL, _SHT_GROUP = 0, 2, 3, 4, 9, 17
_NOT_KEPT = frozenset((_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_REL, _SHT_GROUP, SHT_LLVM_ADDRSIG))
_EMPTY = (_SHT_NULL, SHT_NOBITS)
_LAYOUTS = {order: struct.Struct(order + "IIQQQQIIQQ") for order in "<>"}  # Elf64_Shdr
_SHN_XINDEX = 0xFFFF
_MOST_OVERLAP = 4  # times the file: what many sections say of the same bytes
_ET_REL, _EM_BPF = 1, 247


def read_object(content: bytes, name: str = "<bytes>") -> Object:
    """Read a file's bytes; `name` is what messages call it.

    Symbols come in the file's order. Raises ElfError, and nothing else, for what is no relocatable
    64-bit object for BPF, is damaged, or says what an Object cannot hold.
    """
    return _Reader(content, name).object()


class _Row(NamedTuple):
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
        self._order, start, count, strings = self._header()
        byteorder: ByteOrder = "little" if self._order == "<" else "big"
        rows = self._rows(start, count, strings)
        kept = [number for number, row in enumerate(rows) if row.type not in _NOT_KEPT]
        places = {number: index for index, number in enumerate(kept)}
        tables = [number for number, row in enumerate(rows) if row.type == _SHT_SYMTAB]
        if len(tables) > 1:
            self._damaged("has two symbol tables")
        symbols: Sequence[ObjectSymbol] = ()
        if tables:
            symbols = self._symbols(rows, rows[tables[0]], places, byteorder)
        parts: dict[int, list[Relocations]] = {}
        for row in rows:
            if row.type == _SHT_RELA:
                self._refuse("elf-relocation", f"{row.name} holds addends (RELA); BPF has none")
            if row.type == _SHT_REL and self._target(rows, row).type not in _NOT_KEPT:
                if [row.link] != tables:
                    self._damaged(f"has relocations without symbols in {row.name}")
                found = self._relocations(row, rows[row.info], len(symbols), byteorder)
                parts.setdefault(row.info, []).append(found)
        sections = [_section(rows[number], _joined(parts.get(number))) for number in kept]
        return Object(tuple(sections), symbols, byteorder)

    # What is wrong -----------------------------------------------------------------------------

    def _refuse(self, code: str, message: str, hint: str | None = None) -> NoReturn:
        raise ElfError(error(code, _shown(f"{self._name}: {message}"), hint=hint))

    def _damaged(self, what: str) -> NoReturn:
        raise ElfError(error("elf-format", _shown(f"{self._name} is damaged: it {what}")))

    # The file and its sections -------------------------------------------------------------------

    def _header(self) -> tuple[str, int, int, int]:
        """The byte order, and of the section headers where they begin, how many, and whose names.

        elf(5), Elf64_Ehdr.
        """
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
        order = "<" if content[5] == 1 else ">"
        kind, machine = struct.unpack_from(order + "HH", content, 16)
        (start,) = struct.unpack_from(order + "Q", content, 40)
        size, count, strings = struct.unpack_from(order + "HHH", content, 58)
        if machine != _EM_BPF:
            hint = "compile with clang -target bpf -c"
            self._refuse("elf-machine", f"the machine is {_machine(machine)}, not EM_BPF", hint)
        if kind != _ET_REL:
            self._refuse("elf-format", "this is no relocatable object")
        if start == 0:
            self._refuse("elf-format", "there are no sections")
        if size != _SECTION_SIZE:
            self._damaged(f"has section headers of {size} bytes")
        return order, start, count, strings

    def _rows(self, start: int, count: int, strings: int) -> list[_Row]:
        if count == 0 or strings == _SHN_XINDEX:
            self._refuse("elf-format", "there are too many sections")
        end = start + count * _SECTION_SIZE
        if end > len(self._content):
            self._damaged("ends before its section headers")
        layout = _LAYOUTS[self._order]
        headers = list(layout.iter_unpack(self._content[start:end]))
        if strings >= count:
            self._damaged("has no names of sections")
        whole = len(self._content)
        inside = (
            size for _, type, _, _, at, size, *_ in headers
            if type not in _EMPTY and at + size <= whole
        )  # fmt: skip
        taken = sum(inside)
        if taken > _MOST_OVERLAP * whole:
            self._damaged(f"has sections of {taken} bytes in {whole}: they overlap")
        names = Strings(self._part(headers[strings], f"section {strings}"), self._damaged).at
        return [self._row(names(header[0]), header) for header in headers]

    def _row(self, name: str, header: tuple[int, ...]) -> _Row:
        _, type, flags, _, start, size, link, info, align, entsize = header
        if align & (align - 1):
            self._damaged(f"has section {name} with an alignment of {align} bytes")
        content = self._content[start : start + size]
        if type in _EMPTY:
            content = b""
        elif start + size > len(self._content):
            self._damaged(f"ends inside section {name}")
        return _Row(name, type, flags, content, size, link, info, align or 1, entsize)

    def _part(self, header: tuple[int, ...], what: str) -> bytes:
        _, type, _, _, start, size, *_ = header
        if type in _EMPTY:
            return b""
        if start + size > len(self._content):
            self._damaged(f"ends inside {what}")
        return self._content[start : start + size]

    # Symbols and relocations ---------------------------------------------------------------------

    def _symbols(
        self,
        rows: Sequence[_Row],
        table: _Row,
        places: Mapping[int, int],
        byteorder: ByteOrder,
    ) -> Symbols:
        if table.link >= len(rows) or rows[table.link].type != _SHT_STRTAB:
            self._damaged("has no names of symbols")
        if len(table.content) % SYMBOL_SIZE:
            self._damaged("has half a symbol in its table")
        names = Strings(rows[table.link].content, self._damaged)
        sections = [row.name for row in rows]
        found = Symbols(table.content, byteorder, names, places, sections)
        found.check(self._refuse, self._damaged)
        return found

    def _target(self, rows: Sequence[_Row], row: _Row) -> _Row:
        if not 0 < row.info < len(rows):
            self._damaged(f"has {row.name} for a section that it lacks")
        return rows[row.info]

    def _relocations(
        self, row: _Row, target: _Row, symbols: int, byteorder: ByteOrder
    ) -> Relocations:
        if len(row.content) % REL_SIZE:
            self._damaged(f"has half a relocation in {row.name}")
        found = Relocations(row.content, byteorder)
        match found.check(len(target.content), symbols):
            case ("kind", number):
                self._refuse("elf-relocation", f"{row.name} has a relocation of kind {number}")
            case ("place", _):
                self._damaged(f"has a relocation behind the end of {target.name}")
            case ("symbol", _):
                self._damaged(f"has a relocation without a symbol in {row.name}")
            case _:
                pass
        return found


def _shown(message: str) -> str:
    """The message with what is not UTF-8 in it as numbers."""
    return message.encode("utf-8", "backslashreplace").decode()


def _machine(number: int) -> str:
    """What elf.h calls a machine."""
    from elftools.elf.enums import ENUM_E_MACHINE

    named = (name for name, value in ENUM_E_MACHINE.items() if value == number)
    return next((each for each in named if each.startswith("EM_")), f"number {number}")


def _joined(parts: Sequence[Relocations] | None) -> Sequence[ObjectRelocation]:
    """The relocations of a section, which are almost always in one table."""
    if parts is None:
        return ()
    if len(parts) == 1:
        return parts[0]
    return tuple(each for part in parts for each in part)


def _section(row: _Row, relocations: Sequence[ObjectRelocation]) -> ObjectSection:
    return ObjectSection(
        row.name, row.type, row.flags & ~SHF_GROUP, row.align, row.content, row.size, row.entsize,
        relocations,
    )  # fmt: skip
