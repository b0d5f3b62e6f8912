"""Reading statements of known shape without the grammar: what text.c does, in Python.

Programs have few shapes. The first statement of one is read by the grammar, which teaches its
recipe (shapes.py); the others only need their values put in place.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from ebpfasm.asm.reader import StatementReader
from ebpfasm.asm.shapes import NAME, NARROW, NUMBER, WIDE, Place, Recipe, learn, words
from ebpfasm.asm.statements import LabelDefinition, Operation, Statement, Symbol
from ebpfasm.errors import Span
from ebpfasm.isa.codec import REGISTERS, fit

# Words first: a digit may be part of one. A number with a letter behind it matches nothing here
# and is left in the shape, where the grammar finds it.
_TOKEN = re.compile(
    r"(?P<word>[A-Za-z_.$][\w.$@]*)|(?P<number>0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)(?![\w.$@])"
    r"|(?P<blank>[ \t\r\f\v]+)",
    re.ASCII,
)
_REGISTER = re.compile(r"([rRwW])([0-9]{1,2})")
_LABEL = re.compile(r"([A-Za-z_.$][\w.$@]*)[ \t]*:", re.ASCII)
_PUZZLING = re.compile(r"[\"'\x00-\x08\x0b-\x1f]")  # strings, characters, and our own marks


class QuickReader:
    """Reads as a StatementReader does, and asks it where a statement needs the grammar."""

    def __init__(self, reader: StatementReader) -> None:
        self._reader = reader
        self._words = frozenset(words())

    def read(self, place: Span, text: str) -> list[Statement]:
        """Labels, then an operation or directive if there is one; none where it is wrong."""
        found = self._label(place, text) or self._operation(place, text)
        return [found] if found is not None else self._reader.read(place, text)

    def _label(self, place: Span, text: str) -> LabelDefinition | None:
        match = _LABEL.fullmatch(text)
        if match is None or match[1] in self._words or _REGISTER.match(match[1]):
            return None
        return LabelDefinition(
            match[1], Span(place.source, place.start, place.start + match.end(1))
        )

    def _operation(self, place: Span, text: str) -> Operation | None:
        if _PUZZLING.search(text):
            return None
        values: list[tuple[int, int, str]] = []  # number, where it stands, name
        recipe = learn(_TOKEN.sub(self._mark(values), text))
        if recipe is None or not _as_learnt(recipe, values):
            return None
        spec = recipe.operation.spec
        off = fit("off", _content(recipe.off, values))
        imm = fit("imm64" if spec.slots == 2 else "imm32", _content(recipe.imm, values))
        if off is None or imm is None:
            return None
        symbol = None
        if recipe.role is not None:
            _, start, name = values[recipe.name]
            if self._reader.names.find(name) is not None:
                return None  # it may be meant as a number
            begin = place.start + start
            symbol = Symbol(recipe.role, name, Span(place.source, begin, begin + len(name)))
        dst, src = _content(recipe.dst, values), _content(recipe.src, values)
        return Operation(spec, place, dst, src, off, imm, symbol)

    def _mark(self, values: list[tuple[int, int, str]]) -> Callable[[re.Match[str]], str]:
        known = self._words

        def mark(match: re.Match[str]) -> str:
            kind, text = match.lastgroup, match.group()
            if kind == "blank":
                return " "
            if kind == "number":
                if len(text) > 1 and text[0] == "0" and text.isdigit():
                    return text  # octal
                values.append((int(text, 0), match.start(), ""))
                return NUMBER
            register = _REGISTER.fullmatch(text)
            if register is not None and int(register[2]) < REGISTERS:
                values.append((int(register[2]), match.start(), ""))
                return WIDE if register[1] in "rR" else NARROW
            if text in known:
                return text
            values.append((0, match.start(), text))
            return NAME

        return mark


def _as_learnt(recipe: Recipe, values: list[tuple[int, int, str]]) -> bool:
    return all(values[low][0] == values[high][0] for low, high in recipe.same) and all(
        values[each][0] == 0 for each in recipe.zero
    )


def _content(place: Place, values: list[tuple[int, int, str]]) -> int:
    if place.value < 0:
        return place.written
    number = values[place.value][0]
    return -number if place.negative else number
