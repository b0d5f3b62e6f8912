"""BTF of an object: what its functions, maps and variables are, as clang writes it for libbpf.

A map is a variable in the section .maps whose type is a struct of pointers: to `int[N]` for a
number N, to the key and to the value (libbpf's `__uint` and `__type`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.renumber import renumbered
from ebpfasm.btf.resolve import size_of
from ebpfasm.btf.types import (
    VOID,
    Array,
    Btf,
    BtfType,
    DataSec,
    DeclTag,
    Func,
    FuncLinkage,
    FuncProto,
    Int,
    IntEncoding,
    Member,
    Param,
    Ptr,
    SecVar,
    Struct,
    Types,
    Var,
    VarLinkage,
    refers_to,
)
from ebpfasm.emit.debug import INT, btf_name, context_type
from ebpfasm.errors import BtfError, LinkError, error
from ebpfasm.ir.debug import FunctionDebug
from ebpfasm.ir.specs import Linkage, MapSpec, VarSpec
from ebpfasm.isa.kinds import MAP_TYPES

_INDEX = Int("__ARRAY_SIZE_TYPE__", 4, 32)
_SCALAR = re.compile(r"([us])(8|16|32|64)(?:\[([1-9][0-9]{0,8})\])?")
_PIN_BY_NAME = 1  # LIBBPF_PIN_BY_NAME
_POINTER = 8  # bytes, of every member of a map's struct
_MOST_SLOTS = 1 << 20  # of a map's first values: each takes 8 bytes of the file


@dataclass(frozen=True, slots=True)
class Placed:
    """A variable of a section: its symbol's name and its bytes."""

    name: str
    size: int
    slots: int = 0  # where a map's first values begin


class ObjectTypes:
    """Gathers types; one that is there already is not added again."""

    def __init__(self) -> None:
        self._types: list[BtfType] = []
        self._ids: dict[BtfType, int] = {}
        self._sections: list[tuple[DataSec, tuple[Placed, ...]]] = []
        self._imported: dict[int, tuple[Types, dict[int, int]]] = {}
        self._externs: dict[str, dict[int, None]] = {}

    def imported(self, source: Types, type_id: int) -> int:
        """The id here of a type of another table, copied with all that it refers to."""
        _, known = self._imported.setdefault(id(source), (source, {VOID: VOID}))
        found: list[int] = []
        waiting = [type_id]
        while waiting:
            number = waiting.pop()
            if number in known:
                continue
            each = source.get(number)
            assert each is not None
            self._types.append(each)  # as it was, until all have a number
            known[number] = len(self._types)
            found.append(number)
            waiting += reversed(refers_to(each))
        for number in found:
            place = known[number] - 1
            self._types[place] = renumbered(self._types[place], known.__getitem__)
        return known[type_id]

    def function(self, name: str, program_type: str | None, debug: FunctionDebug | None) -> int:
        """The id of a function: as its compiler had it, or made up.

        `int NAME(CONTEXT *ctx)`, or for one without a type a static `int NAME(void)`.
        """
        if debug is not None and debug.func:
            return self.imported(debug.object.btf, debug.func)
        params: tuple[Param, ...] = ()
        if program_type is not None:
            params = (Param("ctx", self._add(Ptr(self._add(context_type(program_type))))),)
        proto = self._add(FuncProto(self._add(INT), params))
        linkage = FuncLinkage.STATIC if program_type is None else FuncLinkage.GLOBAL
        return self._add(Func(btf_name(name), proto, linkage))

    def maps(self, specs: Sequence[MapSpec]) -> tuple[Placed, ...]:
        """Describe maps as the section .maps; say which symbol each gets, and its size.

        Raises LinkError for a map with too many first values.
        """
        placed, variables = [], []
        for spec in specs:
            type_id = self._map(spec)
            slots = max(spec.initial, default=-1) + 1
            if slots > _MOST_SLOTS:
                message = f"map {spec.name}: an object cannot put anything at index {slots - 1}"
                raise LinkError(error("link-map", message, spec.span))
            size = self._size(type_id) + _POINTER * slots
            placed.append(Placed(spec.name, size, self._size(type_id)))
            variables.append(self._variable(spec.name, type_id, size))
        self._sections.append((DataSec(".maps", 0, tuple(variables)), tuple(placed)))
        return tuple(placed)

    def data(self, section: str, variables: Sequence[VarSpec]) -> None:
        """Describe a section's variables by their types, else as numbers or bytes."""
        rows = tuple(
            self._variable(each.name, self._of_variable(each), each.size, each.linkage)
            for each in variables
        )
        placed = tuple(Placed(each.name, each.size) for each in variables)
        self._sections.append((DataSec(section, 0, rows), placed))

    def struct_ops(self, section: str, specs: Sequence[MapSpec]) -> None:
        """Describe a section of struct_ops maps."""
        rows, placed = [], []
        for spec in specs:
            assert spec.types is not None
            type_id = self.imported(spec.types.btf, spec.types.value)
            rows.append(self._variable(spec.name, type_id, spec.value_size))
            placed.append(Placed(spec.name, spec.value_size))
        self._sections.append((DataSec(section, 0, tuple(rows)), tuple(placed)))

    def extern(
        self, section: str, name: str, source: BtfIndex | None, *, function: bool = False
    ) -> None:
        """Declare a name of the kernel's, as its compiler had it.

        Where no compiler had: a variable of no type, or a function without parameters, which is
        all that libbpf takes for a call whose prototype nobody knows.
        """
        found = [] if source is None else source.find(Var, name) or source.find(Func, name)
        if source is not None and found:
            type_id = self.imported(source, found[0])
        elif function:
            type_id = self._add(Func(name, self._add(FuncProto(VOID)), FuncLinkage.EXTERN))
        else:
            type_id = self._add(Var(name, VOID, VarLinkage.GLOBAL_EXTERN))
        self._externs.setdefault(section, {})[type_id] = None

    def finish(self) -> Btf:
        """The table: sections come last, as in clang's."""
        self._import_tags()
        externs = (
            DataSec(
                name, 0, tuple(SecVar(type_id, 0, self._extern_size(type_id)) for type_id in ids)
            )
            for name, ids in self._externs.items()
        )
        return Btf((*self._types, *externs, *(section for section, _ in self._sections)))

    def _import_tags(self) -> None:
        """Copy what is said about the types that were copied: tags point to them."""
        for source, known in self._imported.values():
            if not isinstance(source, BtfIndex):
                continue
            for number in source.of_kind(DeclTag):
                tag = source.get(number)
                if isinstance(tag, DeclTag) and tag.type in known:
                    self.imported(source, number)

    def _extern_size(self, type_id: int) -> int:
        found = self._types[type_id - 1]
        if isinstance(found, Func) or (isinstance(found, Var) and found.type == VOID):
            return 0
        try:
            return size_of(Btf(tuple(self._types)), type_id)
        except BtfError:
            return 0  # a struct that is only declared

    def places(self, types_end: int) -> list[tuple[int, str]]:
        """Where the offsets of variables are, and each one's name, if the types end there."""
        found: list[tuple[int, str]] = []
        at = types_end
        for section, placed in reversed(self._sections):
            at -= 12 * (1 + len(section.variables))
            found += ((at + 12 * number + 4, each.name) for number, each in enumerate(placed, 1))
        return sorted(found)

    # Types -----------------------------------------------------------------------------------

    def _add(self, each: BtfType) -> int:
        known = self._ids.get(each)
        if known is None:
            self._types.append(each)
            known = self._ids[each] = len(self._types)
        return known

    def _size(self, type_id: int) -> int:
        each = self._types[type_id - 1]
        assert isinstance(each, Struct)
        return each.size

    def _variable(self, name: str, type_id: int, size: int, linkage: Linkage = "global") -> SecVar:
        static = linkage == "static"
        var = Var(name, type_id, VarLinkage.STATIC if static else VarLinkage.GLOBAL_ALLOCATED)
        return SecVar(self._add(var), 0, size)

    def _map(self, spec: MapSpec) -> int:
        number = spec.type if isinstance(spec.type, int) else MAP_TYPES.id_of(spec.type)
        if number is None:
            message = f"map {spec.name}: there is no map type {spec.type}"
            raise LinkError(error("link-map", message, spec.span))
        numbers = {
            "type": number,
            "max_entries": spec.max_entries,
            "map_flags": spec.flags,
            "map_extra": spec.map_extra,
            "pinning": _PIN_BY_NAME if spec.pinning else 0,
        }
        members = {name: self._number(value) for name, value in numbers.items() if value}
        if spec.numa_node is not None:
            members["numa_node"] = self._number(spec.numa_node)
        for side, kind, size, known in (
            ("key", spec.key, spec.key_size, spec.types.key if spec.types else 0),
            ("value", spec.value, spec.value_size, spec.types.value if spec.types else 0),
        ):
            if side == "value" and (spec.inner is not None or _holds_programs(spec)):
                continue
            type_id = self._named(kind, size)
            if known and spec.types is not None:
                type_id = self.imported(spec.types.btf, known)
            if type_id is not None:
                members[side] = self._add(Ptr(type_id))
            elif size:
                members[f"{side}_size"] = self._number(size)
        size = _POINTER * len(members)
        if spec.inner is not None:
            inner = self._add(Ptr(self._map(spec.inner)))
            members["values"] = self._array(inner, 0)
        elif _holds_programs(spec):
            function = self._add(Ptr(self._add(FuncProto(self._add(INT)))))
            members["values"] = self._array(function, 0)
        return self._add(Struct("", size, _members(members)))

    def _number(self, value: int) -> int:
        return self._add(Ptr(self._array(self._add(INT), value)))

    def _array(self, element: int, count: int) -> int:
        return self._add(Array(element, self._add(_INDEX), count))

    def _named(self, kind: str, size: int) -> int | None:
        """The type that a name such as u32 or "u8[6]" means, None where it means none."""
        match = _SCALAR.fullmatch(kind)
        if match is None or int(match[2]) // 8 * int(match[3] or 1) != size:
            return None
        encoding = IntEncoding.SIGNED if match[1] == "s" else 0
        element = self._add(
            Int(f"{match[1]}{match[2]}", int(match[2]) // 8, int(match[2]), encoding)
        )
        return self._array(element, int(match[3])) if match[3] else element

    def _of_variable(self, each: VarSpec) -> int:
        if each.btf is not None and each.type:
            return self.imported(each.btf, each.type)
        return self._bytes(each.size)

    def _bytes(self, size: int) -> int:
        if size in (1, 2, 4, 8):
            return self._add(Int(f"u{8 * size}", size, 8 * size))
        return self._array(self._add(Int("u8", 1, 8)), size)


def _holds_programs(spec: MapSpec) -> bool:
    return spec.type == "prog_array" and bool(spec.initial)


def _members(types: Mapping[str, int]) -> tuple[Member, ...]:
    return tuple(
        Member(name, type_id, 8 * _POINTER * number)
        for number, (name, type_id) in enumerate(types.items())
    )
