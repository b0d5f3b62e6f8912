"""CO-RE access paths: from `0:1:2` to members of the program's own type, and on to the target's.

The first number counts elements of the root type itself, as in `p[n]`; each further one is a
member of a struct or union, or an element of an array. In the target members are looked up by
name, through unnamed structs and unions (libbpf's relo_core.c, bpf_core_parse_spec and
bpf_core_spec_match).
"""

from __future__ import annotations

from typing import NamedTuple

from ebpfasm.btf.core_match import fields_are_compatible
from ebpfasm.btf.naming import named, spelled
from ebpfasm.btf.resolve import POINTER, plain, size_of
from ebpfasm.btf.types import Array, Composite, Member, Struct, Types, Union
from ebpfasm.errors import BtfError, error

# Steps that a path may have, unnamed members included (BPF_CORE_SPEC_MAX_LEN).
LONGEST = 64


class Step(NamedTuple):
    """A named member of the struct `owner`, or (without a name) an element; `owner` is its type."""

    owner: int
    number: int
    name: str = ""


class Path(NamedTuple):
    """A place in a type: `bits` from its start. `indices` are all steps, unnamed members too."""

    steps: tuple[Step, ...]
    indices: tuple[int, ...]
    bits: int


class Missing(NamedTuple):
    """Why a target has no such place; the sentence goes on from "the target's type"."""

    reason: str


def numbers(access: str) -> tuple[int, ...]:
    """The numbers of an access string. Raises BtfError.

    >>> numbers("0:1:2")
    (0, 1, 2)
    """
    parts = access.split(":")
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise malformed(f"{access!r} is no access path such as 0:1:2")
    if len(parts) > LONGEST:
        raise malformed(f"an access path of {len(parts)} steps is too long: {LONGEST} are allowed")
    return tuple(map(int, parts))


def local_path(types: Types, root: int, access: str) -> Path:
    """Follow an access string through the program's own types. Raises BtfError."""
    first, *rest = numbers(access)
    type_id, _ = plain(types, root)
    steps = [Step(type_id, first)]
    bits = first * size_of(types, type_id) * 8
    for index in rest:
        type_id, each = plain(types, type_id)
        match each:
            case Struct() | Union():
                member = _numbered(each, index)
                bits += member.offset_bits
                if member.name:
                    steps.append(Step(type_id, index, member.name))
                type_id = member.type
            case Array():
                if index >= each.nelems and not _is_flexible(types, steps[-1], each):
                    message = f"an array of {each.nelems} elements has no number {index}"
                    raise malformed(f"access path {access}: {message}")
                type_id, _ = plain(types, each.type)
                steps.append(Step(type_id, index))
                bits += index * size_of(types, type_id) * 8
            case _:
                what = spelled(types, type_id)
                raise malformed(f"access path {access} leads into {what}, which has no members")
    return Path(tuple(steps), (first, *rest), bits)


def _numbered(each: Composite, index: int) -> Member:
    if index >= len(each.members):
        raise malformed(f"{named(each)} has {len(each.members)} members and no number {index}")
    return each.members[index]


def _is_flexible(types: Types, owner: Step, array: Array) -> bool:
    """Whether it is an array without a size, at a struct's end."""
    if not owner.name or array.nelems:
        return False
    each = types.get(owner.owner)
    return isinstance(each, Composite) and owner.number == len(each.members) - 1


class Walker:
    """Follows a path of the program's types through one type of the target."""

    def __init__(self, local: Types, target: Types, pointer: int = POINTER) -> None:
        self._local, self._target, self._pointer = local, target, pointer
        self._steps: list[Step] = []
        self._indices: list[int] = []
        self._bits = self._root = 0

    def follow(self, path: Path, root: int) -> Path | Missing:
        """The same place in the target's type, or why there is none. Raises BtfError."""
        self._root = root
        type_id = root
        for number, step in enumerate(path.steps):
            if step.name:
                next_id = self._member(step, type_id)
            else:
                next_id = self._element(step, type_id, is_first=number == 0)
            if isinstance(next_id, Missing):
                return next_id
            type_id = next_id
        return Path(tuple(self._steps), tuple(self._indices), self._bits)

    def _element(self, step: Step, type_id: int, *, is_first: bool) -> int | Missing:
        type_id, each = plain(self._target, type_id)
        if not is_first:
            if not isinstance(each, Array):
                return Missing(f"{self._place()} is no array")
            if step.number >= each.nelems and not _is_flexible(self._target, self._steps[-1], each):
                count = each.nelems
                return Missing(f"{self._place()} has {count} elements and no number {step.number}")
            type_id, _ = plain(self._target, each.type)
        self._go(step.number)
        self._steps.append(Step(type_id, step.number))
        self._bits += step.number * size_of(self._target, type_id, self._pointer) * 8
        return type_id

    def _place(self) -> str:
        return spelled(self._target, self._root) + joined(dotted(self._steps))

    def _go(self, index: int) -> None:
        if len(self._indices) == LONGEST:
            raise malformed(f"more than {LONGEST} structs lie inside each other")
        self._indices.append(index)

    def _member(self, step: Step, type_id: int) -> int | Missing:
        owner = self._local.get(step.owner)
        assert isinstance(owner, Composite)
        found = self._search(step.name, owner.members[step.number].type, type_id)
        if found is None:
            return Missing(f"{self._place()} has no member {step.name!r}")
        return found

    def _search(self, name: str, wanted: int, type_id: int) -> int | Missing | None:
        """The type of the member of that name; None where there is no such one."""
        type_id, owner = plain(self._target, type_id)
        if not isinstance(owner, Composite):
            return None
        for index, member in enumerate(owner.members):
            if member.name not in ("", name):
                continue
            self._go(index)
            self._bits += member.offset_bits
            if member.name:
                self._steps.append(Step(type_id, index, name))
                if fields_are_compatible(self._local, wanted, self._target, member.type):
                    return member.type
                return Missing(self._other_kind(wanted, member.type))
            found = self._search(name, wanted, member.type)
            if found is not None:
                return found
            self._indices.pop()
            self._bits -= member.offset_bits
        return None

    def _other_kind(self, wanted: int, found: int) -> str:
        ours, theirs = spelled(self._local, wanted), spelled(self._target, found)
        return f"{self._place()} is {theirs}, and the program takes it for {ours}"


def dotted(steps: tuple[Step, ...] | list[Step]) -> str:
    """The path as C writes it behind its root, as in `a.b[2]`.

    >>> dotted((Step(1, 0), Step(1, 3, "a"), Step(2, 2)))
    'a[2]'
    """
    text = f"[{steps[0].number}]" if steps and steps[0].number else ""
    for step in steps[1:]:
        text += (f".{step.name}" if text else step.name) if step.name else f"[{step.number}]"
    return text


def joined(path: str) -> str:
    """A path as it stands behind its root's name.

    >>> joined("a[2]"), joined("[1].b"), joined("")
    ('.a[2]', '[1].b', '')
    """
    return f".{path}" if path and not path.startswith("[") else path


def malformed(message: str) -> BtfError:
    """What is raised for a CO-RE record that makes no sense."""
    return BtfError(error("core-record", message))
