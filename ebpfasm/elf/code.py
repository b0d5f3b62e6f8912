"""A function's bytes as a stream: instructions checked, relocations turned into references."""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import le
from typing import Protocol

from ebpfasm.elf.function_symbols import FunctionSymbol
from ebpfasm.elf.jump_tables import JumpTables
from ebpfasm.elf.records import Records
from ebpfasm.elf.source import Input
from ebpfasm.elf.tables import Relocations
from ebpfasm.errors import Diagnostic, Location
from ebpfasm.ir.lifted import Lifted, LinePlaces, NoPlaces, line_span
from ebpfasm.ir.object import ObjectRelocation
from ebpfasm.ir.packed import Packed, Places
from ebpfasm.ir.references import (
    CoreRef,
    FunctionRef,
    KfuncRef,
    KsymRef,
    MapRef,
    Reference,
    VarRef,
)
from ebpfasm.ir.scan import little_endian, starts, wide_slots
from ebpfasm.isa.codec import SLOT
from ebpfasm.isa.table import BY_NAME

_CALL, _WIDE = BY_NAME["call_local"].opcode, BY_NAME["lddw"].opcode
_SOURCE = {
    name: BY_NAME[name].fixed_fields.get("src", 0)
    for name in ("call_local", "call_kfunc", "lddw", "lddw_map_fd", "lddw_map_value",
                 "lddw_btf_id", "lddw_func")
}  # fmt: skip
_IMM = struct.Struct("<i")
_NO_OFFSET, _NO_HALF = bytes(6), bytes(4)
Place = Callable[[], str]
_CALL_LOCAL = bytes((_CALL, _SOURCE["call_local"] << 4))


class Resolver(Protocol):
    """Says what an instruction's relocation stands for; None where that was reported.

    `place` says where the instruction is, for a report.
    """

    def call(self, place: Callable[[], str], symbol: int, imm: int) -> Reference | None:
        """The callee of a call whose immediate is `imm`."""

    def address(self, place: Callable[[], str], symbol: int, imm: int) -> Reference | None:
        """What a 64-bit immediate is the address of."""

    def callee(self, place: Callable[[], str], section: int, offset: int) -> Reference | None:
        """The function at an offset, for a call without a relocation."""


class Code:
    """The code of all functions of one object."""

    def __init__(
        self, given: Input, records: Records | None, resolver: Resolver, tables: JumpTables
    ) -> None:
        self._given = given
        self._records = records
        self._resolver = resolver
        self.tables = tables
        self._contents: dict[int, bytes] = {}
        self._relocations: dict[int, tuple[list[int], list[int]]] = {}
        self._resolved: dict[tuple[bool, int, int], Reference] = {}
        self._known: dict[tuple[int, int, int], Lifted] = {}

    def stream(self, function: FunctionSymbol) -> Lifted:
        """A function's items. What is wrong in it is reported."""
        key = function.section, function.offset, function.size
        if key not in self._known:
            self._known[key] = self._read(function)
        return self._known[key]

    def _read(self, function: FunctionSymbol) -> Lifted:
        begin = function.offset
        code = self._content(function.section)[begin : begin + function.size]
        wide = wide_slots(code)
        if isinstance(wide, Diagnostic):
            message = f"{function.name} in section {self._given.section(function.section).name}"
            self._given.report("elf-code", f"{message}: {wide.message}")
            return Lifted(Packed(b"", array("I"), NoPlaces(), {}))
        return _Function(self, function, bytearray(code), wide).stream()

    def _content(self, section: int) -> bytes:
        """A section's code, little-endian."""
        if section not in self._contents:
            content = self._given.section(section).content
            self._contents[section] = content if self._given.little else little_endian(
                content[: len(content) // SLOT * SLOT]
            )  # fmt: skip
        return self._contents[section]

    def relocations(self, function: FunctionSymbol) -> Iterable[tuple[int, int]]:
        """A function's relocations in order: offset in the section, number of the symbol."""
        if function.section not in self._relocations:
            found = self._given.section(function.section).relocations
            if not found:
                return ()
            self._relocations[function.section] = _columns(found)
        offsets, symbols = self._relocations[function.section]
        first = bisect_left(offsets, function.offset)
        last = bisect_left(offsets, function.offset + function.size, first)
        return zip(offsets[first:last], symbols[first:last], strict=True)

    def resolve(self, is_call: bool, symbol: int, imm: int, place: Place) -> Reference | None:
        """What a relocation stands for; the same one is looked up once."""
        key = is_call, symbol, imm
        found = self._resolved.get(key)
        if found is None:
            resolver = self._resolver
            found = (resolver.call if is_call else resolver.address)(place, symbol, imm)
            if found is not None:
                self._resolved[key] = found
        return found


def _columns(found: Sequence[ObjectRelocation]) -> tuple[list[int], list[int]]:
    """Offsets and symbols of relocations, by offset."""
    if isinstance(found, Relocations):
        offsets, symbols = found.offsets, found.symbols
    else:
        offsets = [each.offset for each in found]
        symbols = [each.symbol for each in found]
    if all(map(le, offsets, offsets[1:])):
        return offsets, symbols
    rows = sorted(zip(offsets, symbols, strict=True))
    return [offset for offset, _ in rows], [symbol for _, symbol in rows]


class _Function:
    """One function while it is read."""

    def __init__(
        self, code: Code, function: FunctionSymbol, content: bytearray, wide: array[int]
    ) -> None:
        self._code, self._function = code, function
        self._content, self._wide = content, wide
        self._wide_set = frozenset(wide)
        self._refs: dict[int, Reference] = {}
        self._refused: set[int] = set()

    def stream(self) -> Lifted:
        self._relocate()
        self._calls()
        records = self._code._records
        places: Places = NoPlaces()
        if records is not None:
            for offset, core in records.relocations(self._function):
                self._core(offset, core)
            debug = records.function(self._function)
            if debug.has_lines:
                places = LinePlaces(debug)
        refs = {
            slot - bisect_left(self._wide, slot): self._refs[slot] for slot in sorted(self._refs)
        }
        slots = starts(len(self._content) // SLOT, self._wide)
        landings = self._code.tables.landings(self._function)
        return Lifted(Packed(bytes(self._content), slots, places, refs), landings)

    def _place(self, slot: int) -> str:
        at = self._function.offset + slot * SLOT
        return f"{self._function.name} ({self._code._given.place(self._function.section, at)})"

    def _relocate(self) -> None:
        content, begin, resolve = self._content, self._function.offset, self._code.resolve
        tables = self._code.tables
        for offset, symbol in self._code.relocations(self._function):
            at = offset - begin
            slot, opcode = at >> 3, content[at]
            if at & 7 or (opcode != _WIDE and opcode != _CALL) or slot - 1 in self._wide_set:
                self._misplaced(slot, symbol)
                continue
            (imm,) = _IMM.unpack_from(content, at + 4)
            place = partial(self._place, slot)
            ref: Reference | None
            if opcode == _WIDE and tables.has(symbol):
                ref = tables.reference(self._function, place, symbol, imm)
            else:
                ref = resolve(opcode == _CALL, symbol, imm, place)
            if ref is not None:
                self._refer(slot, ref)
            else:
                self._refused.add(slot)

    def _misplaced(self, slot: int, symbol: int) -> None:
        given = self._code._given
        name = given.symbol(symbol).name
        message = f"{self._place(slot)}: no instruction here can be relocated (to {name!r})"
        given.report("elf-relocation", message, self._span(slot))

    def _span(self, slot: int) -> Location | None:
        records = self._code._records
        if records is None:
            return None
        debug = records.function(self._function)
        number = debug.record_at(slot)
        return None if number is None else line_span(debug, number)

    def _refer(self, slot: int, ref: Reference) -> None:
        """Write the row that takes such a reference, with nothing in its immediate."""
        content, at = self._content, slot * SLOT
        wide = content[at] == _WIDE
        # Registers are in one byte: the destination stays.
        content[at + 1] = content[at + 1] & 15 | _source(ref, wide) << 4
        content[at + 2 : at + 8] = _NO_OFFSET
        if wide:
            content[at + SLOT + 4 : at + 2 * SLOT] = _NO_HALF
        self._refs[slot] = ref

    def _calls(self) -> None:
        """Calls that the compiler resolved: of functions of the same section."""
        content = self._content
        at = content.find(_CALL_LOCAL)
        while at >= 0:
            slot, rest = divmod(at, SLOT)
            if rest == 0 and self._is_open(slot):
                (imm,) = _IMM.unpack_from(content, at + 4)
                target = self._function.offset + at + SLOT * (imm + 1)
                section = self._function.section
                ref = self._code._resolver.callee(partial(self._place, slot), section, target)
                if ref is not None:
                    self._refer(slot, ref)
            at = content.find(_CALL_LOCAL, at + 1)

    def _is_open(self, slot: int) -> bool:
        """Whether an instruction begins at a slot and no relocation was for it."""
        known = slot in self._refs or slot in self._refused
        return not known and slot - 1 not in self._wide_set

    def _core(self, offset: int, core: CoreRef) -> None:
        slot, rest = divmod(offset - self._function.offset, SLOT)
        if rest or slot - 1 in self._wide_set or slot in self._refs:
            message = f"{self._place(slot)}: no instruction here can take a CO-RE relocation"
            self._code._given.report("elf-relocation", message, self._span(slot))
            return
        self._refs[slot] = core


def _source(ref: Reference, wide: bool) -> int:
    """What the source field says of such a reference: Linux's BPF_PSEUDO_*."""
    match ref:
        case VarRef():
            return _SOURCE["lddw_map_value"]
        case MapRef():
            return _SOURCE["lddw_map_fd"]
        case FunctionRef():
            return _SOURCE["lddw_func" if wide else "call_local"]
        case KfuncRef():
            return _SOURCE["call_kfunc"]
        case KsymRef(type_id=type_id):
            return _SOURCE["lddw_btf_id" if type_id else "lddw"]
        case _:
            raise AssertionError(ref)
