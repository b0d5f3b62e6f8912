"""The symbols of an object that mean something, without the labels inside functions."""

from __future__ import annotations

from ebpfasm.elf.source import Input
from ebpfasm.elf.tables import Symbols
from ebpfasm.ir.object import ObjectSymbol


def named_symbols(given: Input) -> list[tuple[int, ObjectSymbol]]:
    """Symbols with their numbers, but for sections', files', and labels in sections of code."""
    symbols, executable = given.object.symbols, given.executable
    if isinstance(symbols, Symbols):
        return symbols.but_labels(executable)
    found = []
    for number, symbol in enumerate(symbols):
        section = symbol.section
        idle = section is None or (isinstance(section, int) and executable[section])
        local = symbol.binding == "local"
        if local and (symbol.type in ("section", "file") or (idle and symbol.type == "notype")):
            continue
        if section != "omitted":
            found.append((number, symbol))
    return found
