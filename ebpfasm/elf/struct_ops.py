"""Tables of functions for the kernel: sections .struct_ops and .struct_ops.link.

A variable there is a map of type struct_ops. Its struct is the object's own idea of the kernel's;
what the kernel's looks like is known only where the map is created.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import replace

from ebpfasm.btf.resolve import plain
from ebpfasm.btf.types import FuncProto, Ptr, Struct
from ebpfasm.elf.maps import Described, Named
from ebpfasm.elf.source import Input
from ebpfasm.elf.types import ObjectTypes, Variable
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.references import FunctionRef
from ebpfasm.ir.specs import MapSpec, MapTypes
from ebpfasm.isa.constants import CONSTANTS

_SECTIONS = (".struct_ops", ".struct_ops.link")
_KEY_SIZE = 4


def is_struct_ops(section: str) -> bool:
    """Whether a section holds struct_ops maps; with a ? before its name they are optional."""
    return section.removeprefix("?") in _SECTIONS


def read_struct_ops(given: Input, section: int, types: ObjectTypes | None) -> list[Described]:
    """The maps of a section. What is wrong is reported."""
    name = given.section(section).name
    if types is None or name not in types.sections:
        given.report("elf-map", f"section {name} has maps, and no BTF says which")
        return []
    return [
        found
        for variable in types.sections[name][1]
        if (found := _map(given, section, types, variable)) is not None
    ]


def _map(given: Input, section: int, types: ObjectTypes, variable: Variable) -> Described | None:
    content = given.section(section).content
    type_id, struct = plain(types.btf, variable.type)
    if not isinstance(struct, Struct) or not struct.name:
        given.report("elf-map", f"struct_ops map {variable.name} is no struct with a name")
        return None
    end = variable.offset + struct.size
    if end > len(content):
        given.report("elf-map", f"struct_ops map {variable.name} leaves its section")
        return None
    name = given.section(section).name
    link = CONSTANTS["BPF_F_LINK"] if name.endswith(".link") else 0
    spec = MapSpec(
        variable.name, "struct_ops", _KEY_SIZE, struct.size, 1, link,
        contents=Contents(content[variable.offset : end], byteorder=given.object.byteorder),
        types=MapTypes(types.btf, 0, type_id), autocreate=not name.startswith("?"),
    )  # fmt: skip
    return Described(spec, variable.offset, struct.size)


def with_functions(
    given: Input, section: int, types: ObjectTypes, described: list[Described], named: Named
) -> None:
    """Fill the members in that point to programs, by the section's relocations."""
    offsets = [each.offset for each in described]
    found: dict[int, dict[int, FunctionRef]] = {}
    members: dict[int, set[int]] = {}
    for relocation in given.section(section).relocations:
        number = bisect_right(offsets, relocation.offset) - 1
        inside = relocation.offset - offsets[number]
        if number < 0 or inside >= described[number].size:
            place = given.place(section, relocation.offset)
            given.report("elf-map", f"the relocation at {place} is in no struct_ops map")
            continue
        spec, value = described[number].spec, named(relocation.symbol)
        symbol = given.symbol(relocation.symbol).name
        if number not in members:
            members[number] = _function_members(types, spec)
        if inside not in members[number]:
            message = f"struct_ops map {spec.name}: byte {inside} is no pointer to a function"
            given.report("elf-map", message)
        elif not isinstance(value, FunctionRef):
            given.report("elf-map", f"struct_ops map {spec.name}: {symbol!r} is no program")
        else:
            found.setdefault(number, {})[inside] = value
    for number, initial in found.items():
        described[number].spec = replace(described[number].spec, initial=initial)


def _function_members(types: ObjectTypes, spec: MapSpec) -> set[int]:
    """The byte offsets of members that point to functions."""
    assert spec.types is not None
    struct = types.btf.get(spec.types.value)
    assert isinstance(struct, Struct)
    found = set()
    for member in struct.members:
        _, pointer = plain(types.btf, member.type)
        if isinstance(pointer, Ptr) and isinstance(plain(types.btf, pointer.type)[1], FuncProto):
            found.add(member.offset_bits // 8)
    return found
