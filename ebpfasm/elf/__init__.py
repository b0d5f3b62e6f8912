"""Clang's objects to IR: an ELF file to an Object, an Object to a collection.

Only the reader of files knows pyelftools; it is imported where a file is read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ebpfasm.elf.collection import collection_of
    from ebpfasm.elf.reader import read_object

__all__ = ["collection_of", "read_object"]

_HOME = {"collection_of": "collection", "read_object": "reader"}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'ebpfasm.elf' has no attribute {name!r}")
    value: object = getattr(import_module(f"ebpfasm.elf.{_HOME[name]}"), name)
    globals()[name] = value
    return value
