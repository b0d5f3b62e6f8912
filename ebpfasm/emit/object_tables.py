"""Jump tables in an object, as LLVM 22 writes them: section .jumptables, a symbol a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ebpfasm.emit.object_sections import Drafts
from ebpfasm.ir.link import LinkedFunction, LinkedProgram
from ebpfasm.ir.tables import ENTRY, entries_of, is_table
from ebpfasm.isa.codec import SLOT

SECTION = ".jumptables"


class Placed(Protocol):
    """A function of the object: where it lies in its section, and the program it is linked in."""

    name: str
    linked: LinkedProgram
    function: LinkedFunction
    offset: int


def place_tables(body: Placed, drafts: Drafts) -> None:
    """Write the tables of a function that has its place."""
    for name, slots in _tables(body):
        section = drafts.section(SECTION, 0)
        section.align = 1
        entries = (body.offset + SLOT * (slot - body.function.slot) for slot in slots)
        content = b"".join(each.to_bytes(ENTRY, drafts.byteorder) for each in entries)
        drafts.define(name, SECTION, section.size, len(content))
        section.content += content
        section.size += len(content)


def _tables(body: Placed) -> Iterator[tuple[str, tuple[int, ...]]]:
    for spec in filter(is_table, body.linked.maps):
        if next(entries_of(spec)).function == body.name:
            yield spec.name, body.linked.tables[spec.name]
