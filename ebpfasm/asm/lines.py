"""Cut a text into statements: comments out, lines apart, `;` between statements of a line.

Comments are those of LLVM's assembler: # and // to the end of the line, and /* */ over
several. A `;` separates statements there, so it begins no comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ebpfasm.errors import Diagnostic, Source, Span, error

# Strings come first, so that comment signs inside them are left alone.
_PIECES = re.compile(
    r"""
      "(?:\\.|[^"\\\n])*"?            # a string, closed or not
    | '(?:\\.|[^'\\\n])'              # a character
    | (?P<comment>//[^\n]* | \#[^\n]* | /\*.*?\*/)
    | (?P<open>/\*.*)
    """,
    re.VERBOSE | re.DOTALL,
)
_STATEMENT = re.compile(r'(?:"(?:\\.|[^"\\\n])*"?|\'(?:\\.|[^\'\\\n])\'|[^;\n"])+')


def statements(source: Source, wrong: list[Diagnostic]) -> Iterator[tuple[Span, str]]:
    """Each statement's place and its text with blanks for comments; empty ones are left out."""
    text = without_comments(source, wrong)
    for match in _STATEMENT.finditer(text):
        piece = match.group()
        body = piece.strip()
        if body:
            start = match.start() + len(piece) - len(piece.lstrip())
            yield Span(source, start, start + len(body)), body


def without_comments(source: Source, wrong: list[Diagnostic]) -> str:
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

    if not any(sign in source.text for sign in ("#", "//", "/*")):
        return source.text
    return _PIECES.sub(blank, source.text)
