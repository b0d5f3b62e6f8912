"""Long programs as arrays: instructions and labels are made when they are looked at.

A program of a million lines as a tuple would be a million objects before anyone has asked for
one. `Stream` stands where a tuple of items stands, `Packed` where one of instructions does; both
compare equal to tuples with the same members.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar, overload

from ebpfasm.errors import Diagnostic, Location, Source, Span, error
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


class Lazy(Sequence[T]):
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
        if not isinstance(other, tuple | Lazy):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self)}>"


class Places(Protocol):
    """Where the instructions of a function stand in its source."""

    def span(self, index: int, slot: int) -> Location | None:
        """The place of instruction number `index`, which begins at a slot."""


@dataclass(slots=True, eq=False, repr=False)
class TextPlaces:
    """Places in a text: instruction i stands at `starts[i]`, `lengths[i]` characters long."""

    source: Source
    starts: array[int]
    lengths: array[int]

    def span(self, index: int, slot: int) -> Span:
        """The characters of an instruction."""
        return Span(self.source, self.starts[index], self.starts[index] + self.lengths[index])


@dataclass(slots=True, eq=False, repr=False)
class _JoinedPlaces:
    """The places of several functions, one behind the other: where each begins."""

    parts: Sequence[Places]
    indices: list[int]
    slots: list[int]

    def span(self, index: int, slot: int) -> Location | None:
        number = bisect_right(self.indices, index) - 1
        return self.parts[number].span(index - self.indices[number], slot - self.slots[number])


@dataclass(slots=True, eq=False, repr=False)
class Packed(Lazy[Instruction]):
    """Instructions as little-endian code: number i begins at slot `slots[i]`.

    `places` says where each stands. `refs` holds the references by number; what such an
    instruction's code holds for them does not count.
    """

    code: bytes
    slots: array[int]
    places: Places
    refs: Mapping[int, Reference]

    def __len__(self) -> int:
        return len(self.slots)

    @property
    def slot_count(self) -> int:
        """Slots of all instructions."""
        return len(self.code) // SLOT

    def span(self, index: int) -> Location | None:
        """Where an instruction stands."""
        return self.places.span(index, self.slots[index])

    @classmethod
    def joined(cls, bodies: Sequence[Packed]) -> Packed:
        """Several functions as one piece of code."""
        if len(bodies) == 1:
            return bodies[0]
        places = _JoinedPlaces([body.places for body in bodies], [], [])
        slots = array("I")
        code, refs = bytearray(), dict[int, Reference]()
        for body in bodies:
            base = len(code) // SLOT
            places.indices.append(len(slots))
            places.slots.append(base)
            refs.update({index + len(slots): ref for index, ref in body.refs.items()})
            slots.extend(slot + base for slot in body.slots)
            code += body.code
        return cls(bytes(code), slots, places, refs)

    def _make(self, index: int) -> Instruction:
        fields = codec.decode_one(self.code, self.slots[index] * SLOT)
        assert not isinstance(fields, Diagnostic), fields
        return Instruction(*fields, ref=self.refs.get(index), span=self.span(index))


@dataclass(slots=True, eq=False, repr=False)
class Stream(Lazy[Item]):
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
            return Label(name, self._label_span(start, len(name)))
        place = index - number
        made = self.body[place]
        if self._targets is None:
            self._targets = dict(zip(self.jumps[0::2], self.jumps[1::2], strict=True))
        target = self._targets.get(place)
        if target is None:
            return made
        return replace(made, ref=LabelRef(self.name_of[target]))

    def _label_span(self, start: int, length: int) -> Location | None:
        places = self.body.places
        return (
            Span(places.source, start, start + length) if isinstance(places, TextPlaces) else None
        )

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
        code = bytearray(self.body.code)
        self._write_jumps(code, report)
        return self._called(code, base, starts)

    def _write_jumps(self, code: bytearray, report: Callable[[Diagnostic], None]) -> None:
        body, places = self.body, self.label_slots()
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

    def _called(self, code: bytearray, base: int, starts: Mapping[str, int]) -> Packed:
        """The body with other code, where the distances to functions are written."""
        body, refs = self.body, dict[int, Reference]()
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
