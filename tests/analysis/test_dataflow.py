"""The fixpoint, over a lattice of its own: sets of instructions that ran."""

from __future__ import annotations

from collections.abc import Iterator

from ebpfasm.analysis.dataflow import solve
from ebpfasm.ir import Label, LabelRef, instruction
from ebpfasm.ir.cfg import Block, build

NOTHING: frozenset[int] = frozenset()


def flow(block: Block, before: frozenset[int]) -> Iterator[tuple[int, frozenset[int]]]:
    for successor in block.successors:
        yield successor, before | set(range(block.start, block.end))


def test_each_block_begins_with_what_any_path_to_it_brings() -> None:
    cfg = build(
        [
            instruction("jeq64_imm", dst=1, ref=LabelRef("out")),
            Label("again"),
            instruction("add64_imm", dst=1, imm=1),
            instruction("jne64_imm", dst=1, ref=LabelRef("again")),
            Label("out"),
            instruction("exit"),
        ]
    )
    states = solve(cfg, NOTHING, flow, frozenset.union)
    assert states == {0: frozenset(), 1: {0, 1, 2}, 2: {0, 1, 2}}


def test_a_block_that_nothing_flows_into_has_no_state() -> None:
    cfg = build([instruction("exit"), instruction("exit")])
    assert solve(cfg, NOTHING, flow, frozenset.union) == {0: frozenset()}


def test_a_function_without_instructions_has_no_states() -> None:
    assert solve(build([]), NOTHING, flow, frozenset.union) == {}
