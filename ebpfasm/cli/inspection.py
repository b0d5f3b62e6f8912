"""What `ebpfasm inspect` tells of a file, as plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import ebpfasm
from ebpfasm.errors import BtfError, EbpfError, EncodeError, LinkError
from ebpfasm.ir import CollectionSpec, Instruction, MapSpec, ProgramSpec, VarSpec, instructions_of
from ebpfasm.ir.references import CoreRef, FunctionRef, KfuncRef, KsymRef, LabelRef, MapRef, VarRef
from ebpfasm.ir.tables import is_table

if TYPE_CHECKING:
    from ebpfasm.btf.core import Resolver
    from ebpfasm.btf.index import BtfIndex
    from ebpfasm.btf.types import Types

_DEEPEST = 64  # pointers and arrays of one type


class Inspection:
    """A collection, described; `target` has the types that CO-RE is tried against.

    Without a target it is the running kernel, where that has types.
    """

    def __init__(self, spec: CollectionSpec, target: BtfIndex | None) -> None:
        self._spec = spec
        self._target = target

    def whole(self, programs: Iterable[ProgramSpec]) -> dict[str, Any]:
        """Everything; of programs only those given."""
        spec, chosen = self._spec, list(programs)
        return {
            "byteorder": spec.byteorder,
            "license": spec.license,
            "version": spec.version,
            "types": 0 if spec.debug is None else len(spec.debug.btf),
            "programs": [self._program(each) for each in chosen],
            "maps": [self._map(each) for each in spec.maps.values()],
            "variables": [self._variable(each) for each in spec.variables.values()],
            "kconfig": [
                {"name": each.name, "kind": each.kind, "size": each.size, "weak": each.weak}
                for each in spec.kconfig.values()
            ],
            "relocations": [row for each in chosen for row in self._relocations(each)],
            "core": [row for each in chosen for row in self._core(each)],
            "declarations": self._declarations(),
        }

    # Programs ------------------------------------------------------------------------------------

    def _program(self, program: ProgramSpec) -> dict[str, Any]:
        slots = _slots(program.instructions)
        return {
            "name": program.name,
            "section": program.section,
            "type": program.type,
            "attach_type": program.attach_type,
            "attach_target": program.attach_target,
            "flags": program.flags,
            "autoload": program.autoload,
            "slots": slots,
            "slots_with_functions": slots + sum(map(_function_slots, program.functions)),
            "functions": [each.name for each in program.functions],
            "maps": [each.name for each in program.maps],
            "place": _place(program),
        }

    def _relocations(self, program: ProgramSpec) -> Iterator[dict[str, Any]]:
        tables = {each.name for each in program.maps if is_table(each)}
        for owner, slot, each in _instructions(program):
            match each.ref:
                case None | LabelRef() | CoreRef():
                    continue
                case VarRef(map=map, written=target):
                    kind = "jump table" if map in tables else "variable"
                case MapRef(name=target):
                    kind = "map"
                case FunctionRef(name=target):
                    kind = "function"
                case KfuncRef(name=target):
                    kind = "kernel function"
                case KsymRef(name=target):
                    kind = "kernel symbol"
            yield {
                "program": program.name,
                "function": owner,
                "slot": slot,
                "kind": kind,
                "target": target,
                "place": _place(each),
            }

    # Maps and variables --------------------------------------------------------------------------

    def _map(self, spec: MapSpec) -> dict[str, Any]:
        return {
            "name": spec.name,
            "type": spec.type,
            "key": _type_name(spec.types.btf, spec.types.key) if spec.types else spec.key,
            "key_size": spec.key_size,
            "value": _type_name(spec.types.btf, spec.types.value) if spec.types else spec.value,
            "value_size": spec.value_size,
            "max_entries": spec.max_entries,
            "flags": spec.flags,
            "map_extra": spec.map_extra,
            "numa_node": spec.numa_node,
            "pinning": spec.pinning,
            "autocreate": spec.autocreate,
            "frozen": spec.frozen,
            "inner": None if spec.inner is None else self._map(spec.inner),
            "initial": {str(key): ref.name for key, ref in sorted(spec.initial.items())},
        }

    def _variable(self, spec: VarSpec) -> dict[str, Any]:
        try:
            value = spec.value
        except EncodeError:
            value = None
        return {
            "name": spec.name,
            "map": spec.map,
            "offset": spec.offset,
            "size": spec.size,
            "type": "" if spec.btf is None else _type_name(spec.btf, spec.type),
            "linkage": spec.linkage,
            "value": _plain(value),
        }

    def _declarations(self) -> str:
        """The types of maps and variables with all that they need, as C."""
        debug = self._spec.debug
        if debug is None:
            return ""
        from ebpfasm.btf.c import print_types

        wanted = [each.type for each in self._spec.variables.values()]
        for map in self._spec.maps.values():
            for spec in (map, map.inner):
                if spec is not None and spec.types is not None:
                    wanted += [spec.types.key, spec.types.value]
        try:
            named = (_with_a_name(debug.btf, each) for each in wanted if each)
            return print_types(debug.btf, [each for each in dict.fromkeys(named) if each]).strip()
        except BtfError as problem:
            return f"/* {problem.diagnostics[0].message} */"

    # CO-RE ---------------------------------------------------------------------------------------

    @cached_property
    def _resolver(self) -> Resolver | None:
        debug = self._spec.debug
        if debug is None:
            return None
        from ebpfasm.btf.core import Resolver

        if self._target is not None:
            return Resolver(debug.btf, self._target, where="the BTF that is given")
        from ebpfasm.runtime import kernel_btf

        try:
            kernel = kernel_btf.vmlinux()
        except EbpfError:
            return None
        return Resolver(debug.btf, kernel, lambda: kernel_btf.readable_modules().values())

    def _core(self, program: ProgramSpec) -> Iterator[dict[str, Any]]:
        for owner, slot, each in _instructions(program):
            if isinstance(each.ref, CoreRef):
                yield {
                    "program": program.name,
                    "function": owner,
                    "slot": slot,
                    "type_id": each.ref.type_id,
                    "access": each.ref.access,
                    "kind": each.ref.kind,
                    "place": _place(each),
                    **self._answer(each, each.ref),
                }

    def _answer(self, each: Instruction, ref: CoreRef) -> dict[str, Any]:
        """What a relocation asks, and what the target says to it."""
        if self._resolver is None:
            return {"what": "", "resolves": None, "value": None, "why": "there are no types here"}
        from ebpfasm.ir.core import lacking

        try:
            found = self._resolver.resolve(ref.type_id, ref.access, ref.kind)
        except (BtfError, LinkError) as problem:
            why = problem.diagnostics[0].message
            return {"what": "", "resolves": False, "value": None, "why": why}
        missing = lacking(each, found)
        value = None if found.value is None else found.value.number
        return {"what": found.what, "resolves": not missing, "value": value, "why": missing}


def _instructions(program: ProgramSpec) -> Iterator[tuple[str, int, Instruction]]:
    """All instructions of a program: the function, the slot in it, the instruction."""
    bodies = [(program.name, program.instructions)]
    bodies += [(each.name, each.instructions) for each in program.functions]
    for name, items in bodies:
        slot = 0
        for each in instructions_of(items):
            yield name, slot, each
            slot += each.slots


def _slots(items: Iterable[ebpfasm.ir.Item]) -> int:
    return sum(each.slots for each in instructions_of(items))


def _function_slots(function: ebpfasm.Function) -> int:
    return _slots(function.instructions)


def _place(each: ProgramSpec | Instruction) -> str:
    return "" if each.span is None else f"{each.span.name}:{each.span.line}"


def _type_name(types: Types, type_id: int) -> str:
    from ebpfasm.btf.naming import spelled

    try:
        return spelled(types, type_id) if type_id else ""
    except BtfError:
        return f"type {type_id}"


def _with_a_name(types: Types, type_id: int) -> int:
    """The struct, number or typedef that a type is made of; 0 where C declares none."""
    from ebpfasm.btf.types import Array, Const, DataSec, Ptr, Restrict, TypeTag, Volatile

    for _ in range(_DEEPEST):
        match types.get(type_id):
            case (
                Array(type=target) | Const(type=target) | Volatile(type=target)
                | Restrict(type=target) | TypeTag(type=target) | Ptr(type=target)
            ):  # fmt: skip
                type_id = target
            case DataSec():
                return 0
            case _:
                return type_id
    return 0


def _plain(value: object) -> Any:
    """A variable's value as JSON has it: bytes as text where they are, else as hexadecimal."""
    match value:
        case bytes():
            return value.decode() if value.isascii() else value.hex()
        case Mapping():
            return {str(key): _plain(each) for key, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case bool() | int() | float() | str() | None:
            return value
        case _:
            return str(value)
