"""Programs that are in the kernel already: opened by id, pin, name or tag, and read back.

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
from typing import Any

from ebpfasm.asm.translated import Translated
from ebpfasm.btf import codec
from ebpfasm.btf.ext import (
    FUNC_INFO_SIZE,
    LINE_INFO_SIZE,
    FuncInfo,
    LineInfo,
    unpack_func_info,
    unpack_line_info,
)
from ebpfasm.btf.strings import StringSection
from ebpfasm.btf.types import Btf, DataSec, Func, Var
from ebpfasm.errors import BtfError, LineSpan, LoadError, error
from ebpfasm.ir import MapSpec, ProgramSpec
from ebpfasm.ir.specs import VarSpec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.objects import object_info, text_of
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.refusals import refused
from ebpfasm.runtime.symbols import named

# Opening by id is for CAP_SYS_ADMIN alone (bpf_prog_get_fd_by_id in kernel/bpf/syscall.c).
_ADMIN = ("CAP_SYS_ADMIN",)
_ORDER: ByteOrder = "little" if sys.byteorder == "little" else "big"

# struct bpf_prog_info: where the tables' counts, record sizes and places are (linux/bpf.h)
_PROG_INFO_SIZE = 232
_XLATED = 20, 32
_FUNCTIONS, _LINES = (144, 132, 136, FUNC_INFO_SIZE), (148, 172, 152, LINE_INFO_SIZE)
# struct bpf_map_info up to map_extra; struct bpf_btf_info
_MAP_INFO = struct.Struct("=6I16s2I2Q4IQ")
_MAP_BTF, _MAP_VALUE_TYPE = 11, 13  # fields of it
_BTF_INFO = struct.Struct("=QIIQII")


def open_id(number: int) -> Program:
    """Open the program with an id. Raises LoadError."""
    return _opened(_by_id(syscall.PROG_GET_FD_BY_ID, number, f"program {number}"))


def open_pinned(path: str | os.PathLike[str]) -> Program:
    """Open a program that is pinned in a BPF file system. Raises LoadError."""
    text = os.fspath(path)
    name = bytearray(os.fsencode(text) + b"\0")
    try:
        attributes = bytearray(struct.pack("=QII", syscall.address(name), 0, 0))
        fd = syscall.bpf(syscall.OBJ_GET, attributes)
    except OSError as refusal:
        raise refused("load-failed", f"open {text!r}", refusal.errno or 0) from None
    kind = _kind(fd)
    if kind != "bpf-prog":
        os.close(fd)
        message = f"cannot open {text!r}: it is a {kind.removeprefix('bpf-')}, not a program"
        raise LoadError(error("load-failed", message), errno=errno.EINVAL)
    return _opened(fd)


def _kind(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}").removeprefix("anon_inode:").strip("[]")


def open_named(*, name: str | None = None, tag: str | None = None) -> Program:
    """Open the only program with a name, as far as the kernel keeps it, or tag. Raises LoadError.

    Of several with the same tag, which have the same instructions, the newest is taken.
    """
    found: list[int] = []
    for number in _program_ids():
        try:
            with open_id(number) as each:
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
    return open_id(found[-1])


def _program_ids() -> Iterator[int]:
    number = 0
    while True:
        attributes = bytearray(struct.pack("=III", number, 0, 0))
        try:
            syscall.bpf(syscall.PROG_GET_NEXT_ID, attributes)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return
            what = "list the programs"
            raise refused("load-failed", what, refusal.errno or 0, needs=_ADMIN) from None
        (number,) = struct.unpack_from("=I", attributes, 4)
        yield number


def _by_id(command: int, number: int, what: str) -> int:
    if not 0 < number < 1 << 32:
        raise LoadError(error("load-failed", f"there is no {what}: ids are numbers from 1 on"))
    try:
        return syscall.bpf(command, bytearray(struct.pack("=III", number, 0, 0)))
    except OSError as refusal:
        if refusal.errno == errno.ENOENT:
            raise LoadError(
                error("load-failed", f"there is no {what} in the kernel"), errno=errno.ENOENT
            ) from None
        raise refused("load-failed", f"open {what}", refusal.errno or 0, needs=_ADMIN) from None


def _opened(fd: int) -> Program:
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


def translated(program: Program) -> Translated:
    """Read a program's instructions back, with every name that the kernel knows for them.

    Raises LoadError: where the right to see instructions is missing, and what `Program.info`
    raises. Maps, types and symbols that cannot be read are left out.
    """
    info = program.info()
    tables = _tables(program)
    if not tables.code:
        raise refused("load-failed", f"read program {program.name!r}", errno.EPERM, needs=_ADMIN)
    btf = _btf(info.btf_id)
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
        raise refused("load-failed", what, refusal.errno or 0, needs=_ADMIN) from None


@dataclass(frozen=True, slots=True)
class _Types:
    types: Btf
    strings: StringSection


def _btf(number: int) -> _Types | None:
    """BTF that is in the kernel, None where there is none or it cannot be read."""
    if number == 0:
        return None
    try:
        fd = _by_id(syscall.BTF_GET_FD_BY_ID, number, f"BTF {number}")
    except LoadError:
        return None
    try:
        info = bytearray(_BTF_INFO.size)
        object_info(fd, info)
        data = bytearray(_BTF_INFO.unpack(info)[1])
        info = bytearray(_BTF_INFO.pack(syscall.address(data), len(data), 0, 0, 0, 0))
        object_info(fd, info)
        return _Types(codec.decode(bytes(data)), codec.decode_strings(bytes(data)))
    except (OSError, BtfError):
        return None
    finally:
        os.close(fd)


def _function_names(records: tuple[FuncInfo, ...], btf: _Types | None) -> dict[int, str]:
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


def _lines(records: tuple[LineInfo, ...], btf: _Types | None) -> dict[int, LineSpan]:
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
        kind, _, key, value, entries, flags, raw = info[:7]
        name = text_of(raw) or f"map_{number}"
        name = f"{name}_{number}" if name in taken else name
        taken.add(name)
        specs[number] = MapSpec(name, MAP_TYPES.name_of(kind), key, value, entries, flags)
        variables += _variables(name, info[_MAP_BTF], info[_MAP_VALUE_TYPE])
    return specs, tuple(variables)


def _map_info(number: int) -> tuple[Any, ...] | None:
    try:
        fd = _by_id(syscall.MAP_GET_FD_BY_ID, number, f"map {number}")
    except LoadError:
        return None
    raw = bytearray(_MAP_INFO.size)
    try:
        object_info(fd, raw)
    except OSError:
        return None
    finally:
        os.close(fd)
    return _MAP_INFO.unpack(raw)


def _variables(map: str, btf_id: int, value: int) -> Iterator[VarSpec]:
    """The variables of a map whose value is a section of them."""
    btf = _btf(btf_id) if value else None
    types = btf.types.types if btf is not None else ()
    section = types[value - 1] if 0 < value <= len(types) else None
    if not isinstance(section, DataSec):
        return
    for each in section.variables:
        variable = types[each.type - 1]
        if isinstance(variable, Var):
            yield VarSpec(variable.name, map, each.offset, each.size)
