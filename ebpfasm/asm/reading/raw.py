"""Labels and directives of a statement, told apart from instructions without the grammar."""

from __future__ import annotations

import re
from dataclasses import replace

from ebpfasm.asm.reading.directives import FILLING
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.statements import RawDirective
from ebpfasm.errors import Span

_LABEL = re.compile(r'(?:([A-Za-z_.$][\w.$@]*)|"((?:\\.|[^"\\\n])*)")\s*:\s*')
_DIRECTIVE = re.compile(r"(\.\w[\w.]*)(?![\w.$@]*\s*[:=])\s*")
_ASSIGNMENT = re.compile(r"([A-Za-z_.$][\w.$@]*)\s*=(?!=)\s*")


# Lines that LLVM's compiler writes and people who write for ebpfasm do not.
_COMPILED = re.compile(
    r'^[ \t]*(?:\.file\s|\.ident\s|\.addrsig\b|\.cfi_\w+|\.section\s+[^#\n]*,\s*"\w*"\s*(?:,|$))',
    re.MULTILINE,
)
_OURS = re.compile(r"^[ \t]*\.(?:map|license)\s", re.MULTILINE)


def is_llvm_file(text: str) -> bool:
    """Whether a file is a compiler's, or written for LLVM's assembler, rather than for ebpfasm.

    A file with `.map` or `.license` is ours; one with `.file`, `.addrsig`, `.cfi_*` or flags
    behind a section's name is LLVM's.
    """
    return _OURS.search(text) is None and _COMPILED.search(text) is not None


def leading_labels(place: Span, text: str) -> tuple[list[tuple[str, Span]], int]:
    """Names before colons at a statement's beginning, and where they end; no numeric ones."""
    found = []
    at = 0
    while (match := _LABEL.match(text, at)) is not None:
        begin = place.start + at
        name = match[1] if match[1] is not None else match[2]
        found.append((name, Span(place.source, begin, begin + len(match.group().rstrip(": \t")))))
        at = match.end()
    return found, at


def raw_directive(place: Span, text: str, at: int = 0) -> RawDirective | None:
    """The directive that begins at a place of a statement, None where none does."""
    match = _DIRECTIVE.match(text, at)
    if match is None:
        return None
    begin = place.start + at
    return RawDirective(
        match[1],
        text[match.end() :],
        place.start + match.end(),
        Span(place.source, begin, place.end),
        Span(place.source, begin, begin + len(match[1])),
    )


def assignment(place: Span, text: str, at: int = 0) -> RawDirective | None:
    """`NAME = VALUE` as the `.set NAME, VALUE` that it means; None where it is something else.

    Whether the name is a register's is for the caller to say first.
    """
    match = _ASSIGNMENT.match(text, at)
    if match is None:
        return None
    begin = place.start + at
    # The comma takes the place of the equals sign, so that every offset stays what it was.
    arguments = text[at:].replace("=", ",", 1)
    span = Span(place.source, begin, place.end)
    return RawDirective(
        ".set", arguments, begin, span, Span(place.source, begin, begin + len(match[1]))
    )


_LABELS = re.compile(r"(?:[\w.$@]+\s*:\s*)+")


def filling(place: Span, text: str, names: Names) -> tuple[str, RawDirective] | None:
    """The labels of a statement and its directive that fills a section; None for any other."""
    if "." not in text:
        return None
    labels = _LABELS.match(text)
    at = labels.end() if labels is not None else 0
    directive = raw_directive(place, text, at)
    if directive is None or directive.name not in FILLING:
        return None
    if names.constants:
        directive = replace(directive, constants=names.snapshot())
    return text[:at].rstrip(), directive
