"""Jump tables of objects: section .jumptables, which LLVM 22 and later write for `gotox`.

A symbol there is a table, 8 bytes an entry: an offset in the section of the function that names it
(libbpf's create_jt_map reads them so). No relocation belongs to an entry.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping

from ebpfasm.elf.function_symbols import FunctionSymbol
from ebpfasm.elf.source import Input, UniqueNames
from ebpfasm.frozen import dataclass
from ebpfasm.ir.lifted import Lifted
from ebpfasm.ir.object import ObjectSymbol
from ebpfasm.ir.references import VarRef
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.tables import ENTRY, table_spec
from ebpfasm.isa.codec import SLOT

SECTION = ".jumptables"
Place = Callable[[], str]


@dataclass(frozen=True, slots=True)
class _Table:
    """A table as one function uses it: the slots of its entries, counted from the function's."""

    name: str
    function: FunctionSymbol
    slots: tuple[int, ...]


class JumpTables:
    """The tables that functions name, found while their relocations are read."""

    def __init__(self, given: Input) -> None:
        self._given = given
        self._names = UniqueNames()
        self._sections = {
            index for index, each in enumerate(given.object.sections) if each.name == SECTION
        }
        self._tables: dict[tuple[FunctionSymbol, int, int], _Table | None] = {}
        self._landings: dict[FunctionSymbol, dict[int, None]] = {}
        symbols = reversed(given.object.symbols) if self._sections else ()
        self._starts = {
            (each.section, each.value): each
            for each in symbols
            if each.section in self._sections and each.size
        }

    def has(self, symbol: int) -> bool:
        """Whether a symbol is a table, or the section of them."""
        return bool(self._sections) and self._given.symbol(symbol).section in self._sections

    def reference(
        self, function: FunctionSymbol, place: Place, symbol: int, imm: int
    ) -> VarRef | None:
        """What names a table in a function; None where that is none, reported."""
        target = self._given.symbol(symbol)
        section = target.section
        assert isinstance(section, int)
        by_section = target.type == "section"
        start = target.value + (imm if by_section else 0)
        key = function, section, start
        if key not in self._tables:
            known = self._starts.get((section, start)) if by_section else target
            self._tables[key] = self._read(function, place, section, start, known)
        table = self._tables[key]
        return None if table is None else VarRef(table.name, "", 0 if by_section else imm)

    def _read(
        self,
        function: FunctionSymbol,
        place: Place,
        section: int,
        start: int,
        symbol: ObjectSymbol | None,
    ) -> _Table | None:
        content = self._given.section(section).content
        size = symbol.size if symbol is not None else 0
        where = self._given.place(section, start)
        if not size or start % ENTRY or size % ENTRY or start + size > len(content):
            message = (
                f"{place()}: the jump table at {where} has {size} bytes: no whole entries there"
            )
            self._given.report("elf-relocation", message)
            return None
        assert symbol is not None
        slots = []
        for at in range(start, start + size, ENTRY):
            offset = self._given.word(content, at, ENTRY) - function.offset
            if offset % SLOT or not 0 <= offset < function.size:
                message = f"{place()}: an entry of the jump table at {where} leaves {function.name}"
                self._given.report("elf-relocation", message)
                return None
            slots.append(offset // SLOT)
        self._landings.setdefault(function, {}).update(dict.fromkeys(slots))
        return _Table(self._names.unique(symbol.name or SECTION), function, tuple(slots))

    def landings(self, function: FunctionSymbol) -> tuple[int, ...]:
        """The slots of a function that its tables lead to."""
        return tuple(self._landings.get(function, ()))

    def specs(self, streams: Mapping[FunctionSymbol, Lifted]) -> Iterator[MapSpec]:
        """The tables as maps; one that leads into the middle of an instruction is reported."""
        for each in self._tables.values():
            if each is None:
                continue
            stream = streams[each.function]
            wrong = next((slot for slot in each.slots if not _begins(stream, slot)), None)
            if wrong is not None:
                message = f"jump table {each.name}: no instruction of {each.function.name} begins"
                self._given.report("elf-relocation", f"{message} at its slot {wrong}")
                continue
            labels = [stream.label_at(slot) for slot in each.slots]
            yield table_spec(each.name, each.function.name, labels)


def _begins(stream: Lifted, slot: int) -> bool:
    slots = stream.body.slots
    index = bisect_left(slots, slot)
    return index < len(slots) and slots[index] == slot
