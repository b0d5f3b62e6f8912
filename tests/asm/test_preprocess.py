"""Constants, conditions, repetition, macros, includes: llvm-mc judges what they mean."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm import ir
from ebpfasm.asm.reading import preprocess, preprocessor
from ebpfasm.btf import codec
from ebpfasm.emit.debug import debug_info
from ebpfasm.errors import AsmError, LoadError
from tests.asm.judge import llvm_code

# Files that mean the same to llvm-mc.
LLVM_FILES = {
    "constants may change": """
        .equ A, 5
        r1 = A
        .set A, A * 2 + 1
        r2 = A
        .equiv B, A - 1
        r3 = B
        .equ B, 7
        r4 = B ll
    """,
    "numeric labels": """
    1:  r0 = 1
        if r0 == 0 goto 1f
        goto 1b
    1:  r0 = 2
        if w0 > 3 goto 1b
    2:  goto 2b
        goto 2f
        goto 1b
    2:  exit
    0:  goto 0b
        goto 0f
    0:  exit
    """,
    "arguments by place, by name, by default": """
        .macro three a, b=7, c
        r1 = \\a
        r2 = \\b
        r3 = \\c
        .endm
        three 1, 2, 3
        three 1 2 3
        three a=1, c=3
        three c=4, a=2
        three 1 + 1, 2 +3, 4
        three -1 - 2 5 6
        three 1,,5
        three "9" 8, 7
    """,
    "the number of macros and the end of a name": """
        .macro place a
        goto L\\@\\()_\\a
        L\\@\\()_\\a:
        r1 = \\@
        .endm
        place x
        place y
        .rept 2
        place z
        .endr
        exit
    """,
    "variable arguments": """
        .macro one n
        r1 = \\n
        .endm
        .macro each first, rest:vararg
        one \\first
        .ifnb \\rest
        each \\rest
        .endif
        .endm
        each 1, 2, 3, 4
        each 5
    """,
    "a macro in a macro, and local labels in both": """
        .macro skip reg
        if \\reg == 0 goto 1f
        \\reg += 1
        1:
        .endm
        .macro twice reg
        skip \\reg
        1: skip \\reg
        goto 1b
        .endm
        twice r1
        twice r2
        exit
    """,
    "repetition": """
        .equ N, 0
        .rept 4
        r1 = N
        .equ N, N + 1
        .rept 2
        r2 += N
        .endr
        .endr
        .rept 0
        r9 = 9
        .endr
        .irp reg, r1, r2, r3
        \\reg = 0
        .endr
        .irpc digit, 789
        r\\digit = \\digit
        .endr
    """,
    "conditions": """
        .equ A, 4
        .if A == 4
        r1 = 1
        .else
        r1 = 2
        .endif
        .if A == 3
        r1 = 3
        .elseif A > 3
        r1 = 4
        .elseif 1
        r1 = 5
        .else
        r1 = 6
        .endif
        .if 0
        .if 1
        r1 = 7
        .else
        r1 = 8
        .endif
        nonsense here
        .else
        r1 = 9
        .endif
        .ifdef A
        r2 = 1
        .endif
        .ifndef A
        r2 = 2
        .endif
        .ifdef later
        r2 = 3
        .endif
        later:
        .ifdef later
        r2 = 4
        .endif
        .ifb
        r3 = 1
        .endif
        .ifnb x
        r3 = 2
        .endif
        .ifc a b , a b
        r3 = 3
        .endif
        .ifnc a, b
        r3 = 4
        .endif
        .ifeqs "x y", "x y"
        r3 = 5
        .endif
        .ifne A
        r4 = 1
        .endif
        .ifeq A
        r4 = 2
        .endif
        .ifgt A
        r4 = 3
        .endif
        .ifle A
        r4 = 4
        .endif
    """,
    "a macro that ends itself": """
        .macro down n
        .if \\n == 0
        .exitm
        .endif
        r1 += 0 + \\n
        down (\\n - 1)
        .endm
        down 4
        .macro first
        .rept 3
        .if 1
        r1 = 1
        .exitm
        .endif
        .endr
        r2 = 2
        .endm
        first
        r3 = 3
    """,
    "a macro may define one, and be defined anew": """
        .macro define name, n
        .macro \\name
        r1 = \\n
        .endm
        .endm
        define five, 5
        five
        .purgem five
        define five, 6
        five
    """,
    "separators and comments": """
        .macro two; r1 = 1; r2 = 2 # both
        .endm
        two; two // twice
        .if 1; r3 = 3; .endif; .rept 2; r4 = 4; .endr
    """,
}


def code_of(text: str) -> bytes:
    return ebpfasm.encode(ebpfasm.assemble(text).programs["main"])


@pytest.mark.tool("llvm-mc")
@pytest.mark.tool("llvm-objcopy")
@pytest.mark.parametrize("text", LLVM_FILES.values(), ids=LLVM_FILES.keys())
def test_a_file_means_what_it_means_to_llvm_mc(text: str) -> None:
    assert code_of(text).hex(" ", 8).split() == llvm_code(text).hex(" ", 8).split()


def test_a_file_that_uses_none_of_it_is_passed_as_it_is() -> None:
    plain = "r0 = 1; out: goto out"
    assert code_of(plain) == code_of(".if 1\n.endif\n" + plain)


def test_what_llvm_does_not_know_is_taken_too() -> None:
    text = """
        .macro field reg, header, name
        \\reg = *(u32 *)(r1 + \\header.\\name)
        .endm
        .equ BASE, ethhdr.sizeof + iphdr.sizeof
        .ifdef XDP_PASS
        field r2, iphdr, saddr
        r3 = *(u16 *)(r1 + BASE + udphdr.dest)
        .endif
        """
    instructions = ebpfasm.assemble(text).programs["main"].instructions
    assert [each.off for each in ir.instructions_of(instructions)] == [12, 36]


def test_data_sees_the_constants_of_its_place() -> None:
    text = ".equ X, 1\n.data\na: .quad X\n.equ X, 2\nb: .byte X + 1, X << 2\n.text\nexit"
    assert ebpfasm.assemble(text).maps[".data"].contents == bytes([1, *bytes(7), 3, 8])


def test_the_mnemonic_dialect_has_it_all() -> None:
    text = """
        .macro add_all to, from:vararg
        .irp each, \\from
        add \\to, \\each
        .endr
        .endm
        .equ FIVE, 5
        mov %r0, FIVE * 2       ; ten
        add_all %r0, %r1, %r2
        1: jeq %r0, FIVE, 1b
        exit
        """
    llvm = "r0 = 10; r0 += r1; r0 += r2; 1: if r0 == 5 goto 1b; exit"
    assert code_of(text) == code_of(llvm)


# Places ---------------------------------------------------------------------------------------

MACRO = """.macro load reg, from
    \\reg = \\from ll
.endm
.macro both
    load r1, here
.endm
.section xdp
f:
    both
    exit
"""


def mistake(text: str, name: str = "m.s") -> str:
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble(text, name=name)
    return str(caught.value)


def test_a_mistake_in_a_macro_is_shown_there_with_the_calls_that_led_to_it() -> None:
    assert mistake(MACRO) == (
        "m.s:2:10: error[asm-symbol]: there is no map or function here\n"
        "   2 |     r1 = here ll\n"
        "     |          ^^^^\n"
        "   note: m.s:5:5: in macro load, expanded here\n"
        "   5 |     load r1, here\n"
        "     |     ^^^^^^^^^^^^^\n"
        "   note: m.s:9:5: in macro both, expanded here\n"
        "   9 |     both\n"
        "     |     ^^^^"
    )


def test_json_has_the_calls_too() -> None:
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble(MACRO, name="m.s")
    (found,) = caught.value.diagnostics
    assert json.loads(json.dumps(found.as_dict()))["origins"] == [
        {"message": "in macro load, expanded here", "file": "m.s", "line": 5, "column": 5},
        {"message": "in macro both, expanded here", "file": "m.s", "line": 9, "column": 5},
    ]


def test_a_mistake_in_an_included_file_is_shown_there(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "inner.s").write_text("r0 = 1\nr0 = nope\n")
    (tmp_path / "outer.s").write_text('.include "lib/inner.s"\nexit\n')
    with pytest.raises(AsmError) as caught:
        ebpfasm.open(tmp_path / "outer.s")
    assert str(caught.value) == (
        f"{tmp_path}/lib/inner.s:2:6: error[asm-symbol]: nope is no constant and no field\n"
        "   2 | r0 = nope\n"
        "     |      ^^^^\n"
        f"   note: {tmp_path}/outer.s:1:1: included here\n"
        '   1 | .include "lib/inner.s"\n'
        "     | ^^^^^^^^^^^^^^^^^^^^^^"
    )


def test_an_include_is_looked_for_beside_the_file_then_in_the_search_path(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "consts.s").write_text('.include "more.s"\n')
    (tmp_path / "lib" / "more.s").write_text(".equ X, 5\n")
    text = '.include "consts.s"\nr0 = X\nexit'
    name = str(tmp_path / "main.s")
    spec = ebpfasm.assemble(text, name=name, include=[tmp_path / "lib"])
    assert next(ir.instructions_of(spec.programs["main"].instructions)).imm == 5
    assert f"   hint: looked in {tmp_path}" in mistake(text, name).splitlines()
    (tmp_path / "consts.s").write_text(".equ X, 6\n")
    spec = ebpfasm.assemble(text, name=name, include=[tmp_path / "lib"])
    assert next(ir.instructions_of(spec.programs["main"].instructions)).imm == 6


def test_the_command_takes_a_search_path(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "consts.s").write_text(".equ X, 5\n")
    (tmp_path / "main.s").write_text('.include "consts.s"\nr0 = X\nexit')
    command = [sys.executable, "-m", "ebpfasm", "asm", "-I", str(tmp_path / "lib")]
    command += ["--format", "hex", str(tmp_path / "main.s")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "".join(done.stdout.split()) == "b7000000050000009500000000000000"


def test_line_info_names_the_macros_and_includes_own_lines(tmp_path: Path) -> None:
    (tmp_path / "inner.s").write_text("\n    r0 = 2\n    exit\n")
    text = '.macro one reg\n    \\reg = 1\n.endm\n.section xdp\nf:\none r1\n.include "inner.s"\n'
    spec = ebpfasm.assemble(text, name=str(tmp_path / "outer.s"))
    info = debug_info(ir.link(spec.programs["f"]))
    strings = codec.decode_strings(info.btf)
    words = [
        tuple(int.from_bytes(info.line_info[at + part : at + part + 4], "little")
              for part in (4, 8, 12))
        for at in range(0, len(info.line_info), 16)
    ]  # fmt: skip
    lines = [
        (os.path.basename(strings.at(file)), strings.at(line).strip(), place >> 10)
        for file, line, place in words
    ]
    assert lines == [
        ("outer.s", "r1 = 1", 2),
        ("inner.s", "r0 = 2", 2),
        ("inner.s", "exit", 3),
    ]


@pytest.mark.kernel
def test_what_the_kernel_refuses_in_a_macro_is_shown_with_its_call() -> None:
    text = ".macro peek reg\n    r0 = *(u64 *)(\\reg + 0)\n.endm\n.section xdp\nf:\n"
    text += "    r2 = 5\n    peek r2\n    exit\n"
    with pytest.raises(LoadError) as caught:
        ebpfasm.load(ebpfasm.assemble(text, name="p.s"))
    shown = str(caught.value)
    assert shown.startswith("p.s:2:5: error[load-rejected]: the verifier refuses program 'f'")
    assert (
        "   note: p.s:7:5: in macro peek, expanded here\n   7 |     peek r2\n     |     ^^^^^^^"
        in shown
    )


# Bounds ---------------------------------------------------------------------------------------

RUNAWAY = {
    "a macro calls itself": ".macro m\nm\n.endm\nm",
    "a macro calls itself twice": ".macro m\nm\nm\n.endm\nm",
    "arguments double": ".macro m a\nm \\a\\a\n.endm\nm " + "x" * 4096,
    "a macro repeats itself": ".macro m\n.rept 1000\nm\n.endr\n.endm\nm",
    "a repetition of nothing": ".rept 1000000\n.rept 1000000\n.if 0\n.endif\n.endr\n.endr",
}


@pytest.mark.parametrize("text", RUNAWAY.values(), ids=RUNAWAY.keys())
def test_a_runaway_macro_is_one_short_diagnostic(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocessor, "MOST_STATEMENTS", 20_000)
    monkeypatch.setattr(preprocessor, "MOST_TEXT", 1 << 20)
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble(text)
    (found,) = caught.value.diagnostics
    assert found.code == "asm-limit"
    assert len(str(found)) < 6000


def test_a_million_repetitions_of_nothing_are_nothing() -> None:
    assert code_of(".rept 1000000000000\n.endr\nexit") == code_of("exit")


def test_a_million_mistakes_are_not_all_told() -> None:
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble("\n".join(f"r0 = n{number}" for number in range(3000)))
    assert len(caught.value.diagnostics) == preprocess.MOST_MISTAKES + 1
    assert caught.value.diagnostics[-1].message == (
        "this makes 1000 mistakes: what follows is not looked at"
    )
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble(".rept 100000\nr0 = nope\n.endr")
    assert len(caught.value.diagnostics) == 1


def test_files_that_include_each_other_are_told_so(tmp_path: Path) -> None:
    (tmp_path / "a.s").write_text('.include "b.s"\nexit\n')
    (tmp_path / "b.s").write_text('.include "a.s"\n')
    with pytest.raises(AsmError) as caught:
        ebpfasm.open(tmp_path / "a.s")
    assert str(caught.value) == (
        f"{tmp_path}/b.s:1:1: error[asm-include]: {tmp_path}/a.s would include itself\n"
        '   1 | .include "a.s"\n'
        "     | ^^^^^^^^^^^^^^\n"
        f"   note: {tmp_path}/a.s:1:1: included here\n"
        '   1 | .include "b.s"\n'
        "     | ^^^^^^^^^^^^^^"
    )


def test_only_regular_text_files_are_included(tmp_path: Path) -> None:
    (tmp_path / "latin.s").write_bytes(b"r0 = 1 # caf\xe9\n")
    os.mkfifo(tmp_path / "pipe")
    text = '.include "/dev/zero"\n.include "pipe"\n.include "."\n.include "latin.s"\n.include ""\n'
    with pytest.raises(AsmError) as caught:
        ebpfasm.assemble(text, name=str(tmp_path / "m.s"))
    assert [each.message for each in caught.value.diagnostics] == [
        "/dev/zero is no regular file",
        f"{tmp_path}/pipe is no regular file",
        f"{tmp_path}/. is no regular file",
        "byte 0xe9 is not UTF-8 text",
        "'' is no file name",
    ]


VOCABULARY = r"""
.macro .endm .rept .endr .irp .irpc .if .else .elseif .endif .ifdef .ifb .ifc .exitm .purgem
.equ .set .equiv .include .error .ifeqs m m n x 1 0 2 5 -1 1f 1b 1: r0 r1 = += , ; ( ) + - * / <<
\x \n \@ \() a=5 :req :vararg "m.s" "/" "text" exit goto x: { } [ ] == # .map array key=u32
"""
LINES = ["\n", "\n", "\n.macro m x\n", "\n.endm\n", "\n.endif\n"]
WORDS = st.sampled_from([*VOCABULARY.split(), *LINES])


@settings(max_examples=400, deadline=None)
@given(st.lists(WORDS, max_size=30).map(" ".join))
def test_no_text_raises_anything_but_asm_error(text: str) -> None:
    try:
        ebpfasm.assemble(text)
    except AsmError as problem:
        for found in problem.diagnostics:
            assert found.span is not None
            assert str(found)
