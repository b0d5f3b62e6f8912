"""Control flow: where blocks begin and end, and what is reached."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.ir import Item, Label, LabelRef, instruction
from ebpfasm.ir.cfg import Cfg, build
from ebpfasm.ir.layout import lay_out

EXIT = instruction("exit")
ZERO = instruction("mov64_imm")


def _if(label: str) -> Item:
    return instruction("jeq64_imm", ref=LabelRef(label))


def _goto(label: str) -> Item:
    return instruction("ja", ref=LabelRef(label))


def _shape(cfg: Cfg) -> list[tuple[int, int, tuple[int, ...]]]:
    return [(block.start, block.end, block.successors) for block in cfg.blocks]


def test_straight_code_is_one_block() -> None:
    cfg = build([ZERO, ZERO, EXIT])

    assert _shape(cfg) == [(0, 3, ())]
    assert not cfg.blocks[0].falls_off


def test_a_branch_makes_a_diamond() -> None:
    cfg = build([_if("else"), ZERO, _goto("end"), Label("else"), ZERO, Label("end"), EXIT])

    assert _shape(cfg) == [(0, 1, (1, 2)), (1, 3, (3,)), (3, 4, (3,)), (4, 5, ())]
    assert cfg.predecessors() == ((), (0,), (0,), (1, 2))
    assert cfg.reached() == {0, 1, 2, 3}


def test_a_loop_leads_back() -> None:
    cfg = build([ZERO, Label("again"), ZERO, _if("again"), EXIT])

    assert _shape(cfg) == [(0, 1, (1,)), (1, 3, (2, 1)), (3, 4, ())]
    assert cfg.predecessors()[1] == (0, 1)


def test_a_jump_to_itself_is_its_own_successor() -> None:
    cfg = build([Label("here"), _goto("here"), EXIT])

    assert _shape(cfg) == [(0, 1, (0,)), (1, 2, ())]
    assert cfg.reached() == {0}


def test_code_behind_a_jump_or_an_exit_is_not_reached() -> None:
    cfg = build([_goto("end"), ZERO, Label("end"), EXIT, ZERO, EXIT])

    assert cfg.reached() == {0, 2}
    assert [cfg.instructions(block) for block in cfg.blocks][3] == (ZERO, EXIT)


def test_a_jump_to_the_next_instruction_has_one_successor() -> None:
    cfg = build([_if("next"), Label("next"), EXIT])

    assert _shape(cfg) == [(0, 2, ())]


def test_running_off_the_end_shows_by_fall_through_and_by_jump() -> None:
    assert build([ZERO]).blocks[0].falls_off
    cfg = build([_if("end"), EXIT, Label("end")])
    assert [block.falls_off for block in cfg.blocks] == [True, False]


def test_calls_come_back_and_end_no_block() -> None:
    call = instruction("call_local", imm=5)
    helper = instruction("call_helper", imm=5)

    assert _shape(build([call, helper, EXIT])) == [(0, 3, ())]


def test_a_jump_that_goes_astray_leads_nowhere() -> None:
    wide = instruction("lddw", imm=1)
    cfg = build([instruction("jeq64_imm", off=2), ZERO, wide, EXIT])

    assert _shape(cfg) == [(0, 4, ())]
    assert _shape(build([instruction("ja", off=-9), EXIT])) == [(0, 1, ()), (1, 2, ())]


def test_numeric_distances_count_slots() -> None:
    wide = instruction("lddw", imm=1)
    cfg = build([instruction("jeq64_imm", off=2), wide, EXIT])

    assert cfg.blocks[0].successors == (1, 2)


def test_no_code_is_no_block() -> None:
    cfg = build([Label("alone")])

    assert cfg.blocks == ()
    assert cfg.reached() == frozenset()


@st.composite
def streams(draw: st.DrawFn) -> list[Item]:
    """Instructions with a label before each and one at the end, and jumps among them."""
    count = draw(st.integers(1, 20))
    labels = st.integers(0, count).map(lambda place: f"L{place}")
    items: list[Item] = []
    for place in range(count):
        items.append(Label(f"L{place}"))
        row = draw(st.sampled_from(["mov64_imm", "exit", "lddw", "ja", "jeq64_imm", "gotol"]))
        jumps = row in ("ja", "jeq64_imm", "gotol")
        items.append(instruction(row, ref=LabelRef(draw(labels)) if jumps else None))
    return [*items, Label(f"L{count}")]


@given(items=streams())
def test_blocks_cover_the_code_once_and_only_their_ends_branch(items: list[Item]) -> None:
    cfg, layout = build(items), lay_out(items)
    count = len(layout.instructions)

    assert [i for block in cfg.blocks for i in range(block.start, block.end)] == list(range(count))
    starts = {block.start: block.number for block in cfg.blocks}
    for block in cfg.blocks:
        for index in range(block.start, block.end - 1):
            assert layout.successors(index) == (index + 1,)
        after = layout.successors(block.end - 1)
        assert block.successors == tuple(starts[place] for place in after if place < count)
        assert block.falls_off == (count in after)
