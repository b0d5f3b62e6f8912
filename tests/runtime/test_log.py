"""Logs of several kernels, read back. What the running kernel says is in test_loader.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.asm import assemble
from ebpfasm.ir import LinkedProgram, link
from ebpfasm.runtime.loading import log

TEXT = """.section xdp
main:
    r0 = 0
    r2 = 0x1122334455667788 ll
    r3 = *(u32 *)(r1 + 200)
    r0 += r4
    exit
"""


def linked() -> LinkedProgram:
    return link(assemble(TEXT, name="main.s").programs["main"])


def test_the_complaint_belongs_to_the_instruction_above_it() -> None:
    text = (
        "func#0 @0\n0: R1=ctx() R10=fp0\n; r0 = 0 @ main.s:3\n0: (b7) r0 = 0        ; R0_w=0\n"
        "1: (18) r2 = 0x1122334455667788\n; r3 = *(u32 *)(r1 + 200) @ main.s:5\n"
        "3: (61) r3 = *(u32 *)(r1 +200)\ninvalid bpf_context access off=200 size=4\n"
        "processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0\n"
    )
    assert str(log.diagnose(linked(), text, "")) == (
        "main.s:5:5: error[load-rejected]: the verifier refuses program 'main': "
        "invalid bpf_context access off=200 size=4\n"
        "   5 |     r3 = *(u32 *)(r1 + 200)\n"
        "     |     ^^^^^^^^^^^^^^^^^^^^^^^\n"
        "   note: program 'main' is in section 'xdp'\n"
        "   hint: the context has no field of this size at this offset for this access and "
        "program type"
    )


def test_linux_5_10_writes_states_without_an_equals_sign_in_context() -> None:
    text = (
        "func#0 @0\n0: R1=ctx(id=0,off=0,imm=0) R10=fp0\n0: (b7) r0 = 0\n"
        "1: R0_w=inv0 R1=ctx(id=0,off=0,imm=0) R10=fp0\n1: (18) r2 = 0x1122334455667788\n"
        "3: R0_w=inv0 R1=ctx(id=0,off=0,imm=0) R2_w=inv1234605616436508552 R10=fp0\n"
        "3: (61) r3 = *(u32 *)(r1 +200)\ninvalid bpf_context access off=200 size=4\n"
        "processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 "
        "mark_read 0\n"
    )
    assert log.read(text) == log.Rejection("invalid bpf_context access off=200 size=4", 3)


def test_linux_7_3_explains_itself() -> None:
    text = (
        "3: (0f) r0 += r4\nR4 !read_ok\n\n"
        "Verification failed: Register Type Safety: Unreadable register\n\n"
        "Reason:\n  R4 has never been initialized on this path,\n  so it cannot be used.\n\n"
        "At:\n  main @ a.s:5:1\n  Source context:\n      4 | r3 = 0x1122334455667788 ll\n"
        "  >>> 5 | r0 += r4\n        | ^-- error: R4 is not readable\n      6 | exit\n"
        "  Instruction context:\n      1 | (18) r3 = 0x1122334455667788\n"
        "  >>> 3 | (0f) r0 += r4\n      4 | (95) exit\n\n"
        "Causal path:\n  no retained diagnostic events on this path\n\n"
        "Suggestion:\n  Initialize R4 on every path before this instruction.\n\n"
        "processed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0\n"
    )
    assert log.read(text) == log.Rejection(
        "R4 !read_ok",
        3,
        ("R4 has never been initialized on this path, so it cannot be used.",),
        "Initialize R4 on every path before this instruction.",
    )


def test_linux_7_3_without_source_lines_names_the_instruction() -> None:
    text = (
        "R0 !read_ok\n\nVerification failed: Register Type Safety: Unreadable register\n\n"
        "At:\n  insn 4\n        | ^-- error: R0 is not readable\n"
    )
    assert log.read(text) == log.Rejection("R0 !read_ok", 4)


def test_a_complaint_may_name_its_instruction() -> None:
    assert log.read("unreachable insn 5\n") == log.Rejection("unreachable insn 5", 5)
    text = "0: (b7) r0 = 0\njump out of range from insn 1 to 9\n"
    assert log.read(text) == log.Rejection("jump out of range from insn 1 to 9", 1)


def test_a_second_line_of_the_complaint_becomes_a_note() -> None:
    text = (
        "3: (69) r0 = *(u16 *)(r2 +12)\n"
        "invalid access to packet, off=12 size=2, R2(id=0,off=12,r=0)\n"
        "R2 offset is outside of the packet\nprocessed 4 insns (limit 1000000)\n"
    )
    found = log.read(text)
    assert found is not None
    assert found.details == ("R2 offset is outside of the packet",)


def test_the_end_of_a_program_is_meant_by_its_last_instruction() -> None:
    diagnostic = log.diagnose(linked(), "last insn is not an exit or jmp\n", "")
    assert diagnostic.span is not None
    assert diagnostic.span.line == 7


def test_the_second_slot_of_a_wide_instruction_belongs_to_it() -> None:
    diagnostic = log.diagnose(linked(), "invalid insn 2\n", "")
    assert diagnostic.span is not None
    assert diagnostic.span.line == 4


def test_what_is_not_understood_is_shown_as_it_is() -> None:
    text = "processed 3 insns (limit 1000000) max_states_per_insn 0\n"
    found = log.read(text)
    assert found is not None
    assert found.message == text.strip()


def test_an_empty_log_leaves_the_errno() -> None:
    assert log.read("\n") is None
    assert log.diagnose(linked(), "", "Permission denied (EACCES)").message == (
        "the kernel refuses program 'main' and does not say why: Permission denied (EACCES)"
    )


@pytest.mark.parametrize(
    ("message", "hint"),
    [
        ("R0 !read_ok", "set r0, the return value, on every path before exit"),
        ("R0 invalid mem access 'map_value_or_null'",
         "compare the pointer with 0 first and use it only where it is not null"),
        ("R3 invalid mem access 'scalar'",
         "this is a number, not a pointer: arithmetic or a spill may have lost the pointer"),
        ("cannot call GPL-restricted function from non-GPL compatible program",
         'only GPL programs may call this helper: .license "GPL"'),
        ("back-edge from insn 3 to 1",
         "let the loop count towards a constant bound; before Linux 5.3 there are no loops at all"),
        ("R2 unbounded memory access, make sure to bounds check any such access",
         "bound the offset first, with an `and` mask or a comparison on both sides"),
        ("something entirely new", None),
    ],
)  # fmt: skip
def test_common_complaints_have_a_hint(message: str, hint: str | None) -> None:
    assert log.hint_for(message) == hint


def test_a_poisoned_instruction_says_what_it_misses() -> None:
    text = "2: (85) call unknown#195896080\ninvalid func unknown#195896080\nprocessed 2 insns\n"
    poison = log.Poison("load-relocation", "there is no field x", "check it first")
    diagnostic = log.diagnose(linked(), text, "", {2: poison})
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == (
        "load-relocation",
        "program 'main': there is no field x",
        "check it first",
    )
    assert log.diagnose(linked(), text, "", {3: poison}).code == "load-rejected"


LINES = st.one_of(
    st.text(max_size=40),
    st.sampled_from([
        "0: (b7) r0 = 0", "R3 !read_ok", "Verification failed: x", "At:", "Reason:", "; r0 = 0",
        ">>> 5 | (61) r0", "invalid func unknown#195896080", "from 1 to 2: R0=1",
        "99999999999999999999: (b7) r0 = 0", "processed 3 insns",
    ]),
)  # fmt: skip


@given(st.lists(LINES, max_size=12).map("\n".join))
def test_any_log_is_read(text: str) -> None:
    program = linked()
    diagnostic = log.diagnose(program, text, "a reason")
    assert diagnostic.code == "load-rejected"
    assert program.name in diagnostic.message
