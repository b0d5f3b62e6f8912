"""An object's BTF in the kernel, and each program's part of its debug information.

Programs of an object share its types. What has none of its own, assembly above all, gets BTF
made for it, a program at a time, whose lines are the user's.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field
from types import MappingProxyType

from ebpfasm.btf.types import DataSec, Types, Var
from ebpfasm.closing import Closing
from ebpfasm.emit.debug import debug_info
from ebpfasm.frozen import dataclass
from ebpfasm.ir.debug import FunctionDebug, ObjectDebug
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.specs import KconfigSpec, ProgramSpec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.runtime.loading.btf_load import load_btf

_ORDER: ByteOrder = "little" if sys.byteorder == "little" else "big"
KCONFIG = ".kconfig"
_NO_KCONFIG: Mapping[str, KconfigSpec] = MappingProxyType({})
# Where a data section's size is in its BTF; its variables, of three words each, stand behind.
_SECTION_SIZE = 8
_FUNC_INFO = struct.Struct("=II")  # slot, id of the Func
_LINE_SIZE = 16


@dataclass(frozen=True, slots=True)
class ProgramDebug:
    """A program's BTF in the kernel, and its tables; the descriptor is 0 where there is none."""

    fd: int = 0
    func_info: bytearray = field(default_factory=bytearray)
    line_info: bytearray = field(default_factory=bytearray)
    func_size: int = 0
    line_size: int = 0

    @property
    def func_count(self) -> int:
        """Records in `func_info`."""
        return len(self.func_info) // self.func_size if self.func_size else 0

    @property
    def line_count(self) -> int:
        """Records in `line_info`."""
        return len(self.line_info) // self.line_size if self.line_size else 0


NO_DEBUG = ProgramDebug()


class ObjectBtf(Closing):
    """The types of one object, given to the kernel when they are first needed.

    `fd` is 0 where there are none, or where the kernel refuses them: that alone stops nothing.
    """

    def __init__(
        self,
        debug: ObjectDebug | None,
        kconfig: Mapping[str, KconfigSpec] = _NO_KCONFIG,
        token: int = 0,
    ) -> None:
        self._debug, self._kconfig, self._token = debug, kconfig, token
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The descriptor, open until close()."""
        if self._fd is None:
            types = None if self._debug is None else _placed(self._debug, self._kconfig)
            self._fd = 0 if types is None else load_btf(types, self._token)
        return self._fd

    def has(self, types: Types) -> bool:
        """Whether a map's types are this object's."""
        return self._debug is not None and types is self._debug.btf

    def close(self) -> None:
        """Close the descriptor; programs and maps keep their types."""
        if self._fd:
            os.close(self._fd)
        self._fd = 0

    @contextmanager
    def of(self, linked: LinkedProgram) -> Iterator[ProgramDebug]:
        """A program's debug information, good while the context lasts."""
        functions = _functions(linked.program)
        if self._debug is not None and functions is not None and self.fd:
            yield _from_object(self.fd, linked, functions)
            return
        made = debug_info(linked, byteorder=_ORDER)
        fd = load_btf(made.btf, self._token)
        try:
            yield NO_DEBUG if not fd else ProgramDebug(
                fd, bytearray(made.func_info), bytearray(made.line_info),
                made.func_info_rec_size, made.line_info_rec_size,
            )  # fmt: skip
        finally:
            if fd:
                os.close(fd)


def _placed(debug: ObjectDebug, kconfig: Mapping[str, KconfigSpec]) -> bytes:
    """The object's types with the places of .kconfig variables, which no compiler knows."""
    found = debug.btf.find(DataSec, KCONFIG) if kconfig else []
    if not found:
        return debug.data
    section = debug.btf.get(found[0])
    assert isinstance(section, DataSec)
    rows = []
    for each in section.variables:
        variable = debug.btf.get(each.type)
        spec = kconfig.get(variable.name) if isinstance(variable, Var) else None
        if spec is None:
            return debug.data  # a variable that nobody uses has no place
        rows.append((each.type, spec.offset, spec.size))
    rows.sort(key=lambda row: row[1])
    data, at = bytearray(debug.data), debug.btf.place(found[0])
    word = struct.Struct("<I" if debug.byteorder == "little" else ">I")
    words = [rows[-1][1] + rows[-1][2], *(number for row in rows for number in row)]
    for index, number in enumerate(words):
        word.pack_into(data, at + _SECTION_SIZE + index * word.size, number)
    return bytes(data)


def _functions(program: ProgramSpec) -> list[FunctionDebug] | None:
    """The information of each function, None where it lacks for one."""
    found = [program.debug, *(each.debug for each in program.functions)]
    known = [each for each in found if each is not None and each.func]
    return known if len(known) == len(found) else None


def _from_object(fd: int, linked: LinkedProgram, functions: list[FunctionDebug]) -> ProgramDebug:
    """Tables of the functions that the program is made of, at the slots where they begin."""
    info, lines = bytearray(), bytearray()
    complete = True
    for place, each in zip(linked.functions, functions, strict=True):
        info += _FUNC_INFO.pack(place.slot, each.func)
        own = each.lines_at(place.slot)
        # The kernel wants a line for each function's first instruction, or no lines at all.
        complete = complete and bool(own) and own[0] == place.slot
        lines += memoryview(own).cast("B")
    if not complete:
        return ProgramDebug(fd, info, bytearray(), _FUNC_INFO.size, 0)
    return ProgramDebug(fd, info, lines, _FUNC_INFO.size, _LINE_SIZE)
