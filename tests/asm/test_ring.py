"""The ring: every row of the table is printed, parsed, encoded and decoded back to itself,
and LLVM's assembler and disassembler agree on bytes and text."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm import ir
from ebpfasm.asm import text_of
from ebpfasm.isa import codec
from ebpfasm.isa.forms import RANGES, Form
from ebpfasm.isa.table import BY_NAME, TABLE, InstructionSpec
from tests.support import find_tool

# Rows newer than LLVM 19, or whose kind LLVM's text loses.
NEWER_THAN_LLVM_19 = {spec.name for spec in TABLE if spec.since in ("6.15", "6.19")}
NO_LLVM_TEXT = {"call_local", "call_kfunc"}  # LLVM writes these through relocations only
# LLVM reads every lddw kind by ld_pseudo and prints none of them apart.
LOSES_KIND = {spec.name for spec in TABLE if spec.form is Form.LOAD_PSEUDO}


def samples(spec: InstructionSpec) -> list[ir.Instruction]:
    """Instructions of a row: plain, with -1, and with every number at either end of its range."""
    fields = {operand.field for operand in spec.form.operands}
    dst, src = 3 if "dst" in fields else 0, 7 if "src" in fields else 0
    numbers: dict[str, tuple[int, int]] = {}
    for operand in spec.form.operands:
        match operand.kind:
            case "off" | "imm32" | "imm64":
                numbers[operand.field] = RANGES[operand.kind]
            case "target":
                numbers[operand.field] = RANGES["off" if operand.field == "off" else "imm32"]
            case _:
                pass
    choices = [dict.fromkeys(numbers, each) for each in (0, 5, -1)]
    choices += [{name: ends[end] for name, ends in numbers.items()} for end in (0, 1)]
    return [
        ir.Instruction(spec, dst, src, each.get("off", 0), each.get("imm", 0)) for each in choices
    ]


EVERY = [pytest.param(each, id=f"{spec.name}-{number}")
         for spec in TABLE for number, each in enumerate(samples(spec))]  # fmt: skip


@pytest.mark.parametrize("each", EVERY)
def test_print_parse_encode_decode_gives_the_instruction_back(each: ir.Instruction) -> None:
    for plain in (False, True):
        text = text_of(each, plain=plain)
        (parsed,) = ebpfasm.assemble(text).programs["main"].instructions
        assert parsed == each, text
    for byteorder in ("little", "big"):
        code = codec.encode(*each.fields, byteorder=byteorder)
        assert ir.decode(code, byteorder=byteorder) == (each,)


def llvm_rows() -> list[ir.Instruction]:
    skipped = NEWER_THAN_LLVM_19 | NO_LLVM_TEXT
    return [each for spec in TABLE if spec.name not in skipped for each in samples(spec)]


def llvm_bytes(text: str, triple: str) -> bytes:
    """What llvm-mc makes of each line, in one run."""
    command = [find_tool("llvm-mc"), f"-triple={triple}", "-mcpu=v4", "-show-encoding"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    found = re.findall(r"encoding: \[([^\]]*)\]", done.stdout)
    return bytes(int(byte, 16) for line in found for byte in line.split(","))


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_bytes_are_llvm_mc_s_for_every_row_that_it_knows(byteorder: codec.ByteOrder) -> None:
    rows = [each for each in llvm_rows() if fits_llvm(each)]
    text = "".join(f"{text_of(each, plain=True)}\n" for each in rows)
    theirs = llvm_bytes(text, "bpfel" if byteorder == "little" else "bpfeb")
    ours = b"".join(codec.encode(*each.fields, byteorder=byteorder) for each in rows)
    assert ours.hex(" ", 8).split() == theirs.hex(" ", 8).split()
    assert {each.spec.name for each in rows} | NEWER_THAN_LLVM_19 | NO_LLVM_TEXT == set(BY_NAME)


def fits_llvm(each: ir.Instruction) -> bool:
    # LLVM 19's gotol takes a number of 16 bits only, its skb[register] no index, its ld_pseudo
    # drops the upper half of a number, and it reads the least 64-bit number as 0.
    if each.spec.form is Form.JUMP_LONG:
        return each.imm in range(-(1 << 15), 1 << 15)
    if each.spec.form is Form.LOAD_PSEUDO:
        return each.imm >> 32 == 0
    if each.imm == -(1 << 63):
        return False
    return each.spec.form is not Form.LOAD_IND or each.imm == 0


@pytest.mark.tool("llvm-objdump")
@pytest.mark.tool("llvm-mc")
def test_text_is_llvm_objdump_s_for_the_same_bytes(tmp_path: Path) -> None:
    rows = [each for each in llvm_rows() if each.spec.name not in LOSES_KIND and fits_llvm(each)]
    theirs = objdump(b"".join(codec.encode(*each.fields) for each in rows), tmp_path)
    assert [text_of(each, plain=True) for each in rows] == theirs


def objdump(code: bytes, folder: Path) -> list[str]:
    """The text of each instruction, without addresses, bytes and the place of jumps."""
    assembly = folder / "code.s"
    assembly.write_text(".text\n" + "".join(f".byte {byte}\n" for byte in code))
    target = folder / "code.o"
    assembler = [find_tool("llvm-mc"), "-triple=bpfel", "-filetype=obj"]
    subprocess.run([*assembler, str(assembly), "-o", str(target)], check=True)
    command = [find_tool("llvm-objdump"), "-d", "--mcpu=v4", "--no-show-raw-insn", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stdout.splitlines() if re.match(r"\s+\d+:\s", line)]
    return [re.sub(r" <[^<>]*>$", "", line.split(":", 1)[1].strip()) for line in lines]


def test_llvm_objdump_s_own_lines_are_taken_back() -> None:
    text = "if r1 == 0x5 goto +0x1 <.text+0xe0>\ngoto -0x2 <LBB0_1>\nexit"
    spec = ebpfasm.assemble(text)
    assert [each.off for each in ir.instructions_of(spec.programs["main"].instructions)] == [
        1,
        -2,
        0,
    ]
