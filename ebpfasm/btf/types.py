"""BTF types as values, a class a kind (the kernel's Documentation/bpf/btf.rst, section 2.2).

Types refer to each other by id: the place in the table, from 1. Id 0 is void. Sizes and
offsets are in bytes unless a field's name says bits. An empty name means that there is none.
"""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum, IntFlag
from typing import Literal, Protocol, TypeVar, assert_never

from ebpfasm.btf.strings import StringSection
from ebpfasm.errors import BtfError, error
from ebpfasm.frozen import dataclass

ByteOrder = Literal["little", "big"]

VOID = 0


class IntEncoding(IntFlag):
    """How an Int is meant (BTF_INT_*); none of them is a plain unsigned number."""

    SIGNED = 1
    CHAR = 2
    BOOL = 4


class FuncLinkage(IntEnum):
    """Linkage of a Func (BTF_FUNC_*)."""

    STATIC = 0
    GLOBAL = 1
    EXTERN = 2


class VarLinkage(IntEnum):
    """Linkage of a Var (BTF_VAR_*)."""

    STATIC = 0
    GLOBAL_ALLOCATED = 1
    GLOBAL_EXTERN = 2


@dataclass(frozen=True, slots=True)
class Int:
    """An integer. Compilers leave `offset_bits` at 0 and put bit-fields into Member."""

    name: str
    size: int
    bits: int
    encoding: int = 0
    offset_bits: int = 0


@dataclass(frozen=True, slots=True)
class Ptr:
    """A pointer."""

    type: int


@dataclass(frozen=True, slots=True)
class Array:
    """An array of `nelems` elements; `index_type` is an integer type that nothing depends on."""

    type: int
    index_type: int
    nelems: int


@dataclass(frozen=True, slots=True)
class Member:
    """A struct or union member. `bitfield_size` is in bits, 0 where it is no bit-field."""

    name: str
    type: int
    offset_bits: int
    bitfield_size: int = 0


@dataclass(frozen=True, slots=True)
class Struct:
    """A struct."""

    name: str
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Union:
    """A union."""

    name: str
    size: int
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class Enumerator:
    """A named value of an enumeration."""

    name: str
    value: int


@dataclass(frozen=True, slots=True)
class Enum:
    """An enumeration whose values fit 32 bits, signed or unsigned as `signed` says."""

    name: str
    size: int
    values: tuple[Enumerator, ...]
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Fwd:
    """A struct, or union, that is declared and not defined."""

    name: str
    union: bool = False


@dataclass(frozen=True, slots=True)
class Typedef:
    """Another name for a type."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class Volatile:
    """A volatile type."""

    type: int


@dataclass(frozen=True, slots=True)
class Const:
    """A const type."""

    type: int


@dataclass(frozen=True, slots=True)
class Restrict:
    """A restrict pointer type."""

    type: int


@dataclass(frozen=True, slots=True)
class Func:
    """A function, `type` being its FuncProto. `linkage` is a FuncLinkage."""

    name: str
    type: int
    linkage: int = FuncLinkage.STATIC


@dataclass(frozen=True, slots=True)
class Param:
    """A parameter. A last one with no name and type void means variable arguments."""

    name: str
    type: int


@dataclass(frozen=True, slots=True)
class FuncProto:
    """What a function takes, and `type`, what it returns."""

    type: int
    params: tuple[Param, ...] = ()


@dataclass(frozen=True, slots=True)
class Var:
    """A global variable. `linkage` is a VarLinkage."""

    name: str
    type: int
    linkage: int = VarLinkage.STATIC


@dataclass(frozen=True, slots=True)
class SecVar:
    """A variable's place in a section; `type` is the Var."""

    type: int
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class DataSec:
    """An ELF section of variables, such as .bss or .maps."""

    name: str
    size: int
    variables: tuple[SecVar, ...]


@dataclass(frozen=True, slots=True)
class Float:
    """A floating-point number."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class DeclTag:
    """A btf_decl_tag on a type, or on its member or parameter number `component` (-1: the type).

    `attribute` says that the name is a whole __attribute__ rather than a tag's value.
    """

    name: str
    type: int
    component: int = -1
    attribute: bool = False


@dataclass(frozen=True, slots=True)
class TypeTag:
    """A btf_type_tag on what a pointer points to; `attribute` as for DeclTag."""

    name: str
    type: int
    attribute: bool = False


@dataclass(frozen=True, slots=True)
class Enum64:
    """An enumeration whose values need 64 bits, signed or unsigned as `signed` says."""

    name: str
    size: int
    values: tuple[Enumerator, ...]
    signed: bool = False


BtfType = (
    Int | Ptr | Array | Struct | Union | Enum | Fwd | Typedef | Volatile | Const | Restrict
    | Func | FuncProto | Var | DataSec | Float | DeclTag | TypeTag | Enum64
)  # fmt: skip

Composite = Struct | Union
AnyEnum = Enum | Enum64

Kind = TypeVar("Kind", bound=BtfType)


class Types(Protocol):
    """What can be asked for types by id: a Btf, or a BtfIndex over a large one."""

    def __len__(self) -> int:
        """The highest id, a base's types included."""
        ...

    def get(self, type_id: int) -> BtfType | None:
        """The type with an id, None for void. Raises BtfError where there is no such id."""
        ...


class BaseTypes(Types, Protocol):
    """Types that others go on from, as a module's do from vmlinux': a BtfIndex."""

    @property
    def strings(self) -> StringSection:
        """Its strings, whose offsets the others' go on from."""
        ...


@dataclass(frozen=True, slots=True)
class Btf:
    """A table of types: `types[0]` has the id 1, or the next after those of its `base`."""

    types: tuple[BtfType, ...] = ()
    base: BaseTypes | None = field(default=None, compare=False, repr=False)

    @property
    def first_id(self) -> int:
        """The id of `types[0]`."""
        return 1 if self.base is None else len(self.base) + 1

    def __len__(self) -> int:
        """The highest id."""
        return self.first_id + len(self.types) - 1

    def get(self, type_id: int) -> BtfType | None:
        """The type with an id, None for void. Raises BtfError where there is no such id."""
        if type_id == VOID:
            return None
        first = self.first_id
        if self.base is not None and 0 < type_id < first:
            return self.base.get(type_id)
        if not first <= type_id <= len(self):
            raise BtfError(error("btf-format", f"there is no type {type_id}"))
        return self.types[type_id - first]

    def find(self, kind: type[Kind], name: str) -> int | None:
        """The id of the first type of that kind and name, None where there is none.

        The base's types are left out.
        """
        for type_id, each in enumerate(self.types, self.first_id):
            if isinstance(each, kind) and getattr(each, "name", "") == name:
                return type_id
        return None


def refers_to(each: BtfType) -> tuple[int, ...]:
    """Ids of the types that a type names, void included."""
    match each:
        case Int() | Enum() | Enum64() | Float() | Fwd():
            return ()
        case Array(type=element, index_type=index):
            return element, index
        case Struct(members=members) | Union(members=members):
            return tuple(member.type for member in members)
        case FuncProto(type=returned, params=params):
            return returned, *(param.type for param in params)
        case DataSec(variables=variables):
            return tuple(variable.type for variable in variables)
        case (
            Ptr(type=target) | Typedef(type=target) | Volatile(type=target) | Const(type=target)
            | Restrict(type=target) | Func(type=target) | Var(type=target) | DeclTag(type=target)
            | TypeTag(type=target)
        ):  # fmt: skip
            return (target,)
        case _:
            assert_never(each)
