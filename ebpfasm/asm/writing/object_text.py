"""Sections' headings, names and bytes as assembly: the small parts of `object_printer`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ebpfasm.asm.objects.sections import FLAGS, TYPES
from ebpfasm.ir.object import SHF_MERGE, ObjectSection

_BARE = re.compile(r"[A-Za-z_.$][A-Za-z0-9_.$]*", re.ASCII)
_REGISTER = re.compile(r"[rRwW][0-9]+")
_BARE_SECTION = re.compile(r"[A-Za-z0-9_.$/+-]+", re.ASCII)
_PIECES = re.compile(
    rb"(?P<zeros>\0{4,})|(?P<text>[\t\n\x20-\x7e]{3,}\0|[\t\n\x20-\x7e]{6,})|(?P<other>.)",
    re.DOTALL,
)
_ON_A_LINE = 16
_MOST_TEXT = 4096
_ESCAPES = {'"': r"\"", "\\": r"\\", "\t": r"\t", "\n": r"\n"}


def bare_name(name: str) -> bool:
    """Whether a name can stand in an instruction as it is."""
    return _BARE.fullmatch(name) is not None and _REGISTER.fullmatch(name) is None


def name_text(name: str) -> str:
    """A symbol's or section's name in a directive: bare, or in quotes."""
    return name if bare_name(name) else f'"{escaped(name)}"'


def escaped(name: str) -> str:
    """A name as it stands between quotes."""
    return _escaped(name.encode("utf-8", "surrogateescape"))


def _escaped(text: bytes) -> str:
    return "".join(
        _ESCAPES.get(chr(byte)) or (chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}")
        for byte in text
    )


def heading_line(section: ObjectSection, same: int) -> str:
    """The `.section` line; `same` is how many sections of that name come before it."""
    name = section.name
    if _BARE_SECTION.fullmatch(name) is None:
        name = f'"{escaped(name)}"'
    letters = "".join(letter for letter, flag in FLAGS.items() if section.flags & flag)
    types = {number: word for word, number in TYPES.items()}
    words = [f".section {name}", f'"{letters}"', f"@{types.get(section.type, 'progbits')}"]
    if section.flags & SHF_MERGE:
        words.append(f"{section.entsize or 1}")
    if section.group:
        words += [name_text(section.group), "comdat"]
    if same:
        words.append(f"unique, {same}")
    comment = [] if section.type in types else [f"its type is {section.type:#x}"]
    rest = section.flags & ~sum(FLAGS.values())
    comment += [f"and it has flags {rest:#x}"] if rest else []
    return ", ".join(words) + (f"  # {' '.join(comment)}" if comment else "")


def byte_lines(chunk: bytes) -> Iterator[str]:
    """Bytes as directives: text as text, zeros by their number, others one by one."""
    row: list[str] = []
    for match in _PIECES.finditer(chunk):
        piece = match.group()
        if match.lastgroup == "other":
            row.append(f"{piece[0]:#04x}")
            if len(row) < _ON_A_LINE:
                continue
        if row:
            yield f".byte {', '.join(row)}"
            row = []
        if match.lastgroup == "zeros":
            yield f".zero {len(piece)}"
        elif match.lastgroup == "text":
            yield from _text_lines(piece)
    if row:
        yield f".byte {', '.join(row)}"


def _text_lines(piece: bytes) -> Iterator[str]:
    for at in range(0, len(piece), _MOST_TEXT):
        part = piece[at : at + _MOST_TEXT]
        if part.endswith(b"\0"):
            yield f'.asciz "{_escaped(part[:-1])}"'
        else:
            yield f'.ascii "{_escaped(part)}"'
