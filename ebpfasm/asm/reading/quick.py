"""Reading statements of known shape without the grammar: what text.c does, in Python.

Programs have few shapes. The grammar teaches the recipe of one once (shapes.py), and recipes are
kept between runs (recipes.py); a statement then only needs its values put in place. Plain
directives are read here too. What remains is for the grammar, which is loaded where it is needed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from ebpfasm.asm.reading import lines
from ebpfasm.asm.reading.expressions import Expression, Literal, Name
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.raw import filling
from ebpfasm.asm.reading.recipes import NAME, NARROW, NUMBER, WIDE, Place, Recipe, kept
from ebpfasm.asm.reading.statements import (
    Argument,
    Directive,
    LabelDefinition,
    Operation,
    Statement,
    Symbol,
    Value,
)
from ebpfasm.errors import Diagnostic, Source, Span
from ebpfasm.isa.codec import REGISTERS, fit

if TYPE_CHECKING:
    from ebpfasm.asm.reading.reader import StatementReader

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
# What stands behind one of these is a label or function, whatever else it may be the name of.
_BEFORE_NAMES = frozenset(("goto", "gotol", "may_goto", "call"))

_DIRECTIVE = re.compile(r"\.[A-Za-z_][\w.$@]*(?=[ \t]|$)", re.ASCII)
_ARGUMENT = re.compile(
    r"""[ \t]*(?P<argument>(?:(?P<key>[A-Za-z_.$][\w.$@]*)[ \t]*=[ \t]*)?
    (?:(?P<name>[A-Za-z_.$][\w.$@]*)|(?P<number>0|[1-9][0-9]*)|"(?P<string>[^"\\\n]*)"))
    [ \t]*(?:,|$)""",
    re.ASCII | re.VERBOSE,
)
_MOST_NEW = 64  # shapes of a short file that are learnt for the next run


class QuickReader:
    """Reads as a StatementReader does, and asks one where a statement needs the grammar.

    With `learning` a shape is learnt where it is first met, which pays for long files. Without,
    known shapes are used, and `keep` learns the others for the next run.
    """

    manner = lines.LLVM
    exit_label = False

    def __init__(
        self,
        source: Source,
        wrong: list[Diagnostic],
        names: Names | None = None,
        *,
        learning: bool = False,
    ) -> None:
        self._source = source
        self._wrong = wrong
        self._names = names if names is not None else Names()
        self._learning = learning
        self._kept = kept()
        self._new: set[str] = set()
        self._used_grammar = False

    @cached_property
    def _reader(self) -> StatementReader:
        from ebpfasm.asm.reading.reader import StatementReader

        return StatementReader(self._source, self._wrong, self._names)

    @cached_property
    def _words(self) -> frozenset[str]:
        if self._kept.words:
            return frozenset(self._kept.words)
        from ebpfasm.asm.reading.shapes import words

        return frozenset(words())

    def read(self, place: Span, text: str) -> list[Statement]:
        """Labels, then an operation or directive if there is one; none where it is wrong."""
        found = self._label(place, text) or self._directive(place, text)
        if found is None and not text.startswith("."):
            found = self._operation(place, text)
        return [found] if found is not None else self._reader.read(place, text)

    def keep(self) -> None:
        """Learn the shapes that were new, and leave them to later runs."""
        from ebpfasm.asm.reading.shapes import keep, learn

        for shape in sorted(self._new)[:_MOST_NEW]:
            learn(shape)
        keep()

    @property
    def met_new(self) -> bool:
        """Whether there is something to keep, and a place for it."""
        return self._kept.lasts and (self._learning or bool(self._new))

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
        recipe = self._recipe(_TOKEN.sub(self._mark(values), text))
        if recipe is None or not _as_learnt(recipe, values):
            return None
        spec = recipe.spec
        off = fit("off", _content(recipe.off, values))
        imm = fit("imm64" if spec.slots == 2 else "imm32", _content(recipe.imm, values))
        if off is None or imm is None:
            return None
        symbol = None
        if recipe.role is not None:
            _, start, name = values[recipe.name]
            begin = place.start + start
            symbol = Symbol(recipe.role, name, Span(place.source, begin, begin + len(name)))
        dst, src = _content(recipe.dst, values), _content(recipe.src, values)
        return Operation(spec, place, dst, src, off, imm, symbol)

    def _recipe(self, shape: str) -> Recipe | None:
        if shape not in self._kept:
            if not self._learning:
                self._new.add(shape)
                return None
            from ebpfasm.asm.reading.shapes import learn

            return learn(shape)
        return self._kept.find(shape)

    def _mark(self, values: list[tuple[int, int, str]]) -> Callable[[re.Match[str]], str]:
        known, names = self._words, self._names
        before = ""

        def mark(match: re.Match[str]) -> str:
            nonlocal before
            kind, text = match.lastgroup, match.group()
            if kind == "blank":
                return " "
            if kind == "number":
                if len(text) > 1 and text[0] == "0" and text.isdigit():
                    return text  # octal
                values.append((int(text, 0), match.start(), ""))
                return NUMBER
            word, before = before, text
            register = _REGISTER.fullmatch(text)
            if register is not None and int(register[2]) < REGISTERS:
                values.append((int(register[2]), match.start(), ""))
                return WIDE if register[1] in "rR" else NARROW
            if text in known:
                return text
            number = names.find(text) if word not in _BEFORE_NAMES else None
            values.append((number or 0, match.start(), text if number is None else ""))
            return NAME if number is None else NUMBER

        return mark

    def _directive(self, place: Span, text: str) -> Statement | None:
        """A directive whose arguments are names, decimal numbers and plain strings."""
        if not text.startswith("."):
            return None
        raw = filling(place, text, self._names)
        if raw is not None:
            return raw[1] if not raw[0] else None
        match = _DIRECTIVE.match(text)
        if match is None:
            return None
        arguments = []
        at = match.end()
        while at < len(text):
            found = _ARGUMENT.match(text, at)
            if found is None or (found.end() == len(text) and text.endswith(",")):
                return None
            arguments.append(self._argument(place, found))
            at = found.end()
        name = Span(place.source, place.start, place.start + match.end())
        return Directive(match.group(), tuple(arguments), place, name)

    def _argument(self, place: Span, found: re.Match[str]) -> Argument:
        assert found.lastgroup is not None

        def span(group: str) -> Span:
            begin, end = found.span(group)
            return Span(place.source, place.start + begin, place.start + end)

        whole = span("argument")
        if found["string"] is not None:
            inner = span("string")
            quoted = Span(place.source, inner.start - 1, inner.end + 1)
            value = Value(found["string"], quoted, quoted=True)
        elif found["name"] is not None:
            tree: Expression = Name(found["name"], span("name"))
            value = Value(found["name"], tree.span, self._names.find(found["name"]), tree)
        else:
            tree = Literal(int(found["number"]), span("number"))
            value = Value(found["number"], tree.span, tree.value, tree)
        return Argument(value, whole, found["key"] or "")


def _as_learnt(recipe: Recipe, values: list[tuple[int, int, str]]) -> bool:
    return all(values[low][0] == values[high][0] for low, high in recipe.same) and all(
        values[each][0] == 0 for each in recipe.zero
    )


def _content(place: Place, values: list[tuple[int, int, str]]) -> int:
    if place.value < 0:
        return place.written
    number = values[place.value][0]
    return -number if place.negative else number
