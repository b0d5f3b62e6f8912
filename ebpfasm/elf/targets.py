"""What an instruction's relocation stands for: a map, a variable, a function, a kernel's name.

The kernel's Documentation/bpf/llvm_reloc.rst says where the addend is: a global symbol has its
place in the symbol, a static one stands behind its section's symbol and in the instruction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping

from ebpfasm.elf.data import DataMap, DataSections
from ebpfasm.elf.externs import Externs
from ebpfasm.elf.function_symbols import Functions
from ebpfasm.elf.source import Input
from ebpfasm.ir.object import ObjectSymbol
from ebpfasm.ir.references import (
    FunctionRef,
    KfuncRef,
    KsymRef,
    MapRef,
    Reference,
    VarRef,
)
from ebpfasm.ir.specs import KconfigSpec
from ebpfasm.isa.codec import SLOT

Place = Callable[[], str]


class Targets:
    """The places of an object that instructions can name."""

    def __init__(
        self,
        given: Input,
        functions: Functions,
        data: DataSections,
        maps: Mapping[tuple[int, int], str],
        externs: Externs,
    ) -> None:
        self._given = given
        self._functions = functions
        self._data = data
        self._maps = maps
        self._externs = externs
        self._map_sections = {section for section, _ in maps}
        self._pointers: dict[int, list[int]] = {}

    # Calls ---------------------------------------------------------------------------------------

    def call(self, place: Place, symbol: int, imm: int) -> Reference | None:
        """The callee of a call whose immediate is `imm`; None where there is none, reported."""
        target = self._given.symbol(symbol)
        if target.section is None:
            return self._kfunc(place, symbol, target)
        if not isinstance(target.section, int):
            self._unknown(place, target)
            return None
        return self.callee(place, target.section, target.value + SLOT * (imm + 1))

    def _kfunc(self, place: Place, symbol: int, target: ObjectSymbol) -> Reference | None:
        match self._externs.find(symbol):
            case KfuncRef() as found:
                return found
            case _:
                hint = "declare a kernel function with __ksym; link files that call each other"
                message = f"{place()}: function {target.name!r} is not defined"
                self._given.report("elf-symbol", message, hint=hint)
                return None

    def callee(self, place: Place, section: int, offset: int) -> Reference | None:
        """The function that begins at an offset; None where none does, reported."""
        found = self._functions.at(section, offset)
        if found is not None:
            return FunctionRef(found.name)
        where = f"section {self._given.section(section).name}, offset {offset:#x}"
        self._given.report("elf-relocation", f"{place()}: no function begins at {where}")
        return None

    # Addresses -----------------------------------------------------------------------------------

    def address(self, place: Place, symbol: int, imm: int) -> Reference | None:
        """What a 64-bit immediate is the address of; None where that cannot be, reported."""
        target = self._given.symbol(symbol)
        section = target.section
        if section is None:
            return self._extern(place, symbol, target)
        if not isinstance(section, int):
            self._unknown(place, target)
            return None
        data = self._data.find(section)
        if data is not None:
            return self._variable(place, data, target, target.value + imm)
        if section in self._map_sections:
            return self._map(place, section, target, imm)
        if self._given.section(section).executable:
            return self.callee(place, section, target.value + imm)
        self._unknown(place, target)
        return None

    def _extern(self, place: Place, symbol: int, target: ObjectSymbol) -> Reference | None:
        match self._externs.find(symbol):
            case KconfigSpec(name=name, offset=offset):
                return VarRef(".kconfig", name, offset)
            case KsymRef() | KfuncRef():
                return self._externs.ksym(symbol)
            case _:
                hint = "declare it with __ksym or __kconfig; link files that share variables"
                message = f"{place()}: {target.name!r} is not defined"
                self._given.report("elf-symbol", message, hint=hint)
                return None

    def _map(self, place: Place, section: int, target: ObjectSymbol, imm: int) -> Reference | None:
        # The addend counts with a section's symbol only: a map has no inside to point to.
        offset = target.value + (imm if target.type == "section" else 0)
        name = self._maps.get((section, offset))
        if name is not None:
            return MapRef(name)
        where = self._given.place(section, offset)
        self._given.report("elf-relocation", f"{place()}: no map begins at {where}")
        return None

    def _variable(
        self, place: Place, data: DataMap, target: ObjectSymbol, offset: int
    ) -> Reference | None:
        found = None
        if target.type != "section" and target.name:
            found = data.named(target.name)
        found = found or data.at(offset)
        if found is None:
            return VarRef(data.name, "", offset)
        pointer = self._pointer(data.section, found.offset, found.offset + found.size)
        if pointer is not None:
            hint = (
                "the kernel gives it an address only when it is loaded: compute it in the program"
            )
            message = f"{place()}: variable {found.name!r} holds the address of {pointer!r}"
            self._given.report("elf-relocation", message, hint=hint)
            return None
        return VarRef(data.name, found.name, offset)

    def _pointer(self, section: int, begin: int, end: int) -> str | None:
        """The name of what a variable's content points to; None where it holds no address."""
        relocations = self._given.section(section).relocations
        if not relocations:
            return None
        if section not in self._pointers:
            self._pointers[section] = sorted(each.offset for each in relocations)
        offsets = self._pointers[section]
        number = bisect_left(offsets, begin)
        if number == len(offsets) or offsets[number] >= end:
            return None
        at = offsets[number]
        first = next(each for each in relocations if each.offset == at)
        return self._given.symbol(first.symbol).name

    def _unknown(self, place: Place, target: ObjectSymbol) -> None:
        if target.section == "common":
            hint = "give it a first value, or compile with -fno-common"
            message = f"{place()}: variable {target.name!r} has no section"
            self._given.report("elf-symbol", message, hint=hint)
            return
        where = "no section"
        if isinstance(target.section, int):
            where = f"section {self._given.section(target.section).name}"
        message = f"{place()}: {target.name!r} in {where} is nothing that a program can name"
        self._given.report("elf-relocation", message)

    # From data -----------------------------------------------------------------------------------

    def named(self, symbol: int) -> MapRef | FunctionRef | None:
        """What a pointer in a map's description points to: a map or a function."""
        target = self._given.symbol(symbol)
        if not isinstance(target.section, int):
            return None
        name = self._maps.get((target.section, target.value))
        if name is not None:
            return MapRef(name)
        found = self._functions.at(target.section, target.value)
        return None if found is None else FunctionRef(found.name)
