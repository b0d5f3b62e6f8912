"""Macros, includes, conditions, repetition and constants of one file and what it leads to.

Statements come one at a time, and constants have the value that they had where the statement
stands. Everything is bounded, so that a runaway macro or a file that includes itself is a
Diagnostic.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn

from ebpfasm.asm.reading import lines, macros
from ebpfasm.asm.reading.arguments import Arguments, Misread
from ebpfasm.asm.reading.directives import PREPROCESSING
from ebpfasm.asm.reading.expressions import Expression, evaluate
from ebpfasm.asm.reading.expressions import names as names_in
from ebpfasm.asm.reading.lines import Manner
from ebpfasm.asm.reading.macros import Macro, Misused
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.preprocess import MOST_MISTAKES, Piece, give_up, in_order
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import AsmError, Diagnostic, EbpfError, Note, Source, Span, error

MOST_NESTING = 64  # macros, repetitions and includes inside each other
MOST_STATEMENTS = 1_000_000  # that macros and repetitions make; no program may be longer
_WEIGHT = 10  # statements that a macro's call or a directive counts for: it takes that long
MOST_TEXT = 64 << 20  # characters that macros and includes make

_COMPARED: dict[str, Callable[[int], bool]] = {
    ".if": lambda number: number != 0,
    ".ifne": lambda number: number != 0,
    ".ifeq": lambda number: number == 0,
    ".ifgt": lambda number: number > 0,
    ".ifge": lambda number: number >= 0,
    ".iflt": lambda number: number < 0,
    ".ifle": lambda number: number <= 0,
}
_REPETITIONS = (".rept", ".rep", ".irp", ".irpc")
_ENDS = {".endm": ".macro", ".endmacro": ".macro", ".endr": ".rept"}

_HEAD = re.compile(r"((?:[\w.$@]+\s*:\s*)*)([A-Za-z_.$][\w.$@]*)?")
_LABEL = re.compile(r"([\w.$@]+)\s*:")


@dataclass(slots=True)
class _Frame:
    """A text that is being read: a file, a macro's, or a repetition's."""

    source: Source
    text: str  # without comments
    pieces: Iterator[Piece]
    kind: str  # "file", "macro" or "repetition"
    depth: int
    conditions: int  # how many were open where it began
    macro: Macro | None = None
    path: str = ""
    call: Span | None = None  # what led here, for a macro or repetition


@dataclass(slots=True)
class _Condition:
    """An `.if` that is open: whether its present branch counts, and whether one did already."""

    place: Span
    active: bool
    taken: bool
    at_else: bool = False


class _Stop(Exception):
    """It makes no sense to go on."""


class Preprocessor:
    """Reads one file and whatever it leads to."""

    def __init__(
        self,
        wrong: list[Diagnostic],
        names: Names,
        manner: Manner,
        folders: list[str],
        symbols: bool,
    ) -> None:
        self.wrong = wrong
        self.names = names
        self.macros = names.macros
        self.labels: set[str] = set()
        self._manner = manner
        self._folders = folders
        self._symbols = symbols
        self._frames: list[_Frame] = []
        self._conditions: list[_Condition] = []
        self._calls = 0
        self._made = 0
        self._characters = 0

    def run(self, source: Source) -> Iterator[Piece]:
        """Every statement, in order. Raises AsmError where what is left makes no sense."""
        self._enter(source, "file", path=os.path.realpath(source.name))
        try:
            while self._frames:
                frame = self._frames[-1]
                piece = next(frame.pieces, None)
                if piece is None:
                    self._leave()
                    continue
                if frame.kind != "file":
                    self._count(piece[0])
                yield from self._statement(*piece)
                give_up(self.wrong, piece[0])
        except _Stop:
            raise AsmError(*in_order(self.names.later(self.wrong))) from None

    # Texts ----------------------------------------------------------------------------------

    def _enter(
        self,
        source: Source,
        kind: str,
        *,
        macro: Macro | None = None,
        path: str = "",
        call: Span | None = None,
    ) -> None:
        text = lines.without_comments(source, self.wrong, self._manner)
        pieces = lines.cut(source, text, self._manner)
        depth = self._frames[-1].depth + 1 if self._frames else 0
        self._frames.append(
            _Frame(source, text, pieces, kind, depth, len(self._conditions), macro, path, call)
        )

    def _leave(self) -> None:
        frame = self._frames.pop()
        for condition in self._conditions[frame.conditions :][:MOST_MISTAKES]:
            self._problem("asm-macro", "this condition is never closed", condition.place,
                          "close it with .endif")  # fmt: skip
        del self._conditions[frame.conditions :]

    def _count(self, place: Span) -> None:
        self._made += 1
        if self._made > MOST_STATEMENTS:
            message = f"macros and repetitions make more than {MOST_STATEMENTS} statements"
            self._stop("asm-limit", message, place)

    def _grow(self, characters: int, place: Span) -> None:
        self._characters += characters
        if self._characters > MOST_TEXT:
            message = f"macros and includes make more than {MOST_TEXT >> 20} MiB of text"
            self._stop("asm-limit", message, place)
        if self._frames[-1].depth >= MOST_NESTING:
            message = f"macros, repetitions and includes are nested more than {MOST_NESTING} deep"
            self._stop("asm-limit", message, place, "let the macro end by .if and .exitm")

    def _problem(
        self, code: str, message: str, span: Span, hint: str | None = None, *notes: Note
    ) -> None:
        self.wrong.append(error(code, message, span, notes=notes, hint=hint))

    def _stop(self, code: str, message: str, span: Span, hint: str | None = None) -> NoReturn:
        self._problem(code, message, span, hint)
        raise _Stop

    # Statements -----------------------------------------------------------------------------

    @property
    def _active(self) -> bool:
        return not self._conditions or self._conditions[-1].active

    def _statement(self, place: Span, text: str) -> Iterator[Piece]:
        match = _HEAD.match(text)
        assert match is not None
        labels, word = match.group(1), match.group(2) or ""
        if not self._active:
            if _is_condition(word):
                self._condition(word, *_rest(place, text, match))
            return
        macro = self.macros.get(word)
        if labels:
            self.labels.update(_LABEL.findall(labels))
        if macro is None and word not in PREPROCESSING:
            if self._understood(place, text):
                yield place, text
            return
        if self._frames[-1].kind != "file":
            self._made += _WEIGHT + len(text) // 4
        if labels:
            shown = labels.rstrip()
            yield Span(place.source, place.start, place.start + len(shown)), shown
        statement, rest, start = _rest(place, text, match)
        try:
            if macro is not None:
                self._call(macro, statement, rest)
            elif not self._directive(word, statement, rest, start):
                yield statement, text[match.start(2) :]
        except (Misread, Misused) as problem:
            self.wrong.append(problem.diagnostic)

    def _understood(self, place: Span, text: str) -> bool:
        """Report a parameter's name that no argument took the place of."""
        if "\\" not in text:
            return True
        macro = self._frames[-1].macro
        problem = macros.unknown_reference(text, place, macro) if macro is not None else None
        if problem is not None:
            self.wrong.append(problem)
        return problem is None

    def _directive(self, word: str, place: Span, rest: str, start: int) -> bool:
        """Do what a directive says; False where it is left to the reader of statements."""
        arguments = Arguments(place.source, rest, start, f"write {PREPROCESSING[word]}")
        if word in (".equ", ".set", ".equiv"):
            return self._assign(word, arguments, place)
        if word in (".macro", *_REPETITIONS):
            self._block(word, place, rest, arguments)
        elif _is_condition(word):
            self._condition(word, place, rest, start)
        elif word in _ENDS:
            self._problem("asm-macro", f"{word} stands without {_ENDS[word]}", place)
        elif word == ".include":
            self._include(arguments, place)
        elif word == ".exitm":
            self._exit_macro(place)
        elif word == ".purgem":
            name = arguments.symbol()
            if self.macros.pop(name.text, None) is None:
                hint = did_you_mean(name.text, self.macros)
                self._problem("asm-macro", f"there is no macro {name.text}", name.span, hint)
        elif not arguments.done:
            self._problem("asm-error", _shown(arguments.string()), place)
        else:
            self._problem("asm-error", f"{word} was reached", place)
        return True

    # Constants ------------------------------------------------------------------------------

    def _assign(self, word: str, arguments: Arguments, place: Span) -> bool:
        name = arguments.symbol()
        if not arguments.comma():
            raise arguments.problem(f"{word} needs a value", place)
        tree = arguments.expression()
        arguments.finish()
        if any(self.names.find(each.text) is None for each in names_in(tree)):
            return False  # places in the program, for whoever knows them
        if word == ".equiv" and name.text in self.names.constants:
            first = Note("the first one is here", self.names.places[name.text])
            message = f"{name.text} is defined already, and .equiv defines what is not"
            self._problem("asm-constant", message, name.span, "use .set", first)
            return True
        self.names.define(name.text, self._number(tree), name.span)
        return not self._symbols

    def _number(self, tree: Expression) -> int:
        return evaluate(tree, self.names.meaning(self.wrong.append), self.wrong.append)

    # Conditions -----------------------------------------------------------------------------

    def _condition(self, word: str, place: Span, rest: str, start: int) -> None:
        arguments = Arguments(place.source, rest, start, f"write {PREPROCESSING.get(word, '.if')}")
        if word.startswith(".if"):
            outer = self._active
            holds = outer and self._decide(word, arguments, place, rest)
            self._conditions.append(_Condition(place, holds, holds or not outer))
            return
        if len(self._conditions) == self._frames[-1].conditions:
            self._problem("asm-macro", f"{word} stands without .if", place)
            return
        condition = self._conditions[-1]
        if word == ".endif":
            self._conditions.pop()
            return
        if condition.at_else:
            first = Note("the condition begins here", condition.place)
            self._problem("asm-macro", f"{word} stands behind .else", place, None, first)
            condition.active = False
            return
        condition.at_else = word == ".else"
        condition.active = not condition.taken and (
            word == ".else" or self._decide(".if", arguments, place, rest)
        )
        condition.taken = condition.taken or condition.active

    def _decide(self, word: str, arguments: Arguments, place: Span, rest: str) -> bool:
        """Whether a condition holds; False where it is wrong, which is reported."""
        try:
            return self._holds(word, arguments, place, rest)
        except (Misread, Misused) as problem:
            self.wrong.append(problem.diagnostic)
            return False

    def _holds(self, word: str, arguments: Arguments, place: Span, rest: str) -> bool:
        match word:
            case ".ifdef" | ".ifndef" | ".ifnotdef":
                name = arguments.symbol().text
                arguments.finish()
                known = name in self.labels or self.names.find(name) is not None
                return known == (word == ".ifdef")
            case ".ifb" | ".ifnb":
                return (not rest.strip()) == (word == ".ifb")
            case ".ifc" | ".ifnc":
                left, comma, right = rest.partition(",")
                if not comma:
                    raise arguments.problem(f"{word} compares two texts", place)
                return (left.strip() == right.strip()) == (word == ".ifc")
            case ".ifeqs" | ".ifnes":
                first = arguments.string()
                if not arguments.comma():
                    raise arguments.problem(f"{word} compares two strings", place)
                second = arguments.string()
                arguments.finish()
                return (first == second) == (word == ".ifeqs")
            case _:
                tree = arguments.expression()
                arguments.finish()
                return _COMPARED[word](self._number(tree))

    # Macros and repetitions -----------------------------------------------------------------

    def _block(self, word: str, place: Span, rest: str, arguments: Arguments) -> None:
        """Take everything up to the block's end; only then see whether its head is right."""
        frame = self._frames[-1]
        body, end = self._body(word, place)
        text = frame.text[place.end : end]
        if word == ".macro":
            self._define(place, rest, text)
        elif word in (".rept", ".rep"):
            count = self._number(arguments.expression())
            arguments.finish()
            if count < 0:
                message = f"something cannot be repeated {count} times"
                raise Misread(error("asm-range", message, place))
            self._repeat(body, count, place)
        else:
            self._for_each(word, place, rest, text)

    def _body(self, word: str, place: Span) -> tuple[list[Piece], int]:
        """The statements of a block, and where its end begins."""
        opening = (".macro",) if word == ".macro" else _REPETITIONS
        closing = (".endm", ".endmacro") if word == ".macro" else (".endr",)
        body: list[Piece] = []
        depth = 1
        for span, text in self._frames[-1].pieces:
            match = _HEAD.match(text)
            assert match is not None
            first = match.group(2)
            depth += 1 if first in opening else -1 if first in closing else 0
            if depth == 0:
                return body, span.start + match.start(2)
            body.append((span, text))
        raise Misused(f"{word} is never closed", place, f"close it with {closing[0]}")

    def _define(self, place: Span, rest: str, body: str) -> None:
        name, parameters = macros.head(rest, place)
        if name in self.macros:
            first = Note("the first one is here", self.macros[name].span)
            self._problem("asm-macro", f"macro {name} is defined twice", place,
                          f"end the first one with .purgem {name}", first)  # fmt: skip
            return
        line = place.source.position(place.end)[0]
        self.macros[name] = Macro(name, parameters, body, place.source.name, line, place)

    def _call(self, macro: Macro, place: Span, rest: str) -> None:
        given = macros.arguments(macro, rest, place)
        self._grow(macro.size(given), place)
        source = macro.expand(given, self._calls, place)
        self._calls += 1
        self._enter(source, "macro", macro=macro, call=place)

    def _exit_macro(self, place: Span) -> None:
        """End the innermost macro or repetition, with all that is left of it."""
        if all(frame.kind == "file" for frame in self._frames):
            self._problem("asm-macro", ".exitm stands outside of a macro", place)
            return
        while (frame := self._frames.pop()).kind == "file":
            pass
        # Each value of an .irp has a text of its own.
        while self._frames[-1].kind == frame.kind and self._frames[-1].call is frame.call:
            frame = self._frames.pop()
        del self._conditions[frame.conditions :]

    def _repeat(self, body: list[Piece], count: int, place: Span) -> None:
        if not body:
            return
        self._grow(0, place)
        frame = self._frames[-1]
        self._frames.append(
            _Frame(frame.source, frame.text, self._again(body, count), "repetition",
                   frame.depth + 1, len(self._conditions), frame.macro, call=place)
        )  # fmt: skip

    def _again(self, body: list[Piece], count: int) -> Iterator[Piece]:
        # The same statements again: they keep their places, and cost nothing to make.
        for _ in range(count):
            before = len(self.wrong)
            yield from body
            if len(self.wrong) > before:
                return  # the others would be wrong in the same way

    def _for_each(self, word: str, place: Span, rest: str, body: str) -> None:
        match = re.match(r"\s*([A-Za-z_.$][\w.$]*)\s*(?:,|\s|$)", rest)
        if match is None:
            raise Misused(f"{word} needs a name", place, f"write {PREPROCESSING[word]}")
        values = macros.values(rest[match.end() :], place)
        if word == ".irpc":
            values = list("".join(values))
        line = place.source.position(place.end)[0]
        made = []
        for value in values or [""]:
            text = macros.substitute(body, {match[1]: value}, None)
            self._grow(len(text), place)
            why = f"for {match[1]} = {value}"
            made.append(Source(place.source.name, text, place, why, line))
        macro, depth = self._frames[-1].macro, self._frames[-1].depth
        for source in reversed(made):
            self._enter(source, "repetition", macro=macro, call=place)
            self._frames[-1].depth = depth + 1

    # Files ----------------------------------------------------------------------------------

    def _include(self, arguments: Arguments, place: Span) -> None:
        written = _shown(arguments.string())
        arguments.finish()
        path = self._find(written, place)
        if path is None:
            return
        real = os.path.realpath(path)
        if any(frame.path == real for frame in self._frames):
            self._problem("asm-include", f"{path} would include itself", place)
            return
        content = self._read(path, place)
        if content is None:
            return
        try:
            source = Source.decoded(path, content, place, "included here")
        except EbpfError as problem:
            self.wrong += problem.diagnostics
            return
        self._grow(len(source.text), place)
        self._enter(source, "file", path=real)

    def _find(self, written: str, place: Span) -> str | None:
        """The file meant: beside the including one, else in a folder of the search path."""
        if "\0" in written or not written:
            self._problem("asm-include", f"{written!r} is no file name", place)
            return None
        folders = [os.path.dirname(place.source.name), *self._folders]
        for folder in folders:
            path = os.path.join(folder, written)
            if os.path.exists(path):
                return path
        looked = ", ".join(folder or "." for folder in folders)
        message = f"there is no file {written}"
        self._problem("asm-include", message, place, f"looked in {looked}")
        return None

    def _read(self, path: str, place: Span) -> bytes | None:
        try:
            about = os.stat(path)
            # A device or pipe may never end, or never begin.
            if not stat.S_ISREG(about.st_mode):
                self._problem("asm-include", f"{path} is no regular file", place)
                return None
            if about.st_size > MOST_TEXT:
                message = f"{path} has more than {MOST_TEXT >> 20} MiB"
                self._problem("asm-limit", message, place)
                return None
            with open(path, "rb") as file:
                return file.read()
        except OSError as problem:
            reason = (problem.strerror or str(problem)).lower()
            self._problem("asm-include", f"{path} cannot be read: {reason}", place)
            return None


def _rest(place: Span, text: str, match: re.Match[str]) -> tuple[Span, str, int]:
    """A statement without its labels, what stands behind its word, and where that begins."""
    begin, behind = match.start(2), match.end(2)
    statement = Span(place.source, place.start + begin, place.end)
    return statement, text[behind:], place.start + behind


def _is_condition(word: str) -> bool:
    return word in PREPROCESSING and word.startswith((".if", ".else", ".endif"))


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")
