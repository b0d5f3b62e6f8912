"""From a file's statements to a collection: sections, functions, and what each name stands for.

A label begins a function where it is the first in its section, declared by `.globl` or
`.type NAME, @function`, or called; any other label is a place inside its function. Functions
in a section that names a program type are programs, those in `.text` subprograms. Where a
file has no such section, what nobody calls in `.text` is a program without a type.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ebpfasm.asm import directives
from ebpfasm.asm.explain import unknown_word
from ebpfasm.asm.lines import statements
from ebpfasm.asm.reader import StatementReader
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.asm.statements import (
    Directive,
    LabelDefinition,
    Operation,
    Role,
    Statement,
    Symbol,
)
from ebpfasm.errors import AsmError, Diagnostic, Note, Source, Span, error
from ebpfasm.ir import (
    CollectionSpec,
    Function,
    FunctionRef,
    Instruction,
    Item,
    Label,
    LabelRef,
    MapRef,
    MapSpec,
    ProgramSpec,
    Reference,
    collect,
)
from ebpfasm.isa import helpers, sections
from ebpfasm.isa.table import BY_NAME, InstructionSpec

TEXT = ".text"


def assemble(text: str, name: str = "<string>") -> CollectionSpec:
    """Read a file's text. Raises AsmError with a diagnostic for every mistake in it."""
    wrong: list[Diagnostic] = []
    source = Source(name, text)
    reader = StatementReader(source, wrong)
    found: list[Statement] = []
    for place, body in statements(source, wrong):
        found += reader.read(place, body)
    file = _File(wrong)
    file.divide(found)
    spec = file.resolve()
    if wrong:
        raise AsmError(*sorted(wrong, key=_position))
    return spec


def _position(diagnostic: Diagnostic) -> int:
    return diagnostic.span.start if isinstance(diagnostic.span, Span) else -1


@dataclass(slots=True)
class _Draft:
    """A function while its statements gather."""

    name: str
    section: str
    span: Span
    items: list[Operation | LabelDefinition] = field(default_factory=list)
    labels: dict[str, Span] = field(default_factory=dict)


@dataclass(slots=True)
class _File:
    """All that is known of a file while it is read."""

    wrong: list[Diagnostic]
    functions: dict[str, _Draft] = field(default_factory=dict)
    maps: dict[str, MapSpec] = field(default_factory=dict)
    license: str = ""

    # First pass: what belongs to which function --------------------------------------------

    def divide(self, found: Iterable[Statement]) -> None:
        """Sort the statements into functions, maps and settings."""
        found = list(found)
        declared = _declared(found)
        section, current = TEXT, None
        for statement in found:
            match statement:
                case Directive():
                    entered = self._directive(statement)
                    if entered is not None:
                        section, current = entered, None
                case LabelDefinition(name=name, span=span):
                    if current is None or name in declared:
                        current = self._begin(name, section, span)
                    else:
                        self._place(current, statement)
                case Operation(span=span):
                    if current is None:
                        current = self._begin("main", section, span)
                    current.items.append(statement)

    def _begin(self, name: str, section: str, span: Span) -> _Draft:
        draft = _Draft(name, section, span)
        if name in self.functions:
            first = Note("the first one is here", self.functions[name].span)
            self.wrong.append(
                error("asm-duplicate", f"{name} is defined twice", span, notes=(first,))
            )
        else:
            self.functions[name] = draft
        return draft

    def _place(self, draft: _Draft, label: LabelDefinition) -> None:
        if label.name in draft.labels:
            first = Note("the first one is here", draft.labels[label.name])
            self.wrong.append(
                error(
                    "asm-label-duplicate",
                    f"label {label.name} is defined twice in {draft.name}",
                    label.span,
                    notes=(first,),
                )
            )
            return
        draft.labels[label.name] = label.span
        draft.items.append(label)

    def _directive(self, directive: Directive) -> str | None:
        """Note what a directive says; the section that it enters, if it enters one."""
        match directive.name:
            case ".section":
                return directives.one_name(directive, self.wrong.append)
            case ".text":
                return TEXT
            case ".license":
                text = directives.license_text(directive, self.wrong.append)
                self.license = text if text is not None else self.license
            case ".map":
                self._map(directive)
            case ".globl" | ".global" | ".type":
                directives.one_name(directive, self.wrong.append)
            case name if name not in directives.DIRECTIVES:
                self.wrong.append(unknown_word(name, directive.name_span))
            case _:
                pass
        return None

    def _map(self, directive: Directive) -> None:
        spec = directives.map_spec(directive, self.wrong.append)
        if spec is None:
            return
        if spec.name in self.maps:
            first = Note("the first one is here", self.maps[spec.name].span)
            self.wrong.append(
                error(
                    "asm-duplicate",
                    f"map {spec.name} is defined twice",
                    directives.name_span(directive),
                    notes=(first,),
                )
            )
            return
        self.maps[spec.name] = spec

    # Second pass: what each name stands for ------------------------------------------------

    def resolve(self) -> CollectionSpec:
        """Look every name up and build the specs; names that are nothing are reported."""
        bodies = {name: tuple(self._items(draft)) for name, draft in self.functions.items()}
        programs, functions = [], []
        typed = any(draft.section != TEXT for draft in self.functions.values())
        called = {each.name for each in self._symbols(Role.CALLEE, Role.ADDRESS)}
        for name, draft in self.functions.items():
            if draft.section != TEXT or (not typed and name not in called):
                programs.append(_program(draft, bodies[name]))
            else:
                functions.append(Function(name, bodies[name], draft.span))
        return collect(programs, functions, self.maps.values(), self.license)

    def _symbols(self, *roles: Role) -> Iterable[Symbol]:
        for draft in self.functions.values():
            for item in draft.items:
                if isinstance(item, Operation) and item.symbol and item.symbol.role in roles:
                    yield item.symbol

    def _items(self, draft: _Draft) -> Iterable[Item]:
        if any(each.name == draft.name for each in self._targets(draft)):
            yield Label(draft.name, draft.span)
        for item in draft.items:
            match item:
                case LabelDefinition(name=name, span=span):
                    yield Label(name, span)
                case Operation():
                    spec, imm, ref = self._meaning(item, draft)
                    yield Instruction(spec, item.dst, item.src, item.off, imm, ref, item.span)

    def _targets(self, draft: _Draft) -> Iterable[Symbol]:
        for item in draft.items:
            if isinstance(item, Operation) and item.symbol and item.symbol.role is Role.TARGET:
                yield item.symbol

    def _meaning(
        self, item: Operation, draft: _Draft
    ) -> tuple[InstructionSpec, int, Reference | None]:
        symbol = item.symbol
        if symbol is None:
            return item.spec, item.imm, None
        name = symbol.name
        match symbol.role:
            case Role.TARGET:
                if name not in draft.labels and name != draft.name:
                    self._undefined_label(symbol, draft)
                return item.spec, item.imm, LabelRef(name)
            case Role.CALLEE:
                if name in self.functions:
                    return BY_NAME["call_local"], 0, FunctionRef(name)
                helper = helpers.find(name)
                if helper is None:
                    self._unknown(symbol, (*self.functions, *helpers.BY_NAME))
                return item.spec, helper.id if helper is not None else 0, None
            case Role.ADDRESS:
                if name in self.maps:
                    return BY_NAME["lddw_map_fd"], 0, MapRef(name)
                if name not in self.functions:
                    self._unknown(symbol, (*self.maps, *self.functions))
                return BY_NAME["lddw_func"], 0, FunctionRef(name)

    def _unknown(self, symbol: Symbol, candidates: Iterable[str]) -> None:
        message = f"there is no {symbol.role.value} {symbol.name}"
        hint = did_you_mean(symbol.name, candidates)
        self.wrong.append(error("asm-symbol", message, symbol.span, hint=hint))

    def _undefined_label(self, symbol: Symbol, draft: _Draft) -> None:
        notes = tuple(
            Note(f"there is one in {other.name}, but a jump cannot leave its function", place)
            for other in self.functions.values()
            if (place := other.labels.get(symbol.name)) is not None
        )
        hint = did_you_mean(symbol.name, (draft.name, *draft.labels))
        message = f"there is no label {symbol.name} in {draft.name}"
        self.wrong.append(
            error("asm-label-undefined", message, symbol.span, notes=notes, hint=hint)
        )


def _declared(found: Iterable[Statement]) -> set[str]:
    """Names that begin functions wherever they stand: declared or called."""
    names = set()
    for statement in found:
        match statement:
            case Directive(name=".globl" | ".global", arguments=(first, *_)):
                names.add(first.only.text)
            case Directive(name=".type", arguments=(first, second, *_)) if second.only.text in (
                "@function",
                "%function",
                "function",
            ):
                names.add(first.only.text)
            case Operation(symbol=Symbol(role=Role.CALLEE | Role.ADDRESS, name=name)):
                names.add(name)
            case _:
                pass
    return names


def _program(draft: _Draft, items: tuple[Item, ...]) -> ProgramSpec:
    match = sections.resolve(draft.section) if draft.section != TEXT else None
    if match is None:
        return ProgramSpec(draft.name, draft.section, "", items, span=draft.span)
    return ProgramSpec(
        draft.name,
        draft.section,
        match.program_type,
        items,
        attach_type=match.attach_type or "",
        attach_target=match.target or "",
        flags=match.load_flags,
        span=draft.span,
    )
