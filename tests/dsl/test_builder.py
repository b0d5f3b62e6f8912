"""What a builder makes: programs, functions, maps, and the place of every one of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ebpfasm.dsl import R0, R1, R2, R3, R10, Builder, Code
from ebpfasm.emit import encode
from ebpfasm.errors import LineSpan
from ebpfasm.ir import (
    CollectionSpec,
    FunctionRef,
    Instruction,
    KfuncRef,
    KsymRef,
    Label,
    LabelRef,
    MapRef,
    MapSpec,
    ProgramSpec,
    VarRef,
    instruction,
    instructions_of,
)
from tests.support import ROOT

EXAMPLE = ROOT / "examples" / "xdp_stats_instructions" / "program.py"

# The packet counter, row by row.
COUNTER = (
    instruction("mov32_imm", dst=1, imm=2),
    instruction("stxw", dst=10, src=1, off=-4),
    instruction("mov64_reg", dst=2, src=10),
    instruction("add64_imm", dst=2, imm=-4),
    instruction("lddw_map_fd", dst=1, ref=MapRef("xdp_stats_map")),
    instruction("call_helper", imm=1),
    instruction("mov64_reg", dst=1, src=0),
    instruction("mov32_imm", dst=0, imm=0),
    instruction("jeq64_imm", dst=1, imm=0, ref=LabelRef("out")),
    instruction("mov64_imm", dst=2, imm=1),
    instruction("atomic_add64", dst=1, src=2),
    instruction("mov32_imm", dst=0, imm=2),
    Label("out"),
    instruction("exit"),
)


def line_of(marker: str) -> int:
    """The line of this file that ends with a comment of the marker alone."""
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    (number,) = (n for n, text in enumerate(lines, 1) if text.endswith(f"  # {marker}"))
    return number


def here(marker: str) -> LineSpan:
    return LineSpan(__file__, line_of(marker))


def example() -> CollectionSpec:
    names: dict[str, object] = {"__name__": "program"}
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE, "exec"), names)
    spec = names["spec"]
    assert isinstance(spec, CollectionSpec)
    return spec


def only(b: Builder) -> ProgramSpec:
    (program,) = b.build().programs.values()
    return program


def test_the_packet_counter_is_the_program_written_by_hand() -> None:
    built = example().programs["xdp_stats"]
    by_hand = ProgramSpec("xdp_stats", "xdp", "xdp", COUNTER, maps=built.maps)
    assert built.instructions == COUNTER
    assert encode(built) == encode(by_hand)
    assert len(encode(built)) == 14 * 8


def test_the_packet_counter_is_an_xdp_program_with_its_map() -> None:
    spec = example()
    stats = MapSpec("xdp_stats_map", "array", 4, 8, 5, key="u32", value="u64")
    built = spec.programs["xdp_stats"]
    assert dict(spec.maps) == {"xdp_stats_map": stats}
    assert built.maps == (stats,)
    assert (built.type, built.attach_type, built.license) == ("xdp", "xdp", "GPL")


def test_every_instruction_of_the_example_carries_a_line_of_its_own() -> None:
    lines = EXAMPLE.read_text(encoding="utf-8").splitlines()
    spans = [item.span for item in example().programs["xdp_stats"].instructions]
    assert {span.name for span in spans if span is not None} == {str(EXAMPLE)}
    written = [lines[span.line - 1].strip() for span in spans if span is not None]
    assert [text.partition("(")[0] for text in written] == [
        "p.mov32", "p.stxw", "p.mov", "p.add", "p.lddw_map", "p.call", "p.mov", "p.mov32",
        "p.jeq", "p.mov", "p.atomic_add64", "p.mov32", "p.label", "p.exit",
    ]  # fmt: skip


def test_all_that_is_built_remembers_the_line_that_wrote_it() -> None:
    b = Builder()
    hits = b.map("hits", "array", value="u64", max_entries=1)  # span: map
    p = b.program("count", section="xdp")  # span: program
    p.lddw_map(R1, hits)  # span: lddw
    for size in (1, 2):
        p.mov(R0, size)  # span: loop
    p.label("out")  # span: label
    p.call_local("f")  # span: call
    p.emit(instruction("exit"))  # span: emit
    f = b.function("f")  # span: function
    f.exit()  # span: exit
    program = only(b)
    assert program.span == here("span: program")
    assert program.maps[0].span == here("span: map")
    assert [item.span for item in program.instructions] == [
        here(f"span: {name}") for name in ("lddw", "loop", "loop", "label", "call", "emit")
    ]
    assert program.functions[0].span == here("span: function")
    assert program.functions[0].instructions[0].span == here("span: exit")


def test_a_call_over_several_lines_carries_its_first() -> None:
    p = Builder().program("p", type="xdp")
    p.mov(  # span: several
        R0,
        2,
    )
    assert p.items[0].span == here("span: several")


def test_the_line_is_that_of_the_users_own_helper_function() -> None:
    def load_ethertype(p: Code) -> None:
        p.ldxh(R0, R1, 12)  # span: helper

    p = Builder().program("p", type="xdp")
    load_ethertype(p)
    assert p.items[0].span == here("span: helper")


def test_an_instruction_made_elsewhere_keeps_its_place() -> None:
    elsewhere = LineSpan("other.py", 7)
    p = Builder().program("p", type="xdp")
    p.emit(Instruction(instruction("exit").spec, span=elsewhere))
    assert p.items[0].span == elsewhere


def test_a_program_needs_no_with_block() -> None:
    b = Builder()
    p = b.program("p", section="xdp")
    p.mov(R0, 2)
    p.exit()
    assert only(b).instructions == (instruction("mov64_imm", imm=2), instruction("exit"))


def test_programs_hold_the_functions_and_maps_that_they_reach() -> None:
    b = Builder(license="Dual MIT/GPL")
    b.map("a", "hash", key=6, value="u32", max_entries=16)
    b.map("b", "ringbuf", max_entries=4096)
    with b.program("first", section="xdp") as p:
        p.call_local("outer")
        p.exit()
    with b.program("second", section="tc") as p:
        p.lddw_map(R1, "a")
        p.exit()
    with b.function("inner") as f:
        f.lddw_map(R1, "b")
        f.exit()
    with b.function("outer") as f:
        f.lddw_func(R2, "inner")
        f.exit()
    spec = b.build()
    first, second = spec.programs.values()
    assert [each.name for each in first.functions] == ["outer", "inner"]
    assert [each.name for each in first.maps] == ["b"]
    assert [each.name for each in second.maps] == ["a"]
    assert list(spec.maps) == ["a", "b"]
    assert (spec.license, first.license) == ("Dual MIT/GPL", "Dual MIT/GPL")
    assert encode(first)[:8].hex() == "8510000001000000"


@pytest.mark.parametrize(
    ("section", "type", "attach_type", "target", "flags"),
    [
        ("xdp", "xdp", "xdp", "", 0),
        ("xdp.frags", "xdp", "xdp", "", 1 << 5),
        ("fentry.s/do_unlinkat", "tracing", "trace_fentry", "do_unlinkat", 1 << 4),
        ("tracepoint/syscalls/sys_enter_execve", "tracepoint", "", "syscalls/sys_enter_execve", 0),
    ],
)
def test_a_section_says_what_the_program_is(
    section: str, type: str, attach_type: str, target: str, flags: int
) -> None:
    b = Builder()
    b.program("p", section).exit()
    program = only(b)
    assert (program.section, program.type) == (section, type)
    assert (program.attach_type, program.attach_target) == (attach_type, target)
    assert program.flags == flags


def test_what_is_given_wins_over_the_section() -> None:
    b = Builder()
    b.program("p", "xdp", type="sched_cls", flags=1 << 1).exit()
    program = only(b)
    assert (program.type, program.attach_type, program.flags) == ("sched_cls", "", 2)


def test_a_type_alone_is_enough_and_numbers_are_taken_for_new_kernels() -> None:
    b = Builder()
    b.program("p", type="prog_type#77", attach_type="attach_type#99").exit()
    b.map("m", 1000, key=4, value=4)
    spec = b.build()
    assert (spec.programs["p"].type, spec.programs["p"].section) == ("prog_type#77", "")
    assert spec.maps["m"] == MapSpec("m", 1000, 4, 4, 0)


def test_map_types_that_have_one_size_need_none() -> None:
    b = Builder()
    inner = b.map("inner", "array", key="u32", value=12, max_entries=2)
    b.map("progs", "prog_array", max_entries=4)
    b.map("rings", "BPF_MAP_TYPE_PERF_EVENT_ARRAY")
    b.map("events", "ringbuf", max_entries=4096)
    b.map("routes", 11, key=8, value="s64", max_entries=4, flags=1)
    b.map("outer", "array_of_maps", max_entries=2, inner=inner)
    assert list(b.build().maps.values()) == [
        MapSpec("inner", "array", 4, 12, 2, key="u32"),
        MapSpec("progs", "prog_array", 4, 4, 4),
        MapSpec("rings", "perf_event_array", 4, 4, 0),
        MapSpec("events", "ringbuf", 0, 0, 4096),
        MapSpec("routes", "lpm_trie", 8, 8, 4, flags=1, value="s64"),
        MapSpec("outer", "array_of_maps", 4, 4, 2, inner=inner),
    ]


def test_names_become_references() -> None:
    p = Builder().program("p", type="xdp")
    p.lddw_map(R1, "m")
    p.lddw_map_value(R1, "m", 8)
    p.lddw_func(R2, "f")
    p.lddw_btf_id(R3, "jiffies", weak=True)
    p.call_local("f")
    p.call_kfunc("bpf_task_release", weak=True)
    p.gotol("out")
    p.may_goto("out")
    assert [each.ref for each in instructions_of(p.items)] == [
        MapRef("m"),
        VarRef("m", "", 8),
        FunctionRef("f"),
        KsymRef("jiffies", weak=True),
        FunctionRef("f"),
        KfuncRef("bpf_task_release", weak=True),
        LabelRef("out"),
        LabelRef("out"),
    ]


def test_a_context_field_is_its_offset() -> None:
    p = Builder().program("p", type="xdp")
    p.ldxw(R2, R1, "xdp_md.data_end")
    p.stxw(R1, "__sk_buff.cb[2]", R2)
    assert [each.off for each in instructions_of(p.items)] == [4, 56]


def test_two_labels_may_share_a_place_and_one_may_stand_at_the_end() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p:
        p.jeq(R0, 0, "first")
        p.jne32(R0, R1, "second")
        p.label("first")
        p.label("second")
        p.exit()
        p.label("end")
    assert encode(only(b)).hex(" ", 8) == "1500010000000000 5e10000000000000 9500000000000000"


def test_functions_have_labels_of_their_own() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p, b.function("f") as f:
        for code in (p, f):
            code.ja("out")
            code.label("out")
            code.exit()
        p.call_local("f")
        p.exit()
    program = only(b)
    assert len(program.instructions) == 5
    assert [len(each.instructions) for each in program.functions] == [3]


@pytest.mark.parametrize(
    ("method", "number", "field"),
    [
        ("mov", -(1 << 31), -(1 << 31)),
        ("mov32", 0xFFFFFFFF, -1),
        ("jeq32", 0x80000000, -(1 << 31)),
        ("jgt", (1 << 31) - 1, (1 << 31) - 1),
        ("lddw", (1 << 64) - 1, -1),
        ("stw", 0xFFFFFFFF, -1),
        ("sth", 0xFFFF, 0xFFFF),
        ("stb", -128, -128),
        ("stb", 255, 255),
        ("stdw", -1, -1),
        ("ldabsw", 0xFFFFF000, -4096),
        ("mov", True, 1),
    ],
)
def test_numbers_whose_bits_all_count_may_be_signed_or_unsigned(
    method: str, number: int, field: int
) -> None:
    p = Builder().program("p", type="xdp")
    before = (R10, -8) if method.startswith("st") else () if method == "ldabsw" else (R1,)
    behind = ("out",) if method.startswith("j") else ()
    getattr(p, method)(*before, number, *behind)
    (made,) = instructions_of(p.items)
    assert (made.imm, type(made.imm)) == (field, int)


def test_registers_show_as_they_are_written() -> None:
    assert (repr(R10), str(R0), f"{R1}") == ("R10", "R0", "R1")


def test_the_builder_is_imported_without_any_dependency() -> None:
    heavy = {"lark", "elftools", "numpy", "difflib"}
    code = f"import sys, ebpfasm.dsl; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
