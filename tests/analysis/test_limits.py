"""Programs made to be hard: the verifier answers, and soon."""

from __future__ import annotations

from ebpfasm.analysis import verify
from ebpfasm.ir import Function, FunctionRef, Item, Label, LabelRef, ProgramSpec, instruction


def spec(items: list[Item], functions: tuple[Function, ...] = ()) -> ProgramSpec:
    return ProgramSpec("hard", "xdp", "xdp", tuple(items), license="GPL", functions=functions)


def diamonds(count: int) -> list[Item]:
    """As many branches that join again; r7 tells afterwards how each of them went."""
    items: list[Item] = [instruction("mov64_imm", dst=7)]
    for number in range(count):
        items += [
            instruction("ldxw", dst=2, src=1, off=16),
            instruction("jeq64_imm", dst=2, imm=7, ref=LabelRef(f"join{number}")),
            instruction("add64_imm", dst=7, imm=1),
            Label(f"join{number}"),
            instruction("lsh64_imm", dst=7, imm=1),
        ]
    return items


def test_a_read_behind_many_branches_is_found() -> None:
    end: list[Item] = [instruction("mov64_reg", dst=0, src=8), instruction("exit")]
    verdict = verify(spec(diamonds(60) + end))
    assert [each.code for each in verdict.diagnostics] == ["verify-uninit-read"]
    assert not verdict.ok


def read_where_it_was_written(branches: int) -> ProgramSpec:
    """Write r8 where r6 is 0, and read it where r6 is 0, with branches in between."""
    return spec(
        [
            instruction("ldxw", dst=6, src=1, off=16),
            instruction("mov64_imm", dst=0),
            instruction("jne64_imm", dst=6, ref=LabelRef("between")),
            instruction("mov64_imm", dst=8),
            Label("between"),
            *diamonds(branches),
            instruction("jne64_imm", dst=6, ref=LabelRef("end")),
            instruction("mov64_reg", dst=0, src=8),
            Label("end"),
            instruction("exit"),
        ]
    )


def test_a_read_that_only_contradictions_reach_is_no_mistake() -> None:
    assert verify(read_where_it_was_written(branches=3)).diagnostics == ()


def test_a_search_that_is_given_up_ends_in_a_warning() -> None:
    # No two of the 2**40 paths leave the same in r7, so that none stands for another.
    verdict = verify(read_where_it_was_written(branches=40))
    assert verdict.ok
    assert [(each.severity, each.message) for each in verdict.diagnostics] == [
        ("warning", "r8 may be read before it is written")
    ]


def test_a_chain_of_thousands_of_functions_is_refused_and_not_followed_to_death() -> None:
    def calling(name: str) -> tuple[Item, ...]:
        return (instruction("call_local", ref=FunctionRef(name)), instruction("exit"))

    last = Function("f0", (instruction("mov64_reg", dst=0, src=9), instruction("exit")))
    chain = (last, *(Function(f"f{n}", calling(f"f{n - 1}")) for n in range(1, 1500)))
    verdict = verify(spec(list(calling("f1499")), chain))
    assert "verify-call-depth" in {each.code for each in verdict.diagnostics}


def test_a_loop_is_followed_to_its_fixpoint() -> None:
    items: list[Item] = [
        instruction("mov64_imm", dst=0),
        Label("again"),
        instruction("add64_imm", dst=0, imm=1),
        instruction("jlt64_imm", dst=0, imm=1_000_000, ref=LabelRef("again")),
        instruction("exit"),
    ]
    verdict = verify(spec(items))
    assert verdict.ok
    assert verdict.instructions_processed < 20
