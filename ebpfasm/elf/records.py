"""What .BTF.ext says of each function: its type, its lines, its CO-RE relocations."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator
from operator import le

from ebpfasm.btf.records import read_ext
from ebpfasm.elf.function_symbols import FunctionSymbol
from ebpfasm.elf.source import Input
from ebpfasm.elf.types import ObjectTypes
from ebpfasm.errors import BtfError
from ebpfasm.ir.debug import LINE_WORDS, FunctionDebug, LineTable, ObjectDebug
from ebpfasm.ir.references import CoreRef

_CORE_WORDS = 4
_NONE = LineTable(array("I"))
_NO_TYPES: dict[int, int] = {}


class Records:
    """The tables of .BTF.ext by the number of their section."""

    def __init__(self, given: Input, types: ObjectTypes) -> None:
        self.debug = ObjectDebug(types.btf, given.object.byteorder)
        self._given = given
        self._functions: dict[int, dict[int, int]] = {}
        self._known: dict[FunctionSymbol, FunctionDebug] = {}
        self._lines: dict[int, LineTable] = {}
        self._core: dict[int, tuple[array[int], array[int]]] = {}
        section = given.named(".BTF.ext")
        if section is not None and section.content:
            self._read(section.content)

    def _read(self, content: bytes) -> None:
        tables = read_ext(content, self._given.object.byteorder)
        for name, words in tables.functions.sections.items():
            if (index := self._section(name)) is not None:
                self._functions[index] = dict(zip(words[::2], words[1::2], strict=True))
        for name, words in tables.lines.sections.items():
            if (index := self._section(name)) is not None:
                self._lines[index] = LineTable(_sorted(words, LINE_WORDS))
        for name, words in tables.relocations.sections.items():
            if (index := self._section(name)) is not None:
                rows = _sorted(words, _CORE_WORDS)
                self._core[index] = rows[::_CORE_WORDS], rows

    def _section(self, name: int) -> int | None:
        """The first section of the name that records stand under."""
        return self._given.indices.get(self._name(name))

    def _name(self, offset: int) -> str:
        try:
            return self.debug.btf.strings.at(offset)
        except BtfError:
            return ""

    def function(self, function: FunctionSymbol) -> FunctionDebug:
        """A function's part of the first two tables."""
        known = self._known.get(function)
        if known is not None:
            return known
        type_id = self._functions.get(function.section, _NO_TYPES).get(function.offset, 0)
        table = self._lines.get(function.section, _NONE)
        records = _inside(table.offsets, function)
        found = FunctionDebug(self.debug, type_id, table, records, function.offset)
        self._known[function] = found
        return found

    def relocations(self, function: FunctionSymbol) -> Iterator[tuple[int, CoreRef]]:
        """A function's CO-RE relocations, each with the offset in the section."""
        if function.section not in self._core:
            return
        offsets, words = self._core[function.section]
        strings = self.debug.btf.strings
        for number in _inside(offsets, function):
            at = number * _CORE_WORDS
            offset, type_id, access, kind = words[at : at + _CORE_WORDS]
            try:
                yield offset, CoreRef(type_id, strings.at(access), kind)
            except BtfError as problem:
                place = self._given.place(function.section, offset)
                message = f"the CO-RE relocation at {place}: {problem.diagnostics[0].message}"
                self._given.report("elf-relocation", message)


def _inside(offsets: array[int], function: FunctionSymbol) -> range:
    first = bisect_left(offsets, function.offset)
    return range(first, bisect_left(offsets, function.offset + function.size, first))


def _sorted(words: array[int], width: int) -> array[int]:
    """Records in the order of their offsets, which compilers write them in already."""
    offsets = words[::width]
    if all(map(le, offsets, offsets[1:])):
        return words
    order = sorted(range(len(offsets)), key=offsets.__getitem__)
    result = array("I")
    for number in order:
        result.extend(words[number * width : (number + 1) * width])
    return result
