"""Where the types of a large BTF are and what they are called, with no object for each.

Two ways lead there: the native core's (runtime/native/btf.c), and plain Python, ten to fifty times
slower. tests/btf/test_index.py holds both against each other.
"""

from __future__ import annotations

import re
import struct
from array import array
from functools import cache
from typing import Any, Protocol

from ebpfasm.btf.codec import SHAPES, Header
from ebpfasm.btf.strings import Buffer, StringSection
from ebpfasm.errors import BtfError, error
from ebpfasm.native import native_core

_MAX_VLEN = 0x00FF_FFFF
_FEW = 512  # bytes of types that are quicker looked at here than given to the native core

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
    begin, end = header.types
    nested = strings.base is not None and strings.base.base is not None
    core = None if nested or end - begin < _FEW else native_core()
    if core is not None:
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
        self.at = array("I", self._offsets(self._words))
        self._names: dict[bytes, list[int]] | None = None

    def _offsets(self, words: tuple[int, ...]) -> list[int]:
        position, end, found = 0, len(words), list[int]()
        lengths = _lengths()
        while position < end:
            if position + 2 >= end:
                raise _damaged(f"type {self._first_id + len(found)} is cut short")
            found.append(4 * position)
            info = words[position + 1]
            kind = info >> 24 & 0x7F
            if kind not in lengths:
                type_id = self._first_id + len(found) - 1
                raise _damaged(f"type {type_id} is of kind {kind}, which is not known")
            fixed, each = lengths[kind]
            position += fixed + each * (info & _MAX_VLEN)
            if position > end:
                type_id = self._first_id + len(found) - 1
                raise _damaged(f"type {type_id}, {SHAPES[kind].name}, is cut short")
        found.append(4 * position)
        return found

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

    def __init__(
        self, core: Any, struct: Any, at: array[int], view: Any, strings: StringSection
    ) -> None:
        self._lib, self._ffi, self._struct = core.lib, core.ffi, struct
        self.at = at
        self._strings = strings
        self._kept = [view]  # what the struct's pointers lead into
        self._hashed = False

    @classmethod
    def of(
        cls, core: Any, data: Buffer, header: Header, strings: StringSection, first_id: int
    ) -> NativeScan | None:
        """None where the types are damaged."""
        begin, end = header.types
        ffi = core.ffi
        view = ffi.from_buffer("unsigned char[]", data)
        found = ffi.new("ebpfasm_btf *")
        found.types, found.types_size = view + begin, end - begin
        found.first_id, found.swapped = first_id, header.swapped
        at = array("I", bytes(4 * ((end - begin) // 12 + 1)))  # a type has twelve bytes or more
        found.at = room = ffi.from_buffer("uint32_t[]", at)
        count = core.lib.ebpfasm_btf_scan(found, ffi.from_buffer("uint32_t[]", _shapes()))
        if count < 0:
            return None
        ffi.release(room)
        del at[count:]
        at.append(end - begin)
        found.at, found.count = ffi.from_buffer("uint32_t[]", at), count
        return cls(core, found, at, view, strings)

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
        strings = self._strings
        texts, self._struct.strings_size = _texts(self._ffi, strings)
        self._struct.strings = texts
        self._kept.append(texts)
        if strings.base is not None:
            base, self._struct.base_size = _texts(self._ffi, strings.base)
            self._struct.base = base
            self._kept.append(base)
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
def _lengths() -> dict[int, tuple[int, int]]:
    """Words of a type of each kind: those that it always has, and those of each of its parts."""
    return {kind: (3 + shape.fixed, shape.each) for kind, shape in SHAPES.items()}


@cache
def _shapes() -> array[int]:
    numbers = array("I", [0xFFFF_FFFF] * 20)
    for kind, shape in SHAPES.items():
        numbers[kind] = 4 * shape.each << 16 | 4 * shape.fixed
    return numbers


def _damaged(message: str) -> BtfError:
    return BtfError(error("btf-format", message))
