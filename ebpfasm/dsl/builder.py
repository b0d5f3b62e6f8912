"""The builder: programs, functions and maps by name, and the collection that they make."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ebpfasm.dsl.alu import Arithmetic
from ebpfasm.dsl.atomics import Atomics
from ebpfasm.dsl.findings import Findings, did_you_mean
from ebpfasm.dsl.jumps import Jumps
from ebpfasm.dsl.maps import MapDefinition
from ebpfasm.dsl.memory import Memory
from ebpfasm.dsl.names import Names
from ebpfasm.dsl.place import Call, called
from ebpfasm.dsl.tables import Tables
from ebpfasm.errors import LineSpan, Note
from ebpfasm.ir import (
    CollectionSpec,
    Function,
    MapSpec,
    ProgramSpec,
    collect,
    instructions_of,
)
from ebpfasm.isa.kinds import ATTACH_TYPES, PROGRAM_TYPES
from ebpfasm.isa.sections import SECTIONS, SectionMatch, resolve


class Code(Arithmetic, Jumps, Memory, Atomics, Tables):
    """The instructions of one program or function, a method each.

    Registers are R0 to R10; a plain int is an immediate. Methods whose name ends in 32 work
    on the lower halves. Each instruction remembers the Python line that called its method.
    As a context manager it takes no more instructions after its block.
    """

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class _Program:
    """What a ProgramSpec needs besides instructions."""

    code: Code
    section: str
    type: str
    attach_type: str
    attach_target: str
    flags: int


class Builder:
    """Collects programs, functions and maps until `build`.

    Mistakes are collected too, each with the Python line that made it, and `build` raises
    them together as one DslError. After `build` the builder takes nothing more.

    >>> from ebpfasm.dsl import R0
    >>> b = Builder(license="GPL")
    >>> with b.program("pass_all", section="xdp") as p:
    ...     p.mov32(R0, 2)
    ...     p.exit()
    >>> b.build().programs["pass_all"].type
    'xdp'
    """

    __slots__ = ("_findings", "_functions", "_maps", "_names", "_programs", "license")

    def __init__(self, *, license: str = "") -> None:
        self.license = license
        self._findings = Findings()
        self._programs: list[_Program] = []
        self._functions: list[Code] = []
        self._maps: dict[str, MapSpec] = {}
        self._names: dict[str, tuple[str, LineSpan]] = {}

    def map(
        self,
        name: str,
        type: str | int,
        *,
        key: str | int = "",
        value: str | int = "",
        max_entries: int = 0,
        flags: int = 0,
        inner: MapSpec | None = None,
        pinning: str = "",
        numa_node: int | None = None,
        map_extra: int = 0,
    ) -> MapSpec:
        """Define a map.

        `type` is libbpf's name, or a number that this ebpfasm need not know. `key` and
        `value` are a type (u8 to u64, s8 to s64, or "u8[6]") or a size in bytes, and can be
        left out where the map's type has only one. `flags` are the kernel's BPF_F_* creation
        flags; for `inner` and what follows see MapSpec.
        """
        call = self._call()
        check = self._findings.check_types
        right = check(call, (str, int), type=type, key=key, value=value)
        right &= check(call, (int,), max_entries=max_entries, flags=flags, map_extra=map_extra)
        right &= check(call, (str,), pinning=pinning)
        right &= numa_node is None or check(call, (int,), numa_node=numa_node)
        right &= inner is None or check(call, (MapSpec,), inner=inner)
        if not right:
            return MapSpec(self._named("map", name, call), "unspec", 0, 0, 0, span=call.span)
        definition = MapDefinition(
            name, type, key, value, max_entries, flags, inner, pinning, numa_node, map_extra,
            call.span,
        )  # fmt: skip
        spec = definition.spec(self._findings)
        if self._is_new("map", spec.name, call.span):
            self._maps[spec.name] = spec
        return spec

    def program(
        self,
        name: str,
        section: str = "",
        *,
        type: str = "",
        attach_type: str = "",
        attach_target: str = "",
        flags: int = 0,
    ) -> Code:
        """Begin a program. What its section says about it gives way to what is given here.

        `type` and `attach_type` are libbpf's names; `flags`, BPF_F_* load flags, add to those
        of the section.
        """
        call = self._call()
        code = Code("program", self._named("program", name, call), call.span, self._findings)
        check = self._findings.check_types
        right = check(call, (str,), section=section, type=type, attach_type=attach_type)
        right &= check(call, (str,), attach_target=attach_target)
        if not right & check(call, (int,), flags=flags):
            section, type, flags = "", "unspec", 0
        match = resolve(section)
        self._check_kinds(code, section, type, attach_type, match)
        if match is not None:
            if not type or type == match.program_type:
                attach_type = attach_type or match.attach_type or ""
            type = type or match.program_type
            attach_target = attach_target or match.target or ""
            flags |= match.load_flags
        self._programs.append(_Program(code, section, type, attach_type, attach_target, flags))
        return code

    def function(self, name: str) -> Code:
        """Begin a function, to be called by `call_local` from programs and functions."""
        call = self._call()
        code = Code("function", self._named("function", name, call), call.span, self._findings)
        self._functions.append(code)
        return code

    def build(self) -> CollectionSpec:
        """Join all that was defined into a collection; the builder ends here.

        Raises DslError with every mistake, in the order of the lines that made them.
        """
        call = called()
        self._findings.close(call)
        self._findings.check_types(call, (str,), license=self.license)
        tables = [each for code in self._codes() for each in code.tables]
        for each in tables:
            assert isinstance(each.span, LineSpan)
            self._is_new("map", each.name, each.span)
        names = Names({name: kind for name, (kind, _) in self._names.items()}, self._findings)
        names.explain_helpers()
        for code in self._codes():
            names.check(code)
            if not any(instructions_of(code.items)):
                message = f"{code.kind} {code.name!r} has no instructions"
                self._findings.report("dsl-unfinished", message, code.span)
        self._findings.raise_if_any()
        functions = [Function(code.name, code.items, code.span) for code in self._functions]
        programs = [
            ProgramSpec(
                each.code.name, each.section, each.type, each.code.items, each.attach_type,
                each.attach_target, each.flags, span=each.code.span,
            )
            for each in self._programs
        ]  # fmt: skip
        return collect(programs, functions, [*self._maps.values(), *tables], self.license)

    if not TYPE_CHECKING:  # a type checker says it by itself

        def __getattr__(self, name: str) -> Callable[..., None]:
            """Explain an instruction that was written on the builder instead of on a program."""
            if name.startswith("_") or not callable(getattr(Code, name, None)):
                raise AttributeError(f"'Builder' object has no attribute {name!r}")
            call = called()._replace(method=name)
            self._findings.check_open(call)
            message = f"{name} is a method of a program or function, not of the builder"
            hint = f'with b.program("name", section="xdp") as p: p.{name}(...)'
            self._findings.report("dsl-operand", message, call.span, hint=hint)
            return lambda *_, **__: None

    def _call(self) -> Call:
        call = called()
        self._findings.check_open(call)
        return call

    def _codes(self) -> Iterator[Code]:
        yield from (each.code for each in self._programs)
        yield from self._functions

    def _named(self, what: str, name: str, call: Call) -> str:
        checked = self._findings.check_name(what, name, call.span)
        self._is_new(what, checked, call.span)
        return checked

    def _is_new(self, what: str, name: str, span: LineSpan) -> bool:
        """Programs, functions and maps share one space of names, as symbols of an object do."""
        if not name:
            return False
        kind, first = self._names.setdefault(name, (what, span))
        if first is span:
            return True
        message = f"{what} {name!r} has the name of a {kind}"
        if kind == what:
            message = f"{what} {name!r} is defined twice"
        notes = (Note(f"the first {kind} is here", first),)
        self._findings.report("dsl-duplicate", message, span, notes=notes)
        return False

    def _check_kinds(
        self, code: Code, section: str, type: str, attach_type: str, match: SectionMatch | None
    ) -> None:
        who = f"program {code.name!r}"
        for what, given, table in (
            ("program type", type, PROGRAM_TYPES),
            ("attach type", attach_type, ATTACH_TYPES),
        ):
            if given and table.id_of(given) is None:
                hint = did_you_mean(given, table.by_name)
                message = f"{who}: there is no {what} {given!r}"
                self._findings.report("dsl-symbol", message, code.span, hint=hint)
        if match is not None or type:
            return
        if not section:
            hint = 'say which, as in section="xdp" or type="xdp"'
            message = f"{who} has neither a section nor a type"
        else:
            hint = did_you_mean(section, (spec.name for spec in SECTIONS))
            hint = hint or 'give the program\'s type, as in type="xdp"'
            message = f"{who}: section {section!r} says no program type"
        self._findings.report("dsl-section", message, code.span, hint=hint)
