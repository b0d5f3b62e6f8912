"""Maps, variables and what else is data in an object, with their types in BTF."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ebpfasm.emit.object_sections import Drafts
from ebpfasm.emit.object_types import ObjectTypes, Placed
from ebpfasm.ir.object import SHF_ALLOC, SHF_WRITE, SHT_NOBITS, Binding
from ebpfasm.ir.specs import CollectionSpec, MapSpec, VarSpec, data_section
from ebpfasm.ir.tables import is_table
from ebpfasm.isa.constants import CONSTANTS

MAPS, KCONFIG, ARENA = ".maps", ".kconfig", ".addr_space.1"
_FLAGS = {
    ".data": SHF_ALLOC | SHF_WRITE,
    ".bss": SHF_ALLOC | SHF_WRITE,
    ".rodata": SHF_ALLOC,
}
_POINTER = 8  # bytes
_VERSION_SIZE = 4


def place_data(spec: CollectionSpec, drafts: Drafts, types: ObjectTypes) -> None:
    """Put all data of a collection into sections."""
    maps = spec.maps.values()
    plain = [
        each for each in maps
        if data_section(each.name) is None and each.name != KCONFIG
        and each.type != "struct_ops" and not is_table(each)
    ]  # fmt: skip
    if plain:
        _maps(plain, drafts, types)
    for each in maps:
        if data_section(each.name) is not None:
            _data(each.name, each, spec, drafts, types)
        elif each.type == "arena" and each.contents:
            _data(ARENA, each, spec, drafts, types)
    _struct_ops([each for each in maps if each.type == "struct_ops"], drafts, types)


def _maps(specs: Sequence[MapSpec], drafts: Drafts, types: ObjectTypes) -> None:
    section = drafts.section(MAPS, SHF_ALLOC | SHF_WRITE)
    for spec, placed in zip(specs, types.maps(specs), strict=True):
        drafts.define(placed.name, MAPS, section.size, placed.size)
        for index, ref in spec.initial.items():
            at = section.size + placed.slots + _POINTER * index
            drafts.relocate(section, at, ref.name, "R_BPF_64_ABS64")
        section.size += placed.size
    section.content += bytes(section.size)


def _data(
    name: str, map: MapSpec, spec: CollectionSpec, drafts: Drafts, types: ObjectTypes
) -> None:
    kind = data_section(name)
    section = drafts.section(name, _FLAGS.get(kind or "", SHF_ALLOC | SHF_WRITE))
    content = bytes(map.contents)
    section.size = max(len(content), 0 if kind is None else map.value_size)
    if kind == ".bss":
        section.type = SHT_NOBITS
    else:
        section.content += content.ljust(section.size, b"\0")
    variables = [each for each in spec.variables.values() if each.map == map.name]
    for each in variables:
        binding = _BINDINGS.get(each.linkage, "global")
        drafts.define(each.name, name, each.offset, each.size, binding)
    if variables:
        types.data(name, _without_overlap(variables))


_BINDINGS: dict[str, Binding] = {"static": "local", "weak": "weak"}


def _without_overlap(variables: Iterable[VarSpec]) -> Sequence[VarSpec]:
    """Variables in order, without those that BTF cannot hold: of no size, or over another one."""
    found: list[VarSpec] = []
    end = 0
    for each in sorted(variables, key=lambda each: each.offset):
        if each.size and each.offset >= end:
            found.append(each)
            end = each.offset + each.size
    return found


def _struct_ops(specs: Sequence[MapSpec], drafts: Drafts, types: ObjectTypes) -> None:
    by_section: dict[str, list[MapSpec]] = {}
    for each in specs:
        link = ".link" if each.flags & CONSTANTS["BPF_F_LINK"] else ""
        name = f"{'' if each.autocreate else '?'}.struct_ops{link}"
        by_section.setdefault(name, []).append(each)
    for name, rows in by_section.items():
        section = drafts.section(name, SHF_ALLOC | SHF_WRITE)
        for each in rows:
            drafts.define(each.name, name, section.size, each.value_size)
            for offset, ref in each.initial.items():
                drafts.relocate(section, section.size + offset, ref.name, "R_BPF_64_ABS64")
            content = bytes(each.contents).ljust(each.value_size, b"\0")
            section.content += content + bytes(-len(content) % _POINTER)
            section.size = len(section.content)
        types.struct_ops(name, rows)


def place_license(spec: CollectionSpec, drafts: Drafts) -> None:
    """Write the sections `license` and `version`, where there is something to say."""
    if spec.license:
        content = spec.license.encode("utf-8", "surrogateescape") + b"\0"
        _text("license", content, drafts)
    if spec.version:
        _text("version", spec.version.to_bytes(_VERSION_SIZE, drafts.byteorder), drafts)


def _text(name: str, content: bytes, drafts: Drafts) -> None:
    section = drafts.section(name, SHF_ALLOC | SHF_WRITE)
    section.align = 1 if name == "license" else _VERSION_SIZE
    section.content += content
    section.size = len(content)
    taken = (f"_{name}", f"_{name}_")
    symbol = next(each for each in taken if not drafts.has_symbol(each))
    drafts.define(symbol, name, 0, section.size)


__all__ = ["ARENA", "KCONFIG", "Placed", "place_data", "place_license"]
