"""Which types of the program and of the target count as alike for CO-RE.

Three relations, from the loosest: what a field may be read as, what bpf_core_type_exists asks and
what bpf_core_type_matches asks (libbpf's relo_core.c: bpf_core_fields_are_compat,
bpf_core_types_are_compat and bpf_core_types_match). Names count without their flavours (`___x`).
"""

from __future__ import annotations

from ebpfasm.btf.resolve import plain
from ebpfasm.btf.scan import essence
from ebpfasm.btf.types import (
    AnyEnum,
    Array,
    BtfType,
    Composite,
    Enum,
    Enum64,
    Float,
    FuncProto,
    Fwd,
    Int,
    IntEncoding,
    Ptr,
    Struct,
    Types,
    Union,
)
from ebpfasm.errors import BtfError, error

_DEEPEST = 32  # types that lead to each other, as in libbpf


def essential(name: str) -> str:
    """A name without its flavour.

    >>> essential("task_struct___old")
    'task_struct'
    """
    if "___" not in name:
        return name
    return essence(name.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")


def same_kind(ours: BtfType | None, theirs: BtfType | None) -> bool:
    """Whether two types are of one kind; the two sizes of enumerations are one."""
    if isinstance(ours, AnyEnum):
        return isinstance(theirs, AnyEnum)
    return type(ours) is type(theirs)


def fields_are_compatible(local: Types, wanted: int, target: Types, found: int) -> bool:
    """Whether a member may be read as what the program takes it for. Raises BtfError."""
    for _ in range(_DEEPEST):
        ours, theirs = plain(local, wanted)[1], plain(target, found)[1]
        if isinstance(ours, Composite) and isinstance(theirs, Composite):
            return True
        if not same_kind(ours, theirs):
            return False
        match ours, theirs:
            case (Ptr(), Ptr()) | (Float(), Float()):
                return True
            case (Fwd() | Enum() | Enum64(), Fwd() | Enum() | Enum64()):
                names = essential(ours.name), essential(theirs.name)
                return "" in names or names[0] == names[1]
            case Int(), Int():
                return ours.offset_bits == theirs.offset_bits == 0
            case Array(), Array():
                wanted, found = ours.type, theirs.type
            case _:
                return False
    raise _too_deep()


def types_are_compatible(
    local: Types, wanted: int, target: Types, found: int, level: int = _DEEPEST
) -> bool:
    """Whether two types are as alike as bpf_core_type_exists asks. Raises BtfError.

    Names have been compared before.
    """
    if not same_kind(local.get(wanted), target.get(found)):
        return False
    for _ in range(_DEEPEST):
        ours, theirs = plain(local, wanted)[1], plain(target, found)[1]
        if not same_kind(ours, theirs):
            return False
        match ours, theirs:
            case Int(), Int():
                return ours.offset_bits == theirs.offset_bits == 0
            case (Ptr() | Array(), Ptr() | Array()):
                wanted, found = ours.type, theirs.type
            case FuncProto(), FuncProto():
                if len(ours.params) != len(theirs.params):
                    return False
                if level <= 0 and ours.params:
                    raise _too_deep()
                for mine, its in zip(ours.params, theirs.params, strict=True):
                    pair = plain(local, mine.type)[0], plain(target, its.type)[0]
                    if not types_are_compatible(local, pair[0], target, pair[1], level - 1):
                        return False
                wanted, found = plain(local, ours.type)[0], plain(target, theirs.type)[0]
            case _:
                return ours is None or isinstance(ours, Struct | Union | Enum | Enum64 | Fwd)
    raise _too_deep()


def types_match(local: Types, wanted: int, target: Types, found: int) -> bool:
    """Whether two types are as alike as bpf_core_type_matches asks. Raises BtfError."""
    return _Matching(local, target).match(wanted, found, _DEEPEST, behind_pointer=False)


class _Matching:
    def __init__(self, local: Types, target: Types) -> None:
        self._local, self._target = local, target

    def match(self, wanted: int, found: int, level: int, *, behind_pointer: bool) -> bool:
        if level <= 0:
            raise _too_deep()
        for _ in range(_DEEPEST):
            ours, theirs = plain(self._local, wanted)[1], plain(self._target, found)[1]
            if not _same_names(_name(ours), _name(theirs)):
                return False
            match ours, theirs:
                case Ptr(), Ptr():
                    behind_pointer = True
                    wanted, found = ours.type, theirs.type
                case Array(), Array():
                    if ours.nelems != theirs.nelems:
                        return False
                    wanted, found = ours.type, theirs.type
                case FuncProto(), FuncProto():
                    if not self._parameters(ours, theirs, level, behind_pointer=behind_pointer):
                        return False
                    wanted, found = ours.type, theirs.type
                case _:
                    return self._ends(ours, theirs, level, behind_pointer=behind_pointer)
        raise _too_deep()

    def _ends(
        self, ours: BtfType | None, theirs: BtfType | None, level: int, *, behind_pointer: bool
    ) -> bool:
        """Types that lead no further but through their members."""
        match ours, theirs:
            case None, None:
                return True
            case Int(), Int():
                signs = (ours.encoding ^ theirs.encoding) & IntEncoding.SIGNED
                return ours.size == theirs.size and not signs
            case (Enum() | Enum64(), Enum() | Enum64()):
                return _enums_match(ours, theirs)
            case Fwd(), Fwd():
                return ours.union == theirs.union
            case (Fwd(), Struct() | Union()) if behind_pointer:
                return ours.union == isinstance(theirs, Union)
            case (Struct() | Union(), Fwd()) if behind_pointer:
                return theirs.union == isinstance(ours, Union)
            case (Struct() | Union(), Struct() | Union()) if same_kind(ours, theirs):
                return behind_pointer or self._members(ours, theirs, level)
            case _:
                return False

    def _parameters(
        self, ours: FuncProto, theirs: FuncProto, level: int, *, behind_pointer: bool
    ) -> bool:
        return len(ours.params) == len(theirs.params) and all(
            self.match(mine.type, its.type, level - 1, behind_pointer=behind_pointer)
            for mine, its in zip(ours.params, theirs.params, strict=True)
        )

    def _members(self, ours: Struct | Union, theirs: Struct | Union, level: int) -> bool:
        """Whether the target has each member of ours, of a type that matches."""
        if len(ours.members) > len(theirs.members):
            return False
        by_name: dict[str, list[int]] = {}
        for member in theirs.members:
            by_name.setdefault(essential(member.name), []).append(member.type)
        return all(
            any(
                self.match(member.type, found, level - 1, behind_pointer=False)
                for found in by_name.get(essential(member.name), ())
            )
            for member in ours.members
        )


def _enums_match(ours: Enum | Enum64, theirs: Enum | Enum64) -> bool:
    names = {essential(each.name) for each in theirs.values}
    return (
        ours.size == theirs.size
        and len(ours.values) <= len(theirs.values)
        and all(essential(each.name) in names for each in ours.values)
    )


def _name(each: BtfType | None) -> str:
    return getattr(each, "name", "")


def _same_names(ours: str, theirs: str) -> bool:
    return essential(ours) == essential(theirs)


def _too_deep() -> BtfError:
    return BtfError(error("btf-format", "types lead to each other too deeply to be compared"))
