"""Every mistake that a builder finds: its whole message, and the line that it points at.

The line at fault ends with the comment `# wrong`, the one that a note points at with `# first`.
"""

# ruff: noqa: E501 -- a message stands on one line, as it is shown
# The wrong types are the point here, so mypy is told not to mind them.
# mypy: disable-error-code="arg-type, attr-defined"

from __future__ import annotations

import linecache
from collections.abc import Callable

import pytest

from ebpfasm.dsl import R0, R1, R2, R10, Builder, Code
from ebpfasm.errors import Diagnostic, DslError, Location
from ebpfasm.ir import Instruction
from ebpfasm.isa.table import BY_NAME


def build_wrong(b: Builder) -> tuple[Diagnostic, ...]:
    with pytest.raises(DslError) as caught:
        b.build()
    return caught.value.diagnostics


def marked(span: Location | None, marker: str) -> bool:
    return span is not None and linecache.getline(span.name, span.line).endswith(f"# {marker}\n")


def text(diagnostic: Diagnostic) -> str:
    """The diagnostic without the test's own lines, which must be the marked ones."""
    assert marked(diagnostic.span, "wrong"), str(diagnostic)
    assert all(marked(note.span, "first") for note in diagnostic.notes), str(diagnostic)
    notes = [f"note: {note.message}" for note in diagnostic.notes]
    hints = [f"hint: {diagnostic.hint}"] if diagnostic.hint else []
    return "\n".join([f"{diagnostic.code}: {diagnostic.message}", *notes, *hints])


def check(mistake: Callable[[Code], None], *expected: str) -> None:
    """Make the mistake in a program that is right otherwise."""
    b = Builder()
    b.map("hits", "array", key="u32", value="u64", max_entries=1)
    b.function("parse").exit()
    with b.program("p", section="xdp") as p:
        mistake(p)
        p.exit()
    assert [text(each) for each in build_wrong(b)] == list(expected)


def check_builder(mistake: Callable[[Builder], object], *expected: str) -> None:
    b = Builder()
    mistake(b)
    assert [text(each) for each in build_wrong(b)] == list(expected)


def test_an_error_shows_file_line_and_code() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p:
        p.mov(R0, 1 << 40)  # wrong
        p.exit()
    (wrong,) = build_wrong(b)
    assert wrong.span is not None
    line = wrong.span.line
    assert str(wrong) == (
        f"{__file__}:{line}: error[dsl-range]: mov: operand = 1099511627776 is outside -2147483648 to 2147483647\n"
        f"{line:>4} |         p.mov(R0, 1 << 40)  # wrong\n"
        f"     |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^\n"
        "   hint: load it into a register with lddw"
    )


def test_all_mistakes_are_reported_in_one_go_in_the_order_of_lines() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p:
        p.jeq(R0, 0, "nowhere")  # wrong
        p.mov(11, "x")  # wrong
        p.call("no_such_helper_at_all")  # wrong
        p.ldxw(R1, R2, 40000)  # wrong
    with b.program("q", section="xdp"):  # wrong
        pass
    assert [each.message for each in build_wrong(b)] == [
        "label 'nowhere' is jumped to and never placed in program 'p'",
        "mov: dst must be a register, not 11",
        "mov: operand must be a register or an int, not 'x'",
        "there is no helper 'no_such_helper_at_all'",
        "ldxw: off = 40000 is outside -32768 to 32767",
        "program 'q' has no instructions",
    ]


# Registers and operands ----------------------------------------------------------------------


def test_a_number_is_no_register() -> None:
    check(
        lambda p: p.mov(1, R2),  # wrong
        "dsl-operand: mov: dst must be a register, not 1\nhint: write R1",
    )


def test_there_is_no_register_eleven() -> None:
    check(
        lambda p: p.stxw(11, -4, R1),  # wrong
        "dsl-operand: stxw: base must be a register, not 11\nhint: the registers are R0 to R10",
    )


def test_a_register_is_no_immediate() -> None:
    check(
        lambda p: p.stw(R10, -4, R1),  # wrong
        "dsl-operand: stw: imm must be an int, not R1",
    )


def test_a_register_is_no_offset() -> None:
    check(
        lambda p: p.ldxw(R0, R1, R2),  # wrong
        "dsl-operand: ldxw: off must be an int or a context's field, not R2",
    )


def test_a_text_is_no_operand() -> None:
    check(
        lambda p: p.add32(R0, "1"),  # wrong
        "dsl-operand: add32: operand must be a register or an int, not '1'",
    )


def test_a_fraction_is_no_operand() -> None:
    check(
        lambda p: p.lddw(R0, 1.5),  # wrong
        "dsl-operand: lddw: imm must be an int, not 1.5",
    )


def test_a_jump_needs_a_target() -> None:
    check(
        lambda p: p.jeq(R0, 0, None),  # wrong
        "dsl-operand: jeq: target must be a label or a distance in slots, not None",
    )


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("call", "call: helper must be a name or a number, not None"),
        ("call_local", "call_local: function must be a name or a distance in slots, not None"),
        ("call_kfunc", "call_kfunc: function must be a name or a BTF id, not None"),
    ],
)
def test_a_call_needs_a_name_or_number(method: str, message: str) -> None:
    check(
        lambda p: getattr(p, method)(None),  # wrong
        f"dsl-operand: {message}",
    )


@pytest.mark.parametrize(
    ("method", "message"),
    [
        ("lddw_map", "lddw_map: map must be a map or its name, not 3"),
        ("lddw_map_value", "lddw_map_value: map must be a map or its name, not 3"),
    ],
)
def test_a_map_is_a_map_or_its_name(method: str, message: str) -> None:
    check(
        lambda p: getattr(p, method)(R1, 3),  # wrong
        f"dsl-operand: {message}",
    )


def test_an_address_of_a_symbol_needs_its_name_or_id() -> None:
    check(
        lambda p: p.lddw_btf_id(R1, None),  # wrong
        "dsl-operand: lddw_btf_id: symbol must be a name or a BTF id, not None",
    )


def test_only_an_instruction_can_be_emitted() -> None:
    check(
        lambda p: p.emit(b"\x95\0\0\0\0\0\0\0"),  # wrong
        "dsl-operand: emit takes an ebpfasm.ir.Instruction, not b'\\x95\\x00\\x00\\x00\\x00\\x00\\x00\\x00'",
    )


def test_an_emitted_instruction_is_checked() -> None:
    check(
        lambda p: p.emit(Instruction(BY_NAME["mov64_imm"], dst=11, off=1)),  # wrong
        "dsl-range: mov64_imm: r11 is no register, dst",
        "dsl-range: mov64_imm does not use off, which holds 1",
    )


# Ranges --------------------------------------------------------------------------------------

LDDW = "\nhint: load it into a register with lddw"


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (("mov", R0, 1 << 31), f"mov: operand = 2147483648 is outside -2147483648 to 2147483647{LDDW}"),
        (("add", R0, 0xFFFFFFFF), f"add: operand = 4294967295 is outside -2147483648 to 2147483647{LDDW}"),
        (("jeq", R0, 1 << 31, 0), f"jeq: operand = 2147483648 is outside -2147483648 to 2147483647{LDDW}"),
        (("mov32", R0, 1 << 32), "mov32: operand = 4294967296 is outside -2147483648 to 4294967295"),
        (("lddw", R0, 1 << 64), "lddw: imm = 18446744073709551616 is outside -9223372036854775808 to 18446744073709551615"),
        (("stb", R10, -1, 256), "stb: imm = 256 is outside -128 to 255"),
        (("sth", R10, -2, -32769), "sth: imm = -32769 is outside -32768 to 65535"),
        (("stdw", R10, -8, 1 << 31), "stdw: imm = 2147483648 is outside -2147483648 to 2147483647"),
        (("stxw", R10, 32768, R1), "stxw: off = 32768 is outside -32768 to 32767"),
        (("atomic_add64", R1, 70000, R2), "atomic_add64: off = 70000 is outside -32768 to 32767"),
        (("ja", -32769), "ja: target = -32769 is outside -32768 to 32767"),
        (("jlt32", R0, 1, 40000), "jlt32: target = 40000 is outside -32768 to 32767"),
        (("gotol", 1 << 31), "gotol: target = 2147483648 is outside -2147483648 to 2147483647"),
        (("call", 1 << 31), "call: helper = 2147483648 is outside -2147483648 to 2147483647"),
        (("call_kfunc", 1, -1), "call_kfunc: off = -1 is outside 0 to 32767"),
        (("addr_space_cast", R0, R1, 65536, 0), "addr_space_cast: dst_as = 65536 is outside 0 to 65535"),
        (("lddw_map_value", R0, "hits", -1), "lddw_map_value: off = -1 is outside 0 to 4294967295"),
        (("lddw_func", R0, 1 << 31), "lddw_func: function = 2147483648 is outside -2147483648 to 2147483647"),
        (("lddw_map_idx", R0, -1), "lddw_map_idx: index = -1 is outside 0 to 2147483647"),
    ],
)  # fmt: skip
def test_a_number_that_does_not_fit_is_never_masked(
    mistake: tuple[str, object], message: str
) -> None:
    method, *arguments = mistake
    check(
        lambda p: getattr(p, method)(*arguments),  # wrong
        f"dsl-range: {message}",
    )


# Names ---------------------------------------------------------------------------------------


def test_a_helper_that_does_not_exist_has_a_neighbour() -> None:
    check(
        lambda p: p.call("bpf_map_lokup_elem"),  # wrong
        "dsl-symbol: there is no helper 'bpf_map_lokup_elem'\nhint: did you mean bpf_map_lookup_elem?",
    )


def test_a_function_is_not_called_as_a_helper() -> None:
    check(
        lambda p: p.call("parse"),  # wrong
        "dsl-symbol: there is no helper 'parse'\n"
        'hint: functions of the builder are called by call_local("parse")',
    )


def test_a_function_that_does_not_exist_has_a_neighbour() -> None:
    check(
        lambda p: p.call_local("prase"),  # wrong
        "dsl-symbol: there is no function 'prase'\nhint: did you mean parse?",
    )


def test_a_program_cannot_be_called() -> None:
    check(
        lambda p: p.lddw_func(R1, "p"),  # wrong
        "dsl-symbol: 'p' is a program, where a function is needed",
    )


def test_a_map_that_does_not_exist_has_a_neighbour() -> None:
    check(
        lambda p: p.lddw_map(R1, "hit"),  # wrong
        "dsl-symbol: there is no map 'hit'\nhint: did you mean hits?",
    )


def test_a_map_of_another_builder_does_not_exist_here() -> None:
    other = Builder().map("others", "array", value=8, max_entries=1)
    check(
        lambda p: p.lddw_map_value(R1, other),  # wrong
        "dsl-symbol: there is no map 'others'",
    )


def test_a_map_without_a_name_does_not_exist() -> None:
    check(
        lambda p: p.lddw_map(R1, ""),  # wrong
        "dsl-symbol: there is no map ''",
    )


def test_a_function_is_no_map() -> None:
    check(
        lambda p: p.lddw_map(R1, "parse"),  # wrong
        "dsl-symbol: 'parse' is a function, where a map is needed",
    )


def test_a_context_field_that_does_not_exist_has_a_neighbour() -> None:
    check(
        lambda p: p.ldxw(R2, R1, "xdp_md.dataend"),  # wrong
        "dsl-symbol: ldxw: there is no context field 'xdp_md.dataend'\n"
        "hint: did you mean xdp_md.data_end?",
    )


def test_a_context_that_does_not_exist_has_a_neighbour() -> None:
    check(
        lambda p: p.ldxw(R2, R1, "xdp_mod.data"),  # wrong
        "dsl-symbol: ldxw: there is no context field 'xdp_mod.data'\nhint: did you mean xdp_md?",
    )


# Labels --------------------------------------------------------------------------------------


def test_a_label_that_is_never_placed_is_reported_at_the_jump() -> None:
    def mistake(p: Code) -> None:
        p.label("out")
        p.ja("outt")  # wrong

    check(
        mistake,
        "dsl-label: label 'outt' is jumped to and never placed in program 'p'\n"
        "hint: did you mean out?",
    )


def test_a_label_of_another_function_is_out_of_reach() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p:
        p.label("here")
        p.exit()
    with b.function("f") as f:
        f.gotol("here")  # wrong
    assert [text(each) for each in build_wrong(b)] == [
        "dsl-label: label 'here' is jumped to and never placed in function 'f'"
    ]


def test_a_label_is_placed_once() -> None:
    def mistake(p: Code) -> None:
        p.label("out")  # first
        p.label("out")  # wrong

    check(mistake, "dsl-label: label 'out' is placed twice\nnote: it was placed first here")


@pytest.mark.parametrize("name", ["", "two words", "1st", "a:b", None])
def test_a_label_has_a_name_that_text_can_hold(name: str) -> None:
    check(
        lambda p: p.label(name),  # wrong
        f"dsl-operand: {name!r} cannot be the name of a label\n"
        "hint: a name has letters, digits, '_', '.' and '$', and begins with no digit",
    )


# Programs, functions and the builder's life --------------------------------------------------


def test_an_instruction_on_the_builder_needs_a_program() -> None:
    check_builder(
        lambda b: b.mov(R0, 2),  # wrong
        "dsl-operand: mov is a method of a program or function, not of the builder\n"
        'hint: with b.program("name", section="xdp") as p: p.mov(...)',
    )


def test_other_attributes_of_the_builder_are_missing_as_usual() -> None:
    assert not hasattr(Builder(), "items")
    with pytest.raises(AttributeError, match="'Builder' object has no attribute 'mvo'"):
        Builder().mvo  # noqa: B018


def test_a_program_takes_nothing_after_its_with_block() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p:  # first
        p.exit()
    p.label("late")  # wrong
    p.exit()  # wrong
    assert [text(each) for each in build_wrong(b)] == [
        f"dsl-unfinished: {method} comes after the end of program 'p'\nnote: its with block is here"
        for method in ("label", "exit")
    ]


def test_a_program_or_function_needs_instructions() -> None:
    b = Builder()
    b.program("p", section="xdp")  # wrong
    b.function("f").label("only")  # wrong
    assert [text(each) for each in build_wrong(b)] == [
        "dsl-unfinished: program 'p' has no instructions",
        "dsl-unfinished: function 'f' has no instructions",
    ]


@pytest.mark.parametrize(
    "use",
    [
        lambda b, p: p.exit(),  # wrong
        lambda b, p: p.label("x"),  # wrong
        lambda b, p: b.map("m", "array", value=4, max_entries=1),  # wrong
        lambda b, p: b.program("q", section="xdp"),  # wrong
        lambda b, p: b.function("f"),  # wrong
        lambda b, p: b.build(),  # wrong
        lambda b, p: b.mov(R0, 2),  # wrong
    ],
)
def test_a_builder_that_is_built_takes_nothing_more(use: Callable[[Builder, Code], None]) -> None:
    b = Builder()
    p = b.program("p", section="xdp")
    p.exit()
    b.build()  # first
    with pytest.raises(DslError) as caught:
        use(b, p)
    (wrong,) = caught.value.diagnostics
    method = use.__code__.co_names[0]
    assert text(wrong) == (
        f"dsl-unfinished: {method} was called on a builder that is built already\n"
        "note: it was built here"
    )


def test_a_with_block_may_end_after_the_build() -> None:
    b = Builder()
    with b.program("p", section="xdp") as p:
        p.exit()
        assert list(b.build().programs) == ["p"]


def test_a_license_is_a_text() -> None:
    b = Builder(license=None)
    with pytest.raises(DslError) as caught:
        b.build()  # wrong
    assert [text(each) for each in caught.value.diagnostics] == [
        "dsl-operand: build: license must be str, not None"
    ]


def test_a_name_is_defined_once() -> None:
    b = Builder()
    b.program("p", section="xdp").exit()  # first
    b.program("p", section="xdp").exit()  # wrong
    b.function("p").exit()  # wrong
    b.map("m", "array", value=4, max_entries=1)  # first
    b.map("m", "array", value=4, max_entries=1)  # wrong
    b.function("m").exit()  # wrong
    assert [text(each) for each in build_wrong(b)] == [
        "dsl-duplicate: program 'p' is defined twice\nnote: the first program is here",
        "dsl-duplicate: function 'p' has the name of a program\nnote: the first program is here",
        "dsl-duplicate: map 'm' is defined twice\nnote: the first map is here",
        "dsl-duplicate: function 'm' has the name of a map\nnote: the first map is here",
    ]


def test_a_section_that_says_nothing_needs_a_type() -> None:
    check_builder(
        lambda b: b.program("p", section="xpd").exit(),  # wrong
        "dsl-section: program 'p': section 'xpd' says no program type\n"
        'hint: give the program\'s type, as in type="xdp"',
    )


def test_a_section_that_is_misspelt_has_a_neighbour() -> None:
    check_builder(
        lambda b: b.program("p", section="cgroup/conect4").exit(),  # wrong
        "dsl-section: program 'p': section 'cgroup/conect4' says no program type\n"
        "hint: did you mean cgroup/connect4?",
    )


def test_a_program_without_section_needs_a_type() -> None:
    check_builder(
        lambda b: b.program("p").exit(),  # wrong
        "dsl-section: program 'p' has neither a section nor a type\n"
        'hint: say which, as in section="xdp" or type="xdp"',
    )


def test_types_that_do_not_exist_have_neighbours() -> None:
    check_builder(
        lambda b: b.program("p", type="sched_clss", attach_type="tcx_ingres").exit(),  # wrong
        "dsl-symbol: program 'p': there is no program type 'sched_clss'\n"
        "hint: did you mean sched_cls?",
        "dsl-symbol: program 'p': there is no attach type 'tcx_ingres'\n"
        "hint: did you mean tcx_ingress?",
    )


def test_a_programs_arguments_have_types() -> None:
    check_builder(
        lambda b: b.program("p", None, flags="x").exit(),  # wrong
        "dsl-operand: program: section must be str, not None",
        "dsl-operand: program: flags must be int, not 'x'",
    )


# Maps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"type": "aray"}, "dsl-symbol: map 'm': there is no map type 'aray'\nhint: did you mean array?"),
        ({"type": "hash"}, "dsl-map: map 'm': a map of type hash needs a key type\n"
                           "hint: say key='u32', or give its bytes as in key=4"),
        ({"value": ""}, "dsl-map: map 'm': a map of type array needs a value type\n"
                        "hint: say value='u32', or give its bytes as in value=4"),
        ({"key": "u64"}, "dsl-map: map 'm': a key of 8 bytes, where type array takes 4"),
        ({"type": "cpumap", "value": 5}, "dsl-map: map 'm': a value of 5 bytes, where type cpumap takes 4 or 8"),
        ({"value": -1}, "dsl-map: map 'm': a value of -1 bytes, where type array takes 1 to 4294967295"),
        ({"type": "ringbuf"}, "dsl-map: map 'm': a map of type ringbuf has no values\nhint: leave value out"),
        ({"type": "queue", "key": 4}, "dsl-map: map 'm': a map of type queue has no keys\nhint: leave key out"),
        ({"value": "u128"}, "dsl-map: map 'm': 'u128' is no value type\n"
                            "hint: types are u8 to u64 and s8 to s64; give the bytes of any other, as in value=12"),
        ({"max_entries": 0}, "dsl-map: map 'm': a map of type array needs max_entries of 1 or more"),
        ({"max_entries": 1 << 32}, "dsl-map: map 'm': max_entries = 4294967296 is outside 0 to 4294967295"),
        ({"type": "cgroup_storage", "key": 8}, "dsl-map: map 'm': a map of type cgroup_storage has no max_entries\n"
                                               "hint: leave max_entries out"),
        ({"flags": -1}, "dsl-map: map 'm': flags = -1 is outside 0 to 4294967295"),
        ({"type": "lpm_trie", "key": 8}, "dsl-map: map 'm': the kernel creates a map of type lpm_trie only with BPF_F_NO_PREALLOC\n"
                                         "hint: add flags=0x1"),
        ({"type": "array_of_maps", "value": 4}, "dsl-map: map 'm': a map of type array_of_maps needs an inner map\n"
                                                "hint: give one of its inner maps, as in inner=b.map(...)"),
        ({"value": None}, "dsl-operand: map: value must be str or int, not None"),
        ({"max_entries": "5"}, "dsl-operand: map: max_entries must be int, not '5'"),
        ({"inner": "m"}, "dsl-operand: map: inner must be MapSpec, not 'm'"),
        ({"name": "a map"}, "dsl-operand: 'a map' cannot be the name of a map\n"
                            "hint: a name has letters, digits, '_', '.' and '$', and begins with no digit"),
    ],
)  # fmt: skip
def test_a_map_is_checked_against_its_type(arguments: dict[str, object], message: str) -> None:
    right: dict[str, object] = {"name": "m", "type": "array", "value": "u64", "max_entries": 1}
    check_builder(
        lambda b: b.map(**right | arguments),  # wrong
        message,
    )


def test_a_plain_map_has_no_inner_map() -> None:
    inner = Builder().map("inner", "array", value=4, max_entries=1)
    check_builder(
        lambda b: b.map("m", "array", value=4, max_entries=1, inner=inner),  # wrong
        "dsl-map: map 'm': a map of type array has no inner map",
    )
