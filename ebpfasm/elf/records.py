"""What .BTF.ext says of each function: its type, its lines, its CO-RE relocations."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator

from ebpfasm.btf.records import ExtTable, read_ext
from ebpfasm.elf.function_symbols import FunctionSymbol
from ebpfasm.elf.source import Input
from ebpfasm.elf.types import ObjectTypes
from ebpfasm.errors import BtfError
from ebpfasm.ir.debug import LINE_WORDS, FunctionDebug, LineTable, ObjectDebug
from ebpfasm.ir.references import CoreRef

_CORE_WORDS = 4
_NONE = LineTable(array("I"))


class Records:
    """The tables of .BTF.ext by the number of their section."""

    def __init__(self, given: Input, types: ObjectTypes) -> None:
        self.debug = ObjectDebug(types.btf, given.object.byteorder)
        self._given = given
        self._functions: dict[int, dict[int, int]] = {}
        self._lines: dict[int, LineTable] = {}
        self._core: dict[int, tuple[array[int], array[int]]] = {}
        section = given.object.section(".BTF.ext")
        if section is not None and section.content:
            self._read(section.content)

    def _read(self, content: bytes) -> None:
        tables = read_ext(content, self._given.object.byteorder)
        for index, words in self._by_section(tables.functions):
            self._functions[index] = dict(zip(words[::2], words[1::2], strict=True))
        for index, words in self._by_section(tables.lines):
            self._lines[index] = LineTable(_sorted(words, LINE_WORDS))
        for index, words in self._by_section(tables.relocations):
            words = _sorted(words, _CORE_WORDS)
            self._core[index] = words[::_CORE_WORDS], words

    def _by_section(self, table: ExtTable) -> Iterator[tuple[int, array[int]]]:
        """A table's records by the first section of the name that they are under."""
        indices = self._given.indices
        for name, words in table.sections.items():
            owner = self._name(name)
            if owner in indices:
                yield indices[owner], words

    def _name(self, offset: int) -> str:
        try:
            return self.debug.btf.strings.at(offset)
        except BtfError:
            return ""

    def function(self, function: FunctionSymbol) -> FunctionDebug:
        """A function's part of the first two tables."""
        type_id = self._functions.get(function.section, {}).get(function.offset, 0)
        table = self._lines.get(function.section, _NONE)
        records = _inside(table.offsets, function)
        return FunctionDebug(self.debug, type_id, table, records, function.offset)

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
    order = sorted(range(len(offsets)), key=offsets.__getitem__)
    if order == list(range(len(offsets))):
        return words
    result = array("I")
    for number in order:
        result.extend(words[number * width : (number + 1) * width])
    return result
