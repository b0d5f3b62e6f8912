"""Symbols and sections of an object while its text is read, as LLVM's assembler keeps them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ebpfasm.asm.contents import Contents
from ebpfasm.asm.reading.expressions import Expression
from ebpfasm.asm.reading.statements import Operation
from ebpfasm.errors import Span
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    SHT_NOBITS,
    SHT_PROGBITS,
    Binding,
    SymbolType,
    Visibility,
)

# Labels that the compiler makes up and that no symbol table shows. The text of those inside
# functions lacks LLVM's dot, so its own assembler takes them for symbols, and `clang -c` does not.
_TEMPORARY = re.compile(r"\.L|LBB[0-9]+_[0-9]+$")

# What a section is by its name, where the text does not say (LLVM's ELFAsmParser).
_KNOWN = (
    (".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR),
    (".rodata", SHT_PROGBITS, SHF_ALLOC),
    (".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE),
    (".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE),
)
# Where nothing asks for more. LLVM's text gives BTF none, though `clang -c` does.
_ALIGN = {".text": 4, ".BTF": 4, ".BTF.ext": 4}


@dataclass(slots=True)
class SectionDraft:
    """A section while it is filled: `operations` are instructions with a name, at their offset."""

    index: int
    name: str
    type: int
    flags: int
    contents: Contents
    entsize: int = 0
    group: str = ""
    operations: list[tuple[int, Operation]] = field(default_factory=list)

    @property
    def executable(self) -> bool:
        """Whether it holds code."""
        return bool(self.flags & SHF_EXECINSTR)


@dataclass(slots=True)
class SymbolDraft:
    """A symbol as far as it is known; `section` is None until a label or `.comm` defines it."""

    name: str
    span: Span | None = None
    section: SectionDraft | None = None
    offset: int = 0
    binding: Binding | None = None
    type: SymbolType = "notype"
    visibility: Visibility = "default"
    size: Expression | int | None = None
    alias: Expression | None = None
    common: int = 0  # the alignment of what the linker shall allocate
    mentioned: bool = False  # by itself and not only in an expression
    used: bool = False  # by a relocation

    @property
    def defined(self) -> bool:
        """Whether it stands for something in this file."""
        return self.section is not None or self.alias is not None or self.common > 0

    @property
    def temporary(self) -> bool:
        """Whether it is a label of the compiler's, which a file need not show."""
        return is_temporary(self.name)

    @property
    def local(self) -> bool:
        """Whether it can be told from here where it is: nobody outside may replace it."""
        return self.binding == "local" or (self.binding is None and self.defined)


def is_temporary(name: str) -> bool:
    """Whether a label of that name is left out of the symbol table."""
    return _TEMPORARY.match(name) is not None


def known_section(name: str) -> tuple[int, int]:
    """Type and flags of a section that the text gives none."""
    for beginning, type, flags in _KNOWN:
        if name == beginning or name.startswith(beginning + "."):
            return type, flags
    return SHT_PROGBITS, 0


def new_section(
    index: int, name: str, type: int, flags: int, entsize: int = 0, group: str = ""
) -> SectionDraft:
    """An empty section."""
    code = bool(flags & SHF_EXECINSTR)
    contents = Contents(name, executable=code, nobits=type == SHT_NOBITS)
    contents.align = _ALIGN.get(name, 1)
    return SectionDraft(index, name, type, flags, contents, entsize, group)
