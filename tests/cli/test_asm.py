"""`ebpfasm asm`, `disasm`, `isa`, `errors`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.support import Command, Outcome
from tests.support import ROOT, find_tool

COUNTER = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"
HEX = """\
b4 01 00 00 02 00 00 00
63 1a fc ff 00 00 00 00
bf a2 00 00 00 00 00 00
07 02 00 00 fc ff ff ff
18 11 00 00 00 00 00 00
00 00 00 00 00 00 00 00
85 00 00 00 01 00 00 00
bf 01 00 00 00 00 00 00
b4 00 00 00 00 00 00 00
15 01 03 00 00 00 00 00
b7 02 00 00 01 00 00 00
db 21 00 00 00 00 00 00
b4 00 00 00 02 00 00 00
95 00 00 00 00 00 00 00
"""


def test_asm_prints_a_listing(ebpfasm: Command) -> None:
    outcome = ebpfasm("asm", COUNTER)
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "; xdp_stats: section xdp, xdp, 14 slots"
    assert lines[1] == "xdp_stats:"
    assert lines[2] == "     0:  b4 01 00 00 02 00 00 00  w1 = 0x2"
    assert lines[6:8] == [
        "     4:  18 11 00 00 00 00 00 00  r1 = xdp_stats_map ll",
        "         00 00 00 00 00 00 00 00",
    ]
    assert lines[-2:] == ["out:", "    13:  95 00 00 00 00 00 00 00  exit"]


def test_asm_writes_raw_hex_and_c(ebpfasm: Command, tmp_path: Path) -> None:
    assert ebpfasm("asm", COUNTER, "--format", "hex").out == HEX
    assert ebpfasm("asm", COUNTER, "-o", tmp_path / "x.bin").status == 0
    assert (tmp_path / "x.bin").read_bytes() == bytes.fromhex(HEX)
    assert ebpfasm("asm", COUNTER, "-o", tmp_path / "x.c").status == 0
    subprocess.run([find_tool("clang"), "-fsyntax-only", tmp_path / "x.c"], check=True)


def test_asm_writes_a_header_that_may_be_included_twice(ebpfasm: Command, tmp_path: Path) -> None:
    assert ebpfasm("asm", COUNTER, "-o", tmp_path / "x.h").status == 0
    (tmp_path / "main.c").write_text(
        '#include "x.h"\n#include "x.h"\n'
        '_Static_assert(sizeof(xdp_stats) == 14 * 8, "fourteen slots");\n'
    )
    subprocess.run([find_tool("clang"), "-fsyntax-only", tmp_path / "main.c"], check=True)


def test_disasm_gives_text_that_assembles_to_the_same_bytes(
    ebpfasm: Command, tmp_path: Path
) -> None:
    code, text = tmp_path / "x.bin", tmp_path / "x.s"
    ebpfasm("asm", COUNTER, "-o", code)
    assert ebpfasm("disasm", code, "-o", text).status == 0
    assert ebpfasm("asm", text, "--format", "hex").out == HEX
    assert ebpfasm("disasm", COUNTER).out.startswith('.license "GPL"\n.map xdp_stats_map, array,')


def test_asm_writes_whole_files_or_none(ebpfasm: Command, tmp_path: Path) -> None:
    out = tmp_path / "x.bin"
    out.write_bytes(b"precious")
    bad = tmp_path / "bad.s"
    bad.write_text("r11 = 0\nexit")
    outcome = ebpfasm("asm", bad, "-o", out)
    assert outcome.status == 1
    assert outcome.err.startswith(f"{bad}:1:1: error[asm-register]: there is no register r11\n")
    assert out.read_bytes() == b"precious"
    outcome = ebpfasm("asm", COUNTER, "-o", tmp_path / "none" / "x.bin")
    message = f"{tmp_path / 'none' / 'x.bin'} cannot be written: no such file or directory"
    assert (outcome.status, outcome.err) == (1, f"error[file-write]: {message}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.s", "x.bin"]


def test_asm_refuses_instructions_newer_than_the_cpu(ebpfasm: Command, tmp_path: Path) -> None:
    program = tmp_path / "new.s"
    program.write_text("r0 = 0\nif r0 s< 1 goto +0\nw0 = 1\nr0 = (s8)r0\nexit")
    outcome = ebpfasm("asm", program, "--cpu", "v2")
    assert outcome.status == 1
    assert [line for line in outcome.err.splitlines() if "error" in line] == [
        f"{program}:3:1: error[asm-cpu]: mov32_imm needs -mcpu=v3",
        f"{program}:4:1: error[asm-cpu]: movsx8_64 needs -mcpu=v4",
    ]
    assert ebpfasm("asm", program, "--cpu", "v4").status == 0


def test_a_file_with_several_programs_asks_which(ebpfasm: Command, tmp_path: Path) -> None:
    program = tmp_path / "two.s"
    program.write_text(".section xdp\n.globl a\na: r0 = 1; exit\n.globl b\nb: r0 = 2; exit")
    outcome = ebpfasm("asm", program, "--format", "hex")
    assert outcome.err == (
        "error[cli-usage]: the file has several programs\n   hint: choose with --prog: a, b\n"
    )
    assert ebpfasm("asm", program, "--format", "hex", "--prog", "b").out.startswith(
        "b7 00 00 00 02"
    )
    assert "has no program c" in ebpfasm("asm", program, "--format", "hex", "--prog", "c").err


def test_big_endian_swaps_fields_and_nibbles(ebpfasm: Command) -> None:
    outcome = ebpfasm("asm", COUNTER, "--format", "hex", "--byteorder", "big")
    assert outcome.out.splitlines()[:2] == ["b4 10 00 00 00 00 00 02", "63 a1 ff fc 00 00 00 00"]


def test_standard_input_is_assembly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ebpfasm", "asm", "-", "--format", "hex"]
    done = subprocess.run(command, input="r0 = 2; exit", capture_output=True, text=True, check=True)
    assert done.stdout == "b7 00 00 00 02 00 00 00\n95 00 00 00 00 00 00 00\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("asm", "no.s"), "error[file-missing]: no.s: no such file or directory\n"),
        (("asm", "."), "error[file-missing]: .: is a directory\n"),
        (("disasm", "no.bin"), "error[file-missing]: no.bin: no such file or directory\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    ebpfasm: Command, words: tuple[str, ...], message: str
) -> None:
    outcome = ebpfasm(*words)
    assert (outcome.status, outcome.err) == (1, message)


def test_random_bytes_are_told_slot_by_slot(ebpfasm: Command, tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(bytes.fromhex("ff" + "00" * 7 + "95 50" + "00" * 6 + "18" + "00" * 7))
    outcome = ebpfasm("disasm", path)
    assert (outcome.status, outcome.err) == (
        1,
        "error[decode-opcode]: slot 0: no instruction has the opcode 0xff\n"
        "error[decode-reserved]: slot 1: exit has src = 5 where 0 is required\n"
        "error[decode-truncated]: slot 2: lddw lacks its second half\n",
    )


def test_isa_and_errors_print_every_row(ebpfasm: Command) -> None:
    from ebpfasm.errors import CODES
    from ebpfasm.isa.table import TABLE

    assert len(ebpfasm("isa").out.splitlines()) == len(TABLE)
    assert [row["name"] for row in json.loads(ebpfasm("isa", "--json").out)] == [
        spec.name for spec in TABLE
    ]
    assert json.loads(ebpfasm("errors", "--json").out) == CODES


def test_a_reader_that_leaves_early_ends_it_without_a_word() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "ebpfasm", "isa", "--json"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


def test_asm_and_disasm_take_the_dialect(ebpfasm: Command, tmp_path: Path) -> None:
    text = tmp_path / "x.s"
    text.write_text("mov %r0, 1\nexit\n")
    for dialect in ("auto", "mnemonic"):
        outcome = ebpfasm("asm", text, "--format", "hex", "--dialect", dialect)
        assert outcome.out == "b7 00 00 00 01 00 00 00\n95 00 00 00 00 00 00 00\n"
    assert ebpfasm("asm", text, "--dialect", "llvm").status != 0
    outcome = ebpfasm("disasm", COUNTER, "--dialect", "mnemonic")
    assert "    lddw %r1, xdp_stats_map\n    call bpf_map_lookup_elem\n" in outcome.out


COMPILED = """\
\t.file\t"x.c"
\t.section\txdp,"ax",@progbits
\t.globl\tpass_all
pass_all:
\tr0 = 2
\texit
"""


def test_asm_makes_an_object_of_a_hand_written_file(ebpfasm: Command, tmp_path: Path) -> None:
    source, target = tmp_path / "drop.s", tmp_path / "drop.o"
    source.write_text(".section xdp\ndrop: r0 = 1; exit\n")
    assert ebpfasm("asm", source, "-o", target) == Outcome(0, "", "")
    assert target.read_bytes()[:5] == b"\x7fELF\x02"
    outcome = ebpfasm("asm", source, "-o", target, "--prog", "drop")
    assert outcome.err == "error[cli-usage]: an object holds all programs: --prog chooses none\n"


def test_asm_makes_an_object_of_what_clang_wrote(ebpfasm: Command, tmp_path: Path) -> None:
    source, target = tmp_path / "x.s", tmp_path / "x.o"
    source.write_text(COMPILED)
    assert ebpfasm("asm", source, "-o", target, "--byteorder", "big") == Outcome(0, "", "")
    assert target.read_bytes()[:6] == b"\x7fELF\x02\x02"
    source.write_text(COMPILED.replace("r0 = 2", "r0 = bswap16 r0"))
    outcome = ebpfasm("asm", source, "-o", target, "--cpu", "v3")
    assert outcome.status == 1
    assert "error[asm-" in outcome.err


def test_asm_lists_what_a_compiler_wrote(ebpfasm: Command, tmp_path: Path) -> None:
    source = tmp_path / "x.s"
    source.write_text(COMPILED.replace("pass_all:\n", "pass_all:\n\t.cfi_startproc\n"))
    outcome = ebpfasm("asm", source)
    assert outcome.status == 0
    assert "pass_all: section" in outcome.out


def test_asm_writes_an_array_of_struct_bpf_insn(ebpfasm: Command, tmp_path: Path) -> None:
    text = ebpfasm("asm", COUNTER, "--format", "insns").out
    assert text.startswith("static const struct bpf_insn xdp_stats[] = {\n")
    assert text.count(".code = ") == len(HEX.splitlines())
    assert "/* map xdp_stats_map */" in text
    source = tmp_path / "program.c"
    source.write_text(f"#include <linux/bpf.h>\n{text}int count = sizeof xdp_stats;\n")
    headers = [f"-I{each}" for each in Path("/usr/include").glob("*-linux-gnu")]
    subprocess.run([find_tool("clang"), "-fsyntax-only", *headers, source], check=True)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["verfy"], "there is no command 'verfy': did you mean verify?"),
        (["disassemble", "x.o"], "did you mean disasm?"),
        (["bogus"], "there are asm, disasm, inspect"),
        (["map", "lst"], "there is no command 'lst': did you mean list?"),
    ],
)
def test_a_command_that_there_is_not(ebpfasm: Command, words: list[str], hint: str) -> None:
    outcome = ebpfasm(*words)
    assert (outcome.status, outcome.out) == (2, "")
    assert hint in outcome.err
