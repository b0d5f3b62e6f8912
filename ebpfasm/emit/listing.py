"""A linked program for people to read: slot, bytes and assembly, side by side."""

from __future__ import annotations

from collections.abc import Iterator

from ebpfasm.asm.writing.printer import text_of
from ebpfasm.emit.code import image
from ebpfasm.ir.instruction import Instruction, Item, Label
from ebpfasm.ir.link import LinkedProgram
from ebpfasm.isa.codec import SLOT, ByteOrder


def listing(linked: LinkedProgram, *, byteorder: ByteOrder = "little") -> Iterator[str]:
    """Yield the lines, as llvm-objdump lays them out, with the program's own names.

    A 64-bit immediate fills two lines of bytes. Raises EncodeError as `image` does.
    """
    code = image(linked, byteorder=byteorder).code
    program = linked.program
    slot = 0
    streams = [
        (program.name, program.instructions),
        *((each.name, each.instructions) for each in program.functions),
    ]
    for name, items in streams:
        yield f"{name}:"
        for item in items:
            yield from _lines(item, slot, code, name)
            slot += item.slots if isinstance(item, Instruction) else 0


def _lines(item: Item, slot: int, code: bytes, function: str) -> Iterator[str]:
    match item:
        case Label(name=name):
            # The function's own name heads its listing already.
            if name != function:
                yield f"{name}:"
        case Instruction():
            yield f"{slot:>6}:  {_bytes(code, slot)}  {text_of(item)}"
            for more in range(slot + 1, slot + item.slots):
                yield f"{'':>7}  {_bytes(code, more)}"


def _bytes(code: bytes, slot: int) -> str:
    return code[slot * SLOT : (slot + 1) * SLOT].hex(" ")
