"""Which way a conditional jump can go, and what each way tells about the value compared.

This follows what the kernel's verifier makes of a comparison with a number: bounds, and single
bits. It knows no more than the kernel does, so that both follow the same branches.
"""

from __future__ import annotations

from dataclasses import replace

from ebpfasm.analysis.values import Fact, Number, Pointer, State, Unknown, Value
from ebpfasm.isa import semantics

_OPPOSITE = {"jeq": "jne", "jgt": "jle", "jge": "jlt", "jsgt": "jsle", "jsge": "jslt"}
OPPOSITE = _OPPOSITE | {right: left for left, right in _OPPOSITE.items()}
SIGNED = frozenset({"jsgt", "jsge", "jslt", "jsle"})


def decide(
    op: str, left: Value | None, right: Value | None, width: int, state: State
) -> bool | None:
    """Whether the comparison holds; None where either may be."""
    match left, right:
        case Number(), Number():
            return semantics.compare(op, left.value, right.value, width)
        case Pointer(kind="map"), Number(value=0) if width == 64 and op in ("jeq", "jne"):
            return op == "jne"
        case Unknown(), Number():
            return _from_facts(_fact(op, left, right, width), left, state)
        case _:
            return None


def assume(
    op: str, left: Value | None, right: Value | None, width: int, state: State, holds: bool
) -> State:
    """The state where the comparison came out as told."""
    match left, right:
        case Unknown(), Number() if left.identity:
            known = op if holds else OPPOSITE.get(op, "zero")
            fact = _fact(known, left, right, width)
            if known == "jeq" and left.most <= semantics.mask(width):
                return _substitute(state, left, Number(fact.operand))
            return replace(state, facts=state.facts | {fact})
        case _:
            return state


def _fact(op: str, left: Unknown, right: Number, width: int) -> Fact:
    operand = right.value & semantics.mask(width)
    if left.most <= semantics.mask(32) and op not in SIGNED:
        width = 64  # the upper halves are zero, so that both widths say the same
    return Fact(left.identity, op, width, operand)


def _substitute(state: State, old: Unknown, new: Number) -> State:
    registers = tuple(new if value == old else value for value in state.registers)
    slots = frozenset((place, new if value == old else value) for place, value in state.slots)
    return replace(state, registers=registers, slots=slots)


def _from_facts(asked: Fact, value: Unknown, state: State) -> bool | None:
    facts = [each for each in state.facts if value.identity and each.identity == value.identity]
    if asked.op == "jset":
        return _bits(asked, facts)
    if asked.op in ("jeq", "jne"):
        widths = (64, 32) if asked.width == 64 else (asked.width,)
        differs = any(_excluded(_cut(asked, width), value, facts) for width in widths)
        if differs:
            return asked.op == "jne"
    return _bounds(asked, value, facts)


def _cut(asked: Fact, width: int) -> Fact:
    return replace(asked, width=width, operand=asked.operand & semantics.mask(width))


def _excluded(asked: Fact, value: Unknown, facts: list[Fact]) -> bool:
    """Whether the value, or its low half, cannot be the operand."""
    ones, zeros = _known_bits(asked.width, facts)
    if asked.operand & zeros or ones & ~asked.operand:
        return True
    for op in ("jeq", "jsge"):  # in the order of either kind of comparison
        question = replace(asked, op=op)
        low, high = _range(question, value, facts)
        if low <= high and not low <= _ordered(asked.operand, question) <= high:
            return True
    return False


def _known_bits(width: int, facts: list[Fact]) -> tuple[int, int]:
    """Bits that are known to be one, and bits that are known to be zero."""
    ones = zeros = 0
    for fact in facts:
        if fact.width == width and fact.op == "zero":
            zeros |= fact.operand
        elif fact.width == width and fact.op == "jset" and fact.operand.bit_count() == 1:
            ones |= fact.operand
    return ones, zeros


def _bits(asked: Fact, facts: list[Fact]) -> bool | None:
    ones, zeros = _known_bits(asked.width, facts)
    if asked.operand & ones:
        return True
    return False if asked.operand & ~zeros == 0 else None


def _bounds(asked: Fact, value: Unknown, facts: list[Fact]) -> bool | None:
    low, high = _range(asked, value, facts)
    if low > high:
        return None
    if asked.op in ("jeq", "jne"):
        return asked.op == "jeq" if low == high == asked.operand else None
    # The other comparisons change at most once between the ends of a range.
    at_low, at_high = (
        semantics.compare(asked.op, end, asked.operand, asked.width) for end in (low, high)
    )
    return at_low if at_low == at_high else None


def _range(asked: Fact, value: Unknown, facts: list[Fact]) -> tuple[int, int]:
    """The least and the greatest that the value can be, in the order that the question is about."""
    if value.most <= semantics.mask(asked.width - 1):
        low, high = 0, value.most
    elif asked.op in SIGNED:
        low, high = -(1 << asked.width - 1), (1 << asked.width - 1) - 1
    else:
        low, high = 0, semantics.mask(asked.width)
    never: set[int] = set()
    for fact in facts:
        if fact.width != asked.width:
            continue
        number = _ordered(fact.operand, asked)
        if fact.op == "jne":
            never.add(number)
        elif fact.op == "jeq" or (fact.op in SIGNED) == (asked.op in SIGNED):
            low, high = _bounded(fact.op, number, low, high)
    while low in never:
        low += 1
    while high in never:
        high -= 1
    return low, high


def _ordered(number: int, asked: Fact) -> int:
    return semantics.signed(number, asked.width) if asked.op in SIGNED else number


def _bounded(op: str, number: int, low: int, high: int) -> tuple[int, int]:
    match op.replace("js", "j"):
        case "jgt":
            return max(low, number + 1), high
        case "jge":
            return max(low, number), high
        case "jlt":
            return low, min(high, number - 1)
        case "jle":
            return low, min(high, number)
        case "jeq":
            return number, number
        case _:
            return low, high
