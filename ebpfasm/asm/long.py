"""The way of long files through the assembler: the same collection, without an object a line."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any

from ebpfasm.asm.assembler import TEXT, _declared, _File, _program
from ebpfasm.asm.fast import Body, GiveUp, Packer, Text
from ebpfasm.asm.reading.statements import Directive, Statement
from ebpfasm.errors import Diagnostic, Source, Span
from ebpfasm.ir import CollectionSpec, Function, collect
from ebpfasm.ir.packed import Stream

_LABEL = 1  # EBPFASM_SHAPE_LABEL


def assemble_long(source: Source, core: Any) -> CollectionSpec | None:
    """Assemble a plain file; None for any other, and for one with a mistake in it."""
    try:
        text = Text(core, source)
        wrong: list[Diagnostic] = []
        packer = Packer(text, wrong)
        return _Long(text, packer, wrong).assemble()
    except GiveUp:
        return None


class _Long:
    """One long file while it is assembled."""

    def __init__(self, text: Text, packer: Packer, wrong: list[Diagnostic]) -> None:
        self._text = text
        self._packer = packer
        self._file = _File(wrong)
        self._special = packer.special()
        self._bodies: dict[str, Body] = {}

    def assemble(self) -> CollectionSpec:
        called = self._packer.called()
        directives = [each for found in self._special.values() for each in found]
        self._divide(self._stops(called | _declared(directives)))
        if self._file.wrong:
            raise GiveUp
        for body in self._bodies.values():
            self._check_labels(body)
        return self._resolve(called)

    def _stops(self, declared: set[str]) -> bytes:
        """A byte for each name: whether its label begins a function."""
        stops = bytearray(len(self._text.names) + 1)
        for name in declared:
            number = self._text.names.numbers.get(name)
            if number is not None:
                stops[number] = 1
        return bytes(stops)

    def _divide(self, stops: bytes) -> None:
        text, special = self._text, sorted(self._special)
        section = TEXT
        current: tuple[str, Span] | None = None
        at = 0
        while at < text.count:
            if at in self._special:
                entered = self._directive(self._special[at])
                if entered is not None:
                    self._close(current, section)
                    section, current = entered, None
                at += 1
                continue
            label = text.name(at, 0) if text.shape[at] == _LABEL else None
            if label is not None and (current is None or stops[label]):
                self._close(current, section)
                current = (text.names[label], text.span(at))
                self._packer.begin()
                at += 1
                continue
            if current is None:
                current = ("main", text.span(at))
                self._packer.begin()
            following = bisect_left(special, at)
            end = special[following] if following < len(special) else text.count
            at = self._packer.feed(at, end, stops)
        self._close(current, section)

    def _directive(self, found: list[Statement]) -> str | None:
        (directive,) = found
        assert isinstance(directive, Directive)
        return self._file._directive(directive)

    def _close(self, current: tuple[str, Span] | None, section: str) -> None:
        if current is None:
            return
        name, span = current
        if name in self._bodies:
            raise GiveUp
        self._bodies[name] = self._packer.finish(name, section, span)

    def _check_labels(self, body: Body) -> None:
        """GiveUp where a label is missing or there twice; a jump to the beginning makes a label."""
        stream = body.stream
        labels, targets = stream.labels[1::3], set(stream.jumps[1::2])
        defined = set(labels)
        if len(defined) != len(labels):
            raise GiveUp
        missing = targets - defined
        if not missing:
            return
        if [self._text.names[number] for number in missing] != [body.name]:
            raise GiveUp
        first = type(labels)("I", [0, missing.pop(), body.span.start])
        body.stream = Stream(stream.body, stream.jumps, first + stream.labels, stream.name_of)

    def _resolve(self, called: set[str]) -> CollectionSpec:
        file, programs, functions = self._file, [], []
        typed = any(body.section != TEXT for body in self._bodies.values())
        for name, body in self._bodies.items():
            stream = body.resolve(self._bodies, file.maps)
            if body.section != TEXT or (not typed and name not in called):
                programs.append(_program(name, body.section, body.span, stream))
            else:
                functions.append(Function(name, stream, body.span))
        return collect(programs, functions, file.maps.values(), file.license)
