"""Maps, functions, programs and collections as values: all that a file or builder says.

Nothing here depends on the machine: the same text gives the same specs everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from types import MappingProxyType

from ebpfasm.errors import Location
from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Item, instructions_of
from ebpfasm.ir.packed import Stream
from ebpfasm.ir.references import FunctionRef, MapRef, Reference, VarRef

# Names that the kernel keeps: BPF_OBJ_NAME_LEN is 16 with the final zero byte.
NAME_BYTES = 15


@dataclass(frozen=True, slots=True)
class MapSpec:
    """A map to be created. Sizes in bytes; `type` is libbpf's name, or a number for a new kernel's.

    `key` and `value` are C type names where they are known ("u32"), empty otherwise.
    `flags` are the kernel's BPF_F_* creation flags. `inner` shapes the maps inside a map of maps
    and need not be created. `pinning` is "by_name" or empty; `numa_node` is where the memory is,
    anywhere for None; what `map_extra` means is the type's own affair (linux/bpf.h). `contents`
    is the first element's value from the start, zeros where it is empty; a `frozen` map cannot
    be written from user space after.
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
    contents: bytes = b""
    frozen: bool = False
    span: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class VarSpec:
    """A global variable: bytes at an offset in the value of a data map."""

    name: str
    map: str
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Function:
    """A subprogram: a name and its instructions and labels."""

    name: str
    instructions: Sequence[Item]
    span: Location | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class ProgramSpec:
    """A program: its own instructions, and the functions and maps that it reaches.

    `type` and `attach_type` are libbpf's names, empty where the section says nothing.
    `flags` are the kernel's BPF_F_* load flags that the section asks for.
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

    def function(self, name: str) -> Function | None:
        """The subprogram of that name, None where the program has none."""
        return next((each for each in self.functions if each.name == name), None)


@dataclass(frozen=True, slots=True)
class CollectionSpec:
    """All that one file or builder defines, by name, in the order it was written."""

    programs: Mapping[str, ProgramSpec]
    maps: Mapping[str, MapSpec]
    variables: Mapping[str, VarSpec] = field(default_factory=lambda: MappingProxyType({}))
    license: str = ""


# Maps that are sections of variables: libbpf's flags for each kind, BPF_F_MMAPABLE and, where
# programs only read, BPF_F_RDONLY_PROG.
DATA_SECTIONS: dict[str, int] = {".data": 1 << 10, ".bss": 1 << 10, ".rodata": 1 << 10 | 1 << 7}


def data_section(name: str) -> str | None:
    """The kind of a section of variables, ".rodata" for ".rodata.names"; None for any other.

    >>> data_section(".rodata.names"), data_section(".text")
    ('.rodata', None)
    """
    kinds = (each for each in DATA_SECTIONS if name == each or name.startswith(f"{each}."))
    return next(kinds, None)


def data_map(
    name: str, size: int, contents: bytes = b"", *, span: Location | None = None
) -> MapSpec:
    """The map that a section of variables becomes: an array of one element, `size` bytes.

    Contents that are nothing but zeros are left out. `name` is one that `data_section` knows.
    """
    kind = data_section(name) or name
    return MapSpec(
        name, "array", 4, size, 1, DATA_SECTIONS[kind], "u32",
        contents=contents if any(contents) else b"", frozen=kind == ".rodata", span=span,
    )  # fmt: skip


def collect(
    programs: Iterable[ProgramSpec],
    functions: Iterable[Function] = (),
    maps: Iterable[MapSpec] = (),
    license: str = "",
    variables: Iterable[VarSpec] = (),
) -> CollectionSpec:
    """Join what a reader found into a collection, each program with just what it reaches.

    Names must be unique already: readers report duplicates at their place in the text.
    """
    by_name = {function.name: function for function in functions}
    map_specs = {spec.name: spec for spec in maps}
    complete = {
        program.name: _with_reachable(program, by_name, map_specs, license) for program in programs
    }
    by_variable = {each.name: each for each in variables}
    return CollectionSpec(
        MappingProxyType(complete),
        MappingProxyType(map_specs),
        MappingProxyType(by_variable),
        license,
    )


def references_of(items: Iterable[Item]) -> Iterator[Reference]:
    """The references of a stream, in its order; jumps to labels may be left out."""
    if isinstance(items, Stream):
        refs = items.body.refs
        return iter([refs[index] for index in sorted(refs)])
    return (each.ref for each in instructions_of(items) if each.ref is not None)


def _with_reachable(
    program: ProgramSpec,
    functions: Mapping[str, Function],
    maps: Mapping[str, MapSpec],
    license: str,
) -> ProgramSpec:
    reached = reachable(program.instructions, functions)
    names: dict[str, None] = {}
    for stream in (program.instructions, *(function.instructions for function in reached)):
        for ref in references_of(stream):
            match ref:
                case MapRef(name=name) | VarRef(map=name):
                    names[name] = None
                case _:
                    pass
    return ProgramSpec(
        program.name,
        program.section,
        program.type,
        program.instructions,
        program.attach_type,
        program.attach_target,
        program.flags,
        program.license or license,
        tuple(reached),
        tuple(maps[name] for name in names if name in maps),
        program.span,
    )


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
