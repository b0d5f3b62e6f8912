"""Helper ids and the functions that stand for them.

A function gets the machine and as many registers as the helper has parameters (five where it is
variadic), unsigned and 64 bits wide; it cuts them to their C type itself, as compiled C would.
What it returns becomes r0, negative numbers in two's complement. Where a program breaks a
helper's contract, as no verified program does, it raises Fault.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.isa import helpers

Function = Callable[..., int]

U32 = (1 << 32) - 1
_ENGINES = frozenset({"bpf_tail_call"})  # what the engines do themselves


class Entry(NamedTuple):
    """A function and the number of registers it takes."""

    function: Function
    arity: int


HELPERS: dict[int, Entry] = {}


def helper(*names: str) -> Callable[[Function], Function]:
    """Enter a function for the helpers of these names."""

    def enter(function: Function) -> Function:
        for name in names:
            spec = helpers.BY_NAME[f"bpf_{name}"]
            arity = 5 if spec.variadic else len(spec.params)
            HELPERS[spec.id] = Entry(function, arity)
        return function

    return enter


def call_helper(machine: Machine, number: int, arguments: list[int]) -> int:
    """Call a helper: the test's own function where it gave one. Raises Fault."""
    own = machine.world.functions.get(number)
    if own is not None:
        return _call_own(machine, number, own, arguments)
    entry = HELPERS.get(number)
    if entry is None:
        raise _missing(number)
    return entry.function(machine, *arguments[: entry.arity])


def _call_own(machine: Machine, number: int, own: Function, arguments: list[int]) -> int:
    spec = helpers.find(number)
    count = 5 if spec is None or spec.variadic else len(spec.params)
    return int(own(machine, *arguments[:count]) or 0)


def _missing(number: int) -> Fault:
    spec = helpers.find(number)
    if spec is None:
        return Fault("vm-helper", f"calls helper {number}, which does not exist")
    hint = f'give a Python function: functions={{"{spec.name}": lambda machine, ...: 0}}'
    return Fault("vm-helper", f"calls {spec.name}, which needs a kernel", hint)


def signed32(value: int) -> int:
    """A register as a C int."""
    return (value & U32 ^ 1 << 31) - (1 << 31)


def signed64(value: int) -> int:
    """A register as a C long."""
    return (value & (1 << 64) - 1 ^ 1 << 63) - (1 << 63)


def table() -> str:
    """Which helpers there are, for the documentation: a row for each module of this package."""
    groups: dict[str, list[str]] = {}
    for spec in helpers.HELPERS:
        groups.setdefault(_place(spec), []).append(spec.name.removeprefix("bpf_"))
    rows = ["| where | how many | names without `bpf_` |", "| --- | ---: | --- |"]
    for place in sorted(groups, key=lambda each: (each == _ABSENT, each)):
        names = groups[place]
        rows.append(f"| {place} | {len(names)} | {', '.join(names)} |")
    return "\n".join(rows)


_ABSENT = "nowhere: a test gives functions"


def _place(spec: helpers.HelperSpec) -> str:
    if spec.name in _ENGINES:
        return "the engines"
    entry = HELPERS.get(spec.id)
    return _ABSENT if entry is None else entry.function.__module__.rpartition(".")[2]
