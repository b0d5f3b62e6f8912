"""Where each instruction of a stream lies in slots, and where each jump goes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Instruction, Item, Label
from ebpfasm.ir.references import LabelRef
from ebpfasm.isa.forms import Form

# Forms that may hand control to their target; calls come back and are not among them.
JUMPS = frozenset({Form.JUMP, Form.JUMP_LONG, Form.JCOND_IMM, Form.JCOND_REG, Form.MAY_GOTO})
# Forms after which the next instruction is not reached.
ENDS = frozenset({Form.JUMP, Form.JUMP_LONG, Form.JUMP_REG, Form.EXIT})


def distance_field(form: Form) -> str:
    """The field that holds a form's distance: "off", "imm", or "" where it has none."""
    return next((each.field for each in form.operands if each.kind == "target"), "")


@dataclass(frozen=True, slots=True)
class Layout:
    """A stream with its labels taken out: instructions by index, places as indices.

    `slots[i]` is where instruction i begins; the last entry is the length. A place may be
    `len(instructions)`: the end, where a label can stand but nothing can run. `indirect` are the
    places that jump tables lead to: where a `gotox` may go.
    """

    instructions: tuple[Instruction, ...]
    labels: dict[str, int]
    slots: tuple[int, ...]
    index_at: dict[int, int]
    indirect: tuple[int, ...] = ()

    def target(self, index: int) -> int | None:
        """The place that the jump at an index goes to; None where it is no jump or goes astray."""
        jump = self.instructions[index]
        if jump.spec.form not in JUMPS:
            return None
        match jump.ref:
            case LabelRef(name=name):
                return self.labels.get(name)
            case _:
                distance = jump.off if distance_field(jump.spec.form) == "off" else jump.imm
                return self.index_at.get(self.slots[index] + 1 + distance)

    def successors(self, index: int) -> tuple[int, ...]:
        """Places where control can be after the instruction: the next one, targets, or both."""
        form = self.instructions[index].spec.form
        if form is Form.JUMP_REG:
            return self.indirect
        following = () if form in ENDS else (index + 1,)
        target = self.target(index)
        return following if target is None or target in following else (*following, target)


def lay_out(items: Iterable[Item], tables: Iterable[str] = ()) -> Layout:
    """Lay a stream out. Of labels with one name the first counts.

    `tables` are the labels that its jump tables name; those that it does not have lead nowhere.
    """
    instructions: list[Instruction] = []
    labels: dict[str, int] = {}
    slots = [0]
    for item in items:
        match item:
            case Instruction():
                instructions.append(item)
                slots.append(slots[-1] + item.slots)
            case Label():
                labels.setdefault(item.name, len(instructions))
            case _:
                assert_never(item)
    index_at = {slot: index for index, slot in enumerate(slots)}
    indirect = tuple(sorted({labels[name] for name in tables if name in labels}))
    return Layout(tuple(instructions), labels, tuple(slots), index_at, indirect)
