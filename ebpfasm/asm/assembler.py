"""From a file's statements to a collection: sections, functions, and what each name stands for.

A label begins a function where it is the first in its section, declared by `.globl` or
`.type NAME, @function`, or called; any other label is a place inside its function. Functions
in a section that names a program type are programs, those in `.text` subprograms. Where a
file has no such section, what nobody calls in `.text` is a program without a type.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ebpfasm.asm.maps import map_definition
from ebpfasm.asm.reading import directives
from ebpfasm.asm.reading.dialects import reader_of
from ebpfasm.asm.reading.directives import holds_data
from ebpfasm.asm.reading.expressions import names as names_in
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.preprocess import give_up, in_order, statements
from ebpfasm.asm.reading.quick import QuickReader
from ebpfasm.asm.reading.statements import (
    Directive,
    LabelDefinition,
    Operation,
    RawDirective,
    Role,
    Statement,
    Symbol,
    label_text,
)
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import AsmError, Diagnostic, Note, Source, Span, error
from ebpfasm.ir import (
    CollectionSpec,
    Function,
    FunctionRef,
    Instruction,
    Item,
    KfuncRef,
    Label,
    LabelRef,
    MapRef,
    MapSpec,
    ProgramSpec,
    Reference,
    VarRef,
    collect,
)
from ebpfasm.isa import helpers, sections
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME, InstructionSpec
from ebpfasm.native import native_core

if TYPE_CHECKING:
    from ebpfasm.asm.jump_tables import JumpTables
    from ebpfasm.asm.variables import Variables
    from ebpfasm.btf.layout import Layouts

TEXT = ".text"
_NAMES_FUNCTION = (Role.CALLEE, Role.FUNCTION, Role.ADDRESS)


def assemble(
    text: str,
    name: str = "<string>",
    dialect: str = "auto",
    *,
    include: Iterable[str | os.PathLike[str]] = (),
    btf: bytes | str | os.PathLike[str] | None = None,
    byteorder: ByteOrder | None = None,
) -> CollectionSpec:
    """Read a file's text. Raises AsmError with a diagnostic for every mistake in it.

    The dialect is llvm, mnemonic, or auto: what the first statements are written in. `include`
    are the folders that `.include` looks in after the file's own, and `btf`, bytes or a file,
    has structs and enumerations whose names are numbers. Numbers in
    sections of variables are laid out in `byteorder`, this machine's where none is given.
    """
    wrong: list[Diagnostic] = []
    source = Source(name, text)
    names = Names(_layouts(btf) if btf is not None else None)
    reader = reader_of(text, dialect)(source, wrong, names)
    if isinstance(reader, QuickReader) and is_long(text):
        quick = _quickly(source)
        if quick is not None:
            return quick
        reader = QuickReader(source, wrong, names, learning=True)
    found: list[Statement] = []
    for place, body in statements(source, wrong, names, manner=reader.manner, include=include):
        found += reader.read(place, body)
        give_up(wrong, place)
    file = _File(wrong, exit_label=reader.exit_label, names=names, byteorder=byteorder)
    file.divide(found)
    spec = file.resolve()
    if wrong:
        raise AsmError(*in_order(names.later(wrong)))
    if isinstance(reader, QuickReader) and reader.met_new:
        reader.keep()
    return spec


def _layouts(btf: bytes | str | os.PathLike[str]) -> Layouts:
    from ebpfasm.btf.layout import Layouts  # most files need no types, and they cost a start-up

    return Layouts.of(btf)


# Below this many lines a file is read sooner than the shapes of its statements are learnt.
LONG = 300


def is_long(text: str) -> bool:
    """Whether a text has so many lines that its shapes are worth learning."""
    return text.count("\n", 0, 1 << 16) > LONG


def _quickly(source: Source) -> CollectionSpec | None:
    """Assemble a plain file with the native core, None where this is not one."""
    from ebpfasm.asm.long import assemble_long

    core = native_core()
    return assemble_long(source, core) if core is not None else None


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
    names: Names = field(default_factory=Names)
    functions: dict[str, _Draft] = field(default_factory=dict)
    maps: dict[str, MapSpec] = field(default_factory=dict)
    templates: dict[str, MapSpec] = field(default_factory=dict)  # inner maps, never created
    license: str = ""
    byteorder: ByteOrder | None = None
    exit_label: bool = False  # the first exit of a function is called exit where nothing else is

    kernel: set[str] = field(default_factory=set)  # functions of the kernel (.extern)
    data: Variables | None = None  # where the file has sections of variables
    tables: JumpTables | None = None  # where it has any

    @property
    def variables(self) -> Variables:
        """The sections of variables, begun when the first one is met."""
        if self.data is None:
            from ebpfasm.asm.variables import Variables  # most files have none

            native: ByteOrder = "little" if sys.byteorder == "little" else "big"
            self.data = Variables(self.wrong, self.names, self.byteorder or native)
        return self.data

    def _jump_tables(self) -> JumpTables:
        if self.tables is None:
            from ebpfasm.asm.jump_tables import JumpTables  # most files have none

            self.tables = JumpTables()
        return self.tables

    # First pass: what belongs to which function --------------------------------------------

    def divide(self, found: Iterable[Statement]) -> None:
        """Sort the statements into functions, maps and settings."""
        found = list(found)
        declared = _declared(found)
        section = TEXT
        current: _Draft | None = None
        for statement in found:
            match statement:
                case RawDirective(name=".data" | ".rodata" | ".bss" as name, span=span):
                    section, current = name, None
                    self.variables.enter(name, span)
                case RawDirective():
                    self.variables.directive(statement, inside=holds_data(section))
                case LabelDefinition(local=False, name=name, span=span) if holds_data(section):
                    self.variables.label(name, span)
                case LabelDefinition() if holds_data(section):
                    pass  # only distances between data could name it
                case Operation(span=span) if holds_data(section):
                    message = f"section {section} holds variables and no instructions"
                    self.wrong.append(error("asm-operand", message, span))
                case Directive(name=".jumptable"):
                    inside = None if current is None else current.name
                    self._jump_tables().add(statement, inside, self.wrong.append)
                case Directive():
                    entered = self._directive(statement)
                    if entered is not None:
                        section, current = entered, None
                        if holds_data(section):
                            self.variables.enter(section, statement.span)
                case LabelDefinition(name=name, span=span, local=local):
                    if current is None and local:
                        current = self._begin("main", section, span)
                        self._place(current, statement)
                    elif current is None or name in declared:
                        current = self._begin(name, section, span)
                    else:
                        self._place(current, statement)
                case Operation(span=span):
                    if current is None:
                        current = self._begin("main", section, span)
                    current.items.append(statement)
            give_up(self.wrong, statement.span)

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
            case ".extern":
                self.kernel.add(directives.one_name(directive, self.wrong.append) or "")
            case ".equ" | ".set" | ".equiv":
                self._no_constant(directive)
            case name if name not in directives.DIRECTIVES:
                from ebpfasm.asm.reading.explain import unknown_word

                self.wrong.append(unknown_word(name, directive.name_span, self.names.macros))
            case _:
                pass
        return None

    def _no_constant(self, directive: Directive) -> None:
        """The preprocessor left a definition alone: its names are no numbers."""
        trees = [each.value.expression for each in directive.arguments[1:]]
        for tree in trees:
            for each in names_in(tree) if tree is not None else ():
                if self.names.find(each.text) is None or each.text in self.names.constants:
                    self.wrong.append(self.names.unknown(each.text, each.span))

    def _map(self, directive: Directive) -> None:
        above = {**self.maps, **self.templates}
        made = map_definition(directive, above, self.names, self.wrong.append)
        if made is None:
            return
        spec = made.spec
        if spec.name in above:
            first = Note("the first one is here", above[spec.name].span)
            self.wrong.append(
                error(
                    "asm-duplicate",
                    f"map {spec.name} is defined twice",
                    directives.name_span(directive),
                    notes=(first,),
                )
            )
            return
        (self.templates if made.template else self.maps)[spec.name] = spec

    # Second pass: what each name stands for ------------------------------------------------

    def resolve(self) -> CollectionSpec:
        """Look every name up and build the specs; names that are nothing are reported."""
        for draft in self.functions.values() if self.exit_label else ():
            self._label_exit(draft)
        bodies = {name: tuple(self._items(draft)) for name, draft in self.functions.items()}
        programs, functions = [], []
        typed = any(draft.section != TEXT for draft in self.functions.values())
        called = {each.name for each in self._symbols(*_NAMES_FUNCTION)}
        for name, draft in self.functions.items():
            if draft.section != TEXT or (not typed and name not in called):
                programs.append(_program(name, draft.section, draft.span, bodies[name]))
            else:
                functions.append(Function(name, bodies[name], draft.span))
        maps = list(self.maps.values())
        if self.tables is not None:
            self._check_tables(self.tables)
            maps += self.tables.specs()
        if self.data is None:
            return collect(programs, functions, maps, self.license)
        self.license = self.data.license() or self.license
        maps += self.data.maps()
        return collect(programs, functions, maps, self.license, self.data.specs())

    def _check_tables(self, tables: JumpTables) -> None:
        """Report names of tables that are taken, and labels that are none."""
        tables.check_names({**self.functions, **self.maps, **self.templates}, self.wrong.append)
        for draft in self.functions.values():
            for symbol in tables.labels_of(draft.name):
                if symbol.name not in draft.labels and symbol.name != draft.name:
                    self._undefined_label(symbol, draft)

    def _label_exit(self, draft: _Draft) -> None:
        name = "exit"
        if name in (draft.name, *draft.labels) or all(
            each.name != name for each in self._targets(draft)
        ):
            return
        for position, item in enumerate(draft.items):
            if isinstance(item, Operation) and item.spec.form is Form.EXIT:
                draft.items.insert(position, LabelDefinition(name, item.span))
                draft.labels[name] = item.span
                return

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
                    give_up(self.wrong, item.span)
                    yield Instruction(spec, item.dst, item.src, item.off, imm, ref, item.span)

    def _targets(self, draft: _Draft) -> Iterable[Symbol]:
        if self.tables is not None:
            yield from self.tables.labels_of(draft.name)
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
                if name in self.kernel:
                    return BY_NAME["call_kfunc"], 0, KfuncRef(name)
                helper = helpers.find(name)
                if helper is None:
                    hint = f"a function of the kernel is declared: .extern {name}"
                    self._unknown(symbol, (*self.functions, *helpers.BY_NAME), hint)
                return item.spec, helper.id if helper is not None else 0, None
            case Role.FUNCTION:
                if name not in self.functions:
                    self._unknown(symbol, self.functions)
                return item.spec, 0, FunctionRef(name)
            case Role.ADDRESS:
                variable = self.data.find(name) if self.data is not None else None
                if variable is not None:
                    section, offset = variable
                    ref = VarRef(section, name, self._offset(symbol, section, offset))
                    return BY_NAME["lddw_map_value"], 0, ref
                if self.tables is not None and name in self.tables:
                    size = self.tables[name].size
                    ref = VarRef(name, "", self._within(symbol, 0, f"jump table {name}", size))
                    return BY_NAME["lddw_map_value"], 0, ref
                if symbol.addend:
                    message = f"only a data symbol takes an addend, and {name} is none"
                    self.wrong.append(error("asm-operand", message, symbol.span))
                if name in self.maps:
                    return BY_NAME["lddw_map_fd"], 0, MapRef(name)
                if name not in self.functions:
                    labels = self.data.labels() if self.data is not None else ()
                    tables = self.tables.names() if self.tables is not None else ()
                    self._unknown(symbol, (*self.maps, *self.functions, *labels, *tables))
                return BY_NAME["lddw_func"], 0, FunctionRef(name)

    def _offset(self, symbol: Symbol, section: str, offset: int) -> int:
        """Where in its section's map an address points; the kernel takes only those within."""
        return self._within(symbol, offset, section, self.variables.size(section))

    def _within(self, symbol: Symbol, offset: int, where: str, size: int) -> int:
        place = offset + symbol.addend
        if not 0 <= place < size:
            message = f"{symbol.name} {symbol.addend:+} is outside {where}, which has {size} bytes"
            self.wrong.append(error("asm-range", message, symbol.span))
            return offset
        return place

    def _unknown(
        self, symbol: Symbol, candidates: Iterable[str], otherwise: str | None = None
    ) -> None:
        if symbol.name in self.templates:
            message = f"{symbol.name} is the template of inner maps and no map by itself"
            note = Note("it is described here", self.templates[symbol.name].span)
            self.wrong.append(error("asm-symbol", message, symbol.span, notes=(note,)))
            return
        message = f"there is no {symbol.role.value} {symbol.name}"
        hint = did_you_mean(symbol.name, candidates) or otherwise
        self.wrong.append(error("asm-symbol", message, symbol.span, hint=hint))

    def _undefined_label(self, symbol: Symbol, draft: _Draft) -> None:
        notes = tuple(
            Note(f"there is one in {other.name}, but a jump cannot leave its function", place)
            for other in self.functions.values()
            if (place := other.labels.get(symbol.name)) is not None
        )
        written = label_text(symbol.name)
        hint = did_you_mean(written, (draft.name, *draft.labels))
        message = f"there is no label {written} in {draft.name}"
        self.wrong.append(
            error("asm-label-undefined", message, symbol.span, notes=notes, hint=hint)
        )


def _declared(found: Iterable[Statement]) -> set[str]:
    """Names that begin functions wherever they stand: declared or called."""
    names = set()
    for statement in found:
        match statement:
            case Directive(name=".globl" | ".global", arguments=(first, *_)):
                names.add(first.value.text)
            case Directive(name=".type", arguments=(first, second, *_)) if second.value.text in (
                "@function",
                "%function",
                "function",
            ):
                names.add(first.value.text)
            case Operation(symbol=Symbol(role=role, name=name)) if role in _NAMES_FUNCTION:
                names.add(name)
            case _:
                pass
    return names


def _program(name: str, section: str, span: Span, items: Sequence[Item]) -> ProgramSpec:
    match = sections.resolve(section) if section != TEXT else None
    if match is None:
        return ProgramSpec(name, section, "", items, span=span)
    return ProgramSpec(
        name,
        section,
        match.program_type,
        items,
        attach_type=match.attach_type or "",
        attach_target=match.target or "",
        flags=match.load_flags,
        span=span,
    )
