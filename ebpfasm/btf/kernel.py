"""BTF as a kernel takes it: externs as variables, and what an old kernel lacks as something else.

Ids and string offsets stay as they are, so that line info and programs go on to fit. The rules are
libbpf's (bpf_object__sanitize_btf and bpf_object__collect_externs).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import replace
from enum import Enum as Enumeration

from ebpfasm.btf import codec
from ebpfasm.btf.strings import StringTable
from ebpfasm.btf.types import (
    Btf,
    BtfType,
    Const,
    DataSec,
    DeclTag,
    Enum,
    Enum64,
    Enumerator,
    Float,
    Func,
    FuncLinkage,
    FuncProto,
    Int,
    IntEncoding,
    Member,
    SecVar,
    Struct,
    Typedef,
    TypeTag,
    Union,
    Var,
    VarLinkage,
)

KSYMS = ".ksyms"
_INT = Int("int", 4, 32, IntEncoding.SIGNED)
_BYTE = Int("", 1, 8)


class BtfFeature(Enumeration):
    """What a kernel's BTF may lack; the value is the Linux version that has it."""

    FUNC = "5.0"
    DATASEC = "5.2"
    FUNC_GLOBAL = "5.6"
    FLOAT = "5.13"
    DECL_TAG = "5.16"
    TYPE_TAG = "5.17"
    ENUM64 = "6.0"
    QUESTION_MARK = "6.10"  # section names that begin with it


def for_kernel(data: bytes, has: Set[BtfFeature] | None = None) -> bytes:
    """An object's .BTF section as a kernel with these features takes it; with all for None.

    Raises BtfError where it is damaged.
    """
    header = codec.read_header(data)
    types = list(codec.decode(data).types)
    without_externs(types)
    if has is not None:
        types = sanitized(types, has)
    strings = StringTable.of(codec.decode_strings(data))
    return codec.encode(Btf(tuple(types)), header.byteorder, strings=strings)


def without_externs(types: list[BtfType]) -> None:
    """Make variables and functions that lie elsewhere what the kernel allows, in place.

    Functions become global ones. In .ksyms there is an int for each symbol.
    """
    place = next(
        (at for at, each in enumerate(types) if isinstance(each, DataSec) and each.name == KSYMS),
        None,
    )
    for at, each in enumerate(types):
        match each:
            case Var(linkage=VarLinkage.GLOBAL_EXTERN):
                types[at] = replace(each, linkage=VarLinkage.GLOBAL_ALLOCATED)
            case Func(linkage=FuncLinkage.EXTERN):
                types[at] = replace(each, linkage=FuncLinkage.GLOBAL)
                _name_parameters(types, each)
            case _:
                pass
    if place is not None:
        _allocate(types, place)


def _name_parameters(types: list[BtfType], function: Func) -> None:
    # The kernel wants a name for each parameter of a function.
    proto = types[function.type - 1]
    if isinstance(proto, FuncProto):
        params = tuple(
            replace(each, name="dummy_ksym") if each.type and not each.name else each
            for each in proto.params
        )
        types[function.type - 1] = replace(proto, params=params)


def _allocate(types: list[BtfType], place: int) -> None:
    section = types[place]
    assert isinstance(section, DataSec)
    number = _number_of(types, _INT)
    variables = []
    for at, each in enumerate(section.variables):
        symbol, type_id = types[each.type - 1], each.type
        if isinstance(symbol, Func):
            type_id = _number_of(types, Var("dummy_ksym", number, VarLinkage.GLOBAL_ALLOCATED))
        elif isinstance(symbol, Var):
            types[each.type - 1] = replace(symbol, type=number)
        variables.append(SecVar(type_id, at * _INT.size, _INT.size))
    types[place] = DataSec(section.name, len(variables) * _INT.size, tuple(variables))


def _number_of(types: list[BtfType], wanted: BtfType) -> int:
    """The id of a type, which is put at the end where there is none."""
    if wanted not in types:
        types.append(wanted)
    return types.index(wanted) + 1


def sanitized(types: Iterable[BtfType], has: Set[BtfFeature]) -> list[BtfType]:
    """The types with what a kernel lacks replaced by something of the same size.

    Numbers of types stay; one may be added at the end.
    """
    made = list(types)
    named = [getattr(each, "name", "") for each in made]
    for at, each in enumerate(list(made)):
        for feature, change in _CHANGES:
            if feature in has:
                continue
            changed = change(each, named)
            if changed is not None:
                made[at] = changed
                break
    if BtfFeature.ENUM64 not in has and any(isinstance(each, Enum64) for each in types):
        placeholder = _number_of(made, Int("enum64_placeholder", 1, 8))
        for at, each in enumerate(list(made)):
            if isinstance(each, Enum64):
                members = tuple(Member(value.name, placeholder, 0) for value in each.values)
                made[at] = Union(each.name, each.size, members)
    return made


Change = Callable[[BtfType, list[str]], BtfType | None]


def _no_datasec(each: BtfType, named: list[str]) -> BtfType | None:
    match each:
        case Var():
            return replace(_BYTE, name=each.name)
        case DataSec():
            members = tuple(
                Member(named[place.type - 1] if place.type else "", place.type, place.offset * 8)
                for place in each.variables
            )
            return Struct(each.name.replace(".", "_").replace("?", "_"), each.size, members)
        case _:
            return None


def _no_question_mark(each: BtfType, named: list[str]) -> BtfType | None:
    if isinstance(each, DataSec) and each.name.startswith("?"):
        return replace(each, name=f"_{each.name[1:]}")
    return None


def _no_func(each: BtfType, named: list[str]) -> BtfType | None:
    match each:
        case FuncProto():
            return Enum("", 4, tuple(Enumerator(param.name, param.type) for param in each.params))
        case Func():
            return Typedef(each.name, each.type)
        case _:
            return None


def _no_global_func(each: BtfType, named: list[str]) -> BtfType | None:
    return replace(each, linkage=FuncLinkage.STATIC) if isinstance(each, Func) else None


def _no_float(each: BtfType, named: list[str]) -> BtfType | None:
    # C compilers do not take "float" as a struct's name, so it has none.
    return Struct("", each.size, ()) if isinstance(each, Float) else None


def _no_decl_tag(each: BtfType, named: list[str]) -> BtfType | None:
    return replace(_BYTE, name=each.name) if isinstance(each, DeclTag) else None


def _no_type_tag(each: BtfType, named: list[str]) -> BtfType | None:
    return Const(each.type) if isinstance(each, TypeTag) else None


def _no_enum64(each: BtfType, named: list[str]) -> BtfType | None:
    """Enumerations were not told to be signed before; those of 64 bits come later."""
    if not isinstance(each, Enum) or not each.signed:
        return None
    values = tuple(Enumerator(value.name, value.value & 0xFFFF_FFFF) for value in each.values)
    return replace(each, values=values, signed=False)


# In libbpf's order: the first that a type needs is made, and no other.
_CHANGES: tuple[tuple[BtfFeature, Change], ...] = (
    (BtfFeature.DATASEC, _no_datasec),
    (BtfFeature.DECL_TAG, _no_decl_tag),
    (BtfFeature.QUESTION_MARK, _no_question_mark),
    (BtfFeature.FUNC, _no_func),
    (BtfFeature.FUNC_GLOBAL, _no_global_func),
    (BtfFeature.FLOAT, _no_float),
    (BtfFeature.TYPE_TAG, _no_type_tag),
    (BtfFeature.ENUM64, _no_enum64),
)
