"""Findings in the user's terms: the sentence, the path, the hint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

from ebpfasm.analysis.checks import PACKET_LOAD_TYPES
from ebpfasm.analysis.paths import Path
from ebpfasm.analysis.requirements import (
    CONTEXT,
    DivisorNotZero,
    FromTable,
    HelperAllowed,
    HelperExists,
    LicenseAllows,
    NotFramePointer,
    PacketLoadAllowed,
    Readable,
    Requirement,
    ShiftWithin,
    WithinStack,
)
from ebpfasm.analysis.transfer import ARGUMENTS, CALLS
from ebpfasm.analysis.values import STACK, Number, Pointer, State
from ebpfasm.analysis.walk import Walk
from ebpfasm.errors import Diagnostic, Location, Note, error
from ebpfasm.isa import helpers, kinds
from ebpfasm.isa.forms import Form

LONGEST = 8  # places of a path that are shown


@dataclass(frozen=True, slots=True)
class Finding:
    """A requirement that fails before an instruction, in a state, on a path.

    `caller` is the place of a call that begins the path, empty where that is not known.
    """

    walk: Walk
    index: int
    requirement: Requirement
    state: State
    path: Path
    caller: str

    @property
    def span(self) -> Location | None:
        """The instruction's place."""
        return self.walk.body.instructions[self.index].span


def explain(finding: Finding) -> Diagnostic:
    """Say what is wrong, where, on which path, and what to do."""
    match finding.requirement:
        case Readable():
            return _unwritten(finding, finding.requirement)
        case NotFramePointer():
            hint = "copy it first, as in 'r1 = r10', and change the copy"
            message = "r10, the frame pointer, can only be read"
            return error("verify-frame-pointer", message, finding.span, hint=hint)
        case WithinStack():
            return _outside_stack(finding, finding.requirement)
        case DivisorNotZero():
            division = finding.walk.body.instructions[finding.index].spec.op.endswith("div")
            message = f"{'division' if division else 'modulo'} by the constant 0"
            return error("verify-division", message, finding.span)
        case ShiftWithin(count=count, width=width):
            message = f"a shift by {count}; {width} bits can be shifted by 0 to {width - 1}"
            return error("verify-shift", message, finding.span)
        case HelperExists(number=number):
            message = f"there is no helper function with the number {number}"
            return error("verify-helper", message, finding.span)
        case HelperAllowed():
            return _not_allowed(finding, finding.requirement)
        case LicenseAllows(what=what, license=license):
            message = f"{what} may only be called from a program with a GPL-compatible license"
            notes = (Note(f"the license is {license!r}" if license else "no license is given"),)
            hint = "say 'GPL', 'Dual BSD/GPL' or 'Dual MIT/GPL', if that is true of your code"
            return error("verify-license", message, finding.span, notes=notes, hint=hint)
        case PacketLoadAllowed(program_type=program_type):
            message = f"{program_type} programs have no legacy packet loads"
            notes = (Note(f"only {', '.join(sorted(PACKET_LOAD_TYPES))} programs have them"),)
            hint = "read the packet through the context's data and data_end"
            return error("verify-packet-load", message, finding.span, notes=notes, hint=hint)
        case FromTable(register=register):
            return _no_code_address(finding, register)
        case _:
            assert_never(finding.requirement)


def _no_code_address(finding: Finding, register: int) -> Diagnostic:
    match finding.state[register]:
        case Number(value=number):
            what = f"the number {number}"
        case Pointer(kind="map"):
            what = "the address of a map or table"
        case Pointer(kind=kind):
            what = f"the address of {'a function' if kind == 'function' else f'the {kind}'}"
        case _:
            what = "something else"
    message = f"gotox takes an entry of a jump table; r{register} holds {what}"
    hint = f"load the entry first, as in 'r{register} = *(u64 *)(r{register} + 0)'"
    return error("verify-jump-target", message, finding.span, hint=hint)


def _outside_stack(finding: Finding, requirement: WithinStack) -> Diagnostic:
    register, offset, size = requirement.register, requirement.offset, requirement.size
    message = f"{_bytes(size)} at r{register}{offset:+} are outside the stack"
    start = offset
    match finding.state[register]:
        case Pointer(offset=int(base)):
            start += base
        case _:
            pass
    if register != 10:
        message = (
            f"{_bytes(size)} at r{register}{offset:+}, which is r10{start:+}, are outside the stack"
        )
    if size == 1:
        message = message.replace(" are ", " is ")
    hint = f"the stack is r10-{STACK} to r10-1"
    return error("verify-stack-bounds", message, finding.span, hint=hint)


def _bytes(size: int) -> str:
    return "1 byte" if size == 1 else f"{size} bytes"


def _not_allowed(finding: Finding, requirement: HelperAllowed) -> Diagnostic:
    name, program_type = requirement.name, requirement.program_type
    message = f"{program_type} programs cannot call {name}"
    types = sorted(row.name for row in kinds.PROGRAM_TYPES if helpers.allowed(name, row.name))
    hint = None
    if 0 < len(types) <= LONGEST:
        hint = f"these program types have it: {', '.join(types)}"
    return error("verify-helper", message, finding.span, hint=hint)


def _unwritten(finding: Finding, requirement: Readable) -> Diagnostic:
    register, role = requirement.register, requirement.role
    subject = f"r{register}, {role}," if role else f"r{register}"
    verb = "is read" if finding.path.certain else "may be read"
    story = _Story(finding, requirement)
    notes = (Note(story.note()),)
    return Diagnostic(
        "error" if finding.path.certain else "warning",
        "verify-uninit-read",
        f"{subject} {verb} before it is written",
        finding.span,
        notes,
        story.hint(),
    )


class _Story:
    """How control came to a read without a write."""

    def __init__(self, finding: Finding, requirement: Readable) -> None:
        self.body = finding.walk.body
        self.caller, self.index = finding.caller, finding.index
        self.register, self.role = requirement.register, requirement.role
        self.blocks = [self.body.cfg.blocks[number] for number in finding.path.blocks]

    def note(self) -> str:
        """The path, and what there is of writes."""
        writers = self._writers()
        what = self._clobbered()
        if not what and not writers:
            return f"r{self.register} is written nowhere in '{self.body.name}'{self._not_given()}"
        what = what or self._only(writers) + self._not_given()
        if all(len(block.successors) < 2 for block in self.blocks[:-1]):
            return what
        return f"on the path {' -> '.join(self._stations())} ({what})"

    def hint(self) -> str:
        """What to do about it."""
        call = self._clobbering_call()
        if call is not None and self.register == 0:
            if self.body.instructions[call].spec.form is Form.CALL_HELPER:
                return "this helper returns nothing; write r0 after the call"
            return "write r0 on every path of the function called, or after the call"
        if call is not None:
            return f"keep the value in r6 to r9, or on the stack, across {self._call(call)}"
        branch = self._parting()
        if branch is not None:
            return f"initialise r{self.register} before the branch at {self.body.place(branch)}"
        if self._not_given():
            return f"write r{self.register} before the call at {self.caller}"
        value = "r1" if self.role == CONTEXT else "0"
        return f"write r{self.register} first, as in 'r{self.register} = {value}'"

    def _not_given(self) -> str:
        if not self.caller or self.register not in ARGUMENTS:
            return ""
        return f", and the call at {self.caller} does not give it"

    def _stations(self) -> list[str]:
        stations = ["entry"]
        for block, following in zip(self.blocks, self.blocks[1:], strict=False):
            if len(block.successors) < 2:
                continue
            label = self.body.names_at.get(following.start)
            jumped = following.start != block.end
            stations.append(label if jumped and label else self.body.place(following.start))
        here = self.body.place(self.index)
        if stations[-1] != here:
            stations.append(here)
        if len(stations) > LONGEST:
            stations[LONGEST // 2 : -LONGEST // 2 + 1] = ["..."]
        return stations

    def _before_read(self) -> list[int]:
        """Instructions on the path, in the order in which they run."""
        indices = [index for block in self.blocks for index in range(block.start, block.end)]
        return indices[: len(indices) - (self.blocks[-1].end - self.index)]

    def _clobbering_call(self) -> int | None:
        for index in reversed(self._before_read()):
            each = self.body.instructions[index]
            # On this path r0 is unwritten, so a call that "writes" it has no result.
            fruitless = each.spec.form in CALLS and self.register == 0
            if fruitless or self.register in each.registers("x"):
                return index
        return None

    def _clobbered(self) -> str:
        call = self._clobbering_call()
        if call is None:
            return ""
        left = "nothing in r0" if self.register == 0 else "r1 to r5 unreadable"
        return f"{self._call(call)} leaves {left}"

    def _call(self, index: int) -> str:
        what = "call" if self.body.instructions[index].spec.form in CALLS else "packet load"
        return f"the {what} at {self.body.place(index)}"

    def _writers(self) -> list[int]:
        """Instructions that write the register and did not need it written."""
        return [
            index
            for index, each in enumerate(self.body.instructions)
            if self.register in each.registers("w") and self.register not in each.registers("r")
        ]

    def _only(self, writers: list[int]) -> str:
        if len(writers) > LONGEST:
            return f"r{self.register} is written only elsewhere"
        region = self.body.region(writers[0]) if len(writers) == 1 else ""
        where = f"in {region}, " if region else "at "
        return f"r{self.register} is written only {where}{self.body.places(writers)}"

    def _parting(self) -> int | None:
        """The first branch of the path at which another way would have come to a write."""
        writing = {self.body.block_of(index).number for index in self._writers()}
        for block, following in zip(self.blocks, self.blocks[1:], strict=False):
            others = [each for each in block.successors if each != following.number]
            if any(writing & self._ahead(other) for other in others):
                return block.end - 1
        return None

    def _ahead(self, start: int) -> set[int]:
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting.extend(self.body.cfg.blocks[number].successors)
        return seen
