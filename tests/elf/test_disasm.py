"""Objects as text: what is printed assembles to the same object."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.asm.objects import assemble_object
from ebpfasm.asm.writing.object_printer import print_object
from ebpfasm.elf import collection_of, read_object
from ebpfasm.emit.elf import write_elf
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_LINK_ORDER,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
    RelocationType,
)
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.table import BY_OPCODE
from tests.asm import compiled
from tests.asm.test_objects import GROUPS, HAND_WRITTEN
from tests.elf.test_reader import EVERY, TARGETS, outcome, small
from tests.support import find_tool

CODE = SHF_ALLOC | SHF_EXECINSTR


def again(read: Object, **options: bool) -> Object:
    """An object printed, assembled, written and read."""
    text = print_object(read, **options)
    return read_object(write_elf(assemble_object(text, byteorder=read.byteorder)))


@pytest.mark.tool("clang")
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(("source", "cpu", "level"), EVERY)
def test_an_object_of_clang_s_assembles_again_to_an_equal_one(
    source: Path, cpu: str, level: str, target: str
) -> None:
    read = read_object(compiled.clang(source, target, cpu, level, "-c"))
    assert "no assembly says this" not in print_object(read)
    assert again(read) == read


@pytest.mark.tool("clang")
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
def test_without_debug_information_the_file_is_the_same_byte_for_byte(source: Path) -> None:
    theirs = compiled.clang(source, "bpfel", "v3", "-O2", "-c", "-g0")
    assert write_elf(assemble_object(print_object(read_object(theirs)))) == theirs


@pytest.mark.tool("llvm-mc")
@pytest.mark.parametrize("target", TARGETS)
def test_groups_and_symbols_whose_address_matters_come_back_byte_for_byte(
    target: str, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs.o"
    command = [find_tool("llvm-mc"), f"-triple={target}", "-filetype=obj", "-o", str(theirs)]
    subprocess.run(command, input=GROUPS, text=True, check=True)
    read = read_object(theirs.read_bytes())
    assert [each.group for each in read.sections] == ["", "f", "f", "g", "", "f"]
    assert read.addrsig is not None
    assert [read.symbols[each].name for each in read.addrsig] == ["f", "main", "f"]
    text = print_object(read)
    assert '.section .rodata.str, "aMSG", @progbits, 1, f, comdat' in text
    assert write_elf(assemble_object(text, byteorder=read.byteorder)) == theirs.read_bytes()
    subprocess.run(command, input=text, text=True, check=True)
    assert write_elf(read) == theirs.read_bytes()


PARTS = (
    "static int state; static __attribute__((noinline)) int f(int x) { return state += x; }\n"
    '__attribute__((section("socket"))) int one(void *c) { return f(1); }',
    "static int state; static __attribute__((noinline)) int f(int x) { return state -= x; }\n"
    '__attribute__((section("socket"))) int two(void *c) { return f(2); }',
)


@pytest.mark.tool("clang", "bpftool")
def test_static_things_of_one_name_in_a_linked_object_are_told_apart(tmp_path: Path) -> None:
    parts = [tmp_path / f"{number}.o" for number in range(len(PARTS))]
    for text, part in zip(PARTS, parts, strict=True):
        command = [find_tool("clang"), "-target", "bpf", "-O2", "-g", "-xc", "-", "-c", "-o"]
        subprocess.run([*command, str(part)], input=text, text=True, check=True)
    linked = tmp_path / "linked.o"
    subprocess.run([find_tool("bpftool"), "gen", "object", str(linked), *parts], check=True)
    read = read_object(linked.read_bytes())
    text = print_object(read)
    assert {"f", "f.1", "state", "state.1"} <= {
        line.split()[1] for line in text.splitlines() if line.startswith("    .local")
    }
    theirs, mine = collection_of(read), collection_of(assemble_object(text))
    assert [*mine.programs] == [*theirs.programs] == ["one", "two"]
    for name in theirs.programs:
        assert ebpfasm.encode(mine.programs[name]) == ebpfasm.encode(theirs.programs[name])


@pytest.mark.tool("clang", "llvm-strip")
def test_what_strip_makes_wrong_is_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "x.o"
    file.write_bytes(compiled.clang(compiled.SOURCES[0], "bpfel", "v3", "-O2", "-c"))
    whole = read_object(file.read_bytes())
    assert whole.addrsig is not None
    subprocess.run([find_tool("llvm-strip"), "-g", str(file)], check=True)
    stripped = read_object(file.read_bytes())
    assert stripped.addrsig is None  # it has the numbers that symbols had
    assert again(stripped) == stripped


@pytest.mark.tool("clang")
@pytest.mark.parametrize("kind", ["zlib", "zstd"])
def test_compressed_debug_information_stops_only_who_reads_it(kind: str) -> None:
    options = ("-g", f"-gz={kind}")
    file = compiled.clang(compiled.SOURCES[0], "bpfel", "v3", "-O2", "-c", *options)
    assert ebpfasm.open(file).programs
    with pytest.raises(ebpfasm.ElfError) as caught:
        read_object(file, "x.o")
    (found,) = caught.value.diagnostics
    assert found.message.startswith("x.o: section .debug_")
    assert found.message.endswith(" is compressed")


@pytest.mark.tool("clang")
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
def test_lines_of_source_stand_above_their_instructions(source: Path) -> None:
    read = read_object(compiled.clang(source, "bpfel", "v3", "-O2", "-c"))
    text = print_object(read, source=True)
    assert f"{source.name}:" in text
    for line in text.splitlines():
        if line.startswith("    # ") and f"{source.name}:" in line:
            place, _, shown = line.removeprefix("    # ").partition(": ")
            number = int(place.rpartition(":")[2])
            written = source.read_text().splitlines()[number - 1]
            assert " ".join(written.split()) == shown
    assert again(read, source=True) == read


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_what_people_write_comes_back(byteorder: ByteOrder) -> None:
    read = read_object(write_elf(assemble_object(HAND_WRITTEN, byteorder=byteorder)))
    assert again(read) == read
    assert again(read_object(write_elf(small(byteorder)))) == read_object(
        write_elf(small(byteorder))
    )


def test_names_of_relocations_and_labels_of_jumps_are_in_the_text() -> None:
    text = """
        .section xdp, "ax", @progbits
        .globl  main
main:   r1 = counts ll
        r2 = table + 8 ll
        r3 = kept + 4 ll
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        call helper
        call outside
        gotol out
out:    exit
        .local helper
        .type helper, @function
helper: exit
        .data
        .local kept
        .size kept, 16
kept:   .quad 1, main
        .globl table, outside, counts
table:  .zero 16
"""
    read = read_object(write_elf(assemble_object(text)))
    assert (
        print_object(read)
        == """\
    .local kept
    .size kept, 16
    .local out
    .local helper
    .type helper, @function
    .section .text, "ax", @progbits
    .section xdp, "ax", @progbits
    .section .data, "aw", @progbits
    .globl main
    .globl counts
    .globl table
    .globl outside

    .section .text, "ax", @progbits
    .p2align 2

    .section xdp, "ax", @progbits
main:
    r1 = counts ll
    r2 = table + 8 ll
    r3 = kept + 4 ll
    call bpf_map_lookup_elem
    if r0 == 0x0 goto .L1_58
    call helper
    call outside
    gotol .L1_58
out:
.L1_58:
    exit
helper:
    exit

    .section .data, "aw", @progbits
kept:
    .byte 0x01
    .zero 7
    .quad main
table:
    .zero 16
"""
    )
    assert again(read) == read


def code_object(content: bytes, *symbols: ObjectSymbol, byteorder: ByteOrder = "little") -> Object:
    sections = (ObjectSection(".text", flags=CODE, align=8, content=content, size=len(content)),)
    return Object(sections, symbols, byteorder)


def test_slots_that_are_no_instructions_are_numbers() -> None:
    read = code_object(bytes(range(1, 9)) + bytes.fromhex("9500000000000000") + b"abc")
    assert print_object(read).splitlines()[-3:] == [
        "    .8byte 0x0807060504030201",
        "    exit",
        "    .byte 0x61, 0x62, 0x63",
    ]
    assert again(read) == read


def test_a_symbol_may_lie_inside_an_instruction_or_outside_its_section() -> None:
    content = bytes.fromhex("18010000010000000000000000000000") + b"\x95" + bytes(7)
    inside = ObjectSymbol("inside", 0, 8)
    beyond = ObjectSymbol("beyond", 0, 400, binding="global")
    read = code_object(content, inside, beyond)
    assert again(read) == read


def test_sections_of_one_name_and_strange_names_are_told_apart() -> None:
    same = [ObjectSection("a b\"c'\\é", content=bytes([number]), size=1) for number in range(3)]
    symbols = (ObjectSymbol("odd name", 2, 0), ObjectSymbol("r1", 3, 1, binding="global"))
    read = Object((*code_object(b"").sections, *same), symbols)
    assert again(read) == read


@pytest.mark.parametrize(
    ("kind", "offset", "line"),
    [
        ("R_BPF_64_ABS32", 16, "    exit  # R_BPF_64_ABS32 far: no assembly says this"),
        ("R_BPF_64_64", 16, "    exit  # R_BPF_64_64 far: no assembly says this"),
        ("R_BPF_64_32", 0, "    r1 = 0x1 ll  # R_BPF_64_32 far: no assembly says this"),
    ],
)
def test_relocations_that_assembly_cannot_say_are_comments(
    kind: RelocationType, offset: int, line: str
) -> None:
    content = bytes.fromhex("18010000010000000000000000000000") + b"\x95" + bytes(7)
    relocations = (ObjectRelocation(offset, kind, 0),)
    sections = (ObjectSection(".text", 1, CODE, 8, content, len(content), 0, relocations),)
    read = Object(sections, (ObjectSymbol("far", binding="global"),))
    assert line in print_object(read).splitlines()
    assert again(read).sections[0].content == content


def test_what_no_heading_can_say_of_a_section_is_a_comment() -> None:
    read = Object((ObjectSection("odd", 0x7000_0001, SHF_ALLOC | SHF_LINK_ORDER),))
    line = '    .section odd, "a", @progbits  # its type is 0x70000001 and it has flags 0x80'
    assert print_object(read).splitlines()[0] == line


SLOTS = st.builds(
    lambda opcode, rest: bytes([opcode]) + rest,
    st.sampled_from(sorted(BY_OPCODE)) | st.integers(0, 255),
    st.tuples(
        st.sampled_from([0, 1, 0x10, 0x21]) | st.integers(0, 255),
        st.integers(-4, 4) | st.integers(-(1 << 15), (1 << 15) - 1),
        st.integers(-4, 4) | st.integers(-(1 << 31), (1 << 31) - 1),
    ).map(
        lambda row: (
            bytes([row[0]])
            + row[1].to_bytes(2, "little", signed=True)
            + row[2].to_bytes(4, "little", signed=True)
        )
    ),
)


@given(st.lists(SLOTS, max_size=12), st.sampled_from(["little", "big"]))
def test_any_code_is_printed_so_that_it_comes_back(
    slots: list[bytes], byteorder: ByteOrder
) -> None:
    read = code_object(b"".join(slots), byteorder=byteorder)
    assert again(read) == read


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_data_is_printed_so_that_it_comes_back(content: bytes) -> None:
    data = ObjectSection(".rodata", flags=SHF_ALLOC, content=content, size=len(content))
    read = Object((*code_object(b"").sections, data))
    assert again(read) == read


@given(st.data())
def test_a_damaged_object_is_text_or_an_error(data: st.DataObject) -> None:
    made = data.draw(st.sampled_from([small(), assemble_object(GROUPS)]))
    whole = bytearray(write_elf(made))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    if outcome(bytes(whole)) == "read":
        text = print_object(read_object(bytes(whole)))
        assert text.encode()
        with suppress(ebpfasm.AsmError):
            assemble_object(text)


@pytest.mark.tool("clang")
def test_damaged_line_information_is_a_btf_error() -> None:
    whole = read_object(compiled.clang(compiled.SOURCES[0], "bpfel", "v3", "-O2", "-c"))
    ext = whole.section(".BTF.ext")
    assert ext is not None
    for size in (0, 10, 31, 60, 300):
        cut = replace(ext, content=ext.content[:size], relocations=())
        sections = tuple(cut if each is ext else each for each in whole.sections)
        with pytest.raises(ebpfasm.BtfError) as caught:
            print_object(replace(whole, sections=sections), source=True)
        assert str(caught.value).startswith("error[btf-format]: .BTF.ext is damaged: ")
