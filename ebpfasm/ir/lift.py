"""From distances back to names: decoded instructions become functions with labels.

What `ir.link` does, undone as far as bytes tell: jumps inside a function get labels, calls
and function addresses get functions. Linking the result gives the same bytes again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from ebpfasm.errors import DecodeError, Diagnostic, error
from ebpfasm.ir.instruction import Instruction, Item, Label
from ebpfasm.ir.layout import Layout, distance_field, lay_out
from ebpfasm.ir.references import FunctionRef, LabelRef
from ebpfasm.ir.specs import Function, ProgramSpec
from ebpfasm.isa.forms import Form


def lift(
    instructions: Sequence[Instruction],
    *,
    name: str = "main",
    section: str = "",
    type: str = "",
    names: Mapping[int, str] | None = None,
) -> ProgramSpec:
    """Split a linked program into functions and name its jump targets.

    `names` gives functions' names by slot, where they are known. Raises DecodeError where a
    call leaves the program. A jump that leaves its function keeps its number.
    """
    layout = lay_out(instructions)
    names = names or {}
    starts, wrong = _function_starts(layout)
    if wrong:
        raise DecodeError(*wrong)
    called = {index: names.get(layout.slots[index], f"func_{layout.slots[index]}")
              for index in starts}  # fmt: skip
    called[0] = name
    bounds = [*starts, len(layout.instructions)]
    bodies = [
        Function(called[begin], _body(layout, begin, end, called))
        for begin, end in pairwise(bounds)
    ]
    main, *functions = bodies or [Function(name, ())]
    return ProgramSpec(name, section, type, main.instructions, functions=tuple(functions))


def _function_starts(layout: Layout) -> tuple[list[int], list[Diagnostic]]:
    starts = {0} if layout.instructions else set()
    wrong = []
    for index, each in enumerate(layout.instructions):
        if each.ref is None and _mentions_function(each):
            place = layout.index_at.get(layout.slots[index] + 1 + each.imm)
            if place is None or place == len(layout.instructions):
                message = f"slot {layout.slots[index]}: the call leaves the program"
                wrong.append(error("decode-reserved", message, each.span))
            else:
                starts.add(place)
    return sorted(starts), wrong


def _mentions_function(each: Instruction) -> bool:
    return each.spec.form is Form.CALL_LOCAL or each.spec.op == "lddw_func"


def _body(layout: Layout, begin: int, end: int, called: Mapping[int, str]) -> tuple[Item, ...]:
    targets = _targets(layout, range(begin, end))
    labels = {place: f"L{number}" for number, place in enumerate(sorted(targets), 1)}
    items: list[Item] = []
    for index in range(begin, end):
        if index in labels:
            items.append(Label(labels[index]))
        items.append(_named(layout, index, labels, called))
    if end in labels:
        items.append(Label(labels[end]))
    return tuple(items)


def _targets(layout: Layout, indices: Iterable[int]) -> set[int]:
    inside = range(min(indices, default=0), max(indices, default=0) + 2)
    targets = (layout.target(index) for index in indices)
    return {place for place in targets if place is not None and place in inside}


def _named(
    layout: Layout, index: int, labels: Mapping[int, str], called: Mapping[int, str]
) -> Instruction:
    each = layout.instructions[index]
    if each.ref is not None:
        return each
    if _mentions_function(each):
        place = layout.index_at[layout.slots[index] + 1 + each.imm]
        return replace(each, imm=0, ref=FunctionRef(called[place]))
    target = layout.target(index)
    if target is None or target not in labels:
        return each
    cleared = replace(each, ref=LabelRef(labels[target]))
    if distance_field(each.spec.form) == "off":
        return replace(cleared, off=0)
    return replace(cleared, imm=0)
