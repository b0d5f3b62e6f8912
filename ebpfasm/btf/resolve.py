"""What a type is behind its names and qualifiers, and how large it is in a BPF program.

Typedefs that lead in a circle, and sizes without end, are BtfErrors: only damaged BTF has them.
"""

from __future__ import annotations

from ebpfasm.btf.types import (
    Array,
    BtfType,
    Const,
    DataSec,
    Enum,
    Enum64,
    Float,
    Int,
    Ptr,
    Restrict,
    Struct,
    Typedef,
    Types,
    TypeTag,
    Union,
    Var,
    Volatile,
)
from ebpfasm.errors import BtfError, error

POINTER = 8  # bytes, in every BPF program
_DEEPEST = 64  # qualifiers, or arrays in arrays, of one type


def plain(types: Types, type_id: int) -> tuple[int, BtfType | None]:
    """A type without its typedefs and qualifiers, and its id; (0, None) for void.

    Raises BtfError.
    """
    for _ in range(_DEEPEST):
        found = types.get(type_id)
        match found:
            case (
                Typedef(type=target) | Const(type=target) | Volatile(type=target)
                | Restrict(type=target) | TypeTag(type=target)
            ):  # fmt: skip
                type_id = target
            case _:
                return type_id, found
    raise _circle(type_id)


def size_of(types: Types, type_id: int, pointer: int = POINTER) -> int:
    """Bytes of a type, or of a variable, where a pointer has `pointer` bytes.

    Raises BtfError where it has no size.
    """
    count = 1
    for _ in range(_DEEPEST):
        type_id, found = plain(types, type_id)
        match found:
            case (
                Int(size=size) | Struct(size=size) | Union(size=size) | Enum(size=size)
                | Enum64(size=size) | Float(size=size) | DataSec(size=size)
            ):  # fmt: skip
                return count * size
            case Ptr():
                return count * pointer
            case Array(type=element, nelems=nelems):
                count, type_id = count * nelems, element
            case Var(type=target):
                type_id = target
            case _:
                kind = "void" if found is None else type(found).__name__
                raise BtfError(error("btf-format", f"type {type_id}, {kind}, has no size"))
    raise _circle(type_id)


def align_of(types: Types, type_id: int) -> int:
    """The alignment of a type in bytes, as C has it. Raises BtfError where it has no size."""
    waiting, seen, largest = [type_id], set[int](), 1
    while waiting:
        type_id, found = plain(types, waiting.pop())
        if type_id in seen:
            continue
        seen.add(type_id)
        match found:
            case Array(type=target) | Var(type=target):
                waiting.append(target)
            case Struct(members=members) | Union(members=members):
                waiting += [each.type for each in members]
            case _:
                largest = max(largest, min(POINTER, size_of(types, type_id)))
    return largest


def _circle(type_id: int) -> BtfError:
    return BtfError(error("btf-format", f"type {type_id} leads in a circle"))
