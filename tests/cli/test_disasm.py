"""`ebpfasm disasm`: files and programs in the kernel, as text and as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

import ebpfasm as library
from ebpfasm.emit.elf import write_elf
from ebpfasm.emit.objects import object_of
from tests.cli.support import Command
from tests.runtime.samples import COUNT
from tests.support import find_tool

SOURCE = COUNT.replace("{type}", "array")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    file = tmp_path / "count.s"
    file.write_text(SOURCE)
    return file


def test_source_lines_are_shown_and_the_text_assembles_again(
    ebpfasm: Command, source: Path
) -> None:
    done = ebpfasm("disasm", source, "--source")
    assert f"    # {source}:6: r1 = 0\n    r1 = 0x0\n" in done.out
    assert library.assemble(done.out) == library.open(source)


@pytest.mark.parametrize("dialect", ["llvm", "mnemonic"])
def test_json_has_slots_texts_bytes_and_places(
    ebpfasm: Command, source: Path, dialect: str
) -> None:
    found = json.loads(ebpfasm("disasm", source, "--json", "--dialect", dialect).out)
    assert [each["name"] for each in found["maps"]] == ["counts"]
    (program,) = found["programs"]
    (function,) = program["functions"]
    rows = function["instructions"]
    assert (program["type"], function["name"], rows[4]["slot"], rows[5]["slot"]) == (
        "xdp",
        "count",
        4,
        6,
    )
    code = library.encode(library.open(source).programs["count"])
    assert b"".join(bytes.fromhex(row["bytes"]) for row in rows) == code
    expected = {"llvm": "r1 = counts ll", "mnemonic": "lddw %r1, counts"}[dialect]
    assert rows[4]["text"] == expected
    assert rows[4]["source"] == {
        "file": str(source),
        "line": 10,
        "column": 5,
        "text": "r1 = counts ll",
    }
    assert rows[-2]["labels"] == ["out"]


def test_bytes_are_taken_in_either_order(ebpfasm: Command, tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(bytes.fromhex("b710000000000005 9500000000000000"))
    found = ebpfasm("disasm", file, "--byteorder", "big")
    assert found.out == ".globl main\nmain:\n    r1 = 0x5\n    exit\n"
    rows = json.loads(ebpfasm("disasm", file, "--byteorder", "big", "--json").out)
    assert rows["programs"][0]["functions"][0]["instructions"][0]["bytes"] == (
        "b7 10 00 00 00 00 00 05"
    )


def test_json_keeps_a_label_behind_the_last_instruction(ebpfasm: Command, tmp_path: Path) -> None:
    file = tmp_path / "x.s"
    file.write_text("goto end\nexit\nend:\n")
    (function,) = json.loads(ebpfasm("disasm", file, "--json").out)["programs"][0]["functions"]
    assert function["labels_at_end"] == ["end"]


@pytest.mark.tool("llvm-objdump")
def test_plain_is_what_llvm_objdump_writes(ebpfasm: Command, source: Path) -> None:
    file = source.with_suffix(".o")
    file.write_bytes(write_elf(object_of(library.open(source))))
    command = [find_tool("llvm-objdump"), "-d", "--mcpu=v4", str(file)]
    theirs = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ours = ebpfasm("disasm", source, "--plain").out
    assert ours.replace("count.s:", "count.o:") == theirs


def test_plain_takes_bytes_that_are_no_program(ebpfasm: Command, tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(bytes.fromhex("ff00000000000000 9500000000000000"))
    assert ebpfasm("disasm", file, "--plain").out == (
        "\nDisassembly of section .text:\n\n0000000000000000 <.text>:\n"
        "       0:\tff 00 00 00 00 00 00 00\t<unknown>\n"
        "       1:\t95 00 00 00 00 00 00 00\texit\n"
    )


def test_one_thing_is_disassembled(ebpfasm: Command, source: Path) -> None:
    for words, found in (
        ((), "nothing was given"),
        ((source, "--id", 1), "FILE and --id was given"),
        (("--pin", "/x", "--name", "y"), "--pin and --name was given"),
    ):
        done = ebpfasm("disasm", *words)
        assert (done.status, done.out) == (1, "")
        assert f"error[cli-usage]: one program is disassembled, and {found}\n" in done.err
    assert (
        "--plain is llvm-objdump's text alone" in ebpfasm("disasm", source, "--plain", "--json").err
    )


@pytest.fixture
def live() -> Iterator[tuple[str, int]]:
    """The name and id of a program in the kernel."""
    name = f"t{uuid4().hex[:8]}"
    with library.load(library.assemble(SOURCE.replace("count:", f"{name}:"), name="count.s")) as c:
        yield name, c.programs[name].id


@pytest.mark.kernel
def test_a_program_in_the_kernel_is_shown_with_its_names(
    ebpfasm: Command, live: tuple[str, int]
) -> None:
    name, number = live
    done = ebpfasm("disasm", "--id", number, "--source")
    lines = done.out.splitlines()
    assert lines[0].startswith(f"# program {number}: {name}, xdp, tag ")
    assert lines[1:4] == [
        ".map counts, array, key_size=4, value_size=8, max_entries=2",
        f".globl {name}",
        f"{name}:",
    ]
    assert "    # count.s:10: r1 = counts ll" in lines
    assert "    r1 = counts ll" in lines
    assert ebpfasm("disasm", "--name", name, "--source").out == done.out
    assert "lddw %r1, counts" in ebpfasm("disasm", "--id", number, "--dialect", "mnemonic").out


@pytest.mark.kernel
def test_a_program_in_the_kernel_is_shown_as_json(ebpfasm: Command, live: tuple[str, int]) -> None:
    name, number = live
    found = json.loads(ebpfasm("disasm", "--id", number, "--json").out)
    assert (found["id"], found["name"], found["type"]) == (number, name, "xdp")
    (function,) = found["functions"]
    first = function["instructions"][0]
    assert (first["slot"], first["text"], first["bytes"]) == (
        0,
        "r1 = 0x0",
        "b7 01 00 00 00 00 00 00",
    )
    assert first["source"] == {"file": "count.s", "line": 6, "column": 5, "text": "r1 = 0"}


@pytest.mark.kernel
def test_what_is_not_in_the_kernel_is_told(ebpfasm: Command) -> None:
    done = ebpfasm("disasm", "--id", 4294967295)
    assert (done.status, done.err) == (
        1,
        "error[load-failed]: there is no program 4294967295 in the kernel\n",
    )
