"""Clang's objects: the only room that knows pyelftools. So far to an Object, and not yet to IR."""

from __future__ import annotations

from ebpfasm.elf.reader import read_object

__all__ = ["read_object"]
