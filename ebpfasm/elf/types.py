"""An object's BTF, with what only the object file knows put in.

Compilers leave the sizes of data sections and the offsets of variables at zero, for relocations to
fill, and say nothing of visibility. The rules are those of libbpf's btf_fixup_datasec.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from operator import attrgetter

from ebpfasm.btf.codec import KINDS
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
_HEAD_WORDS = 3  # of each type
_KIND = 0x7F  # the kind in an info word's highest byte
_VAR, _FUNC = KINDS[Var], KINDS[Func]
_by_offset = attrgetter("offset")


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
    section = given.named(".BTF")
    if section is None or not section.content:
        return None
    found = BtfIndex(section.content)
    fixing = _Fixing(given, found, bytearray(section.content), symbols)
    sections = dict(fixing.datasec(number) for number in found.of_kind(DataSec))
    fixing.hide(functions)
    return ObjectTypes(fixing.fixed(), sections)


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

    def fixed(self) -> BtfIndex:
        """The types with all that was found."""
        raw = bytes(self._data)
        return self._btf if raw == self._btf.raw else self._btf.patched(raw)

    def datasec(self, number: int) -> tuple[str, tuple[int, tuple[Variable, ...]]]:
        """Complete a data section in the bytes; its name, and its variables by their offsets."""
        words, at = self._btf.words(number), self._btf.place(number)
        name, size = self._btf.strings.at(words[0]), words[2]
        index = None if name in EXTERNS else self._given.indices.get(name)
        fill = size == 0 and index is not None
        if index is not None and fill:
            self._put(at + 8, min(self._given.section(index).size, _LARGEST))
        found = [
            self._variable(index, fill, *words[first : first + 3])
            for first in range(_HEAD_WORDS, len(words), 3)
        ]
        if name not in EXTERNS:
            found.sort(key=_by_offset)
            placed = [word for each in found for word in (each.var, each.offset, each.size)]
            self._put(at + 4 * _HEAD_WORDS, *placed)
        return name, (number, tuple(found))

    def _variable(
        self, section: int | None, fill: bool, var: int, offset: int, size: int
    ) -> Variable:
        """A variable as BTF has it; with `fill`, at the offset that its symbol says."""
        words = self._btf.words(var)
        kind, name = words[1] >> 24 & _KIND, self._btf.strings.at(words[0])
        if kind == _FUNC:
            return Variable(name, var, words[2], offset, size, VarLinkage.GLOBAL_EXTERN)
        if kind != _VAR:
            message = f"type {var} stands in a data section of .BTF and is no variable"
            raise self._given.refusal("elf-variable", message)
        linkage = words[3]
        symbol = None if section is None else self._places.get((section, name))
        if symbol is not None and fill:
            offset = min(symbol.value, _LARGEST)  # what is that large is refused later
        if symbol is not None and symbol.visibility in _HIDDEN:
            linkage = VarLinkage.STATIC
            self._put(self._btf.place(var) + 4 * _HEAD_WORDS, linkage)
        return Variable(name, var, words[2], offset, size, linkage)

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
