"""What stands between lines and statements: constants, conditions, repetition, macros, includes.

A file that uses none of them passes as it is, and the preprocessor is not even loaded.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from ebpfasm.asm.reading import lines
from ebpfasm.asm.reading.lines import LLVM, Manner
from ebpfasm.asm.reading.names import Names
from ebpfasm.errors import AsmError, Diagnostic, Source, Span, error, origins

MOST_MISTAKES = 1000  # before a file is given up

# A text without one of these needs no preprocessing: each directive begins with one.
_BEGINNINGS = (".equ", ".set", ".macro", ".rep", ".irp", ".include", ".if", ".err",
               ".end", ".else", ".exitm", ".purgem")  # fmt: skip

Piece = tuple[Span, str]


def statements(
    source: Source,
    wrong: list[Diagnostic],
    names: Names,
    *,
    manner: Manner = LLVM,
    include: Iterable[str | os.PathLike[str]] = (),
    symbols: bool = False,
) -> Iterator[Piece]:
    """What `lines.statements` gives, with macros expanded, files included, conditions decided.

    Each statement has to be read before the next is asked for: `names` changes on the way.
    With `symbols`, definitions of constants are passed on as well, for an object's symbol table.
    Raises AsmError where it makes no sense to go on.
    """
    if not any(word in source.text for word in _BEGINNINGS):
        return lines.statements(source, wrong, manner)
    from ebpfasm.asm.reading.preprocessor import Preprocessor

    folders = [os.fspath(each) for each in include]
    return Preprocessor(wrong, names, manner, folders, symbols).run(source)


def give_up(wrong: list[Diagnostic], place: Span) -> None:
    """Raise AsmError where more is wrong than anyone will read."""
    if len(wrong) < MOST_MISTAKES:
        return
    wrong[:] = in_order(wrong)
    if len(wrong) >= MOST_MISTAKES:
        message = f"this makes {len(wrong)} mistakes: what follows is not looked at"
        raise AsmError(*wrong, error("asm-limit", message, place))


def in_order(wrong: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Mistakes in the order of the file, those of macros and includes where they are used.

    Each is there once, however often a repetition led to it.
    """
    return sorted(dict.fromkeys(wrong), key=_position)


def _position(diagnostic: Diagnostic) -> list[int]:
    places = [diagnostic.span, *origins(diagnostic.span)]
    return [place.start for place in reversed(places) if isinstance(place, Span)]
