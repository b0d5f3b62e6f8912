"""Maps that are described by BTF in section .maps, as libbpf's parse_btf_map_def reads them.

Numbers are the lengths of arrays that a member points to, types what a member points to; `values`
is an array of the inner maps' struct, or of functions for a prog_array, and what the object
initialises it with is relocated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from ebpfasm.btf.resolve import plain, size_of
from ebpfasm.btf.types import Array, Enum, Enum64, FuncProto, Int, IntEncoding, Ptr, Struct
from ebpfasm.elf.source import Input
from ebpfasm.elf.types import ObjectTypes, Variable
from ebpfasm.errors import BtfError
from ebpfasm.ir.references import FunctionRef, MapRef
from ebpfasm.ir.specs import MapSpec, MapTypes
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import MAP_TYPES

SECTION = ".maps"
_POINTER = 8  # bytes
_MAPS_OF_MAPS = ("array_of_maps", "hash_of_maps")
_PINNINGS = {0: "", 1: "by_name"}


class Misdescribed(Exception):
    """A map is described wrongly; the text says how."""


@dataclass(slots=True)
class Slots:
    """Where a map's initial values stand in its section: bytes, from `begin` on."""

    begin: int
    end: int


@dataclass(slots=True)
class Described:
    """A map and where it lies in its section."""

    spec: MapSpec
    offset: int
    size: int
    slots: Slots | None = None


@dataclass(slots=True)
class _Draft:
    numbers: dict[str, int] = field(default_factory=dict)
    key: int = 0
    value: int = 0
    inner: MapSpec | None = None
    slots_at: int | None = None


def type_name(number: int) -> str | int:
    """A map type's name, or its number where it has none here."""
    row = MAP_TYPES.by_id.get(number)
    return number if row is None else row.name


def read_maps(given: Input, types: ObjectTypes) -> list[Described]:
    """The maps of the section, by their offsets. What is wrong is reported."""
    found = []
    _, variables = types.sections.get(SECTION, (0, ()))
    for variable in variables:
        try:
            found.append(_map(types, variable))
        except (Misdescribed, BtfError) as problem:
            what = problem.diagnostics[0].message if isinstance(problem, BtfError) else str(problem)
            given.report("elf-map", f"map {variable.name}: {what}")
    return found


def _map(types: ObjectTypes, variable: Variable) -> Described:
    if not variable.name:
        raise Misdescribed(f"the one at offset {variable.offset:#x} has no name")
    _, struct = plain(types.btf, variable.type)
    if not isinstance(struct, Struct):
        raise Misdescribed("a map in .maps is a struct")
    draft = _draft(types, struct, inner=False)
    spec = _spec(types, variable.name, draft)
    slots = None
    if draft.slots_at is not None:
        slots = Slots(variable.offset + draft.slots_at, variable.offset + variable.size)
    return Described(spec, variable.offset, max(variable.size, struct.size), slots)


def _draft(types: ObjectTypes, struct: Struct, *, inner: bool) -> _Draft:
    draft = _Draft()
    for number, member in enumerate(struct.members):
        match member.name:
            case "type" | "max_entries" | "map_flags" | "numa_node":
                draft.numbers[member.name] = _number(types, member.name, member.type)
            case "key_size" | "value_size":
                _size(draft, member.name, _number(types, member.name, member.type))
            case "key" | "value":
                target = _pointed_to(types, member.name, member.type)
                _size(draft, f"{member.name}_size", size_of(types.btf, target))
                if member.name == "key":
                    draft.key = target
                else:
                    draft.value = target
            case "pinning" if not inner:
                draft.numbers["pinning"] = _number(types, member.name, member.type)
            case "map_extra":
                draft.numbers["map_extra"] = _long(types, member.name, member.type)
            case "values" if not inner:
                if number != len(struct.members) - 1:
                    raise Misdescribed("'values' has to be the last member")
                _values(types, draft, member.type)
                draft.slots_at = member.offset_bits // 8
            case "pinning" | "values":
                raise Misdescribed(f"an inner map cannot have {member.name!r}")
            case name:
                raise Misdescribed(f"there is no attribute {name!r}")
    if not draft.numbers.get("type"):
        raise Misdescribed("its type is missing")
    return draft


def _size(draft: _Draft, name: str, size: int) -> None:
    known = draft.numbers.get(name)
    if known and known != size:
        raise Misdescribed(f"its {name} is {known} and {size}")
    draft.numbers[name] = size


def _pointed_to(types: ObjectTypes, name: str, type_id: int) -> int:
    _, found = plain(types.btf, type_id)
    if not isinstance(found, Ptr):
        raise Misdescribed(f"{name!r} is no pointer")
    return found.type


def _number(types: ObjectTypes, name: str, type_id: int) -> int:
    _, found = plain(types.btf, _pointed_to(types, name, type_id))
    if not isinstance(found, Array):
        raise Misdescribed(f"{name!r} does not point to an array")
    return found.nelems


def _long(types: ObjectTypes, name: str, type_id: int) -> int:
    """A number that may need 64 bits: an enumeration's only value, which __ulong makes."""
    _, found = plain(types.btf, type_id)
    match found:
        case Enum(values=(only,)) | Enum64(values=(only,)):
            return only.value & (1 << 64) - 1
        case Enum() | Enum64():
            raise Misdescribed(f"{name!r} is an enumeration of several values")
        case _:
            return _number(types, name, type_id)


def _values(types: ObjectTypes, draft: _Draft, type_id: int) -> None:
    kind = type_name(draft.numbers.get("type", 0))
    if kind not in (*_MAPS_OF_MAPS, "prog_array"):
        raise Misdescribed(f"'values' is for maps of maps and prog_array, not for {kind}")
    _size(draft, "value_size", 4)
    found = types.btf.get(type_id)
    if not isinstance(found, Array) or found.nelems:
        raise Misdescribed("'values' is no array without a size")
    _, pointer = plain(types.btf, found.type)
    if not isinstance(pointer, Ptr):
        raise Misdescribed("'values' is no array of pointers")
    _, target = plain(types.btf, pointer.type)
    if kind == "prog_array":
        if not isinstance(target, FuncProto):
            raise Misdescribed("'values' of a prog_array are functions")
        return
    if not isinstance(target, Struct):
        raise Misdescribed("'values' of a map of maps are structs")
    draft.inner = _spec(types, "", _draft(types, target, inner=True))


def _spec(types: ObjectTypes, name: str, draft: _Draft) -> MapSpec:
    numbers = draft.numbers
    pinning = _PINNINGS.get(numbers.get("pinning", 0))
    if pinning is None:
        raise Misdescribed(f"its pinning is {numbers['pinning']}, and only 0 and 1 mean something")
    inner = None if draft.inner is None else replace(draft.inner, name=f"{name}.inner")
    typed = MapTypes(types.btf, draft.key, draft.value) if draft.key or draft.value else None
    flags = numbers.get("map_flags", 0)
    # A node counts with its flag only, to libbpf and the kernel.
    node = numbers.get("numa_node", 0) if flags & CONSTANTS["BPF_F_NUMA_NODE"] else None
    return MapSpec(
        name, type_name(numbers["type"]), numbers.get("key_size", 0), numbers.get("value_size", 0),
        numbers.get("max_entries", 0), flags,
        c_name(types, draft.key), c_name(types, draft.value), inner, pinning,
        node, numbers.get("map_extra", 0), types=typed,
    )  # fmt: skip


def c_name(types: ObjectTypes, type_id: int) -> str:
    """What a number is called in a map's description ("u32"), empty for any other type."""
    _, found = plain(types.btf, type_id)
    match found:
        case Int(size=1 | 2 | 4 | 8 as size, encoding=encoding):
            return f"{'s' if encoding & IntEncoding.SIGNED else 'u'}{8 * size}"
        case _:
            return ""


Named = Callable[[int], MapRef | FunctionRef | None]


def initialised(given: Input, section: int, described: list[Described], named: Named) -> None:
    """Fill in what maps hold at first, by the section's relocations; `named` reads a symbol."""
    offsets = [each.offset for each in described]
    found: dict[int, dict[int, MapRef | FunctionRef]] = {}
    for relocation in given.section(section).relocations:
        number = bisect_right(offsets, relocation.offset) - 1
        slots = described[number].slots if number >= 0 else None
        if slots is None or not slots.begin <= relocation.offset < slots.end:
            place = given.place(section, relocation.offset)
            given.report("elf-map", f"the relocation at {place} fills no slot of a map")
            continue
        owner = described[number].spec
        index, rest = divmod(relocation.offset - slots.begin, _POINTER)
        value = named(relocation.symbol)
        wanted = FunctionRef if owner.type == "prog_array" else MapRef
        if rest or not isinstance(value, wanted):
            what = "a program" if wanted is FunctionRef else "a map of .maps"
            name = given.symbol(relocation.symbol).name
            given.report("elf-map", f"map {owner.name}[{index}]: {name!r} is not {what}")
            continue
        found.setdefault(number, {})[index] = value
    for number, initial in found.items():
        described[number].spec = replace(described[number].spec, initial=initial)
