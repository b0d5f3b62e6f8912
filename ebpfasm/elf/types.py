"""An object's BTF, with what only the object file knows put in.

Compilers leave the sizes of data sections and the offsets of variables at zero, for relocations to
fill, and say nothing of visibility. The rules are those of libbpf's btf_fixup_datasec.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import DataSec, Func, FuncLinkage, Var, VarLinkage
from ebpfasm.elf.function_symbols import TEXT, Functions
from ebpfasm.elf.source import Input
from ebpfasm.frozen import dataclass
from ebpfasm.ir.object import ObjectSymbol

# Sections of externs: what is in them lies nowhere in the object.
EXTERNS = (".kconfig", ".ksyms")
_LARGEST = (1 << 32) - 1
_HIDDEN = ("hidden", "internal")
_HEAD = 12  # bytes of a type's first three words
_ENTRY = 12  # bytes of a variable in a data section


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as BTF has it, with its place: `type` is the id of its type, `var` its own."""

    name: str
    var: int
    type: int
    offset: int
    size: int
    linkage: int


@dataclass(frozen=True, slots=True, eq=False)
class ObjectTypes:
    """An object's types, and its data sections by name: the section's id and its variables."""

    btf: BtfIndex
    sections: Mapping[str, tuple[int, tuple[Variable, ...]]]


def read_types(
    given: Input, functions: Functions, symbols: Iterable[tuple[int, ObjectSymbol]]
) -> ObjectTypes | None:
    """Read .BTF and complete it; None where there is none. Raises BtfError."""
    section = given.object.section(".BTF")
    if section is None or not section.content:
        return None
    found = BtfIndex(section.content)
    patched = bytearray(section.content)
    fixing = _Fixing(given, found, patched, symbols)
    sections = {each.name: (number, tuple(fixing.datasec(number, each)))
                for number, each in _data_sections(found)}  # fmt: skip
    fixing.hide(functions)
    data = bytes(patched)
    return ObjectTypes(found if data == section.content else found.patched(data), sections)


def _data_sections(found: BtfIndex) -> Iterator[tuple[int, DataSec]]:
    for number in found.of_kind(DataSec):
        each = found.get(number)
        assert isinstance(each, DataSec)
        yield number, each


class _Fixing:
    def __init__(
        self,
        given: Input,
        btf: BtfIndex,
        data: bytearray,
        symbols: Iterable[tuple[int, ObjectSymbol]],
    ) -> None:
        self._given = given
        self._btf = btf
        self._data = data
        self._order = "<" if given.little else ">"
        self._places: dict[tuple[int, str], ObjectSymbol] = {}
        for _, symbol in symbols:
            if isinstance(symbol.section, int) and symbol.type not in ("section", "func"):
                self._places.setdefault((symbol.section, symbol.name), symbol)

    def datasec(self, number: int, section: DataSec) -> list[Variable]:
        """Complete a data section in the bytes; its variables by their offsets."""
        at = self._btf.place(number)
        if section.name in EXTERNS:
            return [self._variable(*entry) for entry in self._entries(section)]
        index = self._given.indices.get(section.name)
        fill = section.size == 0 and index is not None
        if fill and index is not None:
            self._put(at + 8, min(self._given.section(index).size, _LARGEST))
        found: list[tuple[int, int, int]] = []
        for type_id, offset, size in self._entries(section):
            var = self._btf.get(type_id)
            symbol = None
            if isinstance(var, Var) and index is not None:
                symbol = self._places.get((index, var.name))
            if fill and symbol is not None:
                offset = min(symbol.value, _LARGEST)  # what is that large is refused later
            if symbol is not None and symbol.visibility in _HIDDEN:
                self._put(self._btf.place(type_id) + _HEAD, VarLinkage.STATIC)
            found.append((type_id, offset, size))
        found.sort(key=lambda entry: entry[1])
        for row, entry in enumerate(found):
            self._put(at + _HEAD + row * _ENTRY, *entry)
        return [self._variable(*entry) for entry in found]

    def _entries(self, section: DataSec) -> Iterator[tuple[int, int, int]]:
        return ((each.type, each.offset, each.size) for each in section.variables)

    def _variable(self, type_id: int, offset: int, size: int) -> Variable:
        match self._btf.get(type_id):
            case Var(name=name, type=target, linkage=linkage):
                place = self._btf.place(type_id) + _HEAD
                (linkage,) = struct.unpack_from(f"{self._order}I", self._data, place)
                return Variable(name, type_id, target, offset, size, linkage)
            case Func(name=name, type=target):
                return Variable(name, type_id, target, offset, size, VarLinkage.GLOBAL_EXTERN)
            case _:
                pass
        message = f"type {type_id} stands in a data section of .BTF and is no variable"
        raise self._given.refusal("elf-variable", message)

    def hide(self, functions: Functions) -> None:
        """Make hidden functions of .text static, which the verifier then knows more about."""
        hidden = {
            each.name for each in functions
            if each.hidden and self._given.section(each.section).name == TEXT
        }  # fmt: skip
        for name in hidden:
            for number in self._btf.find(Func, name):
                at = self._btf.place(number) + 4
                (info,) = struct.unpack_from(f"{self._order}I", self._data, at)
                self._put(at, info & ~0xFFFF | FuncLinkage.STATIC)

    def _put(self, at: int, *words: int) -> None:
        struct.pack_into(f"{self._order}{len(words)}I", self._data, at, *words)
