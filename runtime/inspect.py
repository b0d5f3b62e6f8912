"""Programs that are in the kernel already, read back.

What the kernel shows is the program as the verifier rewrote it; `translated` gathers it with all
that names what is in it: BTF's functions and source lines, the maps, and /proc/kallsyms for the
kernel's own functions, as bpftool does.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from ebpfasm.asm.writing.translated import Translated
from ebpfasm.btf.ext import (
    FUNC_INFO_SIZE,
    LINE_INFO_SIZE,
    FuncInfo,
    LineInfo,
    unpack_func_info,
    unpack_line_info,
)
from ebpfasm.btf.types import DataSec, Func, Var
from ebpfasm.errors import BtfError, LineSpan, LoadError
from ebpfasm.ir import MapSpec
from ebpfasm.ir.specs import VarSpec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.runtime import syscall
from ebpfasm.runtime.info.btf import LoadedBtf, loaded_btf
from ebpfasm.runtime.info.ids import ADMIN, open_by_id
from ebpfasm.runtime.info.map import MapInfo, read_map_info
from ebpfasm.runtime.objects import object_info
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.refusals import refused
from ebpfasm.runtime.symbols import named

_ORDER: ByteOrder = "little" if sys.byteorder == "little" else "big"

# struct bpf_prog_info: where the tables' counts, record sizes and places are (linux/bpf.h)
_PROG_INFO_SIZE = 232
_XLATED = 20, 32
_FUNCTIONS, _LINES = (144, 132, 136, FUNC_INFO_SIZE), (148, 172, 152, LINE_INFO_SIZE)


def translated(program: Program) -> Translated:
    """Read a program's instructions back, with every name that the kernel knows for them.

    Raises LoadError: where the right to see instructions is missing, and what `Program.info`
    raises. Maps, types and symbols that cannot be read are left out.
    """
    info = program.info()
    tables = _tables(program)
    if not tables.code:
        raise refused("load-failed", f"read program {program.name!r}", errno.EPERM, needs=ADMIN)
    btf = loaded_btf(info.btf_id)
    functions = _function_names(tables.functions, btf)
    maps, variables = _maps(info.map_ids)
    plain = Translated(
        functions.get(0) or program.name, tables.code, functions, _lines(tables.lines, btf), maps,
        variables,
    )  # fmt: skip
    return named(plain)


@dataclass(frozen=True, slots=True)
class _Tables:
    code: bytes
    functions: tuple[FuncInfo, ...]
    lines: tuple[LineInfo, ...]


def _tables(program: Program) -> _Tables:
    """The instructions and tables, read in one call, so that they belong together."""
    sizes = bytearray(_PROG_INFO_SIZE)
    _ask(program, sizes)
    info = bytearray(_PROG_INFO_SIZE)
    (length,) = struct.unpack_from("=I", sizes, _XLATED[0])
    code = bytearray(length)
    struct.pack_into("=I", info, _XLATED[0], length)
    struct.pack_into("=Q", info, _XLATED[1], syscall.address(code))
    buffers = []
    for count_at, size_at, place, size in (_FUNCTIONS, _LINES):
        (count,) = struct.unpack_from("=I", sizes, count_at)
        buffer = bytearray(count * size)
        struct.pack_into("=I", info, count_at, count)
        struct.pack_into("=I", info, size_at, size if count else 0)
        struct.pack_into("=Q", info, place, syscall.address(buffer))
        buffers.append(buffer)
    _ask(program, info)
    shown = struct.unpack_from("=Q", info, _XLATED[1])[0] != 0
    functions, lines = map(bytes, buffers)
    return _Tables(
        bytes(code) if shown else b"",
        unpack_func_info(functions, byteorder=_ORDER),
        unpack_line_info(lines, byteorder=_ORDER),
    )


def _ask(program: Program, info: bytearray) -> None:
    try:
        object_info(program.fd, info)
    except OSError as refusal:
        what = f"read program {program.name!r}"
        raise refused("load-failed", what, refusal.errno or 0, needs=ADMIN) from None


def _function_names(records: tuple[FuncInfo, ...], btf: LoadedBtf | None) -> dict[int, str]:
    found: dict[int, str] = {}
    if btf is None:
        return found
    for record in records:
        type_id = record.type_id - 1
        each = btf.types.types[type_id] if 0 <= type_id < len(btf.types.types) else None
        name = each.name if isinstance(each, Func) else f"func_{record.insn_off}"
        # Static functions of one name may come from several files.
        found[record.insn_off] = name if name not in found.values() else f"{name}_{record.insn_off}"
    return found


def _lines(records: tuple[LineInfo, ...], btf: LoadedBtf | None) -> dict[int, LineSpan]:
    if btf is None:
        return {}
    try:
        return {
            each.insn_off: LineSpan(
                btf.strings.at(each.file_name_off),
                each.line,
                each.column,
                btf.strings.at(each.line_off),
            )
            for each in records
            if each.line
        }
    except BtfError:
        return {}


def _maps(ids: tuple[int, ...]) -> tuple[dict[int, MapSpec], tuple[VarSpec, ...]]:
    """Maps by id, each under a name of its own, and the variables in them."""
    specs: dict[int, MapSpec] = {}
    variables: list[VarSpec] = []
    taken: set[str] = set()
    for number in ids:
        info = _map_info(number)
        if info is None:
            continue
        name = info.name or f"map_{number}"
        name = f"{name}_{number}" if name in taken else name
        taken.add(name)
        specs[number] = MapSpec(
            name, info.type, info.key_size, info.value_size, info.max_entries, info.flags
        )
        variables += _variables(name, info.btf_id, info.value_type_id)
    return specs, tuple(variables)


def _map_info(number: int) -> MapInfo | None:
    try:
        fd = open_by_id(syscall.MAP_GET_FD_BY_ID, number, f"map {number}")
    except LoadError:
        return None
    try:
        return read_map_info(fd)
    except OSError:
        return None
    finally:
        os.close(fd)


def _variables(map: str, btf_id: int, value: int) -> Iterator[VarSpec]:
    """The variables of a map whose value is a section of them."""
    btf = loaded_btf(btf_id) if value else None
    types = btf.types.types if btf is not None else ()
    section = types[value - 1] if 0 < value <= len(types) else None
    if not isinstance(section, DataSec):
        return
    for each in section.variables:
        variable = types[each.type - 1]
        if isinstance(variable, Var):
            yield VarSpec(variable.name, map, each.offset, each.size)
