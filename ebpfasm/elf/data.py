"""Sections of variables as maps, and the variables in them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ebpfasm.btf.types import VarLinkage
from ebpfasm.elf.source import Input, UniqueNames, is_nobits
from ebpfasm.elf.types import ObjectTypes
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.object import ObjectSymbol
from ebpfasm.ir.specs import Linkage, MapSpec, MapTypes, VarSpec, data_section
from ebpfasm.isa.constants import CONSTANTS

ARENA = ".addr_space.1"
_KEY_SIZE = 4
_LARGEST = 1 << 30  # bytes: what a section without content may ask for


@dataclass(slots=True)
class DataMap:
    """A section of variables: its map, and its variables by their offsets."""

    section: int
    name: str
    contents: Contents
    size: int
    variables: list[VarSpec] = field(default_factory=list)
    _offsets: list[int] = field(default_factory=list)
    _by_name: dict[str, VarSpec] = field(default_factory=dict)

    def add(self, variables: Iterable[tuple[str, VarSpec]]) -> None:
        """Take the variables, each with its symbol's name."""
        rows = sorted(variables, key=lambda row: row[1].offset)
        self.variables = [each for _, each in rows]
        self._offsets = [each.offset for each in self.variables]
        self._by_name = dict(rows)

    def named(self, name: str) -> VarSpec | None:
        """The variable of a symbol's name, None where there is none."""
        return self._by_name.get(name)

    def at(self, offset: int) -> VarSpec | None:
        """The variable that an offset lies in, None between them."""
        number = bisect_right(self._offsets, offset) - 1
        if number < 0:
            return None
        found = self.variables[number]
        return found if offset < found.offset + max(found.size, 1) else None


class DataSections:
    """Sections of variables, by number."""

    def __init__(
        self,
        given: Input,
        types: ObjectTypes | None,
        symbols: Iterable[tuple[int, ObjectSymbol]],
        arena: str | None,
    ) -> None:
        self._given = given
        self._types = types
        self._found: dict[int, DataMap] = {}
        self._names: set[str] = set()
        self._unique = UniqueNames().unique
        for index, section in enumerate(given.object.sections):
            name = section.name
            if data_section(name) is not None and not given.executable[index] and section.size:
                self._open(index, name)
            elif name == ARENA and section.size:
                self._arena(index, arena)
        rows: dict[int, list[ObjectSymbol]] = {}
        for _, symbol in symbols:
            if isinstance(symbol.section, int) and symbol.section in self._found:
                rows.setdefault(symbol.section, []).append(symbol)
        for index, each in self._found.items():
            each.add(self._variables(each, rows.get(index, [])))

    def __iter__(self) -> Iterator[DataMap]:
        return iter(self._found.values())

    def find(self, section: int) -> DataMap | None:
        """The map that a section is, None for any other section."""
        return self._found.get(section)

    def _open(self, index: int, name: str) -> None:
        section = self._given.section(index)
        if section.size > _LARGEST:
            message = f"section {name} has {section.size} bytes; {_LARGEST} are the most"
            raise self._given.refusal("elf-variable", message)
        if name in self._names:
            raise self._given.refusal("elf-variable", f"there are two sections {name}")
        self._names.add(name)
        content = b"" if is_nobits(section) else section.content
        contents = Contents(content, section.size, self._given.object.byteorder)
        self._found[index] = DataMap(index, name, contents, section.size)

    def _arena(self, index: int, arena: str | None) -> None:
        if arena is None:
            message = f"section {ARENA} has variables, and there is no map of type arena for them"
            self._given.report("elf-variable", message)
            return
        self._open(index, ARENA)
        self._found[index].name = arena

    # Variables ---------------------------------------------------------------------------------

    def _variables(
        self, map: DataMap, symbols: list[ObjectSymbol]
    ) -> Iterator[tuple[str, VarSpec]]:
        by_name = {each.name: each for each in symbols if each.type not in ("section", "func")}
        section = self._given.section(map.section).name
        typed = self._types.sections.get(section) if self._types is not None else None
        seen = set()
        for each in typed[1] if typed is not None else ():
            assert self._types is not None
            symbol = by_name.get(each.name)
            seen.add(each.name)
            if each.offset + each.size > map.size:
                message = f"variable {each.name} leaves section {section}"
                self._given.report("elf-variable", message)
                continue
            yield each.name, VarSpec(
                self._unique(each.name), map.name, each.offset, each.size,
                _linkage(symbol, each.linkage), section, each.type, self._types.btf, map.contents,
            )  # fmt: skip
        for symbol in symbols:
            if symbol.type in ("section", "func", "file") or symbol.name in seen:
                continue
            if not symbol.name or symbol.value + symbol.size > map.size:
                continue
            yield symbol.name, VarSpec(
                self._unique(symbol.name), map.name, symbol.value, symbol.size,
                _linkage(symbol, None), section, contents=map.contents,
            )  # fmt: skip

    def specs(self) -> Iterator[MapSpec]:
        """The maps, in the order of sections; the arena's is not among them."""
        for each in self._found.values():
            if self._given.section(each.section).name != ARENA:
                yield self._spec(each)

    def _spec(self, map: DataMap) -> MapSpec:
        read_only = data_section(map.name) == ".rodata"
        types, flags = None, CONSTANTS["BPF_F_RDONLY_PROG"] if read_only else 0
        if self._types is not None and map.name in self._types.sections:
            type_id, variables = self._types.sections[map.name]
            types = MapTypes(self._types.btf, 0, type_id)
            # As libbpf has it: there is something to map where a variable can be seen outside.
            if any(each.linkage != VarLinkage.STATIC for each in variables):
                flags |= CONSTANTS["BPF_F_MMAPABLE"]
        return MapSpec(
            map.name, "array", _KEY_SIZE, map.size, 1, flags, contents=map.contents,
            frozen=read_only, types=types,
        )  # fmt: skip


def _linkage(symbol: ObjectSymbol | None, linkage: int | None) -> Linkage:
    if symbol is not None and symbol.binding == "weak":
        return "weak"
    if linkage is None:
        return "static" if symbol is None or symbol.binding == "local" else "global"
    return "static" if linkage == VarLinkage.STATIC else "global"
