"""Objects that we write: as pyelftools and bpftool read them, and as libbpf loads them."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

import ebpfasm
from ebpfasm.emit.elf import write_elf
from ebpfasm.emit.objects import object_of
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_NOBITS,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
)
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.runtime.network.veth import VethPair
from tests.asm import compiled
from tests.emit import objects
from tests.needed import need
from tests.support import ROOT, find_tool

COUNTER = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"

PARTS = """\
.license "GPL"
.map calls, array, key=u32, value=u64, max_entries=2
.map seen, hash, key_size=6, value=u32[2], max_entries=16, flags=BPF_F_NO_PREALLOC

.rodata
limit:  .quad 5
.data
start:  .long 40
step:   .long 2
.bss
counter: .zero 8
table:   .zero 24

.section xdp
.globl first
first:
    r1 = 4
    r2 = each ll
    r3 = 0
    r4 = 0
    call bpf_loop
    r1 = start ll
    r1 = *(u32 *)(r1 + 0)
    call add
    exit
.globl second
second:
    r1 = limit ll
    r0 = *(u64 *)(r1 + 0)
    exit
.section socket
third:
    r1 = seen ll
    r0 = 0
    exit

.text
add:
    r2 = step ll
    r2 = *(u32 *)(r2 + 0)
    r0 = r1
    r0 += r2
    exit
each:
    r6 = r1
    call note
    r0 = 0
    exit
note:
    r1 = counter ll
    r2 = 1
    lock *(u64 *)(r1 + 0) += r2
    r1 = table+8 ll
    *(u64 *)(r1 + 0) = r2
    r0 = 0
    exit
"""


def section(elf: ELFFile, name: str) -> Any:
    found = elf.get_section_by_name(name)
    assert found is not None
    return found


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_the_file_is_an_elf_object_for_bpf(byteorder: ByteOrder) -> None:
    spec = ebpfasm.assemble(PARTS, byteorder=byteorder)
    elf = ELFFile(io.BytesIO(ebpfasm.to_elf(spec, byteorder=byteorder)))
    assert elf.little_endian == (byteorder == "little")
    assert (elf["e_machine"], elf["e_type"], elf.elfclass) == ("EM_BPF", "ET_REL", 64)
    names = [each.name for each in elf.iter_sections()]
    assert names == [
        "", ".strtab", "xdp", ".relxdp", "socket", ".relsocket", ".text", ".rel.text", ".maps",
        ".rodata", ".data", ".bss", "license", ".BTF", ".rel.BTF", ".BTF.ext", ".rel.BTF.ext",
        ".symtab",
    ]  # fmt: skip
    assert section(elf, "license").data() == b"GPL\0"
    assert section(elf, ".rodata").data() == (5).to_bytes(8, byteorder)
    assert section(elf, ".bss")["sh_size"] == 32


def test_symbols_and_relocations_name_what_they_did() -> None:
    read = compiled.read(ebpfasm.to_elf(ebpfasm.assemble(PARTS)))
    symbols = {(each[0], each[1], each[2], each[4], each[5]) for each in read.symbols}
    assert symbols == {
        ("first", "xdp", 0, "STB_GLOBAL", "STT_FUNC"),
        ("second", "xdp", 88, "STB_GLOBAL", "STT_FUNC"),
        ("third", "socket", 0, "STB_GLOBAL", "STT_FUNC"),
        ("add", ".text", 104, "STB_LOCAL", "STT_FUNC"),
        ("each", ".text", 0, "STB_LOCAL", "STT_FUNC"),
        ("note", ".text", 32, "STB_LOCAL", "STT_FUNC"),
        ("calls", ".maps", 0, "STB_GLOBAL", "STT_OBJECT"),
        ("seen", ".maps", 32, "STB_GLOBAL", "STT_OBJECT"),
        ("limit", ".rodata", 0, "STB_GLOBAL", "STT_OBJECT"),
        ("start", ".data", 0, "STB_GLOBAL", "STT_OBJECT"),
        ("step", ".data", 4, "STB_GLOBAL", "STT_OBJECT"),
        ("counter", ".bss", 0, "STB_GLOBAL", "STT_OBJECT"),
        ("table", ".bss", 8, "STB_GLOBAL", "STT_OBJECT"),
        ("_license", "license", 0, "STB_GLOBAL", "STT_OBJECT"),
    }  # fmt: skip
    assert read.relocations["xdp"] == [
        (8, "64_64", "section .text"),
        (48, "64_64", "start"),
        (72, "64_32", "section .text"),
        (88, "64_64", "limit"),
    ]
    assert {each[2] for each in read.relocations[".BTF"]} == {
        "calls", "seen", "limit", "start", "step", "counter", "table",
    }  # fmt: skip


def test_an_object_of_any_shape_can_be_written() -> None:
    sections = (
        ObjectSection("code", flags=SHF_ALLOC | SHF_EXECINSTR, align=8, content=bytes(16),
                      relocations=(ObjectRelocation(8, "R_BPF_64_32", 2),)),
        ObjectSection("twice", content=b"one"),
        ObjectSection("twice", content=b"two"),
        ObjectSection(".bss", SHT_NOBITS, SHF_ALLOC, 64, size=100),
    )  # fmt: skip
    symbols = (
        ObjectSymbol("global", 0, 8, 8, "global", "func", "hidden"),
        ObjectSymbol("number", "absolute", -1),
        ObjectSymbol("undefined", binding="global"),
        ObjectSymbol("shared", "common", 8, 40, "weak", "object"),
    )
    elf = ELFFile(io.BytesIO(write_elf(Object(sections, symbols, "big"))))
    assert [each.data() for each in elf.iter_sections() if each.name == "twice"] == [b"one", b"two"]
    table = section(elf, ".symtab")
    assert [each.name for each in table.iter_symbols()] == [
        "", "number", "global", "undefined", "shared",
    ]  # fmt: skip
    assert table["sh_info"] == 2
    (relocation,) = section(elf, ".relcode").iter_relocations()
    assert (relocation["r_offset"], relocation["r_info_sym"]) == (8, 3)
    assert table.get_symbol(2)["st_other"]["visibility"] == "STV_HIDDEN"
    assert section(elf, ".bss")["sh_addralign"] == 64


def test_sizes_and_places_in_the_text_give_the_code_of_encode() -> None:
    spec = ebpfasm.open(COUNTER)
    made = object_of(spec)
    code = made.section("xdp")
    assert code is not None
    assert code.content == ebpfasm.encode(spec.programs["xdp_stats"]).replace(
        b"\x18\x11", b"\x18\x01"
    )


def test_what_an_object_cannot_say_is_a_diagnostic() -> None:
    spec = ebpfasm.assemble(".section xdp\nf:\n call g\n exit\n.section tc\ng: r0 = 0\n exit")
    with pytest.raises(ebpfasm.LinkError) as caught:
        ebpfasm.to_elf(spec)
    assert [each.message for each in caught.value.diagnostics] == ["there is no function 'g'"]


# libbpf and the kernel ------------------------------------------------------------------------


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
@pytest.mark.parametrize(
    "source", [COUNTER, ROOT / "examples" / "xdp_stats_instructions" / "program.py"]
)
def test_libbpf_loads_the_examples_with_their_lines_and_types(source: Path, tmp_path: Path) -> None:
    spec = ebpfasm.open(source)
    with objects.loaded(ebpfasm.to_elf(spec), tmp_path) as programs:
        program = programs["xdp_stats"]
        stats = objects.maps_of(program)["xdp_stats_map"]
        assert (stats["type"], stats["bytes_value"], stats["max_entries"]) == ("array", 8, 5)
        assert objects.bpftool("map", "dump", "id", stats["id"])[0]["formatted"] == {
            "key": 0, "value": 0,
        }  # fmt: skip
        text = objects.dump(program, "linum")
    assert "int xdp_stats(struct xdp_md * ctx):" in text
    for each in ebpfasm.ir.instructions_of(spec.programs["xdp_stats"].instructions):
        assert each.span is not None
        assert f"line_num:{each.span.line} " in text


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_libbpf_relocates_subprograms_callbacks_maps_and_variables(tmp_path: Path) -> None:
    spec = ebpfasm.assemble(PARTS)
    need(*spec.programs.values())
    with objects.loaded(ebpfasm.to_elf(spec), tmp_path) as programs:
        assert set(programs) == {"first", "second", "third"}
        # libbpf names data maps after the object, cut to 8 characters, and the section.
        maps = objects.maps_of(programs["first"])
        assert set(maps) == {"object.data", "object.bss", "object.rodata"}
        run = objects.bpftool("prog", "run", "id", programs["first"]["id"], "data_in", COUNTER)
        assert run["retval"] == 42
        found = objects.variables(maps["object.bss"]["id"])
        assert found == {"counter": 4, "table": [0] * 8 + [1] + [0] * 15}
        assert objects.variables(maps["object.data"]["id"]) == {"start": 40, "step": 2}
        rodata = maps["object.rodata"]
        assert rodata["frozen"] == 1
        assert objects.variables(rodata["id"]) == {"limit": 5}
        seen = objects.maps_of(programs["third"])["seen"]
        assert (seen["type"], seen["bytes_key"], seen["bytes_value"], seen["flags"]) == (
            "hash", 6, 8, 1,
        )  # fmt: skip
        text = objects.dump(programs["first"])
    assert re.findall(r"^int (\w+)\(", text, re.MULTILINE) == ["first", "each", "note", "add"]
    assert "lock *(u64 *)(r1 + 0) += r2" in text


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_libbpf_makes_maps_of_every_attribute(tmp_path: Path) -> None:
    text = """
    .license "GPL"
    .map inner, array, template, key=u32, value=u64, max_entries=5
    .map outer, array_of_maps, key=u32, max_entries=2, inner=inner
    .map queue, queue, value=u64, max_entries=3
    .map filter, bloom_filter, value=u32, max_entries=9, map_extra=3
    .map ring, ringbuf, max_entries=4096
    .section xdp
    f: r1 = outer ll
    r1 = queue ll
    r1 = filter ll
    r1 = ring ll
    r0 = 2
    exit
    """
    spec = ebpfasm.assemble(text)
    need(*spec.programs.values())
    with objects.loaded(ebpfasm.to_elf(spec), tmp_path) as programs:
        maps = objects.maps_of(programs["f"])
        assert {name: (each["type"], each["max_entries"]) for name, each in maps.items()} == {
            "outer": ("array_of_maps", 2),
            "queue": ("queue", 3),
            "filter": ("bloom_filter", 9),
            "ring": ("ringbuf", 4096),
        }


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
@pytest.mark.tool("clang")
@pytest.mark.parametrize("source", compiled.SOURCES, ids=lambda path: path.stem)
@pytest.mark.parametrize("cpu", ["v2", "v4"])
def test_libbpf_treats_an_assembled_object_as_it_treats_clang_s(
    source: Path, cpu: str, tmp_path: Path
) -> None:
    from ebpfasm.asm.objects import assemble_object

    text = compiled.clang(source, "bpfel", cpu, "-O2", "-S").decode()
    mine = verdict(write_elf(assemble_object(text)), tmp_path)
    theirs = verdict(compiled.clang(source, "bpfel", cpu, "-O2", "-c"), tmp_path)
    assert mine == theirs
    if source.stem not in ("externs", "strings"):  # which the kernel cannot take
        need(*ebpfasm.open(compiled.clang(source, "bpfel", cpu, "-O2", "-c")).programs.values())
        assert mine


def verdict(content: bytes, folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Each program's tag, which is a hash of its code, and its maps; nothing if it is refused."""
    try:
        with objects.loaded(content, folder) as programs:
            return {
                name: (each["tag"], sorted(objects.maps_of(each)))
                for name, each in programs.items()
            }
    except objects.Refused:
        return {}


@pytest.mark.kernel
@pytest.mark.tool("ip")
def test_ip_link_attaches_the_object(veth: VethPair, tmp_path: Path) -> None:
    path = tmp_path / "counter.o"
    path.write_bytes(ebpfasm.to_elf(ebpfasm.open(COUNTER)))
    command = [find_tool("ip"), "link", "set", "dev", veth.near_name, "xdp", "obj", str(path)]
    with veth.near.entered():
        subprocess.run([*command, "sec", "xdp"], check=True)
        (shown,) = objects.bpftool("net", "show")
    (attached,) = shown["xdp"]
    program = objects.bpftool("prog", "show", "id", attached["id"])
    assert program["name"] == "xdp_stats"
    stats = objects.maps_of(program)["xdp_stats_map"]
    assert veth.send([bytes(60)] * 20) == 20
    while (counted := objects.bpftool("map", "dump", "id", stats["id"])[2]["formatted"]) != {
        "key": 2, "value": 20,
    }:  # fmt: skip
        assert counted["value"] < 20
