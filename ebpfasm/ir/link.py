"""From names to distances: a program and the functions it reaches become one piece of code.

Functions follow the program in libbpf's order. Labels and calls turn into distances; maps,
variables and kernel symbols stay names, for they are known only where the program is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, replace
from types import MappingProxyType
from typing import assert_never

from ebpfasm.errors import Diagnostic, LinkError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Instruction, Item
from ebpfasm.ir.layout import Layout, distance_field, lay_out
from ebpfasm.ir.packed import Packed, Stream, too_far
from ebpfasm.ir.references import (
    CoreRef,
    FunctionRef,
    KfuncRef,
    KsymRef,
    LabelRef,
    MapRef,
    Reference,
    VarRef,
)
from ebpfasm.ir.specs import MapSpec, ProgramSpec
from ebpfasm.ir.tables import is_table, placed
from ebpfasm.isa.codec import fit

# What is called and is not there may be a program.
IN_TEXT = "functions that are called stand in .text; in other sections they are programs"


@dataclass(frozen=True, slots=True)
class LinkedFunction:
    """A function's place in a linked program: index of its first instruction, and its slot."""

    name: str
    index: int
    slot: int


@dataclass(frozen=True, slots=True)
class LinkedProgram:
    """A program whose jumps and calls are numbers. The first function is the program itself.

    `tables` are its jump tables by the name of their maps: the slots that their entries lead to.
    """

    program: ProgramSpec
    instructions: Sequence[Instruction]
    functions: tuple[LinkedFunction, ...]
    tables: Mapping[str, tuple[int, ...]] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )

    @property
    def name(self) -> str:
        """The program's name."""
        return self.program.name

    @property
    def type(self) -> str:
        """The program type, libbpf's name."""
        return self.program.type

    @property
    def maps(self) -> tuple[MapSpec, ...]:
        """Maps that the instructions name."""
        return self.program.maps

    def slots(self) -> Iterator[tuple[int, Instruction]]:
        """Each instruction with the slot where it begins."""
        slot = 0
        for each in self.instructions:
            yield slot, each
            slot += each.slots


def link(program: ProgramSpec) -> LinkedProgram:
    """Resolve labels and calls.

    Raises LinkError with a diagnostic for every label, function or map that does not exist
    and every jump that does not reach.
    """
    linked = _link(program)
    if not any(map(is_table, program.maps)):
        return linked
    streams = [program.instructions, *(each.instructions for each in program.functions)]
    wrong: list[Diagnostic] = []
    labels = {
        function.name: {name: function.slot + slot for name, slot in _labels(stream).items()}
        for function, stream in zip(linked.functions, streams, strict=True)
    }
    tables = placed(program.maps, labels, wrong)
    if wrong:
        raise LinkError(*wrong)
    return replace(linked, tables=tables)


def _labels(stream: Sequence[Item]) -> dict[str, int]:
    """The slot of each label, counted from the function's first."""
    layout = lay_out(stream)
    return {name: layout.slots[index] for name, index in layout.labels.items()}


def _link(program: ProgramSpec) -> LinkedProgram:
    names = [program.name, *(function.name for function in program.functions)]
    streams = [program.instructions, *(each.instructions for each in program.functions)]
    packed = [stream for stream in streams if isinstance(stream, Stream)]
    if len(packed) == len(streams):
        return _link_packed(program, names, packed)
    layouts = [lay_out(stream) for stream in streams]
    starts, functions = _place(names, layouts)
    maps = {spec.name for spec in program.maps}
    resolved: list[Instruction] = []
    wrong: list[Diagnostic] = []
    for layout, start in zip(layouts, functions, strict=True):
        for index, each in enumerate(layout.instructions):
            slot = start.slot + layout.slots[index]
            match _resolve(each, slot, start.slot, layout, starts, maps):
                case Diagnostic() as diagnostic:
                    wrong.append(diagnostic)
                case instruction:
                    resolved.append(instruction)
    if wrong:
        raise LinkError(*wrong)
    return LinkedProgram(program, tuple(resolved), tuple(functions))


def _link_packed(program: ProgramSpec, names: list[str], streams: list[Stream]) -> LinkedProgram:
    """Link long programs as code, without looking at what is not a reference."""
    wrong: list[Diagnostic] = []
    index = slot = 0
    functions = []
    for name, stream in zip(names, streams, strict=True):
        functions.append(LinkedFunction(name, index, slot))
        index += len(stream.body)
        slot += stream.body.slot_count
    starts = {function.name: function.slot for function in functions}
    bodies = [
        stream.linked(start.slot, starts, wrong.append)
        for stream, start in zip(streams, functions, strict=True)
    ]
    if wrong:
        raise LinkError(*wrong)
    return LinkedProgram(program, Packed.joined(bodies), tuple(functions))


def _place(names: list[str], layouts: list[Layout]) -> tuple[dict[str, int], list[LinkedFunction]]:
    index = slot = 0
    functions = []
    for name, layout in zip(names, layouts, strict=True):
        functions.append(LinkedFunction(name, index, slot))
        index += len(layout.instructions)
        slot += layout.slots[-1]
    return {function.name: function.slot for function in functions}, functions


def _resolve(
    each: Instruction,
    slot: int,
    base: int,
    layout: Layout,
    starts: dict[str, int],
    maps: set[str],
) -> Instruction | Diagnostic:
    ref: Reference | None = each.ref
    match ref:
        case None | KfuncRef() | KsymRef() | CoreRef():
            return each
        case LabelRef(name=name):
            if name not in layout.labels:
                return error("link-label", f"there is no label {name!r} here", each.span)
            place = base + layout.slots[layout.labels[name]]
            return _at_distance(each, place - slot - 1, name)
        case FunctionRef(name=name):
            if name not in starts:
                message = f"there is no function {name!r}"
                return error("link-function", message, each.span, hint=IN_TEXT)
            return _at_distance(each, starts[name] - slot - 1, name)
        case MapRef(name=name) | VarRef(map=name):
            if name not in maps:
                return error("link-map", f"there is no map {name!r}", each.span)
            return each
        case _:
            assert_never(ref)


def _at_distance(each: Instruction, distance: int, name: str) -> Instruction | Diagnostic:
    # A function's address (lddw) keeps its distance in imm too, though it is no jump.
    if distance_field(each.spec.form) != "off":
        return replace(each, imm=distance, ref=None)
    if fit("off", distance) is None:
        return too_far(each, distance, name)
    return replace(each, off=distance, ref=None)
