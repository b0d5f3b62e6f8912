"""Objects read from ELF files: the writer's law, clang's files, and what is refused."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.asm.objects import assemble_object
from ebpfasm.elf import read_object
from ebpfasm.emit.elf import write_elf
from ebpfasm.ir.object import Object, ObjectSymbol
from tests.asm import compiled
from tests.support import find_tool

EVERY = [
    pytest.param(source, cpu, level, id=f"{source.stem}-{cpu}{level}")
    for source in compiled.SOURCES
    for cpu in compiled.CPUS
    for level in compiled.LEVELS
]
TARGETS = {"bpfel": "little", "bpfeb": "big"}

SMALL = """
    .file "small.s"
    .section xdp, "ax", @progbits
    .globl main
    .type main, @function
main:
    r1 = counter ll
    call outside
    r0 = 2
    exit
    .size main, . - main
    .data
    .local private
    .type private, @object
private: .quad main, counter + 8
    .size private, 16
    .bss
    .globl counter
    .p2align 3
counter: .zero 24
    .set absolute, -5
    .comm shared, 16, 8
    .weak maybe
    .hidden main
"""


def small(byteorder: str = "little") -> Object:
    return assemble_object(SMALL, byteorder="big" if byteorder == "big" else "little")


def in_file_order(made: Object) -> Object:
    """The same object with its symbols as ELF wants them: files, other locals, the rest."""

    def rank(index: int) -> int:
        each = made.symbols[index]
        return 2 if each.binding != "local" else int(each.type != "file")

    order = sorted(range(len(made.symbols)), key=rank)
    numbers = {index: number for number, index in enumerate(order)}
    sections = [
        replace(
            each,
            relocations=tuple(
                replace(relocation, symbol=numbers[relocation.symbol])
                for relocation in each.relocations
            ),
        )
        for each in made.sections
    ]
    symbols = tuple(made.symbols[each] for each in order)
    addrsig = None
    if made.addrsig is not None:
        addrsig = tuple(numbers[each] for each in made.addrsig)
    return Object(tuple(sections), symbols, made.byteorder, addrsig)


@pytest.mark.tool("clang")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("source", "cpu", "level"), EVERY)
def test_what_is_written_is_read_as_it_was_but_for_the_order_of_symbols(
    source: Path, cpu: str, level: str, target: str
) -> None:
    text = compiled.clang(source, target, cpu, level, "-S").decode()
    made = assemble_object(text, byteorder="little" if target == "bpfel" else "big")
    assert read_object(write_elf(made)) == in_file_order(made)


@pytest.mark.tool("clang")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("source", "cpu", "level"), EVERY)
def test_a_file_of_clang_s_keeps_all_when_it_is_read_and_written(
    source: Path, cpu: str, level: str, target: str
) -> None:
    theirs = compiled.clang(source, target, cpu, level, "-c")
    found = read_object(theirs)
    assert found.byteorder == TARGETS[target]
    assert compiled.read(write_elf(found)) == compiled.read(theirs)
    assert read_object(write_elf(found)) == found


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_kind_of_symbol_comes_back(byteorder: str) -> None:
    made = small(byteorder)
    found = read_object(write_elf(made))
    assert found == in_file_order(made)
    assert found.symbol("absolute") == ObjectSymbol("absolute", "absolute", -5)
    shared = ObjectSymbol("shared", "common", 8, 16, "global", "object")
    assert found.symbol("shared") == shared
    assert found.symbol("maybe") == ObjectSymbol("maybe", binding="weak")
    main = ObjectSymbol("main", 1, 0, 40, "global", "func", "hidden")
    assert found.symbol("main") == main
    assert found.symbol("outside") == ObjectSymbol("outside", binding="global")


def test_a_name_need_not_be_utf_8() -> None:
    data = write_elf(small()).replace(b"private\0", b"pr\xffvate\0")
    assert read_object(data).symbol("pr\udcffvate") is not None
    assert write_elf(read_object(data)).count(b"pr\xffvate\0") == 1


def changed(at: int, *values: int) -> bytes:
    data = bytearray(write_elf(small()))
    data[at : at + len(values)] = bytes(values)
    return bytes(data)


def row(name: str, field: int, size: int, value: int) -> bytes:
    """The small object with one number of a section's header changed."""
    data = bytearray(write_elf(small()))
    table = int.from_bytes(data[0x28:0x30], "little")
    number = compiled_names().index(name)
    at = table + 64 * number + field
    data[at : at + size] = value.to_bytes(size, "little")
    return bytes(data)


@cache
def compiled_names() -> list[str]:
    import io

    from elftools.elf.elffile import ELFFile

    return [each.name for each in ELFFile(io.BytesIO(write_elf(small()))).iter_sections()]


REFUSED = {
    "text": (b"hello", "elf-format", "x.o: this is no ELF file"),
    "empty": (b"", "elf-format", "x.o: this is no ELF file"),
    "header": (b"\x7fELF\2\1", "elf-format", "x.o is damaged: it ends inside its header"),
    "bits": (changed(4, 1), "elf-machine",
             "x.o: this is a 32-bit ELF file; objects for BPF have 64 bits"),
    "class": (changed(4, 9), "elf-machine",
              "x.o: this is of no known ELF class; objects for BPF have 64 bits"),
    "order": (changed(5, 3), "elf-format", "x.o is damaged: it names no byte order"),
    "machine": (changed(18, 62, 0), "elf-machine", "x.o: the machine is EM_X86_64, not EM_BPF"),
    "strange": (changed(18, 0xEE, 0xEE), "elf-machine",
                "x.o: the machine is number 61166, not EM_BPF"),
    "executable": (changed(16, 2, 0), "elf-format", "x.o: this is no relocatable object"),
    "cut": (write_elf(small())[:-100], "elf-format",
            "x.o is damaged: it ends before its section headers"),
    "sections": (changed(0x28, *bytes(8)), "elf-format", "x.o: there are no sections"),
    "long": (row("xdp", 0x20, 8, 1 << 40), "elf-format",
             "x.o is damaged: it ends inside section xdp"),
    "name": (row("xdp", 0, 4, 1 << 20), "elf-format",
             "x.o is damaged: it has a name outside its table"),
    "align": (row("xdp", 0x30, 8, 12), "elf-format",
              "x.o is damaged: it has section xdp with an alignment of 12 bytes"),
    "rela": (row(".relxdp", 4, 4, 4), "elf-relocation",
             "x.o: .relxdp holds addends (RELA); BPF has none"),
    "link": (row(".relxdp", 0x28, 4, 1), "elf-format",
             "x.o is damaged: it has relocations without symbols in .relxdp"),
    "info": (row(".relxdp", 0x2C, 4, 99), "elf-format",
             "x.o is damaged: it has .relxdp for a section that it lacks"),
    "half": (row(".relxdp", 0x20, 8, 17), "elf-format",
             "x.o is damaged: it has half a relocation in .relxdp"),
    "symbols": (row(".symtab", 0x20, 8, 30), "elf-format",
                "x.o is damaged: it has half a symbol in its table"),
    "names": (row(".symtab", 0x28, 4, 2), "elf-format",
              "x.o is damaged: it has no names of symbols"),
    "behind": (row("xdp", 0x20, 8, 8), "elf-format",
               "x.o is damaged: it has a relocation behind the end of xdp"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused_and_in_which_words(case: str) -> None:
    data, code, message = REFUSED[case]
    with pytest.raises(ebpfasm.ElfError) as caught:
        read_object(data, "x.o")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == (code, message)


@pytest.mark.tool("clang")
def test_another_machine_s_object_is_told_with_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "other.o"
    command = [find_tool("clang"), "-target", "x86_64-linux-gnu", "-xc", "-", "-c", "-o", str(file)]
    subprocess.run(command, input=b"int f;", check=True)
    with pytest.raises(ebpfasm.ElfError) as caught:
        read_object(file.read_bytes(), "other.o")
    assert str(caught.value) == (
        "error[elf-machine]: other.o: the machine is EM_X86_64, not EM_BPF\n"
        "   hint: compile with clang -target bpf -c"
    )


def outcome(data: bytes) -> str:
    with suppress(ebpfasm.ElfError):
        read_object(data, whole=False)
    try:
        found = read_object(data)
    except ebpfasm.ElfError as problem:
        return str(problem)
    assert write_elf(found)
    return "read"


GROUPED = """
    .globl one, two
    .section .text.one, "axG", @progbits, one, comdat
one: exit
    .section .data.two, "awG", @progbits, two, comdat
two: .quad one
    .addrsig
    .addrsig_sym one
    .addrsig_sym two
"""


def damaged_group(section: str, field: int, value: int) -> bytes:
    """GROUPED with another word in a section's header, or, behind that, in its content."""
    import io

    from elftools.elf.elffile import ELFFile

    data = bytearray(write_elf(assemble_object(GROUPED)))
    elf: Any = ELFFile(io.BytesIO(bytes(data)))
    number = elf.get_section_index(section)
    at = elf["e_shoff"] + 64 * number + field
    if field >= 64:
        at = elf.get_section(number)["sh_offset"] + field - 64
    data[at : at + 4] = value.to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("section", "field", "value", "message"),
    [
        (".group", 0x2C, 99, "it has group 5 without a name"),
        (".group", 0x20, 3, "it has group 5 without a name"),
        (".group", 68, 99, "it has a group of sections that it lacks: two"),
        (".llvm_addrsig", 64, 9, "it has an address that matters, of a symbol that it lacks"),
    ],
)
def test_damaged_groups_are_told(section: str, field: int, value: int, message: str) -> None:
    with pytest.raises(ebpfasm.ElfError) as caught:
        read_object(damaged_group(section, field, value), "x.o")
    assert caught.value.diagnostics[0].message == f"x.o is damaged: {message}"


def test_a_group_that_need_not_be_kept_once_is_read_as_none() -> None:
    assert read_object(damaged_group(".group", 64, 1)).sections[2].group == "two"
    assert read_object(damaged_group(".group", 64, 0)).sections[2].group == ""


@given(st.data())
def test_a_damaged_file_is_an_object_or_an_elf_error(data: st.DataObject) -> None:
    whole = bytearray(write_elf(small(data.draw(st.sampled_from(["little", "big"])))))
    for _ in range(data.draw(st.integers(1, 4))):
        # Headers and tables are where damage matters; they stand at both ends.
        at = data.draw(st.integers(0, len(whole) - 1))
        size = data.draw(st.sampled_from([1, 2, 4, 8]))
        value = data.draw(st.binary(min_size=size, max_size=size))
        whole[at : at + size] = value
    assert outcome(bytes(whole))
    assert outcome(bytes(whole[: data.draw(st.integers(0, len(whole)))]))


@given(st.binary(max_size=300))
def test_random_bytes_behind_the_magic_are_an_elf_error(tail: bytes) -> None:
    assert outcome(b"\x7fELF\2\1\1" + tail) != "read"
