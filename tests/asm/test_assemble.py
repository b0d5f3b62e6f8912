"""What a file means: sections, functions, labels, names."""

from __future__ import annotations

from pathlib import Path

import pytest

from ebpfasm import AsmError, LinkError, LoadError, assemble, encode, ir, load, to_elf, verify
from ebpfasm.asm import print_collection, print_program
from ebpfasm.ir import Instruction, Label, instruction
from tests.emit import objects
from tests.support import ROOT, excuse

COUNTER = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"


def main_of(text: str) -> tuple[ir.Item, ...]:
    return tuple(assemble(text).programs["main"].instructions)


def test_several_programs_and_a_subprogram_in_one_file() -> None:
    spec = assemble(
        """
        .license "GPL"
        .section xdp
        first:
            call twice
            exit
        .globl second
        second:
            r0 = XDP_PASS
            exit
        .section tc
        third: r0 = TC_ACT_UNSPEC; exit
        .text
        twice: r0 = r1; r0 += r1; exit
        unused: exit
        """
    )
    assert list(spec.programs) == ["first", "second", "third"]
    first, second, third = spec.programs.values()
    assert (first.type, second.type, third.type) == ("xdp", "xdp", "sched_cls")
    assert [each.name for each in first.functions] == ["twice"]
    assert second.functions == third.functions == ()
    assert {each.license for each in spec.programs.values()} == {"GPL"}
    assert third.instructions[0] == instruction("mov64_imm", imm=-1)


def test_labels_belong_to_their_function() -> None:
    spec = assemble(
        """
        .section xdp
        .globl a
        a:  goto out
        out: exit
        .globl b
        b:  goto out
        out: exit
        """
    )
    assert [label for label in spec.programs["a"].instructions if isinstance(label, Label)] == [
        Label("out")
    ]
    assert spec.programs["a"].instructions == spec.programs["b"].instructions


def test_two_labels_may_share_a_place_and_one_may_stand_at_the_end() -> None:
    main = main_of("r0 = 0\none: two: goto end\ngoto one\ngoto two\nend:")
    assert main[1:3] == (Label("one"), Label("two"))
    assert main[-1] == Label("end")


def test_names_that_look_like_registers_and_words_of_the_language_are_names() -> None:
    names = ("r2_x", ".Lr3", "LBB0_1", "ll", "exit_", "w10x", "u32x", "be16_", "goto_", "r1.a")
    for name in names:
        main = main_of(f"r0 = 0\n{name}: goto {name}")
        assert main[1:] == (Label(name), instruction("ja", ref=ir.LabelRef(name)))


def test_a_program_may_jump_to_its_own_beginning() -> None:
    spec = assemble(".section xdp\nagain: if r1 == 0 goto again\nr0 = 0\nexit")
    program = spec.programs["again"]
    assert program.instructions[0] == Label("again")
    assert ir.link(program).instructions[0].off == -1


def test_semicolons_separate_statements_and_comments_of_all_kinds_are_left_out() -> None:
    text = """r0 = 1; r0 += 2 # one ; two
    r0 += 3 // three
    r0 /* four ; r1 = 5
    more */ += 4 ; ; exit"""
    imms = [each.imm for each in main_of(text) if isinstance(each, Instruction)]
    assert imms == [1, 2, 3, 4, 0]


def test_field_names_and_constants_are_numbers() -> None:
    main = main_of(
        """
        r2 = *(u32 *)(r1 + xdp_md.data_end)
        r3 = *(u32 *)(r1 + __sk_buff.cb[2])
        w0 = XDP_DROP
        exit
        """
    )
    assert [(each.off, each.imm) for each in main if isinstance(each, Instruction)] == [
        (4, 0),
        (56, 0),
        (0, 1),
        (0, 0),
    ]


def test_numbers_are_taken_signed_or_unsigned_as_llvm_does() -> None:
    text = "r0 = 0xffffffff; r0 = -1; r0 = 0x7fffffff; r0 = -1 ll; r0 = 0xffffffffffffffff ll"
    text += "; r0 = 010; r0 = 0b11; r0 = 'a'; r0 = -0x10"
    imms = [each.imm for each in main_of(text) if isinstance(each, Instruction)]
    assert imms == [-1, -1, 0x7FFFFFFF, -1, -1, 8, 3, 97, -16]


def test_a_local_function_comes_before_a_helper_of_the_same_name() -> None:
    spec = assemble(
        ".section xdp\nf: call bpf_ktime_get_ns\nexit\n.text\nbpf_ktime_get_ns: r0 = 0; exit"
    )
    assert spec.programs["f"].instructions[0] == instruction(
        "call_local", ref=ir.FunctionRef("bpf_ktime_get_ns")
    )


def test_the_address_of_a_function_is_a_reference_to_it() -> None:
    spec = assemble(".section xdp\nf: r2 = callback ll\nexit\n.text\ncallback: r0 = 0; exit")
    program = spec.programs["f"]
    assert program.instructions[0] == instruction(
        "lddw_func", dst=2, ref=ir.FunctionRef("callback")
    )
    assert ir.link(program).instructions[0].imm == 2


def test_instructions_carry_their_place() -> None:
    (first, second) = main_of("   r0 = 0 ; exit # done")
    assert isinstance(first, Instruction)
    assert isinstance(second, Instruction)
    assert first.span is not None
    assert second.span is not None
    assert (first.span.line, first.span.column, first.span.width) == (1, 4, 6)
    assert (second.span.line, second.span.column, second.span.width) == (1, 13, 4)


def test_maps_take_types_or_sizes() -> None:
    spec = assemble(
        """
        .map a, array, key=u32, value=u64, max_entries=5
        .map b, BPF_MAP_TYPE_HASH, key_size=6, value_size=16, max_entries=0x10, flags=1|BPF_F_RDONLY
        .map c, array, value=s32, max_entries=1
        """
    )
    assert list(spec.maps.values()) == [
        ir.MapSpec("a", "array", 4, 8, 5, key="u32", value="u64"),
        ir.MapSpec("b", "hash", 6, 16, 16, flags=1 | 8),
        ir.MapSpec("c", "array", 4, 4, 1, value="s32"),
    ]


def test_what_is_printed_assembles_to_the_same_collection() -> None:
    texts = [
        COUNTER.read_text(),
        """
        .section xdp
        again: if r1 == 0 goto again; call sub; exit
        .text
        sub: r0 = cb ll; exit
        cb: exit
        """,
        """
        .section tc
        .globl a
        a: exit
        .globl b
        b: call 77; r1 = 5 ll; call pc+1; call btf_id(5, 1); exit
        """,
    ]
    for text in texts:
        spec = assemble(text)
        assert assemble(print_collection(spec)) == spec


def test_one_program_prints_with_what_it_needs() -> None:
    spec = assemble(COUNTER.read_text())
    program = spec.programs["xdp_stats"]
    assert assemble(print_program(program)).programs["xdp_stats"] == program


LOCKED = """\
.license "GPL"
.extern bpf_rcu_read_lock
.section tc
locked:
    call bpf_rcu_read_lock
    call bpf_rcu_read_unlock
    r0 = 0
    exit
.extern bpf_rcu_read_unlock
"""


def test_functions_of_the_kernel_are_declared_and_called_by_name() -> None:
    spec = assemble(LOCKED)
    first, second, *_ = spec.programs["locked"].instructions
    assert first == instruction("call_kfunc", ref=ir.KfuncRef("bpf_rcu_read_lock"))
    assert second == instruction("call_kfunc", ref=ir.KfuncRef("bpf_rcu_read_unlock"))
    assert assemble(print_collection(spec)) == spec
    long = assemble(LOCKED.replace("    r0 = 0\n", "    r0 = 0\n" * 1000))
    assert list(long.programs["locked"].instructions)[:2] == [first, second]


def test_an_undeclared_one_is_told_how() -> None:
    with pytest.raises(AsmError) as refusal:
        assemble(LOCKED.replace(".extern bpf_rcu_read_lock\n", "").replace("rcu_read_lock", "qqq"))
    (diagnostic,) = refusal.value.diagnostics
    assert diagnostic.message == "there is no function or helper bpf_qqq"
    assert diagnostic.hint == "a function of the kernel is declared: .extern bpf_qqq"


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_the_kernel_and_libbpf_find_the_function(tmp_path: Path) -> None:
    spec = assemble(LOCKED)
    try:
        load(spec).close()
    except LoadError as refusal:
        excuse(refusal, "6.2")
    with objects.loaded(to_elf(spec), tmp_path) as programs:
        assert programs["locked"]["type"] == "sched_cls"


def test_a_program_that_is_called_is_told_where_functions_stand() -> None:
    spec = assemble(".section tc\nf: call g; exit\ng: r0 = 0; exit\n")
    with pytest.raises(LinkError, match=r"no function 'g'\n(.*\n)+.*hint: .*stand in .text"):
        encode(spec.programs["f"])
    (diagnostic,) = verify(spec.programs["f"]).diagnostics
    assert diagnostic.hint is not None
    assert diagnostic.hint.startswith("functions that are called stand in .text")
