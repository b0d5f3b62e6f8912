"""Whole files as LLVM's assembler reads them: text to sections, symbols and relocations.

Takes what `clang -S -target bpf` writes, and what people write for `llvm-mc`. Labels belong to
the file and not to a function, calls of names that are not local become relocations, and data
may hold addresses.

What is read and left out, for no loader needs it: `.loc` and `.cfi_*`, from which LLVM makes
.debug_line and .debug_frame; `.ident`. Other debug sections are data and are kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import ClassVar

from ebpfasm.asm import contents
from ebpfasm.asm.contents import Filler
from ebpfasm.asm.objects.resolve import MOST_ALIASES, Resolver
from ebpfasm.asm.objects.sections import USAGE, VISIBILITIES, Heading, heading
from ebpfasm.asm.objects.symbols import SectionDraft, SymbolDraft, new_section
from ebpfasm.asm.reading import directives
from ebpfasm.asm.reading.arguments import Arguments, Misread
from ebpfasm.asm.reading.explain import unknown_word
from ebpfasm.asm.reading.expressions import (
    Expression,
    Literal,
    Meaning,
    Name,
    Relative,
    evaluate,
    names,
    renamed,
    resolve,
)
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.preprocess import in_order, statements
from ebpfasm.asm.reading.raw import assignment, leading_labels, raw_directive
from ebpfasm.asm.reading.reader import StatementReader
from ebpfasm.asm.reading.statements import Directive, LabelDefinition, Operation, RawDirective
from ebpfasm.errors import AsmError, Diagnostic, Note, Source, Span, error
from ebpfasm.ir.object import (
    SHT_PROGBITS,
    Object,
    SymbolType,
)
from ebpfasm.isa import codec
from ebpfasm.isa.codec import ByteOrder

_IGNORED = frozenset({".loc", ".ident", ".extern", ".end"})
_TYPES: dict[str, SymbolType] = {
    "function": "func", "object": "object", "notype": "notype", "common": "common",
    "tls_object": "tls", "STT_FUNC": "func", "STT_OBJECT": "object", "STT_NOTYPE": "notype",
    "STT_COMMON": "common", "STT_TLS": "tls",
}  # fmt: skip


def assemble_object(
    text: str,
    name: str = "<string>",
    *,
    byteorder: ByteOrder = "little",
    cpu: str = "v4",
    include: Iterable[str | os.PathLike[str]] = (),
) -> Object:
    """Assemble a file with LLVM's meaning. Raises AsmError with every mistake in it."""
    wrong: list[Diagnostic] = []
    source = Source(name, text)
    assembly = _Assembly(source, wrong, byteorder, cpu)
    names = assembly.names
    for place, body in statements(source, wrong, names, include=include, symbols=True):
        assembly.statement(place, body)
    made = assembly.finish()
    if wrong:
        raise AsmError(*in_order(names.later(wrong)))
    return made


class _Assembly:
    """One file on its way: sections in the order they were entered, symbols as mentioned."""

    def __init__(
        self, source: Source, wrong: list[Diagnostic], byteorder: ByteOrder, cpu: str
    ) -> None:
        self.wrong, self.byteorder, self.cpu = wrong, byteorder, cpu
        self.names = Names()
        self.reader = StatementReader(source, wrong, self.names)
        self.reader.compiled = True
        self.filler = Filler(wrong, byteorder, self.meaning)
        self.sections: list[SectionDraft] = []
        self.symbols: dict[str, SymbolDraft] = {}
        self.order: dict[str | int, None] = {}  # symbols and sections as they were mentioned
        self.files: list[str] = []
        self.has_addrsig = False
        self.significant: list[str] = []
        self._following = 0  # aliases inside aliases
        self.stack: list[tuple[SectionDraft, SectionDraft]] = []
        self._known: dict[tuple[str, int | None, str], SectionDraft] = {}
        self.previous = self.current = self._enter(Heading(".text"))

    # Statements ------------------------------------------------------------------------------

    def statement(self, place: Span, text: str) -> None:
        """Carry one statement out: labels, then a directive or an instruction."""
        number = _NUMBER.fullmatch(text)
        if number is not None and self.filler.plain(number, self.current.contents):
            return
        labels, at = leading_labels(place, text)
        for name, span in labels:
            self._label(name, span)
        if at == len(text):
            return
        directive = raw_directive(place, text, at)
        if directive is not None:
            self._directive(directive)
            return
        before = len(self.wrong)
        rest = Span(place.source, place.start + at, place.end)
        given = assignment(place, text, at)
        if given is not None and not _REGISTER.match(text, at):
            self._directive(given)
            return
        for each in self.reader.read(rest, text[at:]):
            match each:
                case LabelDefinition(name=name, span=span):
                    self._label(name, span)
                case Operation() if len(self.wrong) == before:
                    self._operation(each)
                case Directive(name=name, name_span=span):
                    self.wrong.append(unknown_word(name, span))
                case _:
                    pass

    def _label(self, name: str, span: Span) -> None:
        symbol = self.mention(name, span)
        if symbol.defined:
            notes = (Note("the first one is here", symbol.span),) if symbol.span else ()
            message = f"{name} is defined twice"
            self.wrong.append(error("asm-duplicate", message, span, notes=notes))
            return
        symbol.section, symbol.offset = self.current, self.current.contents.here
        symbol.span = span

    def mention(self, name: str, span: Span | None = None) -> SymbolDraft:
        """The symbol of that name, which from now on has a place in the table's order."""
        symbol = self._symbol(name, span)
        if not symbol.mentioned:
            symbol.mentioned = True
            self.order[name] = None
        return symbol

    def _symbol(self, name: str, span: Span | None = None) -> SymbolDraft:
        symbol = self.symbols.get(name)
        if symbol is None:
            symbol = self.symbols[name] = SymbolDraft(name, span)
        return symbol

    def _operation(self, each: Operation) -> None:
        if each.spec.cpu > self.cpu:
            message = f"{each.spec.name} needs -mcpu={each.spec.cpu}"
            hint = f"it came with {each.spec.cpu}; {self.cpu} was asked for"
            self.wrong.append(error("asm-cpu", message, each.span, hint=hint))
        target = self.current.contents
        if target.nobits:
            message = f"section {self.current.name} has no content and cannot hold code"
            self.wrong.append(error("asm-operand", message, each.span))
            return
        if each.symbol is not None:
            self.current.operations.append((target.here, each))
            self.mention(each.symbol.name, each.symbol.span)
            target.reserve(8 * each.spec.slots)
            return
        target.append(
            codec.encode(
                each.spec, each.dst, each.src, each.off, each.imm, byteorder=self.byteorder
            )
        )

    # Directives ------------------------------------------------------------------------------

    def _directive(self, directive: RawDirective) -> None:
        name = directive.name
        try:
            if name in directives.CONTENTS:
                self._fill(directive)
            elif (handler := self._handlers.get(name)) is not None:
                usage = f"write {USAGE[name]}"
                arguments = Arguments(directive.span.source, directive.text, directive.start, usage)
                handler(self, name, arguments)
                arguments.finish()
            elif name not in _IGNORED and not name.startswith(".cfi_"):
                self.wrong.append(unknown_word(name, directive.name_span))
        except Misread as problem:
            self.wrong.append(problem.diagnostic)

    def _fill(self, directive: RawDirective) -> None:
        target = self.current.contents
        before = len(target.fixups)
        self.filler.fill(directive, target)
        for number, fixup in enumerate(target.fixups[before:], before):
            tree = self._pinned(fixup.value, fixup.offset)
            target.fixups[number] = replace(fixup, value=tree)
            for name in names(tree):
                self.mention(name.text)
        if target.nonzero:
            target.nonzero = False
            message = f"section {self.current.name} has no content: only zeros can stand in it"
            self.wrong.append(error("asm-operand", message, directive.span))

    def _pinned(self, tree: Expression, here: int | None = None) -> Expression:
        """The expression with a label of its own in place of each dot, which means here."""
        if all(each.text != "." for each in names(tree)):
            return tree
        offset = self.current.contents.here if here is None else here
        symbol = self._symbol(f"{HERE}{self.current.index}:{offset}")
        symbol.section, symbol.offset = self.current, offset
        return renamed(tree, ".", symbol.name)

    def meaning(self, name: Name) -> Meaning | None:
        """What a name means as far as the file is read; an unknown one is reported."""
        if name.text == ".":
            return Relative(f"section {self.current.index}", self.current.contents.here)
        symbol = self.symbols.get(name.text)
        if symbol is not None and symbol.section is not None:
            return Relative(f"section {symbol.section.index}", symbol.offset)
        if symbol is not None and symbol.alias is not None:
            return self._alias(name, symbol.alias)
        value = self.names.find(name.text)
        if value is None:
            message = f"{name.text} must be known here, and is not defined before"
            self.wrong.append(error("asm-symbol", message, name.span))
        return value

    def _alias(self, name: Name, tree: Expression) -> Meaning | None:
        self._following += 1
        try:
            if self._following <= MOST_ALIASES:
                return resolve(tree, self.meaning, self.wrong.append)
        finally:
            self._following -= 1
        message = f"{name.text} is defined by itself, or through too many others"
        self.wrong.append(error("asm-symbol", message, name.span))
        return None

    # Sections

    def _enter(self, line: Heading) -> SectionDraft:
        key = line.name, line.unique, line.group
        section = self._known.get(key)
        if section is None:
            type, flags = line.resolved
            section = new_section(
                len(self.sections), line.name, type, flags, line.entsize, line.group
            )
            self._known[key] = section
            self.sections.append(section)
            self.order[section.index] = None
        return section

    def _switch(self, line: Heading) -> None:
        self.previous, self.current = self.current, self._enter(line)

    def _section(self, name: str, arguments: Arguments) -> None:
        place = arguments.rest
        line = heading(arguments)
        if line.group:
            self.mention(line.group, place)
        if name == ".pushsection":
            self.stack.append((self.current, self.previous))
        self._switch(line)
        if line.flags is not None and (line.type or SHT_PROGBITS, line.flags) != (
            self.current.type,
            self.current.flags,
        ):
            message = f"section {line.name} had another type or other flags before"
            self.wrong.append(error("asm-directive", message, place))

    def _standard_section(self, name: str, arguments: Arguments) -> None:
        if not arguments.done and arguments.plain() is None:
            raise arguments.problem("only a subsection's number can stand here")
        self._switch(Heading(name))

    def _previous(self, name: str, arguments: Arguments) -> None:
        self.previous, self.current = self.current, self.previous

    def _popsection(self, name: str, arguments: Arguments) -> None:
        if not self.stack:
            raise arguments.problem("there is no .pushsection before this")
        self.current, self.previous = self.stack.pop()

    # Symbols

    def _attribute(self, name: str, arguments: Arguments) -> None:
        while True:
            given = arguments.symbol()
            symbol = self.mention(given.text, given.span)
            match name:
                case ".globl" | ".global":
                    symbol.binding = "global"
                case ".weak":
                    symbol.binding = "weak"
                case ".local":
                    symbol.binding = "local"
                case _:
                    symbol.visibility = VISIBILITIES[name]
            if not arguments.comma():
                return

    def _type(self, name: str, arguments: Arguments) -> None:
        given = arguments.symbol()
        if not arguments.comma():
            raise arguments.problem("the type is missing")
        place = arguments.rest
        type = _TYPES.get(arguments.flag())
        if type is None:
            raise arguments.problem("there is no such type of symbol", place)
        self.mention(given.text, given.span).type = type

    def _size(self, name: str, arguments: Arguments) -> None:
        given = arguments.symbol()
        if not arguments.comma():
            raise arguments.problem("the size is missing")
        self._symbol(given.text, given.span).size = self._pinned(arguments.expression())

    def _set(self, name: str, arguments: Arguments) -> None:
        given = arguments.symbol()
        if not arguments.comma():
            raise arguments.problem("the value is missing")
        tree = self._pinned(arguments.expression())
        symbol = self.mention(given.text, given.span)
        if symbol.section is not None or symbol.common:
            raise arguments.problem(f"{given.text} is a label and cannot get a value", given.span)
        symbol.alias = tree
        known = all(self._is_number(each) for each in names(tree))
        if known:
            value = evaluate(tree, self.meaning, self.wrong.append)
            symbol.alias = Literal(value, tree.span)
            self.names.define(given.text, value, given.span)

    def _is_number(self, name: Name) -> bool:
        symbol = self.symbols.get(name.text)
        if symbol is not None:
            return isinstance(symbol.alias, Literal)
        return self.names.find(name.text) is not None

    def _common(self, name: str, arguments: Arguments) -> None:
        given = arguments.symbol()
        size = align = 0
        if arguments.comma():
            size = self.filler.number(arguments, 0, contents.MOST_BYTES)
        else:
            raise arguments.problem("the size is missing")
        if arguments.comma():
            align = self.filler.number(arguments, 0, 1 << 30)
        symbol = self.mention(given.text, given.span)
        if symbol.defined:
            message = f"{given.text} is defined twice"
            self.wrong.append(error("asm-duplicate", message, given.span))
            return
        symbol.size, symbol.type = size, "object"
        if symbol.binding == "local" or name == ".lcomm":
            bss = self._enter(Heading(".bss"))
            bss.contents.align_to(max(align, 1))
            symbol.binding = "local"
            symbol.section, symbol.offset = bss, bss.contents.here
            bss.contents.reserve(size)
            return
        symbol.binding = symbol.binding or "global"
        symbol.common = max(align, 1)

    def _file(self, name: str, arguments: Arguments) -> None:
        if arguments.at_string():
            self.files.append(arguments.string().decode("utf-8", "surrogateescape"))
        arguments.pass_rest()  # the numbered form is for line tables

    def _addrsig(self, name: str, arguments: Arguments) -> None:
        if name == ".addrsig":
            self.has_addrsig = True
            return
        given = arguments.symbol()
        self.mention(given.text, given.span)
        self.significant.append(given.text)

    _handlers: ClassVar[dict[str, Callable[[_Assembly, str, Arguments], None]]] = {
        ".section": _section,
        ".pushsection": _section,
        ".popsection": _popsection,
        ".previous": _previous,
        ".text": _standard_section,
        ".data": _standard_section,
        ".bss": _standard_section,
        ".rodata": _standard_section,
        **dict.fromkeys((".globl", ".global", ".weak", ".local", *VISIBILITIES), _attribute),
        ".type": _type,
        ".size": _size,
        **dict.fromkeys((".set", ".equ", ".equiv"), _set),
        ".comm": _common,
        ".lcomm": _common,
        ".file": _file,
        ".addrsig": _addrsig,
        ".addrsig_sym": _addrsig,
    }

    # The end ---------------------------------------------------------------------------------

    def finish(self) -> Object:
        """All labels are known: fill in what waits for them and leave out what nobody needs."""
        return Resolver(
            self.sections, self.symbols, self.order, self.files, self.names, self.byteorder,
            self.wrong, self.significant if self.has_addrsig else None,
        ).object()  # fmt: skip


# Most lines of a compiler's file: one number of types or debug information.
_NUMBER = re.compile(r"(\.byte|\.short|\.long|\.quad)[ \t]+(0|[1-9][0-9]{0,18})")
# Begins the names that stand for dots; LLVM would call them .Ltmp.
HERE = ".L@"
_REGISTER = re.compile(r"[rRwW][0-9]+(?![\w.$@])")
