"""What compilers write into the notes of USDT probes, form by form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.runtime.attach.usdt_arguments import (
    CONSTANT,
    INDEXED,
    MEMORY,
    REGISTER,
    Argument,
    Unreadable,
    read_arguments,
)

# Offsets in struct pt_regs (x86-64, s390x) or user_pt_regs (arm64), or user_regs_struct (riscv64).
FORMS = {
    "x86_64": {
        "-4@%eax": Argument(-4, REGISTER, 0, 80),
        "8@%rax": Argument(8, REGISTER, 0, 80),
        "2@%ax": Argument(2, REGISTER, 0, 80),
        "1@%al": Argument(1, REGISTER, 0, 80),
        "8@%rbx": Argument(8, REGISTER, 0, 40),
        "1@%sil": Argument(1, REGISTER, 0, 104),
        "1@%dil": Argument(1, REGISTER, 0, 112),
        "8@%rbp": Argument(8, REGISTER, 0, 32),
        "1@%bpl": Argument(1, REGISTER, 0, 32),
        "8@%rsp": Argument(8, REGISTER, 0, 152),
        "8@%rip": Argument(8, REGISTER, 0, 128),
        "8@%r8": Argument(8, REGISTER, 0, 72),
        "-4@%r8d": Argument(-4, REGISTER, 0, 72),
        "2@%r15w": Argument(2, REGISTER, 0, 0),
        "1@%r12b": Argument(1, REGISTER, 0, 24),
        "4@$71": Argument(4, CONSTANT, 71),
        "-4@$-9": Argument(-4, CONSTANT, -9),
        "-4@-20(%rbp)": Argument(-4, MEMORY, -20, 32),
        "8@(%rsp)": Argument(8, MEMORY, 0, 152),
        "8@0x10(%r13)": Argument(8, MEMORY, 16, 16),
        "1@-96(%rbp,%rax,8)": Argument(1, INDEXED, -96, 32, 80, 3),
        "1@(%rbp,%rax,4)": Argument(1, INDEXED, 0, 32, 80, 2),
        "1@-96(%rbp,%rax)": Argument(1, INDEXED, -96, 32, 80, 0),
        "1@(%rbp, %r9)": Argument(1, INDEXED, 0, 32, 64, 0),
    },
    "aarch64": {
        "-8@x4": Argument(-8, REGISTER, 0, 32),
        "8@x30": Argument(8, REGISTER, 0, 240),
        "8@sp": Argument(8, REGISTER, 0, 248),
        "4@5": Argument(4, CONSTANT, 5),
        "-4@-5": Argument(-4, CONSTANT, -5),
        "-4@[sp, 96]": Argument(-4, MEMORY, 96, 248),
        "-4@[sp]": Argument(-4, MEMORY, 0, 248),
        "2@[x19,-8]": Argument(2, MEMORY, -8, 152),
    },
    "s390x": {
        "-4@%r2": Argument(-4, REGISTER, 0, 40),
        "-4@160(%r15)": Argument(-4, MEMORY, 160, 144),
        "4@7": Argument(4, CONSTANT, 7),
    },
    "riscv64": {
        "-8@a5": Argument(-8, REGISTER, 0, 120),
        "-4@-20(s0)": Argument(-4, MEMORY, -20, 64),
        "4@7": Argument(4, CONSTANT, 7),
    },
}


@pytest.mark.parametrize(
    ("machine", "text"), [(machine, text) for machine, forms in FORMS.items() for text in forms]
)
def test_each_form_is_read(machine: str, text: str) -> None:
    assert read_arguments(text, machine) == [FORMS[machine][text]]


@pytest.mark.parametrize("machine", FORMS)
def test_arguments_stand_side_by_side(machine: str) -> None:
    forms = FORMS[machine]
    assert read_arguments("  ".join(forms), machine) == list(forms.values())
    assert read_arguments("", machine) == []


@pytest.mark.parametrize(
    ("machine", "text", "why"),
    [
        ("x86_64", "3@%eax", "written '3@%eax'"),
        ("x86_64", "%eax", "written '%eax'"),
        ("x86_64", "8@%xmm0", "in '%xmm0'"),
        ("x86_64", "8@%ah", "in '%ah'"),
        ("x86_64", "8@%r16", "in '%r16'"),
        ("x86_64", "4@counter(%rip)", "in 'counter(%rip)'"),
        ("x86_64", "8@(,%rax,8)", "in '(,%rax,8)'"),
        ("x86_64", "8@(%rbp,%rax,3)", "in '(%rbp,%rax,3)'"),
        ("aarch64", "8@x31", "in 'x31'"),
        ("aarch64", "8@[x0, x1]", r"in '\[x0, x1\]'"),
        ("s390x", "8@r2", "in 'r2'"),
        ("riscv64", "8@f0", "in 'f0'"),
        ("mips64", "8@$4", "as mips64 has them"),
    ],
)
def test_what_no_program_could_read_is_refused(machine: str, text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why.replace("(", r"\(").replace(")", r"\)")):
        read_arguments(text, machine)


@given(st.sampled_from(list(FORMS)), st.text(alphabet="-+0189@$%()[],. raxsp", max_size=24))
def test_random_text_is_read_or_refused(machine: str, text: str) -> None:
    try:
        found = read_arguments(text, machine)
    except Unreadable:
        return
    assert all(abs(each.size) in (1, 2, 4, 8) for each in found)
    assert len(found) == text.count("@")
