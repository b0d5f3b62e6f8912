"""Programs and maps that are in the kernel already: opened by id, pin, name or tag."""

from __future__ import annotations

import os
from dataclasses import replace

from ebpfasm.errors import LoadError, error
from ebpfasm.ir.specs import MapSpec, MapTypes, ProgramSpec
from ebpfasm.runtime import syscall
from ebpfasm.runtime.info.btf import loaded_btf
from ebpfasm.runtime.info.ids import open_by_id, walk_ids
from ebpfasm.runtime.info.map import is_frozen, read_map_info
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.pins import check_shape, open_pin
from ebpfasm.runtime.programs import Program


def program_by_id(number: int) -> Program:
    """Open the program with an id. Raises LoadError."""
    return _program(open_by_id(syscall.PROG_GET_FD_BY_ID, number, f"program {number}"))


def pinned_program(path: str | os.PathLike[str]) -> Program:
    """Open a program that is pinned in a BPF file system. Raises LoadError."""
    return _program(open_pin(path, "prog"))


def find_program(*, name: str | None = None, tag: str | None = None) -> Program:
    """Open the only program with a name, as far as the kernel keeps it, or tag. Raises LoadError.

    Of several with the same tag, which have the same instructions, the newest is taken.
    """
    found: list[int] = []
    for number in walk_ids(syscall.PROG_GET_NEXT_ID, "programs"):
        try:
            with program_by_id(number) as each:
                info = each.info()
        except LoadError:
            continue  # it is gone meanwhile
        if (name is None or info.name == name[:15]) and (tag is None or info.tag == tag):
            found.append(number)
    what = f"program with the tag {tag}" if name is None else f"program {name!r}"
    if not found:
        raise LoadError(error("load-failed", f"there is no {what} in the kernel"))
    if len(found) > 1 and tag is None:
        numbers = ", ".join(map(str, found))
        message = f"there are {len(found)} programs {name!r} in the kernel"
        raise LoadError(error("load-failed", message, hint=f"choose one by its id: {numbers}"))
    return program_by_id(found[-1])


def _program(fd: int) -> Program:
    program = Program(ProgramSpec("", "", "", ()), fd)
    try:
        info = program.info()
    except BaseException:
        program.close()
        raise
    program.name = info.name or f"prog_{info.id}"
    program.type = info.type
    program.spec = ProgramSpec(program.name, "", info.type, ())
    return program


def map_by_id(number: int) -> Map:
    """Open the map with an id; keys and values have the types that it was made with.

    Raises LoadError.
    """
    return _map(open_by_id(syscall.MAP_GET_FD_BY_ID, number, f"map {number}"))


def pinned_map(path: str | os.PathLike[str], spec: MapSpec | None = None) -> Map:
    """Open a map that is pinned in a BPF file system, one that fits `spec` where that is given.

    Raises LoadError, of the code "map-mismatch" with every differing field where it does not.
    """
    fd = open_pin(path, "map")
    if spec is None:
        return _map(fd)
    try:
        check_shape(fd, spec, f"the map pinned at {os.fspath(path)!r}")
        return Map(spec, fd)
    except BaseException:
        os.close(fd)
        raise


def _map(fd: int) -> Map:
    try:
        return Map(spec_of(fd), fd)
    except BaseException:
        os.close(fd)
        raise


def spec_of(fd: int) -> MapSpec:
    """Describe an open map by what the kernel says of it, its types included. Raises LoadError."""
    info = read_map_info(fd)
    spec = MapSpec(
        info.name or f"map_{info.id}", info.type, info.key_size, info.value_size,
        info.max_entries, info.flags, map_extra=info.map_extra, frozen=is_frozen(fd),
    )  # fmt: skip
    btf = loaded_btf(info.btf_id)
    if btf is None:
        return spec
    return replace(spec, types=MapTypes(btf.types, info.key_type_id, info.value_type_id))
