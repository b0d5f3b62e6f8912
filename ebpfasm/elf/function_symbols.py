"""Which functions an object has: the symbols in its sections of code.

Compilers before LLVM 8 or so gave function symbols no type, or left nothing but the section's; what
they wrote is one function a symbol, or a section.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

from ebpfasm.elf.source import Input, UniqueNames
from ebpfasm.frozen import dataclass
from ebpfasm.ir.object import Object, ObjectSymbol
from ebpfasm.isa.codec import SLOT

TEXT = ".text"


@dataclass(frozen=True, slots=True)
class FunctionSymbol:
    """A function: `size` bytes at an offset of a section. `hidden` is its ELF visibility.

    `symbol` is the number of its symbol, None where the section is all there is.
    """

    name: str
    section: int
    offset: int
    size: int
    symbol: int | None = None
    exported: bool = True
    hidden: bool = False


class Functions:
    """All functions, in the order of sections and offsets."""

    def __init__(self, found: Iterable[FunctionSymbol]) -> None:
        self._all = tuple(found)
        # Of several in one place an exported one stands for the others.
        self._places: dict[tuple[int, int], FunctionSymbol] = {}
        for each in self._all:
            known = self._places.get((each.section, each.offset))
            if known is None or (each.exported and not known.exported):
                self._places[each.section, each.offset] = each

    def __iter__(self) -> Iterator[FunctionSymbol]:
        return iter(self._all)

    def at(self, section: int, offset: int) -> FunctionSymbol | None:
        """The function that begins at a place, None where none does."""
        return self._places.get((section, offset))


def find_functions(given: Input, symbols: Iterable[tuple[int, ObjectSymbol]]) -> Functions:
    """Find them by their symbols. One that leaves its section or overlaps another is reported."""
    typed: dict[int, list[tuple[int, ObjectSymbol]]] = {}
    untyped: dict[int, list[tuple[int, ObjectSymbol]]] = {}
    executable = given.executable
    for number, symbol in symbols:
        section = symbol.section
        if not isinstance(section, int) or not executable[section]:
            continue
        if symbol.type == "func":
            typed.setdefault(section, []).append((number, symbol))
        elif symbol.type == "notype" and symbol.binding != "local":
            untyped.setdefault(section, []).append((number, symbol))
    found: list[FunctionSymbol] = []
    names = UniqueNames()
    for index, each in enumerate(given.object.sections):
        if not executable[index] or not each.content:
            continue
        rows = typed.get(index) or untyped.get(index)
        size = len(each.content)
        if rows is None:
            name = _first_label(given.object, index) or each.name
            found.append(FunctionSymbol(names.unique(name), index, 0, size))
        else:
            found += _functions(given, index, size, rows, names)
    return Functions(found)


def _first_label(object: Object, section: int) -> str | None:
    """What a person called the beginning of a section of code."""
    here = (
        each.name for each in object.symbols
        if each.section == section and each.value == 0 and each.type == "notype"
    )  # fmt: skip
    return next((name for name in here if name and not name.startswith((".L", "LBB"))), None)


def _functions(
    given: Input,
    index: int,
    end: int,
    rows: list[tuple[int, ObjectSymbol]],
    names: UniqueNames,
) -> Iterator[FunctionSymbol]:
    if len(rows) > 1:
        rows.sort(key=lambda row: (row[1].value, row[0]))
    values = sorted({symbol.value for _, symbol in rows} | {end})
    following = dict(pairwise(values))
    for number, symbol in rows:
        start = symbol.value
        size = symbol.size or max(following.get(start, start) - start, 0)
        wrong = ""
        if start + size > end:
            wrong = f"has {size} bytes and leaves the section"
        elif start % SLOT or size % SLOT or not size:
            wrong = f"has {size} bytes: no whole number of slots"
        elif following.get(start, end) < start + size:
            wrong = "overlaps another one"
        if wrong:
            place = f"function {symbol.name} at {given.place(index, start)}"
            given.report("elf-function", f"{place}, {wrong}")
        else:
            yield FunctionSymbol(
                names.unique(symbol.name), index, start, size, number,
                symbol.binding != "local", symbol.visibility in ("hidden", "internal"),
            )  # fmt: skip
