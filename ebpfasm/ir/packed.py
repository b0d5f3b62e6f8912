"""Long programs as arrays: instructions and labels are made when they are looked at.

A program of a million lines as a tuple would be a million objects before anyone has asked for
one. `Stream` stands where a tuple of items stands, `Packed` where one of instructions does; both
compare equal to tuples with the same members.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar, overload

from ebpfasm.errors import Diagnostic, Source, Span, error
from ebpfasm.ir.instruction import Instruction, Item, Label
from ebpfasm.ir.references import FunctionRef, LabelRef, Reference
from ebpfasm.isa import codec
from ebpfasm.isa.codec import SLOT
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME

T = TypeVar("T")

GOTOL = BY_NAME["gotol"].opcode


def too_far(jump: Instruction, distance: int, name: str) -> Diagnostic:
    """What a jump is told that does not reach its label."""
    hint = "use gotol, which reaches 2147483647 slots" if jump.spec.form is Form.JUMP else None
    message = f"{name!r} is {distance} slots away; this jump reaches -32768 to 32767"
    return error("link-jump-range", message, jump.span, hint=hint)


class _Lazy(Sequence[T]):
    """A sequence whose members are made on demand."""

    __slots__ = ()

    def _make(self, index: int) -> T:
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        if isinstance(index, slice):
            return tuple(self._make(each) for each in range(*index.indices(len(self))))
        size = len(self)
        if not -size <= index < size:
            raise IndexError(index)
        return self._make(index % size)

    def __iter__(self) -> Iterator[T]:
        return map(self._make, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple | _Lazy):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"


@dataclass(slots=True, eq=False, repr=False)
class Packed(_Lazy[Instruction]):
    """Instructions as little-endian code: number i begins at slot `slots[i]`.

    It stands at `starts[i]`, `lengths[i]` characters long, in the source. `refs` holds the
    references by number; what such an instruction's code holds for them does not count.
    """

    source: Source
    code: bytes
    slots: array[int]
    starts: array[int]
    lengths: array[int]
    refs: Mapping[int, Reference]

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def slot_count(self) -> int:
        """Slots of all instructions."""
        return len(self.code) // SLOT

    def span(self, index: int) -> Span:
        """Where an instruction stands."""
        return Span(self.source, self.starts[index], self.starts[index] + self.lengths[index])

    @classmethod
    def joined(cls, bodies: Sequence[Packed]) -> Packed:
        """Several functions as one piece of code, from the same source."""
        if len(bodies) == 1:
            return bodies[0]
        whole = cls(bodies[0].source, b"", array("I"), array("I"), array("I"), {})
        code, refs = bytearray(), dict[int, Reference]()
        for body in bodies:
            base = len(code) // SLOT
            refs.update({index + len(whole.slots): ref for index, ref in body.refs.items()})
            whole.slots.extend(slot + base for slot in body.slots)
            whole.starts.extend(body.starts)
            whole.lengths.extend(body.lengths)
            code += body.code
        return replace(whole, code=bytes(code), refs=refs)

    def _make(self, index: int) -> Instruction:
        fields = codec.decode_one(self.code, self.slots[index] * SLOT)
        assert not isinstance(fields, Diagnostic), fields
        return Instruction(*fields, ref=self.refs.get(index), span=self.span(index))


@dataclass(slots=True, eq=False, repr=False)
class Stream(_Lazy[Item]):
    """A function's instructions and labels. Jumps to labels hold no distance in `body` yet.

    `jumps` are pairs (instruction, name), `labels` triples (instruction behind it, name, place
    in the text); names are numbers, which `name_of` turns into text.
    """

    body: Packed
    jumps: array[int]
    labels: array[int]
    name_of: Sequence[str]
    _places: list[int] = field(default_factory=list, init=False)
    _targets: dict[int, int] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        behind = self.labels[0::3]
        self._places = [index + number for number, index in enumerate(behind)]

    def __len__(self) -> int:
        return len(self.body) + len(self._places)

    def _make(self, index: int) -> Item:
        number = bisect_left(self._places, index)
        if number < len(self._places) and self._places[number] == index:
            name = self.name_of[self.labels[number * 3 + 1]]
            start = self.labels[number * 3 + 2]
            return Label(name, Span(self.body.source, start, start + len(name)))
        place = index - number
        made = self.body[place]
        if self._targets is None:
            self._targets = dict(zip(self.jumps[0::2], self.jumps[1::2], strict=True))
        target = self._targets.get(place)
        if target is None:
            return made
        return replace(made, ref=LabelRef(self.name_of[target]))

    def label_slots(self) -> dict[int, int]:
        """Slot of each label, by the number of its name; of labels with one name the first."""
        slots = [*self.body.slots, self.body.slot_count]
        found: dict[int, int] = {}
        for behind, name in zip(self.labels[0::3], self.labels[1::3], strict=True):
            found.setdefault(name, slots[behind])
        return found

    def linked(
        self, base: int, starts: Mapping[str, int], report: Callable[[Diagnostic], None]
    ) -> Packed:
        """The body with its distances written, as `ir.link` does it for tuples.

        `base` is the slot where the function begins, `starts` those of all functions. What does
        not reach is reported.
        """
        body = self.body
        code, places = bytearray(body.code), self.label_slots()
        for index, name in zip(self.jumps[0::2], self.jumps[1::2], strict=True):
            slot = body.slots[index]
            distance = places[name] - slot - 1
            at = slot * SLOT
            if code[at] == GOTOL:
                code[at + 4 : at + 8] = distance.to_bytes(4, "little", signed=True)
            elif -32768 <= distance <= 32767:
                code[at + 2 : at + 4] = distance.to_bytes(2, "little", signed=True)
            else:
                report(too_far(body[index], distance, self.name_of[name]))
        refs = {}
        for index, ref in body.refs.items():
            match ref:
                case FunctionRef(name=function):
                    slot = body.slots[index]
                    distance = starts[function] - (base + slot) - 1
                    at = slot * SLOT + 4
                    code[at : at + 4] = distance.to_bytes(4, "little", signed=True)
                case _:
                    refs[index] = ref
        return replace(body, code=bytes(code), refs=refs)
