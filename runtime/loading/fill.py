"""A program's code with what only this load knows: maps that are open, kernel symbols.

Map descriptors, BTF ids and addresses of kernel symbols take the place of names. What is weak
and not there becomes null; a call of it a call of a function that does not exist, which the
verifier refuses where it can be reached, as libbpf does it.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Container, Mapping
from types import MappingProxyType
from typing import assert_never

from ebpfasm.emit.code import Image
from ebpfasm.errors import LoadError, Location, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.ir.packed import Packed
from ebpfasm.ir.references import CoreRef, FunctionRef, KfuncRef, KsymRef, LabelRef, MapRef, VarRef
from ebpfasm.isa.codec import SLOT, ByteOrder
from ebpfasm.isa.table import BY_NAME
from ebpfasm.runtime.loading.externs import Externs, InKernel
from ebpfasm.runtime.loading.log import Poison
from ebpfasm.runtime.maps import Map

_MASK = 0xFFFF_FFFF
# A call, and half of a 64-bit immediate.
_LAYOUTS: dict[ByteOrder, tuple[struct.Struct, struct.Struct]] = {
    "little": (struct.Struct("<BBhi"), struct.Struct("<I")),
    "big": (struct.Struct(">BBhi"), struct.Struct(">I")),
}
_NO_TABLES: Mapping[str, Map] = MappingProxyType({})
# Libbpf's POISON_CALL_KFUNC_BASE and POISON_LDIMM64_MAP_BASE
_MISSING_KFUNC, _MISSING_MAP = 2002000000, 2001000000


def _src(name: str) -> int:
    return BY_NAME[name].fixed_fields.get("src", 0)


_LDDW, _CALL = BY_NAME["lddw"].opcode, BY_NAME["call_helper"].opcode
_MAP_FD, _MAP_VALUE = _src("lddw_map_fd"), _src("lddw_map_value")
_BTF_ID, _KFUNC = _src("lddw_btf_id"), _src("call_kfunc")


@dataclass(frozen=True, slots=True)
class Filled:
    """The code, and why the slots that must not be reached must not."""

    code: bytearray
    poisons: Mapping[int, Poison]


class Filling:
    """What is known at load: the maps that are open, and kernel symbols.

    Maps that are `left_out` may be named where no path leads.
    """

    def __init__(
        self,
        maps: Mapping[str, Map],
        externs: Externs,
        byteorder: ByteOrder,
        left_out: Container[str] = (),
    ) -> None:
        self.maps, self._externs = maps, externs
        self._left_out = left_out
        self._call, self._word = _LAYOUTS[byteorder]
        self._big = byteorder == "big"

    def fill(
        self, linked: LinkedProgram, image: Image, tables: Mapping[str, Map] = _NO_TABLES
    ) -> Filled:
        """Fill a program in; `tables` are maps that only this program has.

        Raises LoadError with a diagnostic for every name that is missing.
        """
        work = _Work(bytearray(image.code), {}, [], tables)
        for each in image.relocations:
            match each.ref:
                case MapRef(name=name):
                    self._map(work, each.slot, name, linked)
                case VarRef(map=name, offset=offset):
                    self._map(work, each.slot, name, linked, offset)
                case KfuncRef():
                    self._kfunc(work, each.slot, each.ref)
                case KsymRef():
                    self._ksym(work, each.slot, each.ref)
                case CoreRef():
                    raise AssertionError("ir.core leaves none of these")
                case LabelRef() | FunctionRef():
                    raise AssertionError("ir.link leaves none of these")
                case _:
                    assert_never(each.ref)
        if work.missing:
            places = _places(linked, [slot for slot, _ in work.missing])
            wrong = [
                error("link-map", f"map {name!r} is not there to be loaded", places[slot])
                for slot, name in work.missing
            ]
            raise LoadError(*wrong, errno=errno.EINVAL)
        return Filled(work.code, work.poisons)

    def _map(
        self, work: _Work, slot: int, name: str, linked: LinkedProgram, offset: int | None = None
    ) -> None:
        live = work.tables.get(name) or self.maps.get(name)
        if live is None and name in self._left_out:
            self._poison_map(work, slot, name)
            return
        if live is None:
            work.missing.append((slot, name))
            return
        src = _MAP_FD if offset is None else _MAP_VALUE
        self._load(work.code, slot, src, live.fd, offset or 0)

    def _poison_map(self, work: _Work, slot: int, name: str) -> None:
        for each in (slot, slot + 1):
            self._call.pack_into(work.code, each * SLOT, _CALL, 0, 0, _MISSING_MAP)
        message = f"it uses map {name!r}, which is left out"
        work.poisons[slot] = Poison(
            "link-map", message, "create it too, or check before it is used"
        )

    def _kfunc(self, work: _Work, slot: int, ref: KfuncRef) -> None:
        found = self._externs.kfuncs.get(ref.name)
        at = slot * SLOT
        if work.code[at] == _LDDW:
            self._address(work.code, slot, found)
        elif found is not None:
            registers = self._registers(0, _KFUNC)
            place = self._externs.place_of(found.fd)
            self._call.pack_into(work.code, at, _CALL, registers, place, found.btf_id)
        else:
            self._call.pack_into(work.code, at, _CALL, 0, 0, _MISSING_KFUNC)
            message = f"it calls {ref.name}, which this kernel does not have"
            hint = f"check it first: if (bpf_ksym_exists({ref.name}))"
            work.poisons[slot] = Poison("load-symbol", message, hint)

    def _ksym(self, work: _Work, slot: int, ref: KsymRef) -> None:
        if ref.name in self._externs.variables and self._is_typed(work.code, slot, ref):
            self._address(work.code, slot, self._externs.variables[ref.name])
        else:
            address = self._externs.addresses.get(ref.name) or 0
            self._load(work.code, slot, 0, address & _MASK, address >> 32)

    def _is_typed(self, code: bytearray, slot: int, ref: KsymRef) -> bool:
        registers = code[slot * SLOT + 1]
        return ref.type_id != 0 or (registers & 0xF if self._big else registers >> 4) == _BTF_ID

    def _address(self, code: bytearray, slot: int, found: InKernel | None) -> None:
        if found is None:
            self._load(code, slot, 0, 0, 0)
        else:
            self._load(code, slot, _BTF_ID, found.btf_id, found.fd)

    def _load(self, code: bytearray, slot: int, src: int, low: int, high: int) -> None:
        """Write the operands of a 64-bit load; its destination stays."""
        at = slot * SLOT
        registers = code[at + 1]
        dst = registers >> 4 if self._big else registers & 0xF
        code[at + 1] = self._registers(dst, src)
        self._word.pack_into(code, at + 4, low & _MASK)
        self._word.pack_into(code, at + SLOT + 4, high & _MASK)

    def _registers(self, dst: int, src: int) -> int:
        return dst << 4 | src if self._big else src << 4 | dst


@dataclass(frozen=True, slots=True)
class _Work:
    code: bytearray
    poisons: dict[int, Poison]
    missing: list[tuple[int, str]]
    tables: Mapping[str, Map]


def _places(linked: LinkedProgram, slots: list[int]) -> dict[int, Location | None]:
    found: dict[int, Location | None] = dict.fromkeys(slots)
    if isinstance(linked.instructions, Packed):
        packed = linked.instructions
        for index in packed.refs:
            if packed.slots[index] in found:
                found[packed.slots[index]] = packed.span(index)
        return found
    found.update((slot, each.span) for slot, each in linked.slots() if slot in found)
    return found
