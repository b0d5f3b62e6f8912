"""`.section NAME, "flags", @type, ...` as LLVM's assembler reads it."""

from __future__ import annotations

from ebpfasm.asm.objects.symbols import known_section
from ebpfasm.asm.reading.arguments import Arguments
from ebpfasm.frozen import dataclass
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXCLUDE,
    SHF_EXECINSTR,
    SHF_GNU_RETAIN,
    SHF_GROUP,
    SHF_MERGE,
    SHF_STRINGS,
    SHF_TLS,
    SHF_WRITE,
    SHT_LLVM_ADDRSIG,
    SHT_NOBITS,
    SHT_NOTE,
    SHT_PROGBITS,
    Visibility,
)

_SECTION = '.section NAME [, "FLAGS" [, @progbits [, ENTRY-SIZE]]]'

VISIBILITIES: dict[str, Visibility] = {
    ".hidden": "hidden", ".internal": "internal", ".protected": "protected",
}  # fmt: skip

# Directives of sections and symbols, and how each is written.
USAGE = {
    ".section": _SECTION,
    ".pushsection": _SECTION.replace(".section", ".pushsection"),
    ".popsection": ".popsection",
    ".previous": ".previous",
    **{name: name for name in (".text", ".data", ".bss", ".rodata")},
    **{
        name: f"{name} NAME [, NAME ...]"
        for name in (".globl", ".global", ".weak", ".local", *VISIBILITIES)
    },
    ".type": ".type NAME, @function",
    ".size": ".size NAME, BYTES",
    **{name: f"{name} NAME, VALUE" for name in (".set", ".equ", ".equiv")},
    ".comm": ".comm NAME, BYTES [, ALIGNMENT]",
    ".lcomm": ".lcomm NAME, BYTES [, ALIGNMENT]",
    ".file": '.file "NAME"',
    ".addrsig": ".addrsig",
    ".addrsig_sym": ".addrsig_sym NAME",
}

# Directives that mean something for whole objects and nothing for a collection.
OBJECTS_ONLY = frozenset((".weak", ".local", ".loc", ".addrsig_sym", ".pushsection",
                          ".popsection", ".previous", *VISIBILITIES))  # fmt: skip

FLAGS = {
    "a": SHF_ALLOC,
    "w": SHF_WRITE,
    "x": SHF_EXECINSTR,
    "M": SHF_MERGE,
    "S": SHF_STRINGS,
    "T": SHF_TLS,
    "R": SHF_GNU_RETAIN,
    "e": SHF_EXCLUDE,
    "G": SHF_GROUP,
}
TYPES = {
    "progbits": SHT_PROGBITS,
    "nobits": SHT_NOBITS,
    "note": SHT_NOTE,
    "llvm_addrsig": SHT_LLVM_ADDRSIG,
}


@dataclass(frozen=True, slots=True)
class Heading:
    """What a `.section` line says. Type and flags are None where the line leaves them out."""

    name: str
    type: int | None = None
    flags: int | None = None
    entsize: int = 0
    unique: int | None = None
    group: str = ""

    @property
    def resolved(self) -> tuple[int, int]:
        """Type and flags, those of the name where the line has none."""
        type, flags = known_section(self.name)
        type = self.type if self.type is not None else type
        return type, self.flags if self.flags is not None else flags


def heading(arguments: Arguments) -> Heading:
    """Read the line. Raises Misread; linked sections are among what it refuses."""
    name = arguments.section_name()
    if not arguments.comma():
        return Heading(name)
    flags = _flags(arguments)
    type, entsize, unique = None, 0, None
    if arguments.comma():
        type = _type(arguments)
    if flags & SHF_MERGE:
        if not arguments.comma():
            raise arguments.problem("a section that can be merged needs the size of its entries")
        entsize = arguments.plain() or 0
        if not 0 < entsize < 1 << 32:
            raise arguments.problem("the size of its entries is a number above 0")
    group = _group(arguments) if flags & SHF_GROUP else ""
    if arguments.comma():
        if arguments.flag() != "unique" or not arguments.comma():
            raise arguments.problem("only unique, NUMBER can stand here")
        unique = arguments.plain()
    arguments.finish()
    return Heading(name, type, flags, entsize, unique, group)


def _flags(arguments: Arguments) -> int:
    place = arguments.rest
    if not arguments.at_string():
        raise arguments.problem("the flags are a string")
    flags = 0
    for letter in arguments.string().decode("utf-8", "replace"):
        if letter not in FLAGS:
            raise arguments.problem(f"there is no section flag {letter!r}", place)
        flags |= FLAGS[letter]
    return flags


def _group(arguments: Arguments) -> str:
    """The symbol that a group goes by, and that it is a COMDAT one, as all of LLVM's are here."""
    if not arguments.comma():
        raise arguments.problem("a section in a group needs the group's name")
    name = arguments.symbol().text
    place = arguments.rest
    if not arguments.comma() or arguments.flag() != "comdat":
        raise arguments.problem("only groups that are comdat can be written", place)
    return name


def _type(arguments: Arguments) -> int:
    place = arguments.rest
    word = arguments.flag()
    if word not in TYPES:
        raise arguments.problem(f"there is no section type {word!r}", place)
    return TYPES[word]
