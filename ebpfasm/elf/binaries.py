"""Functions and probes of programs and shared libraries: where in the file their code begins.

pyelftools reads the headers; symbols are read here, for there may be a million of them. Both
.symtab and .dynsym count, so that stripped libraries work. A probe is put at an offset in the
file, which the program headers give for an address.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from elftools.common.exceptions import ELFError
from elftools.construct import ConstructError
from elftools.elf.elffile import ELFFile

from ebpfasm.errors import ElfError, error
from ebpfasm.frozen import dataclass

_FUNC, _GNU_IFUNC = 2, 10  # STT_*
_UNDEFINED = 0  # SHN_UNDEF
_HIDDEN = 0x8000  # VERSYM_HIDDEN: not the default version of its name
_STAPSDT = 3  # type of a note that describes a probe
# What pyelftools raises, besides its own, where a file is damaged.
_WRONG = (ELFError, ConstructError, struct.error, ValueError, KeyError, IndexError, AttributeError,
          TypeError, OverflowError, MemoryError)  # fmt: skip


@dataclass(frozen=True, slots=True)
class FunctionSymbol:
    """A function: its address, size and place in the file, in bytes.

    `indirect` functions (STT_GNU_IFUNC) are code that chooses, when the file is loaded, which
    function the name stands for.
    """

    name: str
    address: int
    size: int
    offset: int
    indirect: bool


@dataclass(frozen=True, slots=True)
class Probe:
    """A USDT probe (SDT note): where it is in the file, and where its arguments are.

    `semaphore` is the place in the file of a counter that turns the probe on, 0 for none.
    `address` is where it is in every process, 0 for files that are loaded anywhere.
    `arguments` is as the compiler wrote it: "-4@%edi 8@-24(%rbp)".
    """

    provider: str
    name: str
    offset: int
    semaphore: int
    arguments: str
    address: int = 0


def read_functions(path: str | Path) -> Mapping[str, FunctionSymbol]:
    """The functions that a file defines, by name, with and without their version (f@VERS_1).

    Raises ElfError for a damaged file and for none at all, OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with _mapped(file) as content:
                return _functions(ELFFile(content))
        except _WRONG as problem:
            raise _damaged(path, file, problem) from None


def read_probes(path: str | Path) -> tuple[Probe, ...]:
    """The USDT probes of a file, in its order; one name may stand at several places.

    Raises ElfError for a damaged file and for none at all, OSError where it cannot be read.
    """
    with open(path, "rb") as file:
        try:
            with _mapped(file) as content:
                return tuple(_probes(ELFFile(content)))
        except _WRONG as problem:
            raise _damaged(path, file, problem) from None


def _mapped(file: BinaryIO) -> Any:
    """The file's content: reading it never takes more memory than is there, whatever it says."""
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _damaged(path: str | Path, file: BinaryIO, problem: Exception) -> ElfError:
    file.seek(0)
    if file.read(4) != b"\x7fELF":
        return ElfError(error("elf-format", f"{path}: this is no ELF file"))
    return ElfError(error("elf-format", f"{path} is damaged: {problem}"))


class _Segments:
    """The loadable parts of a file: which address is which offset."""

    def __init__(self, elf: Any) -> None:
        self.order = "<" if elf.little_endian else ">"
        self._parts = [
            (each["p_vaddr"], each["p_filesz"], each["p_offset"])
            for each in elf.iter_segments()
            if each["p_type"] == "PT_LOAD"
        ]

    def offset_of(self, address: int) -> int | None:
        for start, size, offset in self._parts:
            if start <= address < start + size:
                return int(address - start + offset)
        return None


def _sections(elf: Any, *types: str) -> Iterator[Any]:
    return (each for each in elf.iter_sections() if each["sh_type"] in types)


# Functions -------------------------------------------------------------------------------------


def _functions(elf: Any) -> dict[str, FunctionSymbol]:
    segments = _Segments(elf)
    layout = struct.Struct(segments.order + ("IBBHQQ" if elf.elfclass == 64 else "IIIBBH"))
    found: dict[str, FunctionSymbol] = {}
    others: dict[str, FunctionSymbol] = {}  # old versions of a name, which new programs do not use
    for section in _sections(elf, "SHT_SYMTAB", "SHT_DYNSYM"):
        content, names = section.data(), elf.get_section(section["sh_link"]).data()
        content = content[: len(content) - len(content) % layout.size]
        hidden = _hidden(elf, segments.order, section, len(content) // layout.size)
        for number, fields in enumerate(layout.iter_unpack(content)):
            symbol = _symbol(fields, elf.elfclass, names, segments)
            if symbol is None:
                continue
            into = others if number in hidden else found
            into.setdefault(symbol.name, symbol)
            # Names with versions (memcpy@@GLIBC_2.14) are in .symtab; without them too.
            into.setdefault(symbol.name.partition("@")[0], symbol)
    return others | found


def _symbol(
    fields: tuple[int, ...], bits: int, names: bytes, segments: _Segments
) -> FunctionSymbol | None:
    if bits == 64:
        at, info, _, place, address, size = fields
    else:
        at, address, size, info, _, place = fields
    kind = info & 15
    if kind not in (_FUNC, _GNU_IFUNC) or place == _UNDEFINED or not address:
        return None
    offset = segments.offset_of(address)
    if offset is None:
        return None
    name = names[at : names.find(b"\0", at)].decode("utf-8", "surrogateescape")
    return FunctionSymbol(name, address, size, offset, kind == _GNU_IFUNC)


def _hidden(elf: Any, order: str, section: Any, count: int) -> frozenset[int]:
    """The symbols of .dynsym whose version is not the default one."""
    versions = elf.get_section_by_name(".gnu.version")
    if section["sh_type"] != "SHT_DYNSYM" or versions is None:
        return frozenset()
    content = versions.data()
    words = struct.unpack_from(f"{order}{min(count, len(content) // 2)}H", content)
    return frozenset(number for number, word in enumerate(words) if word & _HIDDEN)


# Probes ----------------------------------------------------------------------------------------


def _probes(elf: Any) -> Iterator[Probe]:
    segments = _Segments(elf)
    base = elf.get_section_by_name(".stapsdt.base")
    moved = base["sh_addr"] if base is not None else None
    for section in _sections(elf, "SHT_NOTE"):
        if section.name != ".note.stapsdt":
            continue
        for content in _notes(section.data(), segments.order):
            yield _probe(content, elf, segments, moved)


def _notes(content: bytes, order: str) -> Iterator[bytes]:
    at = 0
    while at + 12 <= len(content):
        name_size, size, kind = struct.unpack_from(order + "III", content, at)
        name = content[at + 12 : at + 12 + name_size]
        start = at + 12 + _aligned(name_size)
        if start + size > len(content):
            raise ValueError("a note in .note.stapsdt ends behind it")
        if kind == _STAPSDT and name == b"stapsdt\0":
            yield content[start : start + size]
        at = start + _aligned(size)


def _probe(content: bytes, elf: Any, segments: _Segments, moved: int | None) -> Probe:
    word = "Q" if elf.elfclass == 64 else "I"
    layout = struct.Struct(segments.order + 3 * word)
    address, base, semaphore = layout.unpack_from(content)
    texts = content[layout.size :].split(b"\0")
    provider, name, arguments = (each.decode("utf-8", "surrogateescape") for each in texts[:3])
    # Prelinking moves the code and leaves the notes alone; the base tells by how much.
    distance = moved - base if moved is not None and base else 0
    offset = segments.offset_of(address + distance)
    if offset is None:
        raise ValueError(f"the probe {provider}:{name} is outside of all segments")
    counter = segments.offset_of(semaphore + distance) if semaphore else 0
    fixed = address + distance if elf["e_type"] == "ET_EXEC" else 0
    return Probe(provider, name, offset, counter or 0, arguments, fixed)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
