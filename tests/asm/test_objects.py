"""Whole files as `clang -S` writes them: our object against the one that clang writes itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.asm.objects import assemble_object
from ebpfasm.asm.reading.raw import is_llvm_file
from ebpfasm.emit.elf import write_elf
from ebpfasm.ir.object import SHF_ALLOC, SHF_WRITE, Object, ObjectSection
from ebpfasm.isa.codec import ByteOrder
from tests.asm import compiled
from tests.support import find_tool

EVERY = [
    pytest.param(source, cpu, level, id=f"{source.stem}-{cpu}{level}")
    for source in compiled.SOURCES
    for cpu in compiled.CPUS
    for level in compiled.LEVELS
]


def ours(text: bytes, byteorder: ByteOrder = "little") -> bytes:
    return write_elf(assemble_object(text.decode(), "clang.s", byteorder=byteorder))


@pytest.mark.tool("clang")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
@pytest.mark.parametrize(("source", "cpu", "level"), EVERY)
def test_an_object_equals_the_one_that_clang_writes(
    source: Path, cpu: str, level: str, target: str
) -> None:
    text = compiled.clang(source, target, cpu, level, "-S")
    assert is_llvm_file(text.decode())
    mine = compiled.read(ours(text, "little" if target == "bpfel" else "big"))
    theirs = compiled.read(compiled.clang(source, target, cpu, level, "-c"))
    assert mine.contents == theirs.contents
    assert mine.relocations == theirs.relocations
    assert mine.symbols == theirs.symbols
    assert mine.sections == theirs.sections


@pytest.mark.tool("clang")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
def test_without_debug_information_the_whole_file_is_the_same_byte_for_byte(
    source: Path, target: str
) -> None:
    text = compiled.clang(source, target, "v3", "-O2", "-S", "-g0")
    theirs = compiled.clang(source, target, "v3", "-O2", "-c", "-g0")
    assert ours(text, "little" if target == "bpfel" else "big") == theirs


@pytest.mark.tool("clang")
@pytest.mark.tool("llvm-objdump")
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
def test_llvm_objdump_sees_the_same_code_in_both_objects(source: Path, tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine.o", tmp_path / "theirs.o"
    mine.write_bytes(ours(compiled.clang(source, "bpfel", "v4", "-O2", "-S")))
    theirs.write_bytes(compiled.clang(source, "bpfel", "v4", "-O2", "-c"))
    assert compiled.disassembly(mine) == compiled.disassembly(theirs)


HAND_WRITTEN = r"""
        .file   "hand.s"
        .section .rodata.str1.1,"aMS",@progbits,1
.Lfirst: .asciz "one\x41\102\n"
second: .string "two", "three"
        .ascii "join" "ed\t\"\\"
        .data
        .globl  numbers, more
        .p2align 3
numbers:
        .byte   1, -1, 'a', 0x7f, 0b101, 010
        .short  1, -2
        .2byte  0xffff
        .long   numbers, .Lfirst, second, second + 4, -3
        .octa   0x1122334455667788aabbccddeeff0011, 5
        .float  1.5, -2e10, inf
        .single .25
        .double 3.141592653589793, 1e300
        .org    numbers + 256, 0xff
        .quad   numbers + 16, undefined, .Lend - numbers, (1 << 40) | 3
        .int    4 * (3 + 2) - 1, ~0 & 0xff, 7 / 2 % 2
        .zero   3
        .skip   2, 0xff
        .space  1
        .fill   2, 4, 0x11223344
        .balign 16
more:   .uleb128 300, 5
        .sleb128 -300, 64
.Lend:
        .size   numbers, more - numbers
        .size   more, . - more
        .type   numbers, @object
        .weak   unsure
        .local  private
        .comm   private, 24, 8
        .comm   shared, 4, 4
        .set    five, 5
        .set    alias, numbers + 2
        .hidden alias
        .globl  alias
        .text
        .type   helper, @function
helper: r0 = 5
        exit
        .size   helper, . - helper
        .section "odd name/x", "ax", @progbits
        .globl  main
        .p2align 3
main:
        r1 = numbers ll; r2 = numbers + 8 ll
        r3 = private ll; r4 = .Lend - 4 ll
        r5 = unsure ll
        call helper
        call main
        call outside
        call local_one
        if r0 == 0 goto .Lout
        gotol .Lout
        goto main
local_one:
        r6 = helper ll
        r0 = 1 ll
.Lout:  exit
"""


GROUPS = """
        .text
        .globl  main
main:   call f
        exit
        .section .text.f, "axG", @progbits, f, comdat
        .weak   f
        .p2align 3
        .type   f, @function
f:      r0 = 1
        exit
        .size   f, . - f
        .section .rodata.f, "aG", @progbits, f, comdat
        .byte   1
        .section .data.g, "awG", @progbits, g, comdat
        .quad   f
        .section .data.g, "aw", @progbits
        .byte   2
        .section .rodata.str, "aMSG", @progbits, 1, f, comdat
        .asciz  "text"
        .addrsig
        .addrsig_sym f
        .addrsig_sym nobody
        .addrsig_sym main
        .addrsig_sym f
"""


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
def test_groups_are_written_as_llvm_mc_writes_them(target: str, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.o"
    command = [find_tool("llvm-mc"), f"-triple={target}", "-filetype=obj", "-o", str(theirs)]
    subprocess.run(command, input=GROUPS, text=True, check=True)
    assert ours(GROUPS.encode(), "little" if target == "bpfel" else "big") == theirs.read_bytes()


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
def test_a_hand_written_file_gives_llvm_mc_s_object(target: str, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs.o"
    # A jump to a global label is resolved here, where LLVM 19 gives up.
    text = HAND_WRITTEN.replace("        goto main\n", "")
    command = [find_tool("llvm-mc"), f"-triple={target}", "-mcpu=v4", "-filetype=obj"]
    subprocess.run([*command, "-o", str(theirs)], input=text, text=True, check=True)
    mine = ours(text.encode(), "little" if target == "bpfel" else "big")
    assert compiled.read(mine) == compiled.read(theirs.read_bytes())
    assert mine == theirs.read_bytes()


def test_a_name_that_nobody_declares_and_a_helper_has_is_that_helper() -> None:
    text = '.section xdp,"ax"\nf: call bpf_map_lookup_elem\n exit\n'
    made = assemble_object(text)
    assert made.sections[1].content[:8] == bytes.fromhex("8500000001000000")
    made = assemble_object(".globl bpf_map_lookup_elem\n" + text)
    assert [each.type for each in made.sections[1].relocations] == ["R_BPF_64_32"]


def test_what_llvm_refuses_of_its_own_compiler_is_taken() -> None:
    made = assemble_object("r1 = w7\nw1 = w7\n")
    assert made.sections[0].content[:8] == made.sections[0].content[8:]


def test_macros_and_conditions_work_in_whole_files_too() -> None:
    text = ".set n, 3\n.macro twice x\n.byte \\x, \\x\n.endm\n.data\ntwice n\n"
    text += ".if n > 2\n.byte 9\n.endif"
    assert assemble_object(text).section(".data") == ObjectSection(
        ".data", flags=SHF_ALLOC | SHF_WRITE, content=b"\3\3\t", size=3
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("goto away", "there is no label away in section .text"),
        (".data\nx: .byte x", "an address takes 4 or 8 bytes, not 1"),
        (".quad a - b\na:\n.data\nb:", "- has no meaning for a place in the program"),
        (".set a, b\n.set b, a", "b is defined by itself, or through too many others"),
        ("x:\nx:", "x is defined twice"),
        (".bss\n.long 5", "section .bss has no content: only zeros can stand in it"),
        (".bss\nexit", "section .bss has no content and cannot hold code"),
        (".uleb128 later - .\nlater:", "later must be known here, and is not defined before"),
        ('.ascii "\\q"', r"\q is no escape"),
        ('.ascii "open', "this string is never closed"),
        (".quad (1", "the expression is not finished"),
        (".data\n.quad 1\n.org 4", "the section has 8 bytes already: it cannot go on at 4"),
        (".float 1e300", "1e+300 is too large for 32 bits"),
        (".double x", "a floating-point number is missing"),
        (".byte 256", "256 is outside -128 to 255"),
        (".zero 9999999999", "9999999999 is outside 0 to 1073741824"),
        (".p2align 40", "40 is outside 0 to 30"),
        ('.section x,"aG",@progbits,g', "only groups that are comdat can be written"),
        ('.section x,"aG",@progbits', "a section in a group needs the group's name"),
        ('.section x,"aq"', "there is no section flag 'q'"),
        (".type f, @blah", "there is no such type of symbol"),
        (".popsection", "there is no .pushsection before this"),
        (".weird 5", "there is no directive .weird"),
        (".byte 1\nf: if r1 == 0 goto g\n.byte 1\ng:",
         "the label is 9 bytes away, which is no whole number of instructions"),
    ],
)  # fmt: skip
def test_mistakes_in_a_whole_file_are_diagnostics(text: str, message: str) -> None:
    with pytest.raises(ebpfasm.AsmError) as caught:
        assemble_object(text)
    assert message in [each.message for each in caught.value.diagnostics]


def test_every_mistake_of_a_file_is_told_at_its_place() -> None:
    text = ".file 1 2\n.byte 300\nf: goto nowhere\n.weak\n"
    with pytest.raises(ebpfasm.AsmError) as caught:
        assemble_object(text, "x.s")
    assert str(caught.value) == (
        "x.s:2:7: error[asm-range]: 300 is outside -128 to 255\n"
        "   2 | .byte 300\n"
        "     |       ^^^\n"
        "x.s:3:9: error[asm-label-undefined]: there is no label nowhere in section .text\n"
        "   3 | f: goto nowhere\n"
        "     |         ^^^^^^^\n"
        "x.s:4:5: error[asm-directive]: a name is missing\n"
        "   4 | .weak\n"
        "     |     ^\n"
        "   hint: write .weak NAME [, NAME ...]"
    )


def test_a_file_is_ours_or_llvm_s_by_what_it_says() -> None:
    assert is_llvm_file('\t.section\txdp,"ax",@progbits\n')
    assert is_llvm_file('\t.file\t"x.c"\n')
    assert not is_llvm_file('.license "GPL"\n.section xdp,"ax"\n')
    assert not is_llvm_file(".section xdp\nr0 = 2\nexit\n")


PIECES = st.sampled_from([
    ".byte ", ".org ", ".double ", ".octa ", ".long ", ".quad ", ".short ", ".ascii ", ".asciz ",
    ".zero ", ".fill ", ".p2align ",
    ".section ", ".data\n", ".bss\n", ".text\n", ".set ", ".size ", ".type ", ".globl ", ".comm ",
    ".uleb128 ", ".pushsection ", ".popsection\n", ".weak ", ".file ", ".hidden ", "a", "b", "a:",
    "b: ", ", ", "\n", ";", "1", "-5", "0x10", "300", '"x"', '"\\', "(", ")", " + ", "-", ".", "~",
    "@object", '"ax"', "@progbits", "r1 = ", "call ", "goto ", " ll", "exit", "1:", "1b", "1f", "#",
    "/*", "\\", "\0", "é", "=", " == ", "<<", "99999999999999999999", "if r1 == 0 goto ",
])  # fmt: skip


@given(st.lists(PIECES, max_size=30).map("".join))
def test_any_text_is_an_object_or_a_diagnostic(text: str) -> None:
    for read in (assemble_object, ebpfasm.assemble):
        try:
            made = read(text)
        except ebpfasm.AsmError as problem:
            shown = str(problem)
        else:
            shown = "it is one"
            if isinstance(made, Object):
                compiled.read(write_elf(made))
        assert shown
