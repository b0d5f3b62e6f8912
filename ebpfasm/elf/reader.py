"""A relocatable ELF file to an Object, as elf(5) and LLVM's BPF relocations say.

Headers are read here, for a small object takes no longer to read than a header of pyelftools;
symbols and relocations in elf.tables. What pyelftools knows of other machines is asked for
messages.

What an Object does not keep: string tables, which are made again, and groups that a linker need
not keep once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import NoReturn

from ebpfasm.elf.tables import REL_SIZE, SYMBOL_SIZE, Relocations, Strings, Symbols
from ebpfasm.errors import ElfError, error
from ebpfasm.ir.object import (
    SHF_GROUP,
    SHT_LLVM_ADDRSIG,
    SHT_NOBITS,
    Elsewhere,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
)
from ebpfasm.isa.codec import ByteOrder

_MAGIC = b"\x7fELF"
_HEADER_SIZE, _SECTION_SIZE = 64, 64
_SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_REL, _SHT_GROUP = 0, 2, 3, 4, 9, 17
_GRP_COMDAT, _SHF_COMPRESSED = 1, 0x800
# Types of sections that an Object has not as sections.
_OTHERS = frozenset((
    _SHT_NULL, _SHT_SYMTAB, _SHT_STRTAB, _SHT_RELA, _SHT_REL, _SHT_GROUP, SHT_LLVM_ADDRSIG,
))  # fmt: skip
_EMPTY = (_SHT_NULL, SHT_NOBITS)
_DEBUG = b".debug_"  # what begins the names of sections for debuggers
_TYPES = (".BTF", ".BTF.ext")
_LAYOUTS = {order: struct.Struct(order + "IIQQQQIIQQ") for order in "<>"}  # Elf64_Shdr
# Elf64_Ehdr behind its first 16 bytes, as far as it is used.
_HEADERS = {order: struct.Struct(order + "HH20xQ10xHHH") for order in "<>"}
_SHN_XINDEX = 0xFFFF
_WORD = 4  # bytes
_LONGEST_NUMBER = 35  # bits
_MOST_OVERLAP = 4  # times the file: what many sections say of the same bytes
_START, _SIZE, _ALIGN = 4, 5, 8  # of a header's fields
_ALIGNMENTS = frozenset((0, *(1 << bits for bits in range(64))))
_ET_REL, _EM_BPF = 1, 247


def read_object(content: bytes, name: str = "<bytes>", *, whole: bool = True) -> Object:
    """Read a file's bytes; `name` is what messages call it.

    Symbols come in the file's order. What is not read `whole` lacks what no program is made of:
    the debugger's sections, whose symbols are "omitted" then, and the relocations of .BTF and
    .BTF.ext. Raises ElfError, and nothing else, for what is no relocatable 64-bit object for BPF,
    is damaged, or says what an Object cannot hold.
    """
    return _Reader(content, name, whole).object()


# A section's header: elf(5), Elf64_Shdr.
_Header = tuple[int, int, int, int, int, int, int, int, int, int]


class _Reader:
    def __init__(self, content: bytes, name: str, whole: bool) -> None:
        self._content = content
        self._name = name
        self._whole = whole

    def object(self) -> Object:
        self._order, start, count, strings = self._header()
        self._byteorder: ByteOrder = "little" if self._order == "<" else "big"
        self._headers = headers = self._section_headers(start, count)
        self._strings = self._section_names(strings)
        kept: list[int] = []
        others: dict[int, list[int]] = {each: [] for each in _OTHERS}
        places: dict[int, int | Elsewhere | None] = {}
        for number, header in enumerate(headers):
            type = header[1]
            if type in _OTHERS:
                others[type].append(number)
            elif self._whole or not self._strings.begins(header[0], _DEBUG):
                places[number] = len(kept)
                kept.append(number)
            else:
                places[number] = "omitted"
        places |= dict.fromkeys(others[_SHT_GROUP])  # a symbol there is the group's name
        tables = others[_SHT_SYMTAB]
        if len(tables) > 1:
            self._damaged("has two symbol tables")
        symbols = self._symbols(tables[0], places) if tables else ()
        relocations = sorted(others[_SHT_REL] + others[_SHT_RELA])
        self._check_compression(kept)
        parts = self._all_relocations(relocations, places, tables, len(symbols))
        groups = self._groups(others[_SHT_GROUP], symbols) if self._whole else {}
        sections = [
            self._section(number, _joined(parts.get(number)), groups.get(number, ""))
            for number in kept
        ]
        # Tools that number symbols anew, such as llvm-strip, take the link to the symbols away.
        linked = [each for each in others[SHT_LLVM_ADDRSIG] if [headers[each][6]] == tables]
        significant = self._significant(linked, symbols) if self._whole else None
        return Object(tuple(sections), symbols, self._byteorder, significant)

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
        kind, machine, start, size, count, strings = _HEADERS[order].unpack_from(content, 16)
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

    def _section_headers(self, start: int, count: int) -> list[_Header]:
        end = start + count * _SECTION_SIZE
        if count == 0:
            self._refuse("elf-format", "there are too many sections")
        if end > len(self._content):
            self._damaged("ends before its section headers")
        return list(_LAYOUTS[self._order].iter_unpack(self._content[start:end]))

    def _section_names(self, strings: int) -> Strings:
        """The names of all sections, each of which is inside the file."""
        content, headers = self._content, self._headers
        whole = len(content)
        outside = [
            each for each in headers
            if each[_START] + each[_SIZE] > whole or each[_ALIGN] not in _ALIGNMENTS
        ]  # fmt: skip
        if sum([each[_SIZE] for each in headers]) > _MOST_OVERLAP * whole:
            self._check_overlap()
        if strings == _SHN_XINDEX:
            self._refuse("elf-format", "there are too many sections")
        if strings >= len(headers):
            self._damaged("has no names of sections")
        _, type, _, _, start, size, *_ = headers[strings]
        if type not in _EMPTY and start + size > whole:
            self._damaged(f"ends inside section {strings}")
        self._string_section = strings
        names = Strings(self._data(strings), self._damaged)
        if not names.all_good(max([each[0] for each in headers])):
            for each in headers:
                names.at(each[0])
        for each in outside:
            self._check_section(names.at(each[0]), each)
        return names

    def _check_overlap(self) -> None:
        whole = len(self._content)
        taken = sum(
            size for _, type, _, _, at, size, *_ in self._headers
            if type not in _EMPTY and at + size <= whole
        )  # fmt: skip
        if taken > _MOST_OVERLAP * whole:
            self._damaged(f"has sections of {taken} bytes in {whole}: they overlap")

    def _check_section(self, name: str, header: _Header) -> None:
        _, type, _, _, start, size, _, _, align, _ = header
        if align not in _ALIGNMENTS:
            self._damaged(f"has section {name} with an alignment of {align} bytes")
        if start + size > len(self._content) and type not in _EMPTY:
            self._damaged(f"ends inside section {name}")

    def _check_compression(self, kept: Iterable[int]) -> None:
        for number in kept:
            if self._headers[number][2] & _SHF_COMPRESSED:
                message = f"section {self._section_name(number)} is compressed"
                hint = "llvm-objcopy --decompress-debug-sections undoes it"
                self._refuse("elf-format", message, hint)

    def _section_name(self, number: int) -> str:
        return self._strings.at(self._headers[number][0])

    def _data(self, number: int) -> bytes:
        """A section's content."""
        _, type, _, _, start, size, *_ = self._headers[number]
        return b"" if type in _EMPTY else self._content[start : start + size]

    def _section(
        self, number: int, relocations: Sequence[ObjectRelocation], group: str
    ) -> ObjectSection:
        name, type, flags, _, start, size, _, _, align, entsize = self._headers[number]
        flags = flags | SHF_GROUP if group else flags & ~SHF_GROUP
        return ObjectSection(
            self._strings.at(name), type, flags, align or 1,
            b"" if type in _EMPTY else self._content[start : start + size], size, entsize,
            relocations, group,
        )  # fmt: skip

    # Symbols and relocations ---------------------------------------------------------------------

    def _symbols(self, table: int, places: Mapping[int, int | Elsewhere | None]) -> Symbols:
        link, content = self._headers[table][6], self._data(table)
        if link >= len(self._headers) or self._headers[link][1] != _SHT_STRTAB:
            self._damaged("has no names of symbols")
        if len(content) % SYMBOL_SIZE:
            self._damaged("has half a symbol in its table")
        names = self._strings
        if link != self._string_section:
            names = Strings(self._data(link), self._damaged)
        found = Symbols(content, self._byteorder, names, places, self._section_name)
        found.check(self._refuse, self._damaged)
        return found

    def _all_relocations(
        self,
        tables: Iterable[int],
        places: Mapping[int, int | Elsewhere | None],
        symbols: Sequence[int],
        count: int,
    ) -> dict[int, list[Relocations]]:
        """The relocations of the sections that are kept, by section.

        `symbols` are the file's tables of symbols, the one of which has `count`.
        """
        found: dict[int, list[Relocations]] = {}
        for number in tables:
            _, type, _, _, _, _, link, target, _, _ = self._headers[number]
            if not 0 < target < len(self._headers):
                self._damaged(f"has {self._section_name(number)} for a section that it lacks")
            if not isinstance(places.get(target), int):
                continue
            if not self._whole and self._section_name(target) in _TYPES:
                continue
            name = self._section_name(number)
            if type == _SHT_RELA:
                self._refuse("elf-relocation", f"{name} holds addends (RELA); BPF has none")
            if [link] != symbols:
                self._damaged(f"has relocations without symbols in {name}")
            found.setdefault(target, []).append(self._relocations(number, target, count))
        return found

    def _relocations(self, number: int, target: int, symbols: int) -> Relocations:
        content, name = self._data(number), self._section_name(number)
        if len(content) % REL_SIZE:
            self._damaged(f"has half a relocation in {name}")
        found = Relocations(content, self._byteorder)
        match found.check(len(self._data(target)), symbols):
            case ("kind", kind):
                self._refuse("elf-relocation", f"{name} has a relocation of kind {kind}")
            case ("place", _):
                self._damaged(f"has a relocation behind the end of {self._section_name(target)}")
            case ("symbol", _):
                self._damaged(f"has a relocation without a symbol in {name}")
            case _:
                pass
        return found

    # What is said of sections and symbols ---------------------------------------------------------

    def _groups(self, numbers: Sequence[int], symbols: Sequence[ObjectSymbol]) -> dict[int, str]:
        """The name of the COMDAT group that each section is in."""
        found: dict[int, str] = {}
        for number in numbers:
            content, symbol = self._data(number), self._headers[number][7]
            count = len(content) // _WORD
            words = struct.unpack_from(f"{self._order}{count}I", content)
            if not words or not 0 < symbol <= len(symbols):
                self._damaged(f"has group {number} without a name")
            if max(words[1:], default=0) >= len(self._headers):
                self._damaged(f"has a group of sections that it lacks: {symbols[symbol - 1].name}")
            if words[0] == _GRP_COMDAT:
                found |= dict.fromkeys(words[1:], symbols[symbol - 1].name)
        return found

    def _significant(
        self, numbers: Sequence[int], symbols: Sequence[ObjectSymbol]
    ) -> tuple[int, ...] | None:
        """The symbols whose address matters: their numbers as ULEB128, of seven bits a byte."""
        if not numbers:
            return None
        found, value, shift = [], 0, 0
        for byte in b"".join(map(self._data, numbers)):
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte & 0x80 and shift < _LONGEST_NUMBER:
                continue
            if not 0 < value <= len(symbols):
                self._damaged("has an address that matters, of a symbol that it lacks")
            found.append(value - 1)
            value = shift = 0
        return tuple(found)


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
