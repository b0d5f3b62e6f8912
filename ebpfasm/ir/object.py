"""A relocatable object as a value: sections, symbols, relocations, before any file format.

Objects come from assembly text or from an ELF file, and become an ELF file or, read by their
symbols, a collection. Names and meanings are those of the ELF specification (elf(5)) and of
LLVM's BPF relocations (the kernel's Documentation/bpf/llvm_reloc.rst).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ebpfasm.frozen import dataclass
from ebpfasm.isa.codec import ByteOrder

# sh_type and sh_flags, the part that assemblers write.
SHT_PROGBITS = 1
SHT_NOTE = 7
SHT_NOBITS = 8
SHT_LLVM_ADDRSIG = 0x6FFF4C03

SHF_WRITE = 0x1
SHF_ALLOC = 0x2
SHF_EXECINSTR = 0x4
SHF_MERGE = 0x10
SHF_STRINGS = 0x20
SHF_LINK_ORDER = 0x80
SHF_GROUP = 0x200
SHF_TLS = 0x400
SHF_GNU_RETAIN = 0x200000
SHF_EXCLUDE = 0x80000000

RelocationType = Literal[
    "R_BPF_64_64", "R_BPF_64_ABS64", "R_BPF_64_ABS32", "R_BPF_64_NODYLD32", "R_BPF_64_32"
]
Binding = Literal["local", "global", "weak"]
SymbolType = Literal["notype", "object", "func", "section", "file", "common", "tls"]
Visibility = Literal["default", "internal", "hidden", "protected"]

# Where a symbol is that lies in no section: a number, or space for the linker to allocate;
# "omitted" where its section was not read.
Elsewhere = Literal["absolute", "common", "omitted"]


@dataclass(frozen=True, slots=True)
class ObjectRelocation:
    """A field to be filled when addresses are known: `symbol` is an index into the symbols.

    `offset` counts bytes from the section's start: of the field for data, of the instruction
    for code. The addend is what the field holds already, as LLVM leaves it for BPF.
    """

    offset: int
    type: RelocationType
    symbol: int


@dataclass(frozen=True, slots=True)
class ObjectSection:
    """A section. `size` is in bytes and differs from the content's only in SHT_NOBITS.

    Sections of one `group` are kept once by the linker, whichever files have them (COMDAT); it is
    the name of a symbol.
    """

    name: str
    type: int = SHT_PROGBITS
    flags: int = 0
    align: int = 1
    content: bytes = b""
    size: int = 0
    entsize: int = 0
    relocations: Sequence[ObjectRelocation] = ()
    group: str = ""

    @property
    def executable(self) -> bool:
        """Whether it holds code."""
        return bool(self.flags & SHF_EXECINSTR)


@dataclass(frozen=True, slots=True)
class ObjectSymbol:
    """A symbol; `section` is an index into the sections, None where it is undefined.

    `value` is an offset into the section; a number for "absolute"; an alignment for "common".
    """

    name: str
    section: int | Elsewhere | None = None
    value: int = 0
    size: int = 0
    binding: Binding = "local"
    type: SymbolType = "notype"
    visibility: Visibility = "default"


@dataclass(frozen=True, slots=True)
class Object:
    """Sections in the order of the file, symbols in the order in which they were mentioned.

    `addrsig` has the numbers of symbols whose address matters, so that a linker may fold what the
    others name (LLVM's `.addrsig`); None where the file says nothing of it.
    """

    sections: tuple[ObjectSection, ...] = ()
    symbols: Sequence[ObjectSymbol] = ()
    byteorder: ByteOrder = "little"
    addrsig: tuple[int, ...] | None = None

    def section(self, name: str) -> ObjectSection | None:
        """The first section of that name, None where there is none."""
        return next((each for each in self.sections if each.name == name), None)

    def symbol(self, name: str) -> ObjectSymbol | None:
        """The first symbol of that name, None where there is none."""
        return next((each for each in self.symbols if each.name == name), None)
