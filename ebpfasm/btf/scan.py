"""Where the types of a large BTF are and what they are called, with no object for each.

Two ways lead there: the native core's (runtime/native/btf.c), and plain Python, ten to fifty times
slower. tests/btf/test_index.py holds both against each other.
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterator
from functools import cache
from typing import Any, Protocol

from ebpfasm.btf.codec import SHAPES, Header
from ebpfasm.btf.strings import Buffer, StringSection
from ebpfasm.errors import BtfError, error
from ebpfasm.native import native_core

_MAX_VLEN = 0x00FF_FFFF

# What stands before the last `___` of a name, which begins a flavour (libbpf's relo_core.c).
_ESSENCE = re.compile(rb"(.*[^_])___[^_]", re.DOTALL)


def essence(name: bytes) -> bytes:
    """A name without its flavour.

    >>> essence(b"task_struct___old")
    b'task_struct'
    """
    match = _ESSENCE.match(name)
    return match[1] if match else name


class Scan(Protocol):
    """Types by place.

    `at` is the offset of each in the type section, in bytes, and of its end.
    """

    at: array[int]

    def find(self, name: bytes, kinds: int, *, by_essence: bool) -> list[int]:
        """Ids of types with that name, or its essence; bit k of `kinds` admits kind k."""
        ...


def scan(data: Buffer, header: Header, strings: StringSection, first_id: int) -> Scan:
    """Find where each type begins. Raises BtfError where one is cut short or of no known kind.

    Names are indexed when the first is asked for.
    """
    core = native_core()
    nested = strings.base is not None and strings.base.base is not None
    if core is not None and not nested:
        found = NativeScan.of(core, data, header, strings, first_id)
        if found is not None:
            return found
    return PlainScan(data, header, strings, first_id)  # which says what is wrong


class PlainScan:
    """The index in Python alone."""

    def __init__(self, data: Buffer, header: Header, strings: StringSection, first_id: int) -> None:
        self._strings, self._first_id = strings, first_id
        begin, end = header.types
        if (end - begin) % 4:
            raise _damaged("the type section is no whole number of words")
        count = (end - begin) // 4
        self._words = struct.unpack(f"{header.order}{count}I", data[begin:end])
        self.at = array("I", self._offsets())
        self._names: dict[bytes, list[int]] | None = None

    def _offsets(self) -> Iterator[int]:
        words, position, type_id = self._words, 0, self._first_id
        while position < len(words):
            if position + 2 >= len(words):
                raise _damaged(f"type {type_id} is cut short")
            yield 4 * position
            info = words[position + 1]
            shape = SHAPES.get(info >> 24 & 0x7F)
            if shape is None:
                kind = info >> 24 & 0x7F
                raise _damaged(f"type {type_id} is of kind {kind}, which is not known")
            position += 3 + shape.fixed + shape.each * (info & _MAX_VLEN)
            if position > len(words):
                raise _damaged(f"type {type_id}, {shape.name}, is cut short")
            type_id += 1
        yield 4 * position

    def find(self, name: bytes, kinds: int, *, by_essence: bool) -> list[int]:
        """Ids, as `Scan` says."""
        if self._names is None:
            self._names = self._indexed()
        return [
            type_id
            for type_id in self._names.get(essence(name), ())
            if kinds >> (self._word(type_id, 1) >> 24 & 0x7F) & 1
            and (by_essence or self._name(self._word(type_id, 0)) == name)
        ]

    def _indexed(self) -> dict[bytes, list[int]]:
        names: dict[bytes, list[int]] = {}
        essences: dict[int, bytes] = {}
        for type_id in range(self._first_id, self._first_id + len(self.at) - 1):
            offset = self._word(type_id, 0)
            if offset not in essences:
                essences[offset] = essence(self._name(offset))
            if essences[offset]:
                names.setdefault(essences[offset], []).append(type_id)
        return names

    def _word(self, type_id: int, number: int) -> int:
        found: int = self._words[self.at[type_id - self._first_id] // 4 + number]
        return found

    def _name(self, offset: int) -> bytes:
        try:
            return self._strings.bytes_at(offset)
        except BtfError:
            return b""  # reading the type itself tells of it


class NativeScan:
    """The index that the native core makes."""

    def __init__(self, core: Any, struct: Any, at: array[int], kept: Any) -> None:
        self._lib, self._ffi, self._struct = core.lib, core.ffi, struct
        self.at = at
        self._kept = kept  # what the struct's pointers lead into
        self._hashed = False

    @classmethod
    def of(
        cls, core: Any, data: Buffer, header: Header, strings: StringSection, first_id: int
    ) -> NativeScan | None:
        """None where the types are damaged."""
        begin, end = header.types
        ffi, lib = core.ffi, core.lib
        view = ffi.from_buffer("unsigned char[]", data)
        found = ffi.new("ebpfasm_btf *")
        found.types, found.types_size = view + begin, end - begin
        texts, found.strings_size = _texts(ffi, strings)
        found.strings = texts
        kept = [view, texts]
        if strings.base is not None:
            base, found.base_size = _texts(ffi, strings.base)
            found.base = base
            kept.append(base)
        found.first_id, found.swapped = first_id, header.swapped
        room = ffi.new("uint32_t[]", (end - begin) // 12 + 1)
        found.at = room
        count = lib.ebpfasm_btf_scan(found, ffi.from_buffer("uint32_t[]", _shapes()))
        if count < 0:
            return None
        at = array("I", bytes(ffi.buffer(room, 4 * count)))
        at.append(end - begin)
        found.at, found.count = ffi.from_buffer("uint32_t[]", at), count
        return cls(core, found, at, kept)

    def find(self, name: bytes, kinds: int, *, by_essence: bool) -> list[int]:
        """Ids, as `Scan` says."""
        if not self._hashed:
            self._hash()
        room = 16
        while True:
            ids = self._ffi.new("uint32_t[]", room)
            count = self._lib.ebpfasm_btf_find(
                self._struct, name, len(name), by_essence, kinds, ids, room
            )
            if count <= room:
                return list(ids[0:count])
            room = count

    def _hash(self) -> None:
        count = self._struct.count
        slots = 1 << max(1, count.bit_length())
        heads, following = self._ffi.new("uint32_t[]", slots), self._ffi.new("uint32_t[]", count)
        self._struct.heads, self._struct.next, self._struct.mask = heads, following, slots - 1
        self._kept += heads, following
        self._lib.ebpfasm_btf_hash(self._struct)
        self._hashed = True


def _texts(ffi: Any, strings: StringSection) -> tuple[Any, int]:
    data, begin, end = strings.place
    return ffi.from_buffer("unsigned char[]", data) + begin, end - begin


@cache
def _shapes() -> array[int]:
    numbers = array("I", [0xFFFF_FFFF] * 20)
    for kind, shape in SHAPES.items():
        numbers[kind] = 4 * shape.each << 16 | 4 * shape.fixed
    return numbers


def _damaged(message: str) -> BtfError:
    return BtfError(error("btf-format", message))
