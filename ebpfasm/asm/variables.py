"""Sections of variables in a hand-written file: .data, .rodata and .bss become maps.

A label there is a variable. Its size is what `.size` says, else the bytes to the next label or
the section's end. Values may be numbers and distances between labels, and no addresses: those are
known only when the map is in the kernel. A section `license` is the license.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from ebpfasm.asm import contents
from ebpfasm.asm.contents import Contents, Filler, packed
from ebpfasm.asm.reading.arguments import Arguments, Misread
from ebpfasm.asm.reading.directives import ALIGNMENTS, FILLING, LICENSE
from ebpfasm.asm.reading.expressions import (
    Expression,
    Meaning,
    Name,
    Relative,
    evaluate,
    names,
    renamed,
    resolve,
    settled,
)
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.statements import RawDirective
from ebpfasm.errors import Diagnostic, Note, Span, error
from ebpfasm.ir.specs import MapSpec, VarSpec, data_map, data_section
from ebpfasm.isa.codec import ByteOrder

HERE = ".@"  # begins the names that stand for dots; no text can spell them


@dataclass(slots=True)
class _Section:
    contents: Contents
    span: Span
    labels: dict[str, tuple[int, Span]] = field(default_factory=dict)


class Variables:
    """The sections of variables of one file."""

    def __init__(self, wrong: list[Diagnostic], constants: Names, byteorder: ByteOrder) -> None:
        self._wrong = wrong
        self._constants = constants
        self._order = byteorder
        self._filler = Filler(wrong, byteorder, self._meaning)
        self._sections: dict[str, _Section] = {}
        self._current: _Section | None = None
        self._sizes: dict[str, Expression] = {}
        self._dots: dict[str, tuple[str, int]] = {}
        self._now: Mapping[str, int] = {}  # the constants where the present directive stands

    def enter(self, name: str, span: Span) -> None:
        """Go on in a section, which is a new one if it is not known."""
        self._current = self._open(name, span)

    def _open(self, name: str, span: Span) -> _Section:
        section = self._sections.get(name)
        if section is None:
            nobits = data_section(name) == ".bss"
            section = self._sections[name] = _Section(Contents(name, nobits=nobits), span)
        return section

    def find(self, name: str) -> tuple[str, int] | None:
        """The section that a label is in, and its offset there."""
        for section, each in self._sections.items():
            if name in each.labels:
                return section, each.labels[name][0]
        return None

    def size(self, section: str) -> int:
        """The bytes of a section."""
        return self._sections[section].contents.here

    def labels(self) -> Iterator[str]:
        """The names of all variables."""
        for section in self._sections.values():
            yield from section.labels

    def label(self, name: str, span: Span) -> None:
        """A variable begins here."""
        assert self._current is not None
        self._define(self._current, name, self._current.contents.here, span)

    def _define(self, section: _Section, name: str, offset: int, span: Span) -> None:
        for other in self._sections.values():
            if name in other.labels:
                note = Note("the first one is here", other.labels[name][1])
                message = f"{name} is defined twice"
                self._wrong.append(error("asm-duplicate", message, span, notes=(note,)))
                return
        section.labels[name] = offset, span

    # Directives ------------------------------------------------------------------------------

    def directive(self, directive: RawDirective, *, inside: bool) -> None:
        """Carry out a directive; `inside` says that a section of variables is open."""
        self._now = directive.constants
        try:
            match directive.name:
                case ".size":
                    arguments = self._arguments(directive)
                    name = arguments.symbol()
                    if not arguments.comma():
                        raise arguments.problem("the size is missing")
                    self._sizes[name.text] = self._here(arguments.expression())
                case ".comm" | ".lcomm":
                    self._common(directive)
                case _ if inside and self._current is not None:
                    self._fill(directive, self._current)
                case name if name in ALIGNMENTS:
                    pass
                case name:
                    message = f"{name} fills a section of variables, and this one holds code"
                    hint = "write .data, .rodata or .bss before it"
                    self._wrong.append(error("asm-directive", message, directive.span, hint=hint))
        except Misread as problem:
            self._wrong.append(problem.diagnostic)

    def _arguments(self, directive: RawDirective) -> Arguments:
        usage = f"write {FILLING[directive.name]}"
        return Arguments(directive.span.source, directive.text, directive.start, usage)

    def _fill(self, directive: RawDirective, section: _Section) -> None:
        target = section.contents
        before = len(target.fixups)
        self._filler.fill(directive, target)
        target.fixups[before:] = [
            contents.Fixup(each.offset, each.size, self._here(each.value, each.offset), each.span)
            for each in target.fixups[before:]
        ]
        if target.nonzero:
            target.nonzero = False
            message = f"section {target.name} has no content: only zeros can stand in it"
            hint = "put variables that begin with a value into .data"
            self._wrong.append(error("asm-operand", message, directive.span, hint=hint))

    def _here(self, tree: Expression, offset: int | None = None) -> Expression:
        """The expression as it is meant here: constants by value, a dot as a label of its own."""
        tree = settled(tree, self._now)
        if self._current is None or all(each.text != "." for each in names(tree)):
            return tree
        section = self._current.contents
        place = section.here if offset is None else offset
        name = f"{HERE}{section.name}:{place}"
        self._dots[name] = section.name, place
        return renamed(tree, ".", name)

    def _common(self, directive: RawDirective) -> None:
        arguments = self._arguments(directive)
        name = arguments.symbol()
        if not arguments.comma():
            raise arguments.problem("the size is missing")
        size = self._filler.number(arguments, 0, contents.MOST_BYTES)
        align = self._filler.number(arguments, 0, 1 << 30) if arguments.comma() else 1
        arguments.finish()
        section = self._open(".bss", directive.span)
        section.contents.align_to(max(align, 1))
        self._define(section, name.text, section.contents.here, name.span)
        section.contents.reserve(size)

    # The end ---------------------------------------------------------------------------------

    def _meaning(self, name: Name) -> Meaning | None:
        if name.text == "." and self._current is not None:
            return Relative(self._current.contents.name, self._current.contents.here)
        found = self.find(name.text) or self._dots.get(name.text)
        if found is not None:
            return Relative(*found)
        if name.text in self._now:
            return self._now[name.text]
        return self._constants.meaning(self._wrong.append)(name)

    def license(self) -> str | None:
        """What the section `license` holds, None where there is none."""
        section = self._sections.get(LICENSE)
        if section is None:
            return None
        text = bytes(section.contents.data).split(b"\0", 1)[0]
        return text.decode("utf-8", "surrogateescape")

    def maps(self) -> Iterator[MapSpec]:
        """The maps that the sections become; those without a byte are left out."""
        for name, section in self._sections.items():
            for fixup in section.contents.fixups:
                self._fix(section.contents, fixup)
            if name != LICENSE and section.contents.here:
                content = bytes(section.contents.data)
                yield data_map(name, section.contents.here, content, self._order, span=section.span)

    def _fix(self, target: Contents, fixup: contents.Fixup) -> None:
        value = resolve(fixup.value, self._meaning, self._wrong.append)
        if isinstance(value, Relative):
            message = "an address cannot stand in data: it is known only when the map is loaded"
            self._wrong.append(error("asm-operand", message, fixup.span))
            return
        chunk = packed(value or 0, fixup.size, self._order, fixup.span, self._wrong)
        target.data[fixup.offset : fixup.offset + fixup.size] = chunk

    def specs(self) -> Iterator[VarSpec]:
        """The variables, section by section, in their order there."""
        for name, section in self._sections.items():
            if name == LICENSE:
                continue
            ends = sorted({at for at, _ in section.labels.values()} | {section.contents.here})
            following = dict(pairwise(ends))
            for label, (offset, _) in section.labels.items():
                size = following.get(offset, offset) - offset
                if label in self._sizes:
                    size = self._size(self._sizes[label], offset, section.contents.here)
                yield VarSpec(label, name, offset, size)

    def _size(self, tree: Expression, offset: int, end: int) -> int:
        size = evaluate(tree, self._meaning, self._wrong.append)
        if not 0 <= size <= end - offset:
            message = f"{size} bytes from here leave the section, which has {end - offset}"
            self._wrong.append(error("asm-range", message, tree.span))
            return 0
        return size
