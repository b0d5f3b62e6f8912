"""Plain listings are llvm-objdump's, to the byte."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

import pytest

from ebpfasm.asm import assemble
from ebpfasm.asm.objects import assemble_object
from ebpfasm.emit.elf import write_elf
from ebpfasm.emit.objdump import objdump, objdump_code
from ebpfasm.emit.objects import object_of
from ebpfasm.ir.object import Object
from ebpfasm.isa import codec
from ebpfasm.isa.codec import ByteOrder
from tests.asm import compiled
from tests.asm.test_ring import fits_llvm, llvm_rows
from tests.support import find_tool

pytestmark = pytest.mark.tool("llvm-objdump")


def theirs(source: Object, folder: Path) -> str:
    """What llvm-objdump says of the object as a file."""
    file = folder / "x.o"
    file.write_bytes(write_elf(source))
    command = [find_tool("llvm-objdump"), "-d", "--mcpu=v4", "x.o"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.tool("clang")
@pytest.mark.parametrize("level", ["-O0", "-O2"])
@pytest.mark.parametrize("target", ["bpfel", "bpfeb"])
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
def test_compiled_objects_are_listed_alike(
    source: Path, target: str, level: str, tmp_path: Path
) -> None:
    text = compiled.clang(source, target, "v4", level, "-S").decode()
    byteorder: ByteOrder = "little" if target == "bpfel" else "big"
    found = assemble_object(text, "clang.s", byteorder=byteorder)
    assert objdump(found, "x.o") == theirs(found, tmp_path)


def test_our_own_objects_are_listed_alike(tmp_path: Path) -> None:
    spec = assemble("""
.map m, array, key=u32, value=u64, max_entries=1
.section xdp
f:
    r1 = m ll
    r2 = 0x1122334455667788 ll
    if r1 == 5 goto out
    call g
    r0 = 0
out: exit
.section tc
h: goto h
.text
g:
    exit
""")
    found = object_of(spec)
    assert objdump(found, "x.o") == theirs(found, tmp_path)


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_row_is_listed_alike(byteorder: ByteOrder, tmp_path: Path) -> None:
    rows = [each for each in llvm_rows() if fits_llvm(each)]
    random.Random(1).shuffle(rows)
    code = b"".join(codec.encode(*each.fields, byteorder=byteorder) for each in rows)
    assert objdump_code(code, byteorder=byteorder) == of_bytes(code, byteorder, tmp_path)


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize(
    "code",
    [
        bytes.fromhex("ff00000000000000 9500000000000000"),
        bytes.fromhex("9500000000000000") + bytes(17) + bytes.fromhex("95000000000000"),
        bytes.fromhex("1801000001000000 00000000"),
        bytes.fromhex("b70b000001000000 b70c000001000000"),
        bytes.fromhex("8510000005000000 8520000005000000 1811000005000000 0000000000000000"),
        bytes.fromhex("0500f0ff00000000 0500f07f00000000"),
    ],
)
def test_what_is_no_instruction_is_listed_alike(code: bytes, tmp_path: Path) -> None:
    assert objdump_code(code) == of_bytes(code, "little", tmp_path)


def of_bytes(code: bytes, byteorder: ByteOrder, folder: Path) -> str:
    """What llvm-objdump says of bytes in .text, from the section's title on."""
    (folder / "x.s").write_text(".text\n" + "".join(f".byte {byte}\n" for byte in code))
    triple = "bpfel" if byteorder == "little" else "bpfeb"
    command = [find_tool("llvm-mc"), f"-triple={triple}", "-filetype=obj", "x.s", "-o", "x.o"]
    subprocess.run(command, cwd=folder, check=True)
    command = [find_tool("llvm-objdump"), "-d", "--mcpu=v4", "x.o"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout[done.stdout.index("\nDisassembly") :]
