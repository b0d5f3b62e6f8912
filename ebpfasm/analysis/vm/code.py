"""Programs made ready to run: one row of steps, jumps resolved to places in it.

A machine may run several programs (a prog array's); their steps follow one another. Behind
each function, and wherever a jump goes astray, stands a trap: control that comes to it has left
the function. So an engine need not check where it is.
"""

from __future__ import annotations

from dataclasses import dataclass

from ebpfasm.analysis.vm.faults import Fault, Place
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.layout import distance_field
from ebpfasm.ir.link import LinkedFunction, LinkedProgram
from ebpfasm.ir.references import KfuncRef
from ebpfasm.isa import helpers
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME

FRAME_POINTER = 10
ARGUMENTS = 5  # r1 to r5


@dataclass(slots=True)
class Step:
    """One instruction where it runs, or a trap.

    `target` is the step that a jump or call goes to, 0 where there is none. `reads` and
    `writes` are register numbers as bit masks. A step with a `fault` cannot be run: `origin` is
    the step to blame. `value` is what a 64-bit immediate loads.
    """

    instruction: Instruction
    function: int
    origin: int
    target: int = 0
    reads: int = 0
    writes: int = 0
    value: int = 0
    fault: Fault | None = None


@dataclass(frozen=True, slots=True)
class Routine:
    """A function in the code: its program, where it begins, and at which slot it began."""

    program: LinkedProgram
    name: str
    start: int
    end: int


class Code:
    """Steps of all programs; `routines` are their functions, in the same order."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.routines: list[Routine] = []
        self.starts: set[int] = set()  # steps where a function begins
        self.landings: set[int] = set()  # steps that jump tables lead to
        self.programs: dict[int, int] = {}  # id of a linked program -> its first step
        # by id of a linked program and name: the steps of a jump table's entries, -1 for none
        self.tables: dict[tuple[int, str], tuple[int, ...]] = {}

    def add(self, linked: LinkedProgram) -> int:
        """Append a program; return its first step. One that is there already is not repeated."""
        if id(linked) in self.programs:
            return self.programs[id(linked)]
        entry = len(self.steps)
        self.programs[id(linked)] = entry
        slots = [slot for slot, _ in linked.slots()]
        bounds = [*linked.functions[1:], None]
        placed: dict[int, int] = {}  # slot of a function -> its first step
        for function, following in zip(linked.functions, bounds, strict=True):
            placed[function.slot] = self._append(linked, function, following)
        step_at: dict[int, int] = {}  # slot -> step
        for routine, function in zip(
            self.routines[-len(linked.functions) :], linked.functions, strict=True
        ):
            step_at |= self._resolve(routine, function, slots, placed)
        for name, entries in linked.tables.items():
            steps = tuple(step_at.get(slot, -1) for slot in entries)
            self.tables[id(linked), name] = steps
            self.landings.update(steps)
        return entry

    def _append(
        self, linked: LinkedProgram, function: LinkedFunction, following: LinkedFunction | None
    ) -> int:
        start, number = len(self.steps), len(self.routines)
        end = following.index if following is not None else len(linked.instructions)
        for each in linked.instructions[function.index : end]:
            at = len(self.steps)
            self.steps.append(
                Step(each, number, at, 0, _reads(each), _writes(each), fault=_illegal(each))
            )
        last = len(self.steps) - 1 if end > function.index else start
        body = linked.instructions[end - 1] if end > function.index else _EXIT
        self._trap(body, number, last, "runs off the end of the function")
        self.routines.append(Routine(linked, function.name, start, len(self.steps)))
        self.starts.add(start)
        return start

    def _trap(self, instruction: Instruction, number: int, origin: int, message: str) -> int:
        fault = Fault("vm-jump", message)
        self.steps.append(Step(instruction, number, origin, fault=fault))
        return len(self.steps) - 1

    def _resolve(
        self, routine: Routine, function: LinkedFunction, slots: list[int], placed: dict[int, int]
    ) -> dict[int, int]:
        """Give jumps and calls their targets; return the step of each slot."""
        index_at = {
            slots[function.index + each]: routine.start + each
            for each in range(routine.end - routine.start - 1)
        }
        for slot, at in list(index_at.items()):
            step = self.steps[at]
            form = step.instruction.spec.form
            name = distance_field(form)
            if form is Form.LOAD_PSEUDO and step.instruction.spec.op == "lddw_func":
                name = "imm"
            elif not name:
                continue
            distance = step.instruction.off if name == "off" else step.instruction.imm
            goal = slot + 1 + distance
            calls = form in (Form.CALL_LOCAL, Form.LOAD_PSEUDO)
            found = placed.get(goal) if calls else index_at.get(goal)
            if found is None:
                verb = "calls" if calls else "jumps to"
                what = "no function" if calls else "no instruction of this function"
                text = f"{verb} slot {goal}, where {what} begins"
                found = self._trap(step.instruction, step.function, at, text)
            step.target = found
        return index_at

    def place(self, at: int) -> Place:
        """Say where a step is, for people."""
        step = self.steps[self.steps[at].origin]
        routine = self.routines[step.function]
        index = self.steps[at].origin - routine.start
        return Place(routine.name, index, text_of(step.instruction), step.instruction.span)

    def name_of(self, at: int) -> str:
        """What a place in the code is called."""
        if not 0 <= at < len(self.steps):
            return "code"
        routine = self.routine(at)
        inside = f"instruction {at - routine.start} of " if at != routine.start else ""
        return f"{inside}function {routine.name!r}"

    def routine(self, at: int) -> Routine:
        """The function that a step belongs to."""
        return self.routines[self.steps[at].function]


def kfunc_name(each: Instruction) -> str:
    """What a kernel function that is called is named, empty where only its number is known."""
    return each.ref.name if isinstance(each.ref, KfuncRef) else ""


def text_of(each: Instruction) -> str:
    """An instruction as the assembler writes it."""
    from ebpfasm.asm.writing.printer import text_of as print_text

    return print_text(each)


_EXIT = Instruction(BY_NAME["exit"])


def _reads(each: Instruction) -> int:
    if each.spec.form is Form.EXIT:
        return 0  # whether r0 must be there depends on who is returned to
    mask = _mask(each.registers("r"))
    if each.spec.form is Form.CALL_HELPER:
        helper = helpers.find(each.imm)
        if helper is not None:
            count = len(helper.params) - helper.variadic
            mask |= ((1 << count) - 1) << 1
    return mask


def _writes(each: Instruction) -> int:
    if each.spec.op in ("call", "callx"):
        return 0  # r0 is written on the way back, not on the way in
    return _mask(each.registers("w"))


def _mask(registers: tuple[int, ...]) -> int:
    mask = 0
    for register in registers:
        mask |= 1 << register
    return mask


def _illegal(each: Instruction) -> Fault | None:
    """What no machine can do with an instruction, whenever it comes to it."""
    if FRAME_POINTER in each.registers("w"):
        return Fault("vm-frame-pointer", "writes r10, the frame pointer, which can only be read")
    match each.spec.form:
        case Form.CALL_KFUNC:
            name = kfunc_name(each)
            what = f"calls {name or 'a kernel function'}, which exists only in a kernel"
            call = f'functions={{"{name or "NAME"}": lambda machine, r1, ..., r5: 0}}'
            return Fault("not-supported", what, f"give a Python function: {call}")
        case Form.LOAD_PSEUDO if each.spec.op in (
            "lddw_btf_id",
            "lddw_map_idx",
            "lddw_map_idx_value",
        ):
            what = "kernel variables" if each.spec.op == "lddw_btf_id" else "descriptor arrays"
            return Fault("not-supported", f"{what} exist only in a kernel")
        case _:
            return None
