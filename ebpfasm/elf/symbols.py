"""The symbols of an object that mean something, without the labels inside functions."""

from __future__ import annotations

from collections.abc import Iterator

from ebpfasm.elf.tables import Symbols
from ebpfasm.ir.object import Object, ObjectSymbol


def named_symbols(object: Object) -> Iterator[tuple[int, ObjectSymbol]]:
    """Symbols with their numbers, but for local ones without a type in sections of code."""
    sections = object.sections
    if isinstance(object.symbols, Symbols):
        yield from object.symbols.but_labels([each.executable for each in sections])
        return
    for number, symbol in enumerate(object.symbols):
        section = symbol.section
        idle = section is None or (isinstance(section, int) and sections[section].executable)
        if not (idle and symbol.binding == "local" and symbol.type == "notype"):
            yield number, symbol
