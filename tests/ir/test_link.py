"""Linking: names to distances, functions in libbpf's order, and what cannot be linked."""

from __future__ import annotations

import pytest

from ebpfasm.emit import encode, image
from ebpfasm.errors import LinkError, Source, Span
from ebpfasm.ir import (
    CoreRef,
    Function,
    FunctionRef,
    Instruction,
    Item,
    KfuncRef,
    KsymRef,
    Label,
    LabelRef,
    MapRef,
    MapSpec,
    ProgramSpec,
    VarRef,
    collect,
    instruction,
    link,
)
from ebpfasm.isa.table import BY_NAME

EXIT = instruction("exit")
ZERO = instruction("mov64_imm", dst=0)


def _program(*items: Item, functions: tuple[Function, ...] = ()) -> ProgramSpec:
    return ProgramSpec("main", "xdp", "xdp", items, functions=functions)


def _call(name: str) -> Instruction:
    return instruction("call_local", ref=FunctionRef(name))


def _jump(name: str, row: str = "ja") -> Instruction:
    return instruction(row, ref=LabelRef(name))


def test_a_jump_counts_slots_from_the_one_behind_it() -> None:
    linked = link(
        _program(_jump("end"), instruction("lddw", dst=1, imm=1), Label("end"), ZERO, EXIT)
    )

    assert linked.instructions[0] == instruction("ja", off=2)
    assert [slot for slot, _ in linked.slots()] == [0, 1, 3, 4]


def test_a_jump_back_is_negative() -> None:
    linked = link(_program(Label("again"), ZERO, _jump("again", "jeq64_imm"), EXIT))

    assert linked.instructions[1] == instruction("jeq64_imm", off=-2)


def test_two_labels_may_share_a_place() -> None:
    linked = link(_program(_jump("one"), _jump("two"), Label("one"), Label("two"), EXIT))

    assert [each.off for each in linked.instructions] == [1, 0, 0]


def test_a_label_may_stand_at_the_end() -> None:
    linked = link(_program(ZERO, EXIT, _jump("end"), Label("end")))

    assert linked.instructions[2] == instruction("ja", off=0)


def test_of_two_labels_with_one_name_the_first_counts() -> None:
    linked = link(_program(Label("here"), ZERO, Label("here"), EXIT, _jump("here")))

    assert linked.instructions[2].off == -3


def test_labels_of_another_function_are_not_seen() -> None:
    inner = Function("inner", (Label("there"), ZERO, EXIT))
    with pytest.raises(LinkError) as refused:
        link(_program(_call("inner"), _jump("there"), EXIT, functions=(inner,)))

    assert str(refused.value) == "error[link-label]: there is no label 'there' here"


@pytest.mark.parametrize("row", ["ja", "jne64_imm", "jset32_reg", "may_goto"])
@pytest.mark.parametrize("between", [32767, 32768])
def test_a_jump_forward_reaches_32767_slots_and_no_more(row: str, between: int) -> None:
    program = _program(_jump("far", row), *([ZERO] * between), Label("far"), EXIT)
    if between == 32767:
        assert link(program).instructions[0].off == 32767
        return

    with pytest.raises(LinkError) as refused:
        link(program)

    hint = "\n   hint: use gotol, which reaches 2147483647 slots" if row == "ja" else ""
    assert str(refused.value) == (
        "error[link-jump-range]: 'far' is 32768 slots away; this jump reaches -32768 to 32767"
        + hint
    )


@pytest.mark.parametrize("between", [32767, 32768])
def test_a_jump_back_reaches_32768_slots_and_no_more(between: int) -> None:
    program = _program(Label("top"), *([ZERO] * between), _jump("top", "jle32_imm"), EXIT)
    if between == 32767:
        assert link(program).instructions[between].off == -32768
        return

    with pytest.raises(LinkError) as refused:
        link(program)

    assert str(refused.value) == (
        "error[link-jump-range]: 'top' is -32769 slots away; this jump reaches -32768 to 32767"
    )


def test_gotol_reaches_further() -> None:
    program = _program(_jump("far", "gotol"), *([ZERO] * 40000), Label("far"), EXIT)

    assert link(program).instructions[0] == instruction("gotol", imm=40000)


def test_functions_follow_in_the_order_of_first_mention_each_with_its_own_behind_it() -> None:
    """Libbpf appends a function where it is first called, then looks into it, then goes on."""
    functions = [
        Function("late", (ZERO, EXIT)),
        Function("deep", (ZERO, EXIT)),
        Function("first", (_call("deep"), _call("late"), EXIT)),
        Function("unused", (_call("nowhere"), EXIT)),
        Function("second", (_call("first"), _call("second"), EXIT)),
    ]
    main = _program(_call("first"), _call("second"), _call("late"), EXIT)
    linked = link(collect([main], functions).programs["main"])

    assert [each.name for each in linked.functions] == ["main", "first", "deep", "late", "second"]
    assert [each.slot for each in linked.functions] == [0, 4, 7, 9, 11]
    calls = [each.imm for each in linked.instructions if each.spec.name == "call_local"]
    assert calls == [3, 9, 6, 2, 3, -8, -2]


def test_the_address_of_a_function_is_a_mention_and_a_distance() -> None:
    address = instruction("lddw_func", dst=2, ref=FunctionRef("callback"))
    callback = Function("callback", (ZERO, EXIT))
    linked = link(collect([_program(address, EXIT)], [callback]).programs["main"])

    # The distance counts from the slot behind the first half, as for a call.
    assert linked.instructions[0] == instruction("lddw_func", dst=2, imm=2)
    assert linked.functions[1].slot == 3


def test_each_program_of_a_collection_gets_what_it_reaches_and_no_more() -> None:
    maps = [MapSpec(name, "array", 4, 8, 1) for name in ("a", "b", "c")]
    uses_b = Function("uses_b", (instruction("lddw_map_fd", dst=1, ref=MapRef("b")), EXIT))
    one = _program(_call("uses_b"), instruction("lddw_map_value", ref=VarRef("c", "x", 4)), EXIT)
    two = ProgramSpec("two", "xdp", "xdp", (EXIT,))
    found = collect([one, two], [uses_b], maps, "GPL")

    assert [each.name for each in found.programs["main"].maps] == ["c", "b"]
    assert [each.name for each in found.programs["main"].functions] == ["uses_b"]
    assert found.programs["two"].maps == ()
    assert found.programs["two"].functions == ()
    assert found.programs["two"].license == "GPL"


def test_what_only_a_loader_knows_stays_a_name() -> None:
    maps = (MapSpec("counts", "array", 4, 8, 1),)
    refs = [
        instruction("lddw_map_fd", dst=1, ref=MapRef("counts")),
        instruction("call_kfunc", ref=KfuncRef("bpf_rdonly_cast")),
        instruction("lddw_btf_id", dst=2, ref=KsymRef("runqueues")),
        instruction("ldxw", dst=1, src=1, off=8, ref=CoreRef(4, "0:1", 0)),
    ]
    program = ProgramSpec("main", "xdp", "xdp", (*refs, EXIT), maps=maps)

    assert list(link(program).instructions) == [*refs, EXIT]
    assert [each.slot for each in image(link(program)).relocations] == [0, 2, 3, 5]


def test_everything_that_does_not_resolve_is_reported_at_its_place_in_one_go() -> None:
    source = Source("broken.s", "goto nowhere\ncall missing\nr1 = lost ll\n")
    rows = ("ja", LabelRef("nowhere"), 0), ("call_local", FunctionRef("missing"), 13)
    items = [
        Instruction(BY_NAME[row], ref=ref, span=Span(source, at, at + 4)) for row, ref, at in rows
    ]
    lost = Instruction(BY_NAME["lddw_map_fd"], dst=1, ref=MapRef("lost"), span=Span(source, 26, 30))
    with pytest.raises(LinkError) as refused:
        encode(_program(*items, lost, EXIT))

    assert str(refused.value) == (
        "broken.s:1:1: error[link-label]: there is no label 'nowhere' here\n"
        "   1 | goto nowhere\n"
        "     | ^^^^\n"
        "broken.s:2:1: error[link-function]: there is no function 'missing'\n"
        "   2 | call missing\n"
        "     | ^^^^\n"
        "   hint: functions that are called stand in .text; in other sections they are programs\n"
        "broken.s:3:1: error[link-map]: there is no map 'lost'\n"
        "   3 | r1 = lost ll\n"
        "     | ^^^^"
    )


def test_a_long_chain_of_calls_needs_no_deep_stack() -> None:
    chain = [Function(f"f{n}", (_call(f"f{n + 1}"), EXIT)) for n in range(5000)]
    last = Function("f5000", (ZERO, EXIT))
    program = collect([_program(_call("f0"), EXIT)], [*chain, last]).programs["main"]

    assert len(link(program).functions) == 5002
