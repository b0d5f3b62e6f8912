"""Maps, functions, programs and collections as values: all that a file or builder says.

Nothing here depends on the machine: the same text gives the same specs everywhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import FrozenInstanceError, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from ebpfasm.errors import EncodeError, Location, error
from ebpfasm.frozen import dataclass, replace
from ebpfasm.ir.contents import Contents
from ebpfasm.ir.debug import FunctionDebug, ObjectDebug
from ebpfasm.ir.instruction import Item, instructions_of
from ebpfasm.ir.names import Named
from ebpfasm.ir.packed import Stream
from ebpfasm.ir.references import FunctionRef, MapRef, PlaceRef, Reference, VarRef
from ebpfasm.isa.constants import CONSTANTS

# Names that the kernel keeps: BPF_OBJ_NAME_LEN is 16 with the final zero byte.
NAME_BYTES = 15

if TYPE_CHECKING:
    from ebpfasm.btf.types import ByteOrder, Types


@dataclass(frozen=True, slots=True, eq=False)
class MapTypes:
    """A map's key and value as ids of types in a BTF; 0 is not known."""

    btf: Types
    key: int
    value: int


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map to be created. Sizes in bytes; `type` is libbpf's name, or a number for a new kernel's.

    `key` and `value` are C type names where they are known ("u32"), empty otherwise.
    `flags` are the kernel's BPF_F_* creation flags. `inner` shapes the maps inside a map of maps
    and need not be created. `pinning` is "by_name" or empty; `numa_node` is where the memory is,
    anywhere for None; what `map_extra` means is the type's own affair (linux/bpf.h). `contents`
    is the first element's value from the start, zeros where it is empty; a `frozen` map cannot
    be written from user space after. Read it with `bytes(spec.contents)`: in a Contents variables
    may have been set. For a map of type arena it is what the arena begins with.

    `initial` says what a prog_array or a map of maps holds at first, by index. An insn_array that
    has it is a jump table, every entry a place of one function. In a map of type
    struct_ops it has the functions by the byte offset of their member; `contents` has the other
    members there, and `types.value` is the object's own struct, of which the kernel has one of the
    same name (a flavour `___x` does not count). A map without
    `autocreate` is created only where somebody asks for it.
    """

    name: str
    type: str | int
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    key: str = ""
    value: str = ""
    inner: MapSpec | None = None
    pinning: str = ""
    numa_node: int | None = None
    map_extra: int = 0
    contents: bytes | Contents = field(default=b"", hash=False)
    frozen: bool = False
    initial: Mapping[int, MapRef | FunctionRef | PlaceRef] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    autocreate: bool = True
    types: MapTypes | None = field(default=None, compare=False)
    span: Location | None = field(default=None, compare=False)


Linkage = Literal["global", "static", "weak", "extern"]


@dataclass(frozen=True, slots=True)
class VarSpec:
    """A global variable: bytes at an offset in the value of a data map.

    `type` is the id of its type in `btf`, 0 where that is not known. `section` is the object's,
    empty where there was none. "extern" is a variable of .kconfig: see KconfigSpec.
    All is fixed but `value`.
    """

    name: str
    map: str
    offset: int
    size: int
    linkage: Linkage = field(default="global", compare=False)
    section: str = field(default="", compare=False)
    type: int = field(default=0, compare=False)
    btf: Types | None = field(default=None, compare=False, repr=False)
    contents: Contents | None = field(default=None, compare=False, repr=False)

    def __setattr__(self, name: str, value: object) -> None:
        # The one thing that can be set: it changes no field, but the contents behind.
        if name != "value":
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        object.__setattr__(self, name, value)

    @property
    def value(self) -> Any:
        """The value that the map will hold when it is created, typed by BTF as a map's would be.

        Setting it changes the map's contents for whoever reads them from then on. Raises
        EncodeError for what does not fit, and where the variable has no contents.
        """
        from ebpfasm.ir.codecs import variable_codec

        contents = self._contents()
        raw, codec = contents.read(self.offset, self.size), variable_codec(self)
        if contents.byteorder == sys.byteorder:
            return codec.unpack(raw)
        return codec.unpack(raw[::-1]) if codec.integer else raw

    @value.setter
    def value(self, value: Any) -> None:
        from ebpfasm.ir.codecs import variable_codec

        contents, codec = self._contents(), variable_codec(self)
        raw = bytes(codec.pack(value))
        if contents.byteorder != sys.byteorder and not isinstance(value, bytes | bytearray):
            if not codec.integer:
                message = f"variable {self.name!r} has another machine's byte order: give its bytes"
                raise EncodeError(error("map-value", message))
            raw = raw[::-1]
        contents.write(self.offset, raw)

    def _contents(self) -> Contents:
        if self.contents is None:
            message = f"variable {self.name!r} has no contents before its map is loaded"
            raise EncodeError(error("map-value", message))
        return self.contents


KconfigKind = Literal["bool", "char", "tristate", "int", "string"]


@dataclass(frozen=True, slots=True)
class KconfigSpec:
    """An extern variable of section .kconfig, whose value the running kernel has.

    `name` is CONFIG_X, or LINUX_... for what libbpf makes up. It lies at `offset` in the value of
    the map `.kconfig`, `size` bytes, of a kind as libbpf tells them apart: tristate is its enum
    libbpf_tristate, "string" an array of char. `weak`: zero where the kernel has no such
    option, which is an error otherwise. There is a VarSpec of the same name; where a user has
    set that (`offset in contents.written`), the user's value stands.
    """

    name: str
    offset: int
    size: int
    kind: KconfigKind
    signed: bool = False
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A subprogram: a name and its instructions and labels."""

    name: str
    instructions: Sequence[Item]
    span: Location | None = field(default=None, compare=False)
    debug: FunctionDebug | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program: its own instructions, and the functions and maps that it reaches.

    `type` and `attach_type` are libbpf's names, empty where the section says nothing.
    `flags` are the kernel's BPF_F_* load flags that the section asks for. A program without
    `autoload` is loaded only where somebody asks for it by name. `version` is the kernel version
    that kernels before 5.0 want to see, 0 for the running one's. `kconfig` is what its collection
    has in the map .kconfig, where it uses that. `debug` is about the program's own instructions,
    and each of the functions has its own.
    """

    name: str
    section: str
    type: str
    instructions: Sequence[Item]
    attach_type: str = ""
    attach_target: str = ""
    flags: int = 0
    license: str = ""
    functions: tuple[Function, ...] = ()
    maps: tuple[MapSpec, ...] = ()
    span: Location | None = field(default=None, compare=False)
    autoload: bool = True
    version: int = 0
    kconfig: Mapping[str, KconfigSpec] = field(
        default_factory=lambda: MappingProxyType({}), hash=False
    )
    debug: FunctionDebug | None = field(default=None, compare=False, repr=False)

    def function(self, name: str) -> Function | None:
        """The subprogram of that name, None where the program has none."""
        return next((each for each in self.functions if each.name == name), None)


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """All that one file or builder defines, by name, in the order it was written.

    `name` is the file's, without folder and suffix: the kernel's names of data sections begin
    with it. `kconfig` are the externs of section .kconfig. `debug` has the types of the object
    that it was read from, None for anything else. `byteorder` is that of the machine that it was
    made for, None where it is good for both.
    """

    programs: Mapping[str, ProgramSpec]
    maps: Mapping[str, MapSpec]
    variables: Mapping[str, VarSpec] = field(default_factory=lambda: MappingProxyType({}))
    license: str = ""
    kconfig: Mapping[str, KconfigSpec] = field(default_factory=lambda: MappingProxyType({}))
    version: int = 0
    byteorder: ByteOrder | None = None
    debug: ObjectDebug | None = field(default=None, compare=False, repr=False)
    name: str = field(default="", compare=False)


def need_program(given: object, function: str) -> None:
    """See that what a function was given is a program. Raises TypeError."""
    if not isinstance(given, ProgramSpec):
        kind = type(given).__name__
        raise TypeError(f"{function} takes a ProgramSpec, as in spec.programs['name'], not {kind}")


def alone(program: ProgramSpec) -> CollectionSpec:
    """A collection of one program, which is loaded even if it was optional, and its maps."""
    return CollectionSpec(
        MappingProxyType({program.name: replace(program, autoload=True)}),
        MappingProxyType({each.name: each for each in program.maps}),
        license=program.license,
        kconfig=program.kconfig,
        version=program.version,
        debug=program.debug.object if program.debug is not None else None,
    )


# Maps that are sections of variables, with libbpf's flags for each kind.
_SHARED = CONSTANTS["BPF_F_MMAPABLE"]
DATA_SECTIONS: dict[str, int] = {
    ".data": _SHARED,
    ".bss": _SHARED,
    ".rodata": _SHARED | CONSTANTS["BPF_F_RDONLY_PROG"],
}


@lru_cache(256)
def data_section(name: str) -> str | None:
    """The kind of a section of variables, ".rodata" for ".rodata.names"; None for any other.

    >>> data_section(".rodata.names"), data_section(".text")
    ('.rodata', None)
    """
    kinds = (each for each in DATA_SECTIONS if name == each or name.startswith(f"{each}."))
    return next(kinds, None)


def data_map(
    name: str,
    size: int,
    contents: bytes = b"",
    byteorder: ByteOrder = sys.byteorder,
    *,
    span: Location | None = None,
) -> MapSpec:
    """The map that a section of variables becomes: an array of one element, `size` bytes.

    `name` is one that `data_section` knows.
    """
    kind = data_section(name) or name
    return MapSpec(
        name, "array", 4, size, 1, DATA_SECTIONS[kind], "u32",
        contents=Contents(contents, size, byteorder), frozen=kind == ".rodata", span=span,
    )  # fmt: skip


def collect(
    programs: Iterable[ProgramSpec],
    functions: Iterable[Function] = (),
    maps: Iterable[MapSpec] = (),
    license: str = "",
    variables: Iterable[VarSpec] = (),
    also: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> CollectionSpec:
    """Join what a reader found into a collection, each program with just what it reaches.

    `also` names functions that a program needs though none of its instructions names them.
    Names must be unique already: readers report duplicates at their place in the text.
    """
    by_name = {function.name: function for function in functions}
    map_specs = {spec.name: spec for spec in maps}
    complete = {
        program.name: _with_reachable(
            program, by_name, map_specs, license, also.get(program.name, ())
        )
        for program in programs
    }
    by_variable = {each.name: _with_contents(each, map_specs) for each in variables}
    return CollectionSpec(
        MappingProxyType(Named("program", complete)),
        MappingProxyType(Named("map", map_specs)),
        MappingProxyType(Named("variable", by_variable)),
        license,
    )


def _with_contents(variable: VarSpec, maps: Mapping[str, MapSpec]) -> VarSpec:
    """The variable as one whose value is in its map's contents."""
    if variable.contents is not None or variable.map not in maps:
        return variable
    contents = maps[variable.map].contents
    return replace(variable, contents=contents) if isinstance(contents, Contents) else variable


def references_of(items: Iterable[Item]) -> Iterator[Reference]:
    """The references of a stream, in its order; jumps to labels may be left out."""
    if isinstance(items, Stream):
        refs = items.body.refs
        return iter([refs[index] for index in sorted(refs)] if refs else ())
    return (each.ref for each in instructions_of(items) if each.ref is not None)


def _with_reachable(
    program: ProgramSpec,
    functions: Mapping[str, Function],
    maps: Mapping[str, MapSpec],
    license: str,
    also: Sequence[str],
) -> ProgramSpec:
    reached = reachable(program.instructions, functions)
    known = {each.name for each in reached}
    for name in also:
        if name in functions and name not in known:
            more = [functions[name], *reachable(functions[name].instructions, functions)]
            reached += [each for each in more if each.name not in known]
            known |= {each.name for each in more}
    names: dict[str, None] = {}
    for stream in (program.instructions, *(function.instructions for function in reached)):
        for ref in references_of(stream):
            match ref:
                case MapRef(name=name) | VarRef(map=name):
                    names[name] = None
                case _:
                    pass
    return replace(
        program,
        license=program.license or license,
        functions=tuple(reached),
        maps=tuple(_with_those_inside(names, maps)),
    )


def _with_those_inside(names: Iterable[str], maps: Mapping[str, MapSpec]) -> Iterator[MapSpec]:
    """Maps by name, with those that they hold at first behind them."""
    waiting, seen = list(names), set[str]()
    for name in waiting:
        if name in maps and name not in seen:
            seen.add(name)
            yield maps[name]
            held = maps[name].initial.values()
            waiting += [each.name for each in held if isinstance(each, MapRef)]


def reachable(items: Iterable[Item], functions: Mapping[str, Function]) -> list[Function]:
    """Functions that a stream reaches, in libbpf's order: depth first, by first mention.

    Names that are no function are left out; `ir.link` reports them.
    """
    found: dict[str, Function] = {}
    # A stack of streams rather than recursion: call chains in hostile input may be long.
    streams = [references_of(items)]
    while streams:
        ref = next(streams[-1], None)
        if ref is None:
            streams.pop()
            continue
        match ref:
            case FunctionRef(name=name) if name not in found and name in functions:
                found[name] = functions[name]
                streams.append(references_of(functions[name].instructions))
            case _:
                pass
    return list(found.values())
