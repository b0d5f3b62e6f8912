"""Maps of before BTF: numbers in a section `maps`, a symbol a map.

libbpf 0.x took struct bpf_map_def of 20 bytes: type, key_size, value_size, max_entries, map_flags.
The kernel's samples/bpf added inner_map_idx and numa_node, iproute2's struct bpf_elf_map id,
pinning, inner_id and inner_idx; gobpf has a section maps/NAME for each map.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from ebpfasm.elf.maps import type_name
from ebpfasm.elf.source import Input
from ebpfasm.ir.object import ObjectSymbol
from ebpfasm.ir.references import FunctionRef, MapRef
from ebpfasm.ir.specs import MapSpec
from ebpfasm.isa.constants import CONSTANTS

SECTION = "maps"
_LEAST, _PLAIN = 16, 20  # bytes; the oldest had no flags
_SAMPLES = 28  # samples/bpf: two fields more
_MAPS_OF_MAPS = ("array_of_maps", "hash_of_maps")


def is_legacy(section: str) -> bool:
    """Whether a section holds maps as they were described before BTF."""
    return section == SECTION or section.startswith(f"{SECTION}/")


@dataclass(slots=True)
class LegacyMap:
    """A map and its place; `id` and the inner fields are iproute2's, 0 where there are none."""

    spec: MapSpec
    section: int
    offset: int
    id: int = 0
    inner_id: int = 0
    inner_index: int = 0  # where the inner map goes in the outer one
    inner_number: int | None = None  # samples/bpf: the inner map by its number in the section


def read_legacy(given: Input, symbols: Iterable[tuple[int, ObjectSymbol]]) -> list[LegacyMap]:
    """The maps of all such sections, in the order of their symbols' places."""
    found: list[LegacyMap] = []
    sections = given.object.sections
    rows: dict[int, dict[int, str]] = {}
    for _, symbol in symbols:
        section = symbol.section
        if not isinstance(section, int) or symbol.type in ("section", "file"):
            continue
        if is_legacy(sections[section].name) and not sections[section].executable:
            rows.setdefault(section, {}).setdefault(symbol.value, symbol.name)
    for index in sorted(rows):
        found += _section(given, index, sorted(rows[index].items()))
    return _with_inner(given, found)


def _section(given: Input, index: int, rows: list[tuple[int, str]]) -> list[LegacyMap]:
    content = given.section(index).content
    ends = [offset for offset, _ in rows[1:]] + [len(content)]
    found = []
    for (offset, name), end in zip(rows, ends, strict=True):
        if offset + _LEAST > end or end > len(content):
            message = f"map {name} at {given.place(index, offset)} is cut short"
            given.report("elf-map", f"{message}: a description has {_LEAST} bytes or more")
            continue
        found.append(_map(given, index, offset, name, content[offset:end]))
    return found


def _map(given: Input, section: int, offset: int, name: str, data: bytes) -> LegacyMap:
    words = [given.word(data, at) for at in range(0, len(data) // 4 * 4, 4)]
    words += [0] * (9 - len(words))
    number, key_size, value_size, entries, flags = words[:5]
    if number == 0:
        given.report("elf-map", f"map {name} at {given.place(section, offset)} has no type")
    kind = type_name(number)
    spec = MapSpec(name, kind, key_size, value_size, entries, flags)
    made = LegacyMap(spec, section, offset)
    if len(data) == _SAMPLES and (kind in _MAPS_OF_MAPS or flags & CONSTANTS["BPF_F_NUMA_NODE"]):
        if kind in _MAPS_OF_MAPS:
            made.inner_number = words[5]
        if flags & CONSTANTS["BPF_F_NUMA_NODE"]:
            made.spec = replace(spec, numa_node=words[6])
    elif len(data) > _PLAIN:
        made.id, made.inner_id, made.inner_index = words[5], words[7], words[8]
        # iproute2 pins for the object (1) or for all (2).
        made.spec = replace(spec, pinning="by_name" if words[6] in (1, 2) else "")
    return made


def _with_inner(given: Input, found: list[LegacyMap]) -> list[LegacyMap]:
    """Outer maps with the shape, and iproute2's with the place, of their inner map."""
    by_id = {each.id: each for each in found if each.id}
    for each in found:
        if each.spec.type not in _MAPS_OF_MAPS:
            continue
        inner = None
        if each.inner_number is not None and each.inner_number < len(found):
            inner = found[each.inner_number]
        elif each.inner_id:
            inner = by_id.get(each.inner_id)
        if inner is None or inner is each:
            message = f"map {each.spec.name} does not say which map is like those in it"
            given.report("elf-map", message)
            continue
        initial = {each.inner_index: MapRef(inner.spec.name)} if each.inner_id else {}
        each.spec = replace(each.spec, inner=replace(inner.spec, pinning=""), initial=initial)
    return found


def tail_called(maps: list[LegacyMap], sections: dict[str, str]) -> list[str]:
    """Put iproute2's tail-called programs, whose section is "ID/INDEX", into their prog_array.

    `sections` has the name of the program in each section. Returns those that were put in: they
    are of the type of whoever calls them.
    """
    by_id = {each.id: each for each in maps if each.id and each.spec.type == "prog_array"}
    found = []
    for section, program in sections.items():
        number, slash, index = section.partition("/")
        if slash and number.isdecimal() and index.isdecimal() and int(number) in by_id:
            owner = by_id[int(number)]
            initial = {**owner.spec.initial, int(index): FunctionRef(program)}
            owner.spec = replace(owner.spec, initial=initial)
            found.append(program)
    return found
