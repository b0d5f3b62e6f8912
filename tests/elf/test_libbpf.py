"""What is read of an object is what libbpf makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.emit.code import image
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.debug import LINE_WORDS
from ebpfasm.ir.link import link
from ebpfasm.ir.references import CoreRef, KfuncRef, KsymRef, MapRef, VarRef
from ebpfasm.ir.specs import CollectionSpec, MapSpec, ProgramSpec
from ebpfasm.isa.kinds import ATTACH_TYPES, MAP_TYPES, PROGRAM_TYPES
from tests.elf import libbpf
from tests.elf.objects import CPUS, compiled

pytestmark = pytest.mark.tool("clang")

SLOT = 8
NAMES = ("data", "calls", "maps", "core", "kconfig", "kernel", "struct_ops")
OPTIONAL = {"calls": ("optional",)}
MAP_FD, MAP_VALUE = 1, 2
EVERY = [(name, cpu) for name in NAMES for cpu in CPUS]


def named(code: bytes, maps: dict[int, str]) -> list[object]:
    """Slots, with the maps' names in place of their descriptors."""
    slots: list[object] = [code[at : at + SLOT] for at in range(0, len(code), SLOT)]
    for number, slot in enumerate(slots):
        if isinstance(slot, bytes) and slot[0] == 0x18 and slot[1] >> 4 in (MAP_FD, MAP_VALUE):
            fd = int.from_bytes(slot[4:], "little")
            slots[number] = slot[:4], maps[fd]
    return slots


def ours(program: ProgramSpec) -> tuple[list[object], set[int]]:
    """Slots of ours in the same way, and those that only a kernel's BTF can fill."""
    linked = link(program)
    found = image(linked)
    code = bytearray(found.code)
    maps: dict[int, str] = {}
    open_slots: set[int] = set()
    for each in found.relocations:
        at = each.slot * SLOT
        match each.ref:
            case MapRef(name=name) | VarRef(map=name):
                number = len(maps) + 1
                maps[number] = name
                code[at + 4 : at + 8] = number.to_bytes(4, "little")
                if isinstance(each.ref, VarRef):
                    offset = each.ref.offset & 0xFFFFFFFF
                    code[at + 12 : at + 16] = offset.to_bytes(4, "little")
            case CoreRef() | KfuncRef() | KsymRef():
                wide = code[at] == 0x18
                open_slots |= {each.slot, each.slot + 1} if wide else {each.slot}
            case other:
                raise AssertionError(other)
    return named(bytes(code), maps), open_slots


def number_of(spec: MapSpec) -> int:
    number = MAP_TYPES.id_of(spec.type) if isinstance(spec.type, str) else spec.type
    assert number is not None
    return number


def described(spec: MapSpec) -> tuple[object, ...]:
    """A map as judge.c writes one."""
    is_data = spec.type == "array" and isinstance(spec.contents, Contents)
    content = bytes(spec.contents).hex() if is_data else "-"
    return (
        number_of(spec), spec.key_size, spec.value_size, spec.max_entries, spec.flags,
        spec.numa_node or 0, spec.map_extra, bool(spec.pinning), content,
    )  # fmt: skip


def read(path: Path) -> tuple[CollectionSpec, libbpf.Seen]:
    return ebpfasm.open(path), libbpf.ask(path, *OPTIONAL.get(path.stem, ()))


@pytest.mark.parametrize(("name", "cpu"), EVERY)
def test_programs_are_those_of_libbpf(name: str, cpu: str) -> None:
    spec, seen = read(compiled(name, cpu=cpu))
    found = {
        each.name: libbpf.Opened(
            each.name,
            each.section,
            PROGRAM_TYPES.id_of(each.type) or 0,
            ATTACH_TYPES.id_of(each.attach_type) or 0 if each.attach_type else 0,
            sum(item.slots for item in ebpfasm.ir.instructions_of(each.instructions)),
            each.autoload,
        )
        for each in spec.programs.values()
    }
    if name == "struct_ops":  # libbpf puts a number of its own there when the map is read
        for each in seen.opened.values():
            each.attach_type = 0
    assert found == seen.opened
    assert list(found) == list(seen.opened)


@pytest.mark.parametrize(("name", "cpu"), EVERY)
def test_maps_are_those_of_libbpf(name: str, cpu: str) -> None:
    spec, seen = read(compiled(name, cpu=cpu))
    assert {each.name: described(each) for each in spec.maps.values()} == seen.described
    assert list(spec.maps) == list(seen.described)


@pytest.mark.parametrize(("name", "cpu"), EVERY)
def test_instructions_are_those_that_libbpf_hands_to_the_kernel(name: str, cpu: str) -> None:
    spec, seen = read(compiled(name, cpu=cpu))
    assert len(seen.loaded) >= len(spec.programs)
    for program in spec.programs.values():
        loaded = seen.loaded[program.name[:15]]
        slots, unknown = ours(program)
        theirs = named(loaded.code, seen.maps)
        assert len(slots) == len(theirs)
        for number, (mine, its) in enumerate(zip(slots, theirs, strict=True)):
            if number not in unknown:
                assert mine == its, (program.name, number)
        assert program.flags == loaded.flags
        assert program.license == loaded.license


@pytest.mark.parametrize(("name", "cpu"), EVERY)
def test_func_info_and_line_info_are_those_of_libbpf(name: str, cpu: str) -> None:
    spec, seen = read(compiled(name, cpu=cpu))
    for program in spec.programs.values():
        loaded = seen.loaded[program.name[:15]]
        functions, lines = [], []
        debugs = [program.debug, *(each.debug for each in program.functions)]
        for debug, place in zip(debugs, link(program).functions, strict=True):
            assert debug is not None
            functions.append((place.slot, debug.func))
            words = debug.lines_at(place.slot)
            lines += [tuple(words[at : at + LINE_WORDS]) for at in range(0, len(words), LINE_WORDS)]
        assert functions == loaded.functions
        assert lines == loaded.lines


@pytest.mark.parametrize("cpu", CPUS)
def test_maps_hold_at_first_what_libbpf_puts_in(cpu: str) -> None:
    spec, seen = read(compiled("maps", cpu=cpu))
    outer = {key: ref.name for key, ref in spec.maps["outer"].initial.items()}
    assert outer == seen.slots["outer"] == {0: "inner_one", 3: "inner_two"}
    jumps = {key: ref.name for key, ref in spec.maps["jumps"].initial.items()}
    assert jumps == {1: "tail_one", 2: "tail_two"}
    assert sorted(seen.slots["jumps"]) == [1, 2]


def test_inner_maps_are_described_as_libbpf_creates_them() -> None:
    spec, seen = read(compiled("maps"))
    for name in ("outer", "outer_hash"):
        inner = spec.maps[name].inner
        assert inner is not None
        assert inner.name == f"{name}.inner"[:15] or len(inner.name) > 15
        assert (*described(inner)[:7], "") == seen.created[inner.name[:15]]
        assert seen.created[name][-1] == inner.name[:15]
