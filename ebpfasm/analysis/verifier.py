"""The verifier: reads a program's symbolic IR and tells what the kernel would refuse.

Properties checked
==================

Structure, of every function (structure.py):
- it has instructions; every jump goes to an instruction of the same function, not into the
  second half of a wide one; control does not run off its end;
- what `gotox` jumps to can come from a jump table of the function, whose entries are
  instructions of it; every one of them is a place where control can go on;
- every instruction is reached by some path ("unreachable insn");
- fields that an instruction does not use are zero, and values fit their fields;
- called functions exist; the kernel, if one is named, has the instructions.

Calls (calls.py):
- no recursion, and at most 8 frames (MAX_CALL_FRAMES).

State, on every path that can be taken (requirements.py):
- a register is written before it is read, as an operand, a helper's argument, the context of
  a packet load (r6) or the return value (r0); calls leave r1 to r5 unreadable, and r0 too
  where the callee returns nothing; a subprogram starts with what its call sites give it;
- r10 is not written;
- accesses through r10 and pointers at a known distance from it lie in the frame's 512 bytes;
- constants: no division or modulo by 0, no shift by a negative number or by the width or more;
- helpers exist, the program type has them, and the license allows them; kernel functions need
  a GPL-compatible license; the program type has packet loads.

Not checked yet
===============

- types: what a pointer points to, arithmetic on pointers, null checks, arguments of helpers
  and kernel functions beyond being written, leaks of addresses;
- bounds: accesses to packets, map values, contexts and memory that a helper returns;
- the stack: reads of bytes never written, alignment, the sum over all frames;
- termination: loops without end, the limit of a million instructions;
- ranges of return values; references, locks, RCU sections, iterators, dynptrs, callbacks;
- functions that only dead or unexplored code calls; global functions by their BTF.

Where the answer needs one of these, the program is accepted. A failed state requirement is an
error only with a path to show whose branches do not contradict each other (paths.py), for the
kernel never looks at code that cannot run. Contradictions are found between constants, copies,
spilled registers and comparisons with numbers. What arithmetic on unknown numbers does to their
range is not followed yet: code that only such a range makes dead is looked at here, and not by
the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

from ebpfasm.analysis import calls, structure
from ebpfasm.analysis.bodies import Body, bodies_of
from ebpfasm.analysis.calls import FRAMES, Call, CallGraph, call_graph
from ebpfasm.analysis.checks import holds
from ebpfasm.analysis.dataflow import solve
from ebpfasm.analysis.explain import Finding, explain
from ebpfasm.analysis.paths import Search
from ebpfasm.analysis.requirements import Readable, Requirement, Setting
from ebpfasm.analysis.transfer import ARGUMENTS
from ebpfasm.analysis.values import (
    Number,
    Pointer,
    State,
    Unknown,
    Value,
    entry_state,
    join,
    program_entry,
)
from ebpfasm.analysis.verdict import Verdict
from ebpfasm.analysis.walk import Meter, Walk
from ebpfasm.errors import Diagnostic
from ebpfasm.ir.cfg import Block
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.references import FunctionRef
from ebpfasm.ir.specs import ProgramSpec, need_program
from ebpfasm.isa.forms import Form

Entries = dict[State, list[Call]]  # a function's first states, each with the calls that give it
Found = tuple[int, int, Diagnostic]  # function, instruction, diagnostic

# Their hooks may return void, and then the kernel asks nothing of r0.
MAY_RETURN_NOTHING = frozenset({"struct_ops", "lsm"})


def verify(program: ProgramSpec, *, kernel: str | None = None) -> Verdict:
    """Check a program and the functions that it reaches.

    `kernel` is a version such as "5.15" whose instructions the program must keep to. Nothing is
    raised for a bad program: the verdict has all that is wrong.
    """
    need_program(program, "verify")
    bodies = bodies_of(program)
    graph = call_graph(bodies)
    meter = Meter()
    names = {body.name for body in bodies}
    found: list[Found] = [
        (body.number, index, diagnostic)
        for body in bodies
        for index, diagnostic in structure.check(body, names, kernel)
    ]
    found += structure.tables(bodies, program.maps)
    found += calls.check(bodies, graph)
    if all(structure.is_sound(body) for body in bodies):
        found += _Flow(program, bodies, graph, meter).findings()
    found.sort(key=lambda each: each[:2])
    diagnostics = tuple(dict.fromkeys(diagnostic for _, _, diagnostic in found))
    return Verdict(program.name, diagnostics, meter.processed)


class _Flow:
    """The state checks of a program, function by function."""

    def __init__(
        self, program: ProgramSpec, bodies: tuple[Body, ...], graph: CallGraph, meter: Meter
    ) -> None:
        self.graph = graph
        self.returning: dict[str, bool] = {}  # by function: whether r0 is readable after a call
        self.entries: dict[int, Entries] = {0: {program_entry(): []}}
        self.made: dict[tuple[Call, Readable | None], bool] = {}  # on some path, without that
        self.walks = [self._walk(program, body, meter) for body in bodies]

    def _walk(self, program: ProgramSpec, body: Body, meter: Meter) -> Walk:
        main_returns = program.type not in MAY_RETURN_NOTHING
        returns_value = main_returns if body.number == 0 else body.number in self.graph.callbacks
        setting = Setting(program.type, program.license, returns_value)
        return Walk(body, setting, self._leaves_result, meter)

    def _leaves_result(self, call: Instruction) -> bool:
        match call.ref:
            case FunctionRef(name=name):
                return self.returning.get(name, True)
            case _:
                return True

    def findings(self) -> Iterator[Found]:
        """Yield failed requirements; callers are looked at before what they call."""
        called = {call.callee for calls in self.graph.calls for call in calls}
        for number in filter(called.__contains__, self.graph.order):
            walk = self.walks[number]
            self.returning[walk.body.name] = self._returns(walk)
        circular = {call.callee for call in self.graph.circular}
        for number in {*self.graph.callbacks, *circular} - {0}:
            self.entries.setdefault(number, {}).setdefault(_any_entry(), [])
        for number in reversed(self.graph.order):
            entries = self.entries.get(number)
            if entries:
                yield from self._check(self.walks[number], entries)

    def _returns(self, walk: Walk) -> bool:
        """Whether r0 is readable at every exit that control can come to."""
        states = _solve(walk, _any_entry())
        for block, state in _in_order(walk, states):
            last = block.end - 1
            if walk.body.instructions[last].spec.form is not Form.EXIT:
                continue
            *_, before, _ = walk.states(block, state)
            readable = Readable(0)
            if not holds(readable, before) and Search(walk, last, readable).find((_any_entry(),)):
                return False
        return True

    def _check(self, walk: Walk, entries: Entries) -> Iterator[Found]:
        states = _solve(walk, reduce(join, entries))
        for block, state in _in_order(walk, states):
            inside = list(walk.states(block, state))
            for index in range(block.start, block.end):
                before = inside[index - block.start]
                for requirement in walk.requirements[index]:
                    if not holds(requirement, before):
                        yield from self._judge(walk, index, requirement, before)
                self._enter(walk, index, before)

    def _judge(
        self, walk: Walk, index: int, requirement: Requirement, state: State
    ) -> Iterator[Found]:
        """Report a requirement that need not hold, if there is a path on which it does not."""
        entries = self._possible_entries(walk.body.number, requirement)
        path = Search(walk, index, requirement).find(tuple(entries))
        if path is not None:
            calls = entries[path.entry]
            caller = self.walks[calls[0].caller].body.place(calls[0].index) if calls else ""
            diagnostic = explain(Finding(walk, index, requirement, state, path, caller))
            yield walk.body.number, index, diagnostic

    def _possible_entries(
        self, number: int, requirement: Requirement | None, depth: int = 0
    ) -> Entries:
        """The function's first states that calls on possible paths give it, with those calls."""
        made = {
            state: [
                call for call in calls if self._is_made(call, _lacking(requirement, state), depth)
            ]
            for state, calls in self.entries[number].items()
        }
        return {state: made[state] for state, calls in self.entries[number].items()
                if made[state] or not calls}  # fmt: skip

    def _is_made(self, call: Call, lacking: Readable | None, depth: int) -> bool:
        if depth > FRAMES:
            return True  # deeper calls have been refused already
        if (call, lacking) not in self.made:
            entries = self._possible_entries(call.caller, lacking, depth + 1)
            path = Search(self.walks[call.caller], call.index, lacking).find(tuple(entries))
            self.made[call, lacking] = path is not None and path.certain
        return self.made[call, lacking]

    def _enter(self, walk: Walk, index: int, state: State) -> None:
        """Record what a call hands over. The caller's stack is not the callee's."""
        callee = self.graph.callee(walk.body.number, index)
        if callee is not None:
            arguments = tuple(_handed_over(state[register]) for register in ARGUMENTS)
            call = Call(walk.body.number, index, callee)
            self.entries.setdefault(callee, {}).setdefault(entry_state(arguments), []).append(call)


def _lacking(requirement: Requirement | None, state: State) -> Readable | None:
    """What a path to a call must leave unwritten, for a requirement to fail behind the call."""
    match requirement:
        case Readable(register=register) if register in ARGUMENTS and state[register] is None:
            return Readable(register)
        case _:
            return None


def _solve(walk: Walk, entry: State) -> dict[int, State]:
    return solve(walk.body.cfg, entry, walk.flow, join)


def _in_order(walk: Walk, states: dict[int, State]) -> Iterator[tuple[Block, State]]:
    for number in sorted(states):
        yield walk.body.cfg.blocks[number], states[number]


def _handed_over(value: Value | None) -> Value | None:
    match value:
        case None | Number() | Pointer(kind="context" | "map" | "function"):
            return value
        case Unknown(most=most):
            return Unknown(most=most)
        case _:
            return Unknown()


def _any_entry() -> State:
    return entry_state((Unknown(),) * len(ARGUMENTS))
