"""From a relocatable object to a collection: what libbpf does when it opens one.

`Object` comes from an ELF file (elf.reader) or from clang's assembly (asm.objects). What depends
on the running kernel (CO-RE, kernel symbols, configuration) stays a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType

from ebpfasm.btf.types import DeclTag, Func
from ebpfasm.elf.code import Code
from ebpfasm.elf.data import DataSections
from ebpfasm.elf.externs import KCONFIG, Externs
from ebpfasm.elf.function_symbols import TEXT, FunctionSymbol, find_functions
from ebpfasm.elf.jump_tables import JumpTables
from ebpfasm.elf.legacy_maps import read_legacy, tail_called
from ebpfasm.elf.maps import SECTION as MAPS
from ebpfasm.elf.maps import Described, initialised, read_maps
from ebpfasm.elf.programs import Kinds, program
from ebpfasm.elf.records import Records
from ebpfasm.elf.source import Input
from ebpfasm.elf.struct_ops import is_struct_ops, read_struct_ops, with_functions
from ebpfasm.elf.symbols import named_symbols
from ebpfasm.elf.targets import Targets
from ebpfasm.elf.types import read_types
from ebpfasm.frozen import replace
from ebpfasm.ir.lifted import Lifted, line_span
from ebpfasm.ir.names import Named
from ebpfasm.ir.object import Object
from ebpfasm.ir.references import FunctionRef
from ebpfasm.ir.specs import (
    CollectionSpec,
    Function,
    MapSpec,
    ProgramSpec,
    VarSpec,
    collect,
    references_of,
)

_EXCEPTION_CALLBACK = "exception_callback:"
_VERSION_SIZE = 4  # bytes


def collection_of(
    object: Object, name: str = "<object>", *, types: Mapping[str, str] | None = None
) -> CollectionSpec:
    """Read an object's programs, maps and variables; `name` is what messages call it.

    `types` gives the program type of sections whose names say none, or another one than the name
    says: by section, a type ("xdp") or a section's name that stands for one ("tc/ingress").
    Raises ElfError with every mistake, BtfError where .BTF or .BTF.ext is damaged.
    """
    return _Reading(Input(object, name), Kinds(types or {})).collection()


class _Reading:
    """One object while it is read."""

    def __init__(self, given: Input, kinds: Kinds) -> None:
        self._given = given
        self._kinds = kinds
        self._symbols = named_symbols(given)
        self._functions = find_functions(given, self._symbols)
        self._types = read_types(given, self._functions, self._symbols)
        self._records = Records(given, self._types) if self._types is not None else None

    def collection(self) -> CollectionSpec:
        """Everything, step by step."""
        given, types = self._given, self._types
        self._maps: dict[int, list[Described]] = {}
        for index, section in enumerate(given.object.sections):
            if section.name == MAPS and types is not None and not self._maps:
                self._maps[index] = read_maps(given, types)
            elif section.name == MAPS:
                hint = "compile with clang -g, which writes BTF"
                given.report(
                    "elf-map", f"section {MAPS} has maps, and no BTF describes them", hint=hint
                )
        self._struct_ops = {
            index: read_struct_ops(given, index, types)
            for index, section in enumerate(given.object.sections)
            if is_struct_ops(section.name) and not given.executable[index] and section.content
        }
        self._legacy = read_legacy(given, self._symbols)
        self._data = DataSections(given, types, self._symbols, self._arena())
        self._externs = Externs(given, types, self._symbols)
        self._targets = Targets(given, self._functions, self._data, self._places(), self._externs)
        self._initialise()
        return self._collect()

    # Maps ----------------------------------------------------------------------------------------

    def _arena(self) -> str | None:
        found = (each.spec for maps in self._maps.values() for each in maps)
        return next((spec.name for spec in found if spec.type == "arena"), None)

    def _places(self) -> dict[tuple[int, int], str]:
        """The name of the map at each section and offset."""
        places = {
            (section, each.offset): each.spec.name
            for section, maps in self._maps.items()
            for each in maps
        }
        places |= {(each.section, each.offset): each.spec.name for each in self._legacy}
        return places

    def _initialise(self) -> None:
        for section, maps in self._maps.items():
            initialised(self._given, section, maps, self._targets.named)
        for section, maps in self._struct_ops.items():
            if self._types is not None and maps:
                named = self._targets.named
                with_functions(self._given, section, self._types, maps, named)

    def _map_specs(self) -> Iterator[MapSpec]:
        """All maps, in libbpf's order."""
        contents = {each.name: each.contents for each in self._data}
        for maps in self._maps.values():
            for each in maps:
                spec = each.spec
                if spec.type == "arena" and spec.name in contents:
                    spec = replace(spec, contents=contents[spec.name])
                yield spec
        yield from (each.spec for each in self._legacy)
        yield from self._data.specs()
        if self._externs.kconfig_map is not None:
            yield self._externs.kconfig_map
        for maps in self._struct_ops.values():
            yield from (each.spec for each in maps)

    # Functions -----------------------------------------------------------------------------------

    def _collect(self) -> CollectionSpec:
        given = self._given
        tables = JumpTables(given)
        code = Code(given, self._records, self._targets, tables)
        streams = {each: code.stream(each) for each in self._functions}
        jumps = list(tables.specs(streams))
        given.finish()
        called = {
            ref.name
            for stream in streams.values()
            for ref in references_of(stream)
            if isinstance(ref, FunctionRef)
        }
        chosen = self._programs(called)
        alone = {each.name for each in chosen} - called
        functions = [
            self._function(each, stream)
            for each, stream in streams.items()
            if each.name not in alone
        ]
        license, version = self._license(), self._version()
        programs = [self._program(each, streams[each], version) for each in chosen]
        called_by_tail = tail_called(
            self._legacy, {given.section(each.section).name: each.name for each in chosen}
        )
        programs = _typed_like_their_callers(programs, called_by_tail)
        maps = self._unique([*self._map_specs(), *jumps])
        found = collect(
            programs, functions, maps, license, self._variables(), self._exception_callbacks()
        )
        given.finish()
        return self._with_rest(found, version)

    def _programs(self, called: set[str]) -> list[FunctionSymbol]:
        """Which functions are programs: those that can be seen in sections of their own.

        Where all code is in .text, as in a file without any SEC(), what nobody calls is one.
        """
        found = [each for each in self._functions if each.exported and self._may_start(each)]
        if found:
            return found
        return [each for each in self._functions if each.exported and each.name not in called]

    def _may_start(self, function: FunctionSymbol) -> bool:
        section = self._given.section(function.section).name
        return section != TEXT or self._kinds.given(section)

    def _function(self, function: FunctionSymbol, stream: Lifted) -> Function:
        debug = self._records.function(function) if self._records is not None else None
        span = line_span(debug, 0) if debug is not None and debug.has_lines else None
        return Function(function.name, stream, span, debug)

    def _program(self, function: FunctionSymbol, stream: Lifted, version: int) -> ProgramSpec:
        section = self._given.section(function.section).name
        return program(self._kinds, section, self._function(function, stream), version)

    def _exception_callbacks(self) -> dict[str, list[str]]:
        """Functions that programs name with __exception_cb: BTF tags say it, and no instruction."""
        found: dict[str, list[str]] = {}
        if self._types is None:
            return found
        btf = self._types.btf
        for number in btf.of_kind(DeclTag):
            tag = btf.get(number)
            assert isinstance(tag, DeclTag)
            if tag.component == -1 and tag.name.startswith(_EXCEPTION_CALLBACK):
                target = btf.get(tag.type)
                if isinstance(target, Func):
                    callback = tag.name.removeprefix(_EXCEPTION_CALLBACK)
                    found.setdefault(target.name, []).append(callback)
        return found

    # The rest ------------------------------------------------------------------------------------

    def _unique(self, maps: Iterable[MapSpec]) -> list[MapSpec]:
        found: dict[str, MapSpec] = {}
        for each in maps:
            if each.name in found:
                self._given.report("elf-map", f"there are two maps {each.name}")
            found.setdefault(each.name, each)
        return list(found.values())

    def _variables(self) -> list[VarSpec]:
        return [
            *(each for map in self._data for each in map.variables),
            *self._externs.kconfig_variables,
        ]

    def _license(self) -> str:
        section = self._given.named("license")
        if section is None:
            return ""
        return section.content.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")

    def _version(self) -> int:
        section = self._given.named("version")
        if section is None:
            return 0
        if len(section.content) != _VERSION_SIZE:
            size = len(section.content)
            self._given.report("elf-format", f"section version has {size} bytes, not 4")
            return 0
        return int.from_bytes(section.content, self._given.object.byteorder)

    def _with_rest(self, found: CollectionSpec, version: int) -> CollectionSpec:
        kconfig = MappingProxyType(self._externs.kconfig)
        programs = found.programs
        if kconfig:
            users = {
                name: replace(each, kconfig=kconfig)
                if any(map.name == KCONFIG for map in each.maps)
                else each
                for name, each in programs.items()
            }
            programs = MappingProxyType(Named("program", users))
        return CollectionSpec(
            programs,
            found.maps,
            found.variables,
            found.license,
            kconfig,
            version,
            self._given.object.byteorder,
            self._records.debug if self._records is not None else None,
            _stem(self._given.name),
        )


def _stem(name: str) -> str:
    """What libbpf calls an object: its file's name up to the first dot."""
    return "" if name.startswith("<") else name.rpartition("/")[2].partition(".")[0]


def _typed_like_their_callers(programs: list[ProgramSpec], called: list[str]) -> list[ProgramSpec]:
    """Programs that only tail calls reach have no section of their own that says the type."""
    kinds = {(each.type, each.attach_type) for each in programs if each.type}
    if not called or len(kinds) != 1:
        return programs
    ((kind, attach_type),) = kinds
    return [
        replace(each, type=kind, attach_type=attach_type)
        if each.name in called and not each.type
        else each
        for each in programs
    ]
