"""Where members lie, by the path that C would write: `task_struct.mm`, `a.b[2].c`.

Members of unnamed structs and unions are found as if they were their owner's, as in C.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from ebpfasm.btf.index import BtfIndex
from ebpfasm.btf.types import (
    Array,
    BtfType,
    Const,
    Enum,
    Enum64,
    Float,
    Fwd,
    Int,
    Member,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from ebpfasm.errors import BtfError

_POINTER = 8  # bytes, in every BPF program
_DEEPEST = 64  # typedefs and unnamed structs inside each other; only damaged BTF has more
_STEP = re.compile(r"([A-Za-z_$]\w*)((?:\[\d{1,9}\])*)", re.ASCII)


class Misnamed(Exception):
    """A path leads nowhere; the text says where it ends."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a path leads to: a type, and the member's place in bits from the start."""

    type: int
    bits: int = 0
    bitfield: int = 0


class Layouts:
    """The structs, unions and enumerations of one BTF."""

    def __init__(self, types: BtfIndex) -> None:
        self._types = types
        self._paths: dict[str, Found | str] = {}

    @classmethod
    def of(cls, source: bytes | str | os.PathLike[str]) -> Self:
        """Read BTF given as bytes or as a file, such as /sys/kernel/btf/vmlinux.

        Raises EbpfError where the file cannot be read, BtfError where it is no BTF.
        """
        return cls(BtfIndex.of(source))

    def offset(self, path: str) -> int | None:
        """Bytes from a struct's start to a member; None where there is none."""
        found = self._find(path)
        return found.bits // 8 if isinstance(found, Found) and not found.bitfield else None

    def size(self, path: str) -> int | None:
        """Bytes of a struct or member; None where there is none."""
        found = self._find(path)
        if not isinstance(found, Found) or found.bitfield:
            return None
        try:
            return self._size(found.type)
        except (Misnamed, BtfError):
            return None

    def enumerator(self, name: str) -> int | None:
        """The value of an enumerator; None where there is none of that name."""
        return self._enumerators.get(name)

    def problem(self, path: str) -> str | None:
        """Why a path into a struct of this BTF is no number; None for another name."""
        path = path.removesuffix(".sizeof")
        if self._root(path.partition(".")[0]) is None:
            return None
        found = self._find(path)
        if isinstance(found, str):
            return found
        if found.bitfield:
            byte, bit = divmod(found.bits, 8)
            width = f"{found.bitfield} bits from bit {bit} of byte {byte}"
            return f"{path} is a bit-field and has no offset: {width}"
        return None

    def near(self, path: str) -> list[str]:
        """Paths that may have been meant: members of the innermost struct that there is."""
        owner, _, _ = path.rpartition(".")
        found = self._find(owner)
        if not isinstance(found, Found):
            return self._names
        try:
            each = self._plain(found.type)
        except (Misnamed, BtfError):
            return []
        members = each.members if isinstance(each, Struct | Union) else ()
        return [f"{owner}.{member.name}" for member in members if member.name]

    def _root(self, name: str) -> int | None:
        # Structs go before typedefs: C has them in name spaces of their own.
        found = (self._types.find(kind, name) for kind in (Struct, Union, Typedef))
        return next((ids[0] for ids in found if ids), None)

    @cached_property
    def _names(self) -> list[str]:
        roots = map(self._types.get, self._types.of_kind(Struct, Union, Typedef))
        return [each.name for each in roots if isinstance(each, Struct | Union | Typedef)]

    @cached_property
    def _enumerators(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in map(self._types.get, self._types.of_kind(Enum, Enum64)):
            assert isinstance(each, Enum | Enum64)
            for value in each.values:
                found.setdefault(value.name, value.value)
        return found

    def _find(self, path: str) -> Found | str:
        if path not in self._paths:
            try:
                self._paths[path] = self._walk(path)
            except Misnamed as problem:
                self._paths[path] = str(problem)
            except BtfError as problem:
                self._paths[path] = problem.diagnostics[0].message
        return self._paths[path]

    def _walk(self, path: str) -> Found:
        first, *steps = path.split(".")
        root = self._root(first)
        if root is None:
            raise Misnamed(f"there is no struct {first}")
        found = Found(root)
        walked = first
        for step in steps:
            match = _STEP.fullmatch(step)
            if match is None or found.bitfield:
                raise Misnamed(f"{walked} has no member {step}")
            member = self._member(self._plain(found.type), match[1], 0)
            if member is None:
                raise Misnamed(f"{walked} has no member {match[1]}")
            walked += f".{match[1]}"
            inside = Found(member.type, found.bits + member.offset_bits, member.bitfield_size)
            found = self._elements(inside, match[2], walked)
            walked += match[2]
        return found

    def _member(self, owner: BtfType, name: str, depth: int) -> Member | None:
        if not isinstance(owner, Struct | Union) or depth > _DEEPEST:
            return None
        for each in owner.members:
            if each.name == name:
                return each
        for each in owner.members:
            inner = None if each.name else self._member(self._plain(each.type), name, depth + 1)
            if inner is not None:
                bits = each.offset_bits + inner.offset_bits
                return Member(name, inner.type, bits, inner.bitfield_size)
        return None

    def _elements(self, found: Found, indices: str, walked: str) -> Found:
        for text in re.findall(r"\d+", indices):
            array = self._plain(found.type)
            if not isinstance(array, Array):
                raise Misnamed(f"{walked} is no array")
            # The last member of a struct may be an array with no size of its own.
            if array.nelems and int(text) >= array.nelems:
                raise Misnamed(f"{walked} has {array.nelems} elements, and {text} is past them")
            bits = found.bits + 8 * int(text) * self._size(array.type)
            found = Found(array.type, bits)
        return found

    def _plain(self, type_id: int) -> BtfType:
        """A type without its typedefs and qualifiers."""
        for _ in range(_DEEPEST):
            match self._types.get(type_id):
                case (
                    Typedef(type=target) | Const(type=target) | Volatile(type=target)
                    | Restrict(type=target) | TypeTag(type=target) | Var(type=target)
                ):  # fmt: skip
                    type_id = target
                case None:
                    raise Misnamed("void has no members and no size")
                case Fwd(name=name):
                    raise Misnamed(f"{name} is only declared in this BTF")
                case found:
                    return found
        raise Misnamed("this BTF's types lead in a circle")

    def _size(self, type_id: int) -> int:
        count = 1
        for _ in range(_DEEPEST):
            match self._plain(type_id):
                case Array(type=element, nelems=nelems):
                    count, type_id = count * nelems, element
                case Int(size=size) | Struct(size=size) | Union(size=size) | Float(size=size):
                    return count * size
                case Enum(size=size) | Enum64(size=size):
                    return count * size
                case Ptr():
                    return count * _POINTER
                case _:
                    raise Misnamed("a function has no size")
        raise Misnamed("this BTF's types lead in a circle")
