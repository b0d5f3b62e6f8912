"""C programs of tests/data/c compiled twice by clang: to assembly and to an object.

Both are read by pyelftools, which shares nothing with what is judged.
"""

from __future__ import annotations

import io
import platform
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from elftools.elf.elffile import ELFFile
from elftools.elf.relocation import RelocationSection
from elftools.elf.sections import Symbol, SymbolTableSection

from tests.support import DATA, ROOT, find_tool

SOURCES = [*sorted((DATA / "c").glob("*.c")), *sorted((ROOT / "examples").glob("*/bpf/*.c"))]
CPUS = ("v1", "v2", "v3", "v4")
LEVELS = ("-O0", "-O1", "-O2")

# Made by LLVM out of .loc and .cfi_*; we leave them out. The symbols that .llvm_addrsig has by
# their numbers are others then, for .debug_line has some.
LEFT_OUT = re.compile(r"\.debug_(line|line_str|frame)|\.llvm_addrsig|\.strtab|\.symtab|\.rel")
RELOCATIONS = {1: "64_64", 2: "64_ABS64", 3: "64_ABS32", 4: "64_NODYLD32", 10: "64_32"}


def clang(source: Path, target: str, cpu: str, level: str, kind: str, *options: str) -> bytes:
    """What clang writes: `kind` is -S or -c. Paths are relative, so that DWARF is alike."""
    command = [find_tool("clang"), "-target", target, f"-mcpu={cpu}", level, kind]
    command += ["-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]  # asm/types.h
    done = subprocess.run(
        [*command, *(options or ("-g",)), source.name, "-o", "-"],
        cwd=source.parent,
        capture_output=True,
        check=True,
    )
    return done.stdout


@dataclass(frozen=True, slots=True)
class Read:
    """An object as pyelftools sees it, in values that can be compared."""

    sections: Mapping[str, tuple[object, ...]]
    contents: Mapping[str, str]
    symbols: frozenset[tuple[object, ...]]
    relocations: Mapping[str, Sequence[tuple[object, ...]]]


def read(data: bytes) -> Read:
    """Read an object; parts that are LEFT_OUT are not among it."""
    elf = ELFFile(io.BytesIO(data))
    names = [each.name for each in elf.iter_sections()]
    table = elf.get_section_by_name(".symtab")
    assert isinstance(table, SymbolTableSection)
    symbols = list(table.iter_symbols())
    sections, contents, relocations = {}, {}, {}
    for each in elf.iter_sections():
        if isinstance(each, RelocationSection):
            place = names[each["sh_info"]]
            if not LEFT_OUT.match(place):
                relocations[place] = [
                    (row["r_offset"], RELOCATIONS[row["r_info_type"]],
                     named(symbols[row["r_info_sym"]], names))
                    for row in each.iter_relocations()
                ]  # fmt: skip
        elif each.name and not LEFT_OUT.match(each.name):
            head = (each["sh_type"], each["sh_flags"], each["sh_addralign"], each["sh_entsize"])
            sections[each.name] = (*head, each["sh_size"])
            contents[each.name] = each.data().hex(" ", 8)
    return Read(
        sections, contents, frozenset(row(each, names) for each in symbols[1:]
        if each["st_info"]["type"] != "STT_SECTION"), relocations,
    )  # fmt: skip


def named(symbol: Symbol, names: list[str]) -> str:
    """A symbol's name, a section's for its symbol."""
    if symbol["st_info"]["type"] == "STT_SECTION":
        return f"section {names[symbol['st_shndx']]}"
    return str(symbol.name)


def row(symbol: Symbol, names: list[str]) -> tuple[object, ...]:
    """All that a symbol table says of a symbol."""
    place = symbol["st_shndx"]
    section = names[place] if isinstance(place, int) else place
    info = symbol["st_info"]
    return (
        symbol.name, section, symbol["st_value"], symbol["st_size"], info["bind"], info["type"],
        symbol["st_other"]["visibility"],
    )  # fmt: skip


@cache
def disassembly(path: Path) -> str:
    """llvm-objdump's text of an object's code with its relocations."""
    command = [find_tool("llvm-objdump"), "-d", "-r", "--mcpu=v4", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split("\n", 2)[2]
