"""Variables of hand-written files: sections, sizes, addresses, and the way back to text."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.ir import VarRef, VarSpec, collect, instructions_of
from ebpfasm.ir.specs import data_map

COUNTING = """\
.license "GPL"
.rodata
limit:  .long 3, 0x10
name:   .asciz "a;b # c"
        .p2align 3
        .size name, 4
.data
start:  .quad -2
half:   .short end - half, . - half
end:
.bss
counter: .zero 8
hits:    .skip 16
.section .rodata.more
extra:  .byte 9
.section xdp
count:
    r1 = counter ll
    r2 = *(u64 *)(r1 + 0)
    r2 += 1
    *(u64 *)(r1 + 0) = r2
    r1 = hits+8 ll
    *(u64 *)(r1 + 0) = r2
    r1 = start ll
    r0 = *(u64 *)(r1 + 0)
    r1 = limit + 4 ll
    r1 = *(u32 *)(r1 + 0)
    r0 += r1
    r1 = extra ll
    r1 = *(u8 *)(r1 + 0)
    r0 += r1
    exit
"""


def test_sections_become_maps_and_labels_variables() -> None:
    spec = ebpfasm.assemble(COUNTING, byteorder="little")
    assert dict(spec.variables) == {
        "limit": VarSpec("limit", ".rodata", 0, 8),
        "name": VarSpec("name", ".rodata", 8, 4),
        "start": VarSpec("start", ".data", 0, 8),
        "half": VarSpec("half", ".data", 8, 4),
        "end": VarSpec("end", ".data", 12, 0),
        "counter": VarSpec("counter", ".bss", 0, 8),
        "hits": VarSpec("hits", ".bss", 8, 16),
        "extra": VarSpec("extra", ".rodata.more", 0, 1),
    }
    contents = {name: (each.value_size, each.contents) for name, each in spec.maps.items()}
    assert contents == {
        ".rodata": (16, b"\3\0\0\0\x10\0\0\0a;b # c\0"),
        ".data": (12, b"\xfe" + b"\xff" * 7 + b"\4\0\2\0"),
        ".bss": (24, b""),
        ".rodata.more": (1, b"\x09"),
    }
    rodata = spec.maps[".rodata"]
    assert (rodata.type, rodata.key, rodata.max_entries) == ("array", "u32", 1)
    assert [name for name, each in spec.maps.items() if each.frozen] == [".rodata", ".rodata.more"]
    refs = [each.ref for each in instructions_of(spec.programs["count"].instructions) if each.ref]
    assert refs == [
        VarRef(".bss", "counter", 0),
        VarRef(".bss", "hits", 16),
        VarRef(".data", "start", 0),
        VarRef(".rodata", "limit", 4),
        VarRef(".rodata.more", "extra", 0),
    ]


def test_numbers_lie_in_the_byte_order_asked_for() -> None:
    text = ".data\nx: .long 1\n"
    orders = {order: ebpfasm.assemble(text, byteorder=order) for order in ("little", "big")}
    assert orders["little"].maps[".data"].contents == b"\1\0\0\0"
    assert orders["big"].maps[".data"].contents == b"\0\0\0\1"
    assert ebpfasm.assemble(text) == orders[sys.byteorder]


@pytest.mark.parametrize("dialect", ["llvm", "mnemonic"])
def test_what_is_printed_assembles_to_the_same(dialect: str) -> None:
    spec = ebpfasm.assemble(COUNTING)
    assert ebpfasm.assemble(ebpfasm.disassemble(spec, dialect=dialect)) == spec
    alone = ebpfasm.disassemble(spec.programs["count"], dialect=dialect)
    assert ebpfasm.assemble(alone).programs == spec.programs


def test_printing_shows_names_sizes_and_distances() -> None:
    text = (
        ".data\nx: .long 5, 6, 7\ny: .byte 1\n.size x, 4\n.section xdp\nf:\nr1 = x + 8 ll\nexit\n"
    )
    assert ebpfasm.disassemble(ebpfasm.assemble(text)) == (
        ".data\n"
        "x:\n"
        ".size x, 4\n"
        "    .byte 0x05, 0x00, 0x00, 0x00, 0x06, 0x00, 0x00, 0x00, 0x07, 0x00, 0x00, 0x00\n"
        "y:\n"
        "    .byte 0x1\n"
        ".section xdp\n"
        ".globl f\n"
        "f:\n"
        "    r1 = x+8 ll\n"
        "    exit\n"
    )


@given(
    st.binary(min_size=1, max_size=40),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 50)), max_size=6),
    st.sampled_from([".data", ".rodata", ".rodata.more"]),
)
def test_any_variables_survive_the_way_through_text(
    contents: bytes, places: list[tuple[int, int]], section: str
) -> None:
    variables = [
        VarSpec(f"v{number}", section, min(at, len(contents)), 0)
        for number, (at, _) in enumerate(places)
    ]
    variables = [
        VarSpec(each.name, section, each.offset, min(size, len(contents) - each.offset))
        for each, (_, size) in zip(variables, places, strict=True)
    ]
    maps = [data_map(section, len(contents), contents)]
    spec = collect([], maps=maps, variables=sorted(variables, key=lambda each: each.offset))
    assert ebpfasm.assemble(ebpfasm.disassemble(spec)) == spec


def test_a_section_license_is_the_license() -> None:
    spec = ebpfasm.assemble('.section license\n.asciz "MIT"\n.section xdp\nf: r0 = 2\nexit\n')
    assert (spec.license, dict(spec.maps)) == ("MIT", {})
    assert spec.programs["f"].license == "MIT"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (".section xdp\nf: exit\n.byte 5",
         ".byte fills a section of variables, and this one holds code"),
        (".data\nx: r0 = 1", "section .data holds variables and no instructions"),
        (".data\nx: .quad x",
         "an address cannot stand in data: it is known only when the map is loaded"),
        (".data\nx: .byte 1\nx: .byte 2", "x is defined twice"),
        (".bss\nx: .byte 1", "section .bss has no content: only zeros can stand in it"),
        (".data\nx: .byte 1\n.size x, 2", "2 bytes from here leave the section, which has 1"),
        (".data\nx: .byte 1\n.text\nr1 = x + 1 ll", "x +1 is outside .data, which has 1 bytes"),
        (".data\nx: .byte 1\n.text\nr1 = y ll", "there is no map or function y"),
        (".data\nx: .long 1 +", "the expression is not finished"),
        (".data\nx: .short 65536", "65536 is outside -32768 to 65535"),
    ],
)  # fmt: skip
def test_mistakes_with_variables_are_diagnostics(text: str, message: str) -> None:
    with pytest.raises(ebpfasm.AsmError) as caught:
        ebpfasm.assemble(text)
    assert [each.message for each in caught.value.diagnostics] == [message]


@pytest.mark.kernel
def test_a_program_reads_constants_and_counts_in_bss() -> None:
    spec = ebpfasm.assemble(COUNTING)
    with ebpfasm.load(spec) as collection:
        program, bss = collection.programs["count"], collection.maps[".bss"]
        assert program.test_run(bytes(60), repeat=5).retval == -2 + 0x10 + 9
        count = (5).to_bytes(8, sys.byteorder)
        assert bss[0] == count + bytes(8) + count
        assert collection.maps[".rodata"][0] == spec.maps[".rodata"].contents
        with pytest.raises(ebpfasm.LoadError, match="it is frozen"):
            collection.maps[".rodata"][0] = bytes(16)
        bss[0] = (100).to_bytes(8, sys.byteorder) + bytes(16)
        program.test_run(bytes(60))
        assert bss[0][:8] == (101).to_bytes(8, sys.byteorder)


@pytest.mark.kernel
def test_kernel_and_virtual_machine_agree_on_variables() -> None:
    program = ebpfasm.assemble(COUNTING).programs["count"]
    kernel, machine = (
        ebpfasm.run(program, bytes(60), engine=engine, repeat=3) for engine in ("kernel", "vm")
    )
    assert kernel.retval == machine.retval
    assert kernel.maps == machine.maps
