"""Cut a text into statements: comments out, lines apart, and what stands on one line apart.

Comments are # and // to the end of the line, and /* */ over several. How a dialect treats `;`
and a backtick is its `Manner`: LLVM's assembler ends a statement at `;`, GNU as (for BPF)
begins a comment there and ends a statement at a backtick.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ebpfasm.errors import Diagnostic, Source, Span, error
from ebpfasm.frozen import dataclass


@dataclass(frozen=True, slots=True)
class Manner:
    """What begins a comment and what ends a statement within a line."""

    signs: tuple[str, ...]  # without one of these, a text has no comment
    pieces: re.Pattern[str]
    statement: re.Pattern[str]


def _manner(comment: str, separator: str) -> Manner:
    # Strings come first, so that comment signs inside them are left alone.
    pieces = rf"""
          "(?:\\.|[^"\\\n])*+"?           # a string, closed or not
        | '(?:\\.|[^'\\\n])'              # a character
        | (?P<comment>//[^\n]* | [\{comment}][^\n]* | /\*.*?\*/)
        | (?P<open>/\*.*)
        """
    # Possessive, or a line of some megabytes would be remembered character by character.
    statement = rf'(?:"(?:\\.|[^"\\\n])*+"?|\'(?:\\.|[^\'\\\n])\'|[^{separator}\n"\']++|\')++'
    return Manner(
        ("//", "/*", *comment),
        re.compile(pieces, re.VERBOSE | re.DOTALL),
        re.compile(statement),
    )


LLVM = _manner(comment="#", separator=";")
MNEMONIC = _manner(comment="#;", separator="`")


def statements(
    source: Source, wrong: list[Diagnostic], manner: Manner = LLVM
) -> Iterator[tuple[Span, str]]:
    """Each statement's place and its text with blanks for comments; empty ones are left out."""
    return cut(source, without_comments(source, wrong, manner), manner)


def cut(source: Source, text: str, manner: Manner = LLVM) -> Iterator[tuple[Span, str]]:
    """Cut a source's text, which has blanks for comments, into statements."""
    for match in manner.statement.finditer(text):
        piece = match.group()
        body = piece.strip()
        if body:
            start = match.start() + len(piece) - len(piece.lstrip())
            yield Span(source, start, start + len(body)), body


def without_comments(source: Source, wrong: list[Diagnostic], manner: Manner = LLVM) -> str:
    """The text with blanks in place of comments, so that every offset stays what it was."""

    def blank(match: re.Match[str]) -> str:
        if match["open"] is not None:
            span = Span(source, match.start(), match.start() + 2)
            wrong.append(
                error("asm-syntax", "this comment is never closed", span, hint="close it with */")
            )
        elif match["comment"] is None:
            return match.group()
        # A comment of several lines is one blank: the statement goes on behind it, as in LLVM.
        return " " * len(match.group())

    if not any(sign in source.text for sign in manner.signs):
        return source.text
    return manner.pieces.sub(blank, source.text)
