"""Types in messages: a short name, as C would write it."""

from __future__ import annotations

from ebpfasm.btf.types import (
    Array,
    BtfType,
    Const,
    Enum,
    Enum64,
    Func,
    FuncProto,
    Fwd,
    Ptr,
    Restrict,
    Struct,
    Types,
    TypeTag,
    Union,
    Volatile,
)

_DEEPEST = 32  # pointers and arrays that are spelled out


def spelled(types: Types, type_id: int) -> str:
    """A short name for a type, as in `struct sock *` or `int[4]`. Raises BtfError.

    What does not count to CO-RE, such as const, is left out.
    """
    behind = ""
    for _ in range(_DEEPEST):
        match types.get(type_id):
            case None:
                return f"void{behind}"
            case Ptr() as each:
                type_id, behind = each.type, f" *{behind.lstrip()}"
            case Array() as each:
                type_id, behind = each.type, f"{behind}[{each.nelems}]"
            case Const() | Volatile() | Restrict() | TypeTag() as each:
                type_id = each.type
            case found:
                return f"{named(found)}{behind}"
    return f"...{behind}"


def named(each: BtfType) -> str:
    """A type's name with its keyword."""
    match each:
        case Struct() | Fwd(union=False):
            keyword = "struct "
        case Union() | Fwd():
            keyword = "union "
        case Enum() | Enum64():
            keyword = "enum "
        case Func() | FuncProto():
            keyword = "function "
        case _:
            keyword = ""
    return f"{keyword}{getattr(each, 'name', '') or '(unnamed)'}"
