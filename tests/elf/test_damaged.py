"""Damaged objects: an ElfError or a BtfError, in bounded time, and nothing else."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm.elf import collection_of, read_object
from ebpfasm.emit.elf import write_elf
from ebpfasm.errors import BtfError, ElfError, EncodeError, LinkError
from ebpfasm.ir import CollectionSpec, Instruction, VarRef
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    SHT_NOBITS,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
)
from tests.elf.objects import compiled

NAMES = ("data", "calls", "maps", "core", "kconfig", "kernel", "struct_ops", "arena", "legacy")
CODE = SHF_ALLOC | SHF_EXECINSTR
EXIT = b"\x95" + bytes(7)


def content(name: str) -> bytes:
    options = ("-DKIND=3",) if name == "legacy" else ()
    return compiled(name, *options).read_bytes()


def opened(file: bytes) -> CollectionSpec:
    return collection_of(read_object(file), "x.o")


def read(damaged: bytes) -> None:
    """Open it and look at everything that there is; what it is refused with is one of two."""
    try:
        spec = opened(damaged)
    except (ElfError, BtfError) as problem:
        str(problem).encode()  # can be printed
        return
    for program in spec.programs.values():
        for body in (program.instructions, *(each.instructions for each in program.functions)):
            for each in body:
                str(each.span)
        with suppress(LinkError):
            ebpfasm.encode(program)
    for variable in spec.variables.values():
        with suppress(EncodeError, BtfError):
            str(variable.value)
    for spec_ in spec.maps.values():
        bytes(spec_.contents)
    with suppress(LinkError, EncodeError, BtfError):
        ebpfasm.to_elf(spec)


@pytest.mark.tool("clang")
@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_ends_early_is_refused(name: str) -> None:
    whole = content(name)
    for size in (*range(0, len(whole), max(1, len(whole) // 40)), len(whole) - 1):
        with pytest.raises((ElfError, BtfError)):
            opened(whole[:size])


@pytest.mark.tool("clang")
@pytest.mark.parametrize("name", NAMES)
def test_flipped_bits_are_refused_or_read(name: str) -> None:
    whole = content(name)
    chance = random.Random(name)
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
            at = chance.randrange(len(whole))
            damaged[at] ^= 1 << chance.randrange(8)
        read(bytes(damaged))


@pytest.mark.tool("clang")
@pytest.mark.parametrize("name", NAMES)
def test_numbers_that_are_too_large_are_refused_or_read(name: str) -> None:
    """Words of headers, symbols, relocations and types, set to what is absurd."""
    whole = content(name)
    chance = random.Random(name)
    places = list(interesting(whole))
    for _ in range(40):
        damaged = bytearray(whole)
        at = chance.choice(places)
        word = chance.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, 0xFFFF, len(whole)))
        damaged[at : at + 4] = struct.pack("<I", word)
        read(bytes(damaged))


def interesting(whole: bytes) -> Iterator[int]:
    """Where the words of the section headers, the symbol table and .BTF begin."""
    (start,) = struct.unpack_from("<Q", whole, 40)
    yield from range(0, 64, 4)
    yield from range(start, len(whole) - 3, 4)
    for header in range(start, len(whole) - 63, 64):
        kind, offset, size = (struct.unpack_from("<IQQ", whole, header + at)[0] for at in (4, 0, 0))
        kind, offset, size = struct.unpack_from("<I16xQQ", whole, header + 4)
        if kind in (1, 2, 9):
            yield from range(offset, offset + min(size, 600) - 3, 4)


SECTIONS = st.sampled_from(
    ["xdp", ".text", ".maps", "maps", ".data", ".rodata.x", ".bss", ".BTF", ".BTF.ext", "license",
     "version", ".struct_ops", ".addr_space.1", ".kconfig", "?tc", "7/1", "\udcff"]
)  # fmt: skip
RELOCATION = st.builds(
    ObjectRelocation, st.integers(0, 40), st.sampled_from(["R_BPF_64_64", "R_BPF_64_32"]),
    st.integers(0, 5),
)  # fmt: skip


@st.composite
def objects(draw: st.DrawFn) -> Object:
    sections = []
    for name in draw(st.lists(SECTIONS, min_size=1, max_size=5)):
        code = draw(st.booleans())
        data = draw(st.binary(max_size=48))
        if code:
            choices = st.sampled_from([EXIT, b"\x85\x10" + bytes(6), b"\x18\x01" + bytes(14)])
            data = b"".join(draw(st.lists(choices, max_size=4)))
        flags = CODE if code else SHF_ALLOC | SHF_WRITE
        relocations = tuple(draw(st.lists(RELOCATION, max_size=3)))
        sections.append(ObjectSection(name, 1, flags, 8, data, len(data), relocations=relocations))
    places = st.one_of(
        st.none(), st.integers(0, len(sections) - 1), st.sampled_from(["absolute", "common"])
    )
    symbol = st.builds(
        ObjectSymbol,
        st.sampled_from(["a", "b", "", "\udcfe"]),
        places,
        st.integers(0, 48),
        st.integers(0, 48),
        st.sampled_from(["local", "global", "weak"]),
        st.sampled_from(["notype", "object", "func", "section"]),
    )
    symbols = draw(st.lists(symbol, min_size=6, max_size=9))
    return Object(tuple(sections), tuple(symbols), draw(st.sampled_from(["little", "big"])))


@settings(max_examples=150, deadline=None)
@given(objects())
def test_an_object_of_any_shape_is_refused_or_read(object: Object) -> None:
    try:
        spec = collection_of(object)
    except (ElfError, BtfError) as problem:
        str(problem).encode()
        return
    for program in spec.programs.values():
        assert len(list(program.instructions)) >= 0


# Large things ------------------------------------------------------------------------------------


def simple(*more: ObjectSymbol, **changes: object) -> Object:
    section = ObjectSection("xdp", 1, CODE, 8, EXIT, 8)
    symbol = ObjectSymbol("f", 0, 0, 8, "global", "func")
    return replace(Object((section,), (symbol, *more)), **changes)  # type: ignore[arg-type]


def test_a_million_symbols_are_read_in_bounded_time() -> None:
    file = bytearray(write_elf(simple()))
    (start,) = struct.unpack_from("<Q", file, 40)
    (count,) = struct.unpack_from("<H", file, 60)
    headers = [bytearray(file[start + 64 * each : start + 64 * each + 64]) for each in range(count)]
    table = next(each for each in headers if struct.unpack_from("<I", each, 4)[0] == 2)
    offset, size = struct.unpack_from("<QQ", table, 24)
    symbols = bytes(file[offset : offset + size])
    (code,) = (symbols[at : at + 24] for at in range(0, size, 24) if symbols[at + 4] == 0x12)
    label = code[:4] + b"\0" + code[5:]  # a local symbol without a type, in the same place
    symbols += label * 1_000_000
    place = len(file)
    struct.pack_into("<QQ", table, 24, place, len(symbols))
    whole = bytes(file[:start]) + b"".join(bytes(each) for each in headers)
    whole = whole.ljust(place, b"\0")[:place] + symbols
    began = time.process_time()
    assert list(ebpfasm.open(whole).programs) == ["f"]
    assert time.process_time() - began < 30


def test_twenty_thousand_functions_are_read_in_bounded_time() -> None:
    count = 20_000
    section = ObjectSection("xdp", flags=CODE, align=8, content=EXIT * count, size=8 * count)
    symbols = tuple(
        ObjectSymbol(f"f{number}", 0, 8 * number, 8, "global", "func") for number in range(count)
    )
    began = time.process_time()
    assert len(collection_of(Object((section,), symbols), "x.o").programs) == count
    assert time.process_time() - began < 30


def test_sections_that_share_their_bytes_do_not_multiply_them() -> None:
    file = bytearray(write_elf(simple()))
    (start,) = struct.unpack_from("<Q", file, 40)
    whole = bytes(file[:start]).ljust(1 << 20, b"\0")
    header = struct.pack("<IIQQQQIIQQ", 0, 1, 0, 0, 0, len(whole), 0, 0, 1, 0)
    struct.pack_into("<H", file, 60, 0xFF00)
    damaged = bytearray(whole + header * 0xFF00)
    struct.pack_into("<Q", damaged, 40, len(whole))
    struct.pack_into("<HH", damaged, 60, 0xFF00, 1)
    with pytest.raises(ElfError, match="they overlap"):
        opened(bytes(damaged))


def test_a_section_without_content_may_not_ask_for_all_memory() -> None:
    section = ObjectSection(".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 8, b"", 1 << 60)
    with pytest.raises(ElfError, match=r"section .bss has \d+ bytes"):
        collection_of(simple(sections=(*simple().sections, section)))


@pytest.mark.parametrize(("symbol", "offset"), [(1, 4), (2, -4)])
def test_an_addend_may_be_negative(symbol: int, offset: int) -> None:
    """With a variable's own symbol it counts from there, with a section's from its beginning."""
    address = b"\x18\x01\0\0" + (-4).to_bytes(4, "little", signed=True) + bytes(8)
    code = ObjectSection(
        "xdp",
        1,
        CODE,
        8,
        address + EXIT,
        24,
        relocations=(ObjectRelocation(0, "R_BPF_64_64", symbol),),
    )
    data = ObjectSection(".data", 1, SHF_ALLOC | SHF_WRITE, 8, bytes(16), 16)
    symbols = (
        ObjectSymbol("f", 0, 0, 24, "global", "func"),
        ObjectSymbol("x", 1, 8, 8, "global", "object"),
        ObjectSymbol(".data", 1, type="section"),
    )
    spec = collection_of(Object((code, data), symbols))
    (first, _) = spec.programs["f"].instructions
    assert isinstance(first, Instruction)
    assert first.ref == VarRef(".data", "x" if symbol == 1 else "", offset)


def test_functions_that_overlap_are_refused() -> None:
    section = ObjectSection("xdp", 1, CODE, 8, EXIT * 3, 24)
    symbols = (
        ObjectSymbol("f", 0, 0, 16, "global", "func"),
        ObjectSymbol("g", 0, 8, 16, "global", "func"),
    )
    with pytest.raises(ElfError, match="function f at section xdp, offset 0x0, overlaps"):
        collection_of(Object((section,), symbols))


def test_a_slot_that_is_no_instruction_is_named() -> None:
    section = ObjectSection("xdp", 1, CODE, 8, b"\xff" + EXIT[1:] + EXIT, 16)
    symbol = ObjectSymbol("f", 0, 0, 16, "global", "func")
    with pytest.raises(ElfError, match="f in section xdp: slot 0: no instruction has the opcode"):
        collection_of(Object((section,), (symbol,)), "x.o")


def test_a_thousand_mistakes_are_not_all_told() -> None:
    section = ObjectSection(
        "xdp", 1, CODE, 8, b"\x85\x10" + bytes(2) + b"\xff" * 4 + EXIT, 16,
        relocations=tuple(ObjectRelocation(0, "R_BPF_64_32", 1) for _ in range(1000)),
    )  # fmt: skip
    symbols = (ObjectSymbol("f", 0, 0, 16, "global", "func"), ObjectSymbol("g", binding="global"))
    with pytest.raises(ElfError) as problem:
        collection_of(Object((section,), symbols))
    assert len(problem.value.diagnostics) == 100


@pytest.mark.tool("clang")
def test_maps_that_are_cut_short_are_named() -> None:
    whole = read_object(compiled("legacy", "-DKIND=1", "-g0").read_bytes())
    maps = next(each for each in whole.sections if each.name == "maps")
    cut = replace(maps, content=maps.content[:15])
    sections = tuple(cut if each is maps else each for each in whole.sections)
    with pytest.raises(ElfError, match=r"error\[elf-map\]: x.o: map \w+ at .* is cut short"):
        collection_of(replace(whole, sections=sections), "x.o")
