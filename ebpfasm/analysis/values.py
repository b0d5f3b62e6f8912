"""What is known of registers and stack slots at a point of a program.

A small lattice, just enough to follow constants, copies and the frame pointer: it decides
branches whose outcome is fixed, so that code which can never run is not held against anyone.
Ranges and bit patterns will stand here when the verifier follows values in full.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

REGISTERS = 11  # r0 to r10
FRAME_POINTER = 10
LEAST_IDENTITY = 1000  # of new ones: above what canonical() gives out, a register or slot each
STACK = 512  # bytes a frame has below r10 (MAX_BPF_STACK)
SPILL = 8  # bytes of a slot that keeps a register's value


@dataclass(frozen=True, slots=True)
class Number:
    """A known number, unsigned, 64 bits."""

    value: int


@dataclass(frozen=True, slots=True)
class Pointer:
    """An address of a known kind. A stack's `offset` counts from r10, None if it is not known.

    The kernel knows that a map or map value is not null; of the others it takes either.
    """

    kind: Literal["stack", "context", "map", "function"]
    offset: int | None = 0


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something written that is not known. Two with one identity, other than 0, are equal.

    As an unsigned number it is at most `most`.
    """

    identity: int = 0
    most: int = (1 << 64) - 1


Value = Number | Pointer | Unknown
V = TypeVar("V", Value, Value | None)


@dataclass(frozen=True, slots=True)
class Fact:
    """What a branch on the way here told: `identity op operand` holds on `width` bits.

    `op` is a comparison of the table, or "zero": the bits of the operand are zero.
    """

    identity: int
    op: str
    width: int
    operand: int


@dataclass(frozen=True, slots=True)
class State:
    """Registers, spilled values by offset from r10, and facts about identities.

    A register that holds None was not written on every path that leads here.
    """

    registers: tuple[Value | None, ...]
    slots: frozenset[tuple[int, Value]] = frozenset()
    facts: frozenset[Fact] = frozenset()

    def __getitem__(self, register: int) -> Value | None:
        return self.registers[register]

    def named(self, identities: Iterator[int]) -> State:
        """The state with an identity for each unknown register that has none."""
        registers = (
            replace(value, identity=next(identities))
            if isinstance(value, Unknown) and not value.identity
            else value
            for value in self.registers
        )
        return replace(self, registers=tuple(registers))

    def canonical(self) -> State:
        """The state with identities numbered from 1 by where they stand, and no facts of others.

        States that differ only in what their values are called become equal.
        """
        spilled = (value for _, value in sorted(self.slots, key=lambda slot: slot[0]))
        names = {0: 0}
        for value in (*self.registers, *spilled):
            if isinstance(value, Unknown):
                names.setdefault(value.identity, len(names))
        return State(
            tuple(_renamed(value, names) for value in self.registers),
            frozenset((place, _renamed(value, names)) for place, value in self.slots),
            frozenset(
                replace(fact, identity=names[fact.identity])
                for fact in self.facts
                if fact.identity in names
            ),
        )

    def with_register(self, register: int, value: Value | None) -> State:
        """The state after a write."""
        registers = (*self.registers[:register], value, *self.registers[register + 1 :])
        return State(registers, self.slots, self.facts)

    def slot(self, offset: int) -> Value | None:
        """The value spilled at an offset from r10, None where there is none."""
        return next((value for place, value in self.slots if place == offset), None)

    def without_slots(self, low: int, high: int) -> State:
        """The state after something unknown is written to bytes low to high (exclusive)."""
        if not self.slots:
            return self
        kept = (each for each in self.slots if each[0] + SPILL <= low or each[0] >= high)
        return replace(self, slots=frozenset(kept))

    def with_slot(self, offset: int, value: Value) -> State:
        """The state after a register is spilled at an offset."""
        cleared = self.without_slots(offset, offset + SPILL)
        return replace(cleared, slots=cleared.slots | {(offset, value)})


def _renamed(value: V, names: dict[int, int]) -> V | Unknown:
    return Unknown(names[value.identity], value.most) if isinstance(value, Unknown) else value


def entry_state(arguments: tuple[Value | None, ...]) -> State:
    """A function's first state: r1 to r5 as given, r10 the frame pointer, the rest unwritten."""
    unwritten = (None,) * (FRAME_POINTER - 1 - len(arguments))
    return State((None, *arguments, *unwritten, Pointer("stack")))


def program_entry() -> State:
    """The first state of a program: r1 is the context. The kernel writes nothing else."""
    return entry_state((Pointer("context"),))


def join(left: State, right: State) -> State:
    """What holds in both states."""
    if left == right:
        return left
    registers = tuple(map(_join_value, left.registers, right.registers))
    slots = left.slots & right.slots
    return State(registers, slots, left.facts & right.facts)


def _join_value(left: Value | None, right: Value | None) -> Value | None:
    if left is None or right is None:
        return None
    if left == right:
        return left
    match left, right:
        case Pointer(kind="stack"), Pointer(kind="stack"):
            return Pointer("stack", None)
        case _:
            return Unknown(most=max(_most(left), _most(right)))


def _most(value: Value) -> int:
    match value:
        case Number(value=number):
            return number
        case Unknown(most=most):
            return most
        case Pointer():
            return (1 << 64) - 1
