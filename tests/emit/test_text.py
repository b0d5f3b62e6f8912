"""Bytes as text, with the C compiler as judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ebpfasm.emit import Image, image
from ebpfasm.emit.text import c_array, c_instructions, hex_text, identifier
from ebpfasm.ir import MapRef, MapSpec, ProgramSpec, instruction, link
from ebpfasm.isa.codec import ByteOrder
from tests.support import find_tool

MAPS = (MapSpec("odd*/name\\", "array", 4, 8, 1),)
LINKED = link(
    ProgramSpec(
        "prog",
        "xdp",
        "xdp",
        (
            instruction("lddw_map_fd", dst=1, ref=MapRef("odd*/name\\")),
            instruction("lddw", dst=2, imm=-(1 << 63)),
            instruction("stw", dst=10, off=-4, imm=-(1 << 31)),
            instruction("ldxdw", dst=10 - 1, src=10, off=-32768),
            instruction("jslt32_reg", dst=3, src=4, off=32767),
            instruction("exit"),
        ),
        maps=MAPS,
    )
)


def test_hex_has_a_slot_on_each_line() -> None:
    program = ProgramSpec("p", "", "", (instruction("lddw", dst=1, imm=1), instruction("exit")))

    assert hex_text(image(link(program))) == (
        "18 01 00 00 01 00 00 00\n00 00 00 00 00 00 00 00\n95 00 00 00 00 00 00 00\n"
    )
    assert bytes.fromhex(hex_text(image(LINKED))) == image(LINKED).code


def test_a_c_array_names_what_a_loader_must_fill() -> None:
    maps = (MapSpec("counts", "array", 4, 8, 1),)
    code = (instruction("lddw_map_fd", dst=1, ref=MapRef("counts")), instruction("exit"))
    found = image(link(ProgramSpec("p", "", "", code, maps=maps)))

    assert c_array(found, "my prog") == (
        "static const unsigned char my_prog[] __attribute__((aligned(8))) = {\n"
        "\t0x18, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, /* map counts */\n"
        "\t0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n"
        "\t0x95, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,\n"
        "};\n"
    )
    assert c_instructions(found, "my prog") == (
        "static const struct bpf_insn my_prog[] = {\n"
        "\t{ .code = 0x18, .dst_reg = 1, .src_reg = 1, .off = 0, .imm = 0 }, /* map counts */\n"
        "\t{ .code = 0x00, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0 },\n"
        "\t{ .code = 0x95, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0 },\n"
        "};\n"
    )


def test_initialisers_of_instructions_do_not_depend_on_the_byte_order() -> None:
    little, big = image(LINKED), image(LINKED, byteorder="big")

    assert c_instructions(little, "p") == c_instructions(big, "p")


def _compiled(tmp_path: Path, compiler: str, definition: str, includes: str = "") -> bytes:
    """What the array is in memory: a program that holds it is built and writes it out."""
    source, binary = tmp_path / "dump.c", tmp_path / "dump"
    source.write_text(
        f"#include <stdio.h>\n{includes}{definition}"
        "int main(void) { return fwrite(prog, sizeof prog, 1, stdout) != 1; }\n"
    )
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command = [find_tool(compiler), *flags, str(source), "-o", str(binary)]
    subprocess.run(command, check=True, timeout=60)
    return subprocess.run([str(binary)], check=True, capture_output=True, timeout=60).stdout


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    "compiler", [pytest.param(each, marks=pytest.mark.tool(each)) for each in ("gcc", "clang")]
)
def test_a_compiled_array_holds_the_bytes(tmp_path: Path, compiler: str, order: ByteOrder) -> None:
    found = image(LINKED, byteorder=order)

    assert _compiled(tmp_path, compiler, c_array(found, "prog")) == found.code


@pytest.mark.parametrize(
    "compiler", [pytest.param(each, marks=pytest.mark.tool(each)) for each in ("gcc", "clang")]
)
def test_compiled_instructions_are_the_bytes(tmp_path: Path, compiler: str) -> None:
    found = image(LINKED)
    header = "#include <linux/bpf.h>\n"

    assert _compiled(tmp_path, compiler, c_instructions(found, "prog"), header) == found.code


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("xdp_prog", "xdp_prog"),
        ("a-b.c", "a_b_c"),
        ("9lives", "_9lives"),
        ("", "_"),
        ("int", "int_"),
        ("größe", "gr__e"),
    ],
)
def test_names_become_identifiers(name: str, expected: str) -> None:
    assert identifier(name) == expected


def test_an_empty_program_is_an_empty_text() -> None:
    assert hex_text(Image(b"", ())) == ""
