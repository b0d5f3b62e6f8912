"""`ebpfasm disasm` of ELF objects, and that nothing loads them yet."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import ebpfasm as library
from ebpfasm.elf import read_object
from ebpfasm.emit.elf import write_elf
from tests.asm import compiled
from tests.cli.support import Command
from tests.elf.test_reader import small
from tests.support import find_tool


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    file = tmp_path / "maps.o"
    source = next(each for each in compiled.SOURCES if each.stem == "maps")
    file.write_bytes(compiled.clang(source, "bpfel", "v3", "-O2", "-c"))
    return file


@pytest.mark.tool("clang")
def test_the_command_s_text_is_an_object_again(
    ebpfasm: Command, maps: Path, tmp_path: Path
) -> None:
    text, made = tmp_path / "again.s", tmp_path / "again.o"
    ebpfasm("disasm", maps, "-o", text)
    ebpfasm("asm", text, "-o", made)
    assert read_object(made.read_bytes()) == read_object(maps.read_bytes())


@pytest.mark.tool("clang")
@pytest.mark.tool("llvm-objdump")
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
def test_plain_text_is_llvm_objdump_s(ebpfasm: Command, source: Path, tmp_path: Path) -> None:
    file = tmp_path / "some.o"
    file.write_bytes(compiled.clang(source, "bpfel", "v4", "-O2", "-c"))
    command = [find_tool("llvm-objdump"), "-d", "--mcpu=v4", str(file)]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ebpfasm("disasm", file, "--plain").out == theirs


@pytest.mark.tool("clang")
@pytest.mark.parametrize(
    ("options", "given"),
    [(["--json"], "--json"), (["--dialect", "mnemonic"], "--dialect mnemonic")],
)
def test_what_an_object_cannot_be_written_as(
    ebpfasm: Command, maps: Path, options: list[str], given: str
) -> None:
    done = ebpfasm("disasm", maps, *options)
    message = f"objects are written in the llvm dialect, without {given}"
    assert (done.status, done.err) == (1, f"error[cli-usage]: {message}\n")


def test_a_damaged_file_is_one_sentence(ebpfasm: Command, tmp_path: Path) -> None:
    file = tmp_path / "cut.o"
    file.write_bytes(write_elf(small())[:-100])
    done = ebpfasm("disasm", file)
    assert done.err == (
        f"error[elf-format]: {file} is damaged: it ends before its section headers\n"
    )


def test_an_object_that_needs_another_one_is_refused_by_name(tmp_path: Path) -> None:
    file = tmp_path / "small.o"
    file.write_bytes(write_elf(small()))
    with pytest.raises(library.ElfError) as caught:
        library.open(file)
    assert str(caught.value) == (
        f"error[elf-symbol]: {file}: main (section xdp, offset 0x10): function 'outside' is not "
        "defined\n   hint: declare a kernel function with __ksym; link files that call each other"
    )
