"""A type with other ids in it: what copying types from one table to another needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import assert_never

from ebpfasm.btf import types as t
from ebpfasm.btf.types import BtfType


def renumbered(each: BtfType, new: Callable[[int], int]) -> BtfType:
    """The same type, with every id that it names as `new` gives it; void's 0 is asked for too."""
    match each:
        case t.Int() | t.Enum() | t.Enum64() | t.Float() | t.Fwd():
            return each
        case t.Array():
            return t.Array(new(each.type), new(each.index_type), each.nelems)
        case t.Struct() | t.Union():
            members = tuple(replace(member, type=new(member.type)) for member in each.members)
            return replace(each, members=members)
        case t.FuncProto():
            params = tuple(replace(param, type=new(param.type)) for param in each.params)
            return t.FuncProto(new(each.type), params)
        case t.DataSec():
            variables = tuple(replace(entry, type=new(entry.type)) for entry in each.variables)
            return replace(each, variables=variables)
        case (
            t.Ptr() | t.Typedef() | t.Volatile() | t.Const() | t.Restrict() | t.Func() | t.Var()
            | t.DeclTag() | t.TypeTag()
        ):  # fmt: skip
            return replace(each, type=new(each.type))
        case _:
            assert_never(each)
