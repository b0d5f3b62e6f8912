"""An object that is read and written again is the same to libbpf."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.ir.specs import CollectionSpec
from tests.elf import libbpf
from tests.elf.objects import CPUS, compiled
from tests.elf.test_libbpf import NAMES, OPTIONAL

pytestmark = pytest.mark.tool("clang")


def rewritten(name: str, cpu: str, folder: Path) -> tuple[libbpf.Seen, libbpf.Seen, Path]:
    original = compiled(name, cpu=cpu)
    copy = folder / original.name
    copy.write_bytes(ebpfasm.to_elf(ebpfasm.open(original)))
    optional = OPTIONAL.get(name, ())
    return libbpf.ask(original, *optional), libbpf.ask(copy, *optional), copy


def instructions(seen: libbpf.Seen) -> dict[str, list[object]]:
    from tests.elf.test_libbpf import named

    return {each.name: named(each.code, seen.maps) for each in seen.loaded.values()}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cpu", CPUS)
def test_libbpf_hands_the_same_to_the_kernel(name: str, cpu: str, tmp_path: Path) -> None:
    before, after, _ = rewritten(name, cpu, tmp_path)
    assert instructions(after) == instructions(before)
    assert {n: (p.type, p.attach_type, p.flags, p.license) for n, p in after.loaded.items()} == {
        n: (p.type, p.attach_type, p.flags, p.license) for n, p in before.loaded.items()
    }
    assert {n: len(p.functions) for n, p in after.loaded.items()} == {
        n: len(p.functions) for n, p in before.loaded.items()
    }
    assert after.described == before.described
    assert after.created == before.created
    assert after.slots == before.slots


def symbolic(spec: CollectionSpec) -> dict[str, object]:
    """A collection without what depends on a table's numbering of types."""
    return {
        name: (
            program.section,
            program.type,
            program.autoload,
            [str(each) for each in program.instructions],
            [(each.name, len(each.instructions)) for each in program.functions],
            [each.name for each in program.maps],
        )
        for name, program in spec.programs.items()
    }


@pytest.mark.parametrize("name", ["data", "calls", "maps", "kconfig", "struct_ops", "arena"])
def test_reading_what_was_written_gives_the_same_collection(name: str) -> None:
    spec = ebpfasm.open(compiled(name))
    again = ebpfasm.open(ebpfasm.to_elf(spec))
    assert symbolic(again) == symbolic(spec)
    assert again.maps == spec.maps
    assert again.variables == spec.variables
    assert again.kconfig == spec.kconfig
    assert again.license == spec.license


def test_minus_one_is_a_number_like_any_other() -> None:
    text = (
        ".section tc\nf: r0 = *(u8 *)(r1 - 1); *(u8 *)(r1 - 1) = -1; r2 = -1 ll\n"
        "if r0 == -1 goto -1; lock *(u32 *)(r1 - 1) += r0; goto -1; gotol -1; exit\n"
    )
    spec = ebpfasm.assemble(text)
    again = ebpfasm.open(ebpfasm.to_elf(spec))
    assert ebpfasm.encode(again.programs["f"]) == ebpfasm.encode(spec.programs["f"])
