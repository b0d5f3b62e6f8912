"""A function of a compiled object as a stream: its distances get labels when somebody looks.

The code holds the distances of jumps already, so linking and encoding never need the labels; what
reads the items sees them as `ir.lift` makes them of bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from ebpfasm.errors import Diagnostic, LineSpan, Location
from ebpfasm.ir.debug import FunctionDebug
from ebpfasm.ir.instruction import Instruction, Item
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.ir.packed import Packed, Stream
from ebpfasm.ir.references import FunctionRef, LabelRef
from ebpfasm.isa.table import BY_OPCODE

_NO_PLACES = array("I")


class Lifted(Stream):
    """The items of a function whose code is complete but for what `body.refs` names.

    `landings` are the slots that its jump tables lead to: labels stand there too.
    """

    __slots__ = ("_lifted", "landings")

    def __init__(self, body: Packed, landings: Sequence[int] = ()) -> None:
        super().__init__(body, _NO_PLACES, _NO_PLACES, ())
        self._lifted = False
        self.landings = landings

    def __len__(self) -> int:
        self._lift()
        return super().__len__()

    def _make(self, index: int) -> Item:
        self._lift()
        made = super()._make(index)
        if not isinstance(made, Instruction) or not isinstance(made.ref, LabelRef):
            return made
        in_off = distance_field(made.spec.form) == "off"
        return replace(made, off=0) if in_off else replace(made, imm=0)

    def label_at(self, slot: int) -> str:
        """The label that stands at one of the landings."""
        names = {place: self.name_of[name] for name, place in self.label_slots().items()}
        return names[slot]

    def label_slots(self) -> dict[int, int]:
        """Slot of each label, by the number of its name."""
        self._lift()
        return super().label_slots()

    def linked(
        self, base: int, starts: Mapping[str, int], report: Callable[[Diagnostic], None]
    ) -> Packed:
        """The body with the distances to functions written: those of jumps are there."""
        if any(isinstance(each, FunctionRef) for each in self.body.refs.values()):
            return super().linked(base, starts, report)
        return self.body

    def _write_jumps(self, code: bytearray, report: Callable[[Diagnostic], None]) -> None:
        """Nothing: the distances of jumps are there."""

    def _lift(self) -> None:
        if self._lifted:
            return
        self._lifted = True
        found = list(self._targets_of_jumps())
        landings = {bisect_left(self.body.slots, slot) for slot in self.landings}
        places = sorted({target for _, target in found} | landings)
        number_of = {place: number for number, place in enumerate(places)}
        self.jumps = array("I")
        for index, target in found:
            self.jumps.extend((index, number_of[target]))
        self.labels = array("I")
        for number, place in enumerate(places):
            self.labels.extend((place, number, 0))
        self.name_of = [f"L{number}" for number in range(1, len(places) + 1)]
        self.__post_init__()

    def _targets_of_jumps(self) -> Iterator[tuple[int, int]]:
        """Each jump inside the function, by number, and the number of its target."""
        body = self.body
        opcodes = body.code[::8]
        slots = body.slots
        count, end = len(slots), body.slot_count
        for index, slot in enumerate(slots):
            if opcodes[slot] not in _JUMPS or index in body.refs:
                continue
            form = body[index]
            distance = form.off if distance_field(form.spec.form) == "off" else form.imm
            target = slot + 1 + distance
            place = count if target == end else bisect_left(slots, target)
            inside = place == count if target == end else place < count and slots[place] == target
            if inside and form.spec.form in JUMPS:
                yield index, place


_JUMPS = frozenset(
    opcode for opcode, rows in BY_OPCODE.items() if any(row.form in JUMPS for row in rows)
)


class LinePlaces:
    """Where a function's instructions stand, by its line records."""

    __slots__ = ("_debug",)

    def __init__(self, debug: FunctionDebug) -> None:
        self._debug = debug

    def span(self, index: int, slot: int) -> Location | None:
        """The line of the last record at or before a slot; None before the first."""
        number = self._debug.record_at(slot)
        return None if number is None else line_span(self._debug, number)


def line_span(debug: FunctionDebug, number: int) -> LineSpan:
    """The place that a function's line record names."""
    file, line, position = debug.record(number)
    text = debug.object.text
    return LineSpan(text(file), position >> 10, position & 0x3FF, text(line))


class NoPlaces:
    """The places of code without line information."""

    def span(self, index: int, slot: int) -> Location | None:
        """Not known."""
        return None
