"""Types that say the same, made one: what is left has no two alike, cycles included.

Types start out together where they look alike by themselves, and are parted where what they refer
to is parted, until nothing changes: partition refinement, which finds the fewest types. A
declaration without a definition counts as its definition where all of that name are alike.
Like libbpf's btf__dedup, it leaves variables and data sections alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from ebpfasm.btf.codec import check_references
from ebpfasm.btf.renumber import renumbered
from ebpfasm.btf.types import (
    AnyEnum,
    Array,
    Btf,
    BtfType,
    DataSec,
    Enum,
    Enum64,
    Func,
    FuncProto,
    Fwd,
    Struct,
    Union,
    Var,
    refers_to,
)


class Deduplicated(NamedTuple):
    """The types that are left, and the new id of each old one."""

    btf: Btf
    ids: Mapping[int, int]


def dedup(btf: Btf) -> Deduplicated:
    """Make types that say the same one; those of a base stay, and take up their like.

    The first of its like stays. Raises BtfError where a type refers to one that is not there.
    """
    check_references(btf)
    types: list[BtfType | None] = [btf.get(each) for each in range(len(btf) + 1)]
    kept = _Partition(types).representatives()
    first = btf.first_id
    ids = {each: each for each in range(first)}
    number = first
    for old in range(first, len(types)):
        if kept[old] == old:
            ids[old] = number
            number += 1
    for old in range(first, len(types)):
        ids[old] = ids[kept[old]]
    left = [
        renumbered(each, ids.__getitem__)
        for old in range(first, len(types))
        if kept[old] == old and (each := types[old]) is not None
    ]
    return Deduplicated(Btf(tuple(left), btf.base), ids)


def merge(*tables: Btf) -> Btf:
    """Join tables without bases into one, without what would be in it twice. Raises BtfError."""
    types: list[BtfType] = []
    for table in tables:
        check_references(table)
        shifted = [0, *range(len(types) + 1, len(types) + len(table) + 1)]
        types += [renumbered(each, shifted.__getitem__) for each in table.types]
    return dedup(Btf(tuple(types))).btf


class _Partition:
    """Blocks of types that nothing has told apart so far."""

    def __init__(self, types: list[BtfType | None]) -> None:
        self._types = types
        self._refs = [() if each is None else refers_to(each) for each in types]
        self._users: list[list[int]] = [[] for _ in types]
        for number, refs in enumerate(self._refs):
            for ref in refs:
                self._users[ref].append(number)
        self._block: list[int] = []
        self._members: list[set[int]] = []
        self._definitions: dict[object, list[int]] = {}
        self._declared: dict[object, list[int]] = {}
        self._begin()

    def _begin(self) -> None:
        blocks: dict[object, int] = {}
        for number, each in enumerate(self._types):
            key = number if each is None or isinstance(each, Var | DataSec) else _look(each)
            block = blocks.setdefault(key, len(blocks))
            if block == len(self._members):
                self._members.append(set())
            self._members[block].add(number)
            self._block.append(block)
            if each is not None and (tag := _tag(each)) is not None:
                known = self._declared if _is_declaration(each) else self._definitions
                known.setdefault(tag, []).append(number)

    def representatives(self) -> list[int]:
        """For each type the first that says the same."""
        waiting: set[int] = set(range(len(self._types)))
        while waiting:
            by_block: dict[int, list[int]] = {}
            for number in waiting:
                by_block.setdefault(self._block[number], []).append(number)
            # All are looked at before any is moved, so that those left out stay alike.
            parted = [(block, self._parts(block, each)) for block, each in by_block.items()]
            moved = [number for block, parts in parted for number in self._apart(block, parts)]
            waiting = {user for number in moved for user in self._affected(number)}
        first = [min(members) for members in self._members]
        return [first[self._seen(number)] for number in range(len(self._types))]

    def _parts(self, block: int, numbers: list[int]) -> list[list[int]]:
        """Members of a block that have to leave it; `numbers` are those that may differ."""
        parts: dict[tuple[int, ...], list[int]] = {}
        for number in numbers:
            parts.setdefault(self._signature(number), []).append(number)
        members = self._members[block]
        if len(members) > len(numbers):
            looked_at = set(numbers)
            other = next(each for each in members if each not in looked_at)
            parts.pop(self._signature(other), None)
        else:
            parts.pop(max(parts, key=lambda each: len(parts[each])))
        return list(parts.values())

    def _apart(self, block: int, parts: list[list[int]]) -> Iterator[int]:
        """Give parts blocks of their own; those that move."""
        for part in parts:
            self._members[block].difference_update(part)
            for number in part:
                self._block[number] = len(self._members)
            self._members.append(set(part))
            yield from part

    def _signature(self, number: int) -> tuple[int, ...]:
        return tuple(self._seen(ref) for ref in self._refs[number])

    def _seen(self, number: int) -> int:
        """The block of a type; of a declaration, that of its definitions if they are alike."""
        each = self._types[number]
        if each is not None and _is_declaration(each):
            blocks = {self._block[other] for other in self._definitions.get(_tag(each), ())}
            if len(blocks) == 1:
                return blocks.pop()
        return self._block[number]

    def _affected(self, number: int) -> set[int]:
        """Types whose signature may change with a type's block."""
        each = self._types[number]
        found = set(self._users[number])
        for other in self._declared.get(_tag(each) if each is not None else None, ()):
            found.update(self._users[other])
        return found


def _tag(each: BtfType) -> object:
    """What a declaration and its definition have in common; None where there is no such name."""
    match each:
        case Struct() | Fwd(union=False) if each.name:
            return "struct", each.name
        case Union() | Fwd() if each.name:
            return "union", each.name
        case Enum() | Enum64() if each.name:
            return "enum", each.name
        case _:
            return None


def _is_declaration(each: BtfType) -> bool:
    return isinstance(each, Fwd) or (isinstance(each, AnyEnum) and not each.values)


def _look(each: BtfType) -> object:
    """All of a type but what it refers to."""
    match each:
        case Struct() | Union():
            members = tuple(
                (member.name, member.offset_bits, member.bitfield_size) for member in each.members
            )
            return type(each), each.name, each.size, members
        case Array():
            return Array, each.nelems
        case FuncProto():
            return FuncProto, tuple(param.name for param in each.params)
        case Func():
            return Func, each.name, each.linkage
        case _ if refers_to(each):
            return renumbered(each, lambda _: 0)
        case _:
            return each
