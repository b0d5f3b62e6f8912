"""Who calls whom: calls in a circle, calls too deep, and an order to look at functions in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ebpfasm.analysis.bodies import Body
from ebpfasm.errors import Diagnostic, Note, error
from ebpfasm.ir.references import FunctionRef
from ebpfasm.isa.forms import Form

FRAMES = 8  # MAX_CALL_FRAMES, the program's own among them


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a subprogram, by the numbers of the two functions."""

    caller: int
    index: int
    callee: int


@dataclass(frozen=True, slots=True)
class CallGraph:
    """Calls by caller, and the functions whose address is taken: a helper may call those back.

    `order` has callees before callers; `circular` are the calls that close a circle.
    """

    calls: tuple[tuple[Call, ...], ...]
    callbacks: frozenset[int]
    order: tuple[int, ...]
    circular: tuple[Call, ...]

    def callee(self, caller: int, index: int) -> int | None:
        """The function that an instruction calls, None where it is not known."""
        return next((call.callee for call in self.calls[caller] if call.index == index), None)


def call_graph(bodies: tuple[Body, ...]) -> CallGraph:
    """Build the graph. Calls of functions that do not exist are left out; structure.py has them."""
    numbers = {body.name: body.number for body in bodies}
    calls: list[tuple[Call, ...]] = []
    callbacks: set[int] = set()
    for body in bodies:
        found = []
        for index, each in enumerate(body.instructions):
            match each.ref:
                case FunctionRef(name=name) if name in numbers:
                    if each.spec.form is Form.CALL_LOCAL:
                        found.append(Call(body.number, index, numbers[name]))
                    else:
                        callbacks.add(numbers[name])
                case _:
                    pass
        calls.append(tuple(found))
    order, circular = _depth_first(tuple(calls))
    return CallGraph(tuple(calls), frozenset(callbacks), order, circular)


def _depth_first(calls: tuple[tuple[Call, ...], ...]) -> tuple[tuple[int, ...], tuple[Call, ...]]:
    """Functions in the order in which they are done with, and the calls that go back up."""
    order: list[int] = []
    circular: list[Call] = []
    state = ["new"] * len(calls)
    for root in range(len(calls)):
        if state[root] != "new":
            continue
        # A stack of our own: chains of calls in hostile input may be long.
        stack = [(root, iter(calls[root]))]
        state[root] = "open"
        while stack:
            number, rest = stack[-1]
            call = next(rest, None)
            if call is None:
                state[number] = "done"
                order.append(number)
                stack.pop()
            elif state[call.callee] == "open":
                circular.append(call)
            elif state[call.callee] == "new":
                state[call.callee] = "open"
                stack.append((call.callee, iter(calls[call.callee])))
    return tuple(order), tuple(circular)


def check(bodies: tuple[Body, ...], graph: CallGraph) -> Iterator[tuple[int, int, Diagnostic]]:
    """Yield what is wrong with the calls: (function, instruction, diagnostic)."""
    for call in graph.circular:
        yield call.caller, call.index, _circle(bodies, call, graph)
    if not graph.circular:
        yield from _too_deep(bodies, graph)


def _circle(bodies: tuple[Body, ...], call: Call, graph: CallGraph) -> Diagnostic:
    span = bodies[call.caller].instructions[call.index].span
    hint = "eBPF has no recursion: write it as a loop with its state in a map"
    caller, callee = bodies[call.caller].name, bodies[call.callee].name
    if call.caller == call.callee:
        return error("verify-call-depth", f"'{caller}' calls itself", span, hint=hint)
    chain = _chain(graph, call.callee, call.caller)
    names = " -> ".join(bodies[number].name for number in [*chain, call.callee])
    message = f"'{caller}' calls '{callee}', which leads back to '{caller}'"
    return error("verify-call-depth", message, span, notes=(Note(names),), hint=hint)


def _chain(graph: CallGraph, start: int, goal: int) -> list[int]:
    """The shortest chain of calls from one function to another."""
    before = {start: start}
    waiting = [start]
    for number in waiting:
        for call in graph.calls[number]:
            if call.callee not in before:
                before[call.callee] = number
                waiting.append(call.callee)
    chain = [goal]
    while chain[-1] != start:
        chain.append(before[chain[-1]])
    return chain[::-1]


def _too_deep(bodies: tuple[Body, ...], graph: CallGraph) -> Iterator[tuple[int, int, Diagnostic]]:
    """Report the first call of the longest chain that needs a frame more than there are."""
    frames = [1] * len(bodies)
    last: dict[int, Call] = {}
    for number in reversed(graph.order):
        for call in graph.calls[number]:
            if frames[call.callee] < frames[number] + 1:
                frames[call.callee] = frames[number] + 1
                last[call.callee] = call
    for number, depth in enumerate(frames):
        if depth != FRAMES + 1:
            continue
        call = last[number]
        chain = [number]
        while chain[-1] in last:
            chain.append(last[chain[-1]].caller)
        names = " -> ".join(bodies[each].name for each in reversed(chain))
        message = f"the call needs {depth} frames of stack; there are {FRAMES}"
        span = bodies[call.caller].instructions[call.index].span
        hint = "call the deepest functions from further up, or inline them; Linux 7.3 has 16 frames"
        diagnostic = error("verify-call-depth", message, span, notes=(Note(names),), hint=hint)
        yield call.caller, call.index, diagnostic
