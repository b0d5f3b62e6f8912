"""Assembly text to IR and back: the only room that knows how instructions are written.

What is taken from here brings in only its own half of the room: reading text or writing it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfasm.asm.assembler import assemble
    from ebpfasm.asm.writing.printer import print_collection, print_program, text_of

__all__ = ["assemble", "print_collection", "print_program", "text_of"]

_HOME = {
    "assemble": "assembler",
    "print_collection": "writing.printer",
    "print_program": "writing.printer",
    "text_of": "writing.printer",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebpfasm.asm' has no attribute {name!r}")
    value: object = getattr(import_module(f"ebpfasm.asm.{_HOME[name]}"), name)
    globals()[name] = value
    return value
