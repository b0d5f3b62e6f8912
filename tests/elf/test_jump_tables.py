"""Jump tables of objects: what LLVM 22 writes into .jumptables, read, run, loaded and written."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.asm.objects import assemble_object
from ebpfasm.emit.elf import write_elf
from ebpfasm.errors import ElfError
from ebpfasm.ir.link import link
from ebpfasm.ir.tables import is_table
from ebpfasm.runtime.running.anywhere import AnyCollection, open_anywhere
from tests.support import DATA, find_tool, need_native, tool_path

SOURCE = DATA / "jumps" / "jump_tables.c"
LENGTHS = range(60, 100)
PROGRAMS = ("by_length", "counted")


@cache
def written() -> ebpfasm.CollectionSpec:
    """The object that clang 22 made, from its text."""
    return ebpfasm.open(SOURCE.with_suffix(".s"))


def compiled(folder: Path, cpu: str) -> Path:
    """The object that this machine's clang makes."""
    out = folder / f"jump_tables.{cpu}.o"
    command = [find_tool("clang"), "-O2", "-g", "-target", "bpf", f"-mcpu={cpu}", "-c"]
    subprocess.run([*command, str(SOURCE), "-o", str(out)], check=True)
    return out


def results(opened: AnyCollection) -> list[tuple[str, int, int]]:
    """What all programs return, one after the other: each changes what the next one returns."""
    found = []
    with opened:
        for length in LENGTHS:
            for name in PROGRAMS:
                result = opened.run(name, bytes(length))
                found.append((name, length, result.retval))
    return found


def test_every_table_has_the_places_of_its_function() -> None:
    tables = {name: spec for name, spec in written().maps.items() if is_table(spec)}
    assert sorted(tables) == ["BPF.JT.0.0", "BPF.JT.1.0", "BPF.JT.2.0"]
    owners = {name: {ref.function for ref in spec.initial.values()}  # type: ignore[union-attr]
              for name, spec in tables.items()}  # fmt: skip
    assert owners == {"BPF.JT.0.0": {"by_length"}, "BPF.JT.1.0": {"weigh"},
                      "BPF.JT.2.0": {"counted"}}  # fmt: skip
    assert {spec.max_entries for spec in tables.values()} == {16}
    assert [each.name for each in written().programs["counted"].maps if is_table(each)] == [
        "BPF.JT.2.0", "BPF.JT.1.0",
    ]  # fmt: skip


def test_a_function_s_table_moves_with_it_into_each_program() -> None:
    """libbpf counts entries from the program's first slot (create_jt_map)."""
    linked = {name: link(written().programs[name]) for name in PROGRAMS}
    starts = {name: each.functions[1].slot for name, each in linked.items()}
    assert starts["by_length"] != starts["counted"]
    relative = {
        tuple(slot - starts[name] for slot in each.tables["BPF.JT.1.0"])
        for name, each in linked.items()
    }
    assert len(relative) == 1


def test_our_verifier_accepts_them() -> None:
    for name in PROGRAMS:
        verdict = ebpfasm.verify(written().programs[name])
        assert verdict.ok, verdict.diagnostics


@pytest.mark.kernel
@pytest.mark.tool("clang")
def test_tables_lead_where_the_same_switches_lead_without_tables(tmp_path: Path) -> None:
    need_native()
    plain = ebpfasm.open(compiled(tmp_path, "v3"))
    assert not any(map(is_table, plain.maps.values()))
    judged = results(open_anywhere(plain, "kernel"))
    assert len({each[2] for each in judged}) > 40
    assert results(open_anywhere(written(), "vm")) == judged
    assert results(open_anywhere(written(), "reference")) == judged


@pytest.mark.kernel
@pytest.mark.needs("gotox")
def test_the_kernel_runs_them() -> None:
    judged = results(open_anywhere(written(), "kernel"))
    assert results(open_anywhere(written(), "vm")) == judged


@pytest.mark.tool("clang")
def test_this_machine_s_clang_is_read_too(tmp_path: Path) -> None:
    version = (tool_path("clang") or "").rpartition("-")[2]
    if not version.isdigit() or int(version) < 22:
        pytest.skip("clang has jump tables since 22")
    need_native()
    spec = ebpfasm.open(compiled(tmp_path, "v4"))
    assert sum(map(is_table, spec.maps.values())) == 3
    assert results(open_anywhere(spec, "vm")) == results(open_anywhere(written(), "vm"))


def test_what_is_written_is_read_again() -> None:
    spec = written()
    for other in (ebpfasm.open(ebpfasm.to_elf(spec)), ebpfasm.assemble(ebpfasm.disassemble(spec))):
        for name, program in spec.programs.items():
            assert ebpfasm.encode(other.programs[name]) == ebpfasm.encode(program)
            assert link(other.programs[name]).tables == link(program).tables


HAND = """
    .section xdp,"ax",@progbits
    .globl f
    .type f,@function
f:
    r1 = T ll
    r1 = *(u64 *)(r1 + 8)
    gotox r1
one:
    r0 = 1 ll
    exit
two:
    r0 = 2
    exit
    .size f, .-f
    .globl g
    .type g,@function
g:
    r0 = 3
    exit
    .size g, .-g
    .section .jumptables,"",@progbits
    .globl T
    .type T,@object
T:
    .quad one-xdp
    .quad two-xdp
    .size T, 16
"""


def opened(text: str) -> ebpfasm.CollectionSpec:
    return ebpfasm.open(write_elf(assemble_object(text)))


def test_an_object_of_hand_written_text() -> None:
    need_native()
    for text in (HAND, HAND.replace(".globl T", "")):  # static: named by the section
        program = opened(text).programs["f"]
        assert link(program).tables == {"T": (4, 7)}
        assert [ebpfasm.run(program, bytes(64), engine=engine).retval
                for engine in ("vm", "reference")] == [2, 2]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (".quad two-xdp", ".quad g-xdp", "an entry of the jump table at section .jumptables"),
        (".quad two-xdp", ".quad two-xdp+4", "leaves f"),
        (".quad two-xdp", ".quad -8", "leaves f"),
        (".quad two-xdp", ".quad one-xdp+8", "no instruction of f begins at its slot 5"),
        (".size T, 16", ".size T, 12", "has 12 bytes: no whole entries there"),
        (".size T, 16", ".size T, 24", "has 24 bytes"),
        (".size T, 16", "", "has 0 bytes"),
        (".globl T\n", ".globl T\n.byte 1, 2, 3\n", "no whole entries there"),
    ],
)
def test_a_table_that_leads_astray_is_refused(old: str, new: str, words: str) -> None:
    with pytest.raises(ElfError) as caught:
        opened(HAND.replace(old, new))
    assert words in str(caught.value)
    assert {each.code for each in caught.value.diagnostics} == {"elf-relocation"}
