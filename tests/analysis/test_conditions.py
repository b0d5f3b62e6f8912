"""What branches tell about a value is never wrong: numbers are the judge."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.analysis.conditions import assume, decide
from ebpfasm.analysis.values import Number, State, Unknown, join, program_entry
from ebpfasm.isa.semantics import COMPARE_OPS, compare, mask

EDGES = st.sampled_from([0, 1, 2, 5, 8, 255, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, mask(64)])
NUMBERS = st.one_of(EDGES, EDGES.map(lambda value: (value - 1) & mask(64)), st.integers(0, 9))
QUESTIONS = st.tuples(st.sampled_from(sorted(COMPARE_OPS)), NUMBERS, st.sampled_from([32, 64]))


def after(value: int, most: int, told: list[tuple[str, int, int]]) -> tuple[State, object]:
    """The state, and what stands for the value in it, after the comparisons that are told."""
    state = program_entry().with_register(2, Unknown(7, most))
    for op, number, width in told:
        known, right = state[2], Number(number)
        holds = compare(op, value, number, width)
        decided = decide(op, known, right, width, state)
        assert decided in (None, holds), f"{value:#x} {op} {number:#x} on {width} bits"
        state = assume(op, known, right, width, state, holds) if decided is None else state
    return state, state[2]


@given(NUMBERS, NUMBERS, st.lists(QUESTIONS, max_size=6))
def test_a_comparison_is_decided_only_as_it_comes_out(
    value: int, most: int, told: list[tuple[str, int, int]]
) -> None:
    state, known = after(value, max(value, most), told)
    assert not isinstance(known, Number) or known.value == value
    assert state.canonical().canonical() == state.canonical()


@given(NUMBERS, NUMBERS, QUESTIONS)
def test_states_that_are_joined_promise_only_what_both_do(
    one: int, other: int, asked: tuple[str, int, int]
) -> None:
    first, second = (program_entry().with_register(2, Number(value)) for value in (one, other))
    joined = join(first, second)
    op, number, width = asked
    outcomes = {compare(op, value, number, width) for value in (one, other)}
    decided = decide(op, joined[2], Number(number), width, joined)
    assert decided is None or outcomes == {decided}


def test_what_is_decided_twice_is_decided_the_same() -> None:
    state = program_entry().with_register(2, Unknown(7))
    for holds in (True, False):
        told = assume("jgt", state[2], Number(5), 64, state, holds)
        assert decide("jgt", told[2], Number(5), 64, told) is holds
        assert decide("jle", told[2], Number(5), 64, told) is not holds
