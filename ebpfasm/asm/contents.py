"""A section while it is filled: bytes, what is still to be filled in, and labels' places.

All sizes are known when a line is read, for BPF's instructions have one length each: so
contents are one array of bytes, and addresses are final as soon as they are taken.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import field

from ebpfasm.asm.reading.arguments import Arguments
from ebpfasm.asm.reading.directives import ALIGNMENTS, CONTENTS, FLOATS, INTEGERS, LEBS, STRINGS
from ebpfasm.asm.reading.expressions import (
    Expression,
    Literal,
    Meaning,
    Name,
    Relative,
    evaluate,
    resolve,
)
from ebpfasm.asm.reading.statements import RawDirective
from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.frozen import dataclass
from ebpfasm.isa.codec import ByteOrder

# More than any object holds; a mistake of one digit shall not eat the memory.
MOST_BYTES = 1 << 30

_GOTO_NEXT = b"\x05" + bytes(7)  # `goto +0`, alike in both byte orders


@dataclass(frozen=True, slots=True)
class Fixup:
    """A field of `size` bytes whose value is known only when all labels are."""

    offset: int
    size: int
    value: Expression
    span: Span


@dataclass(slots=True)
class Contents:
    """A section's bytes so far. `size` is what a section without content would take."""

    name: str
    executable: bool = False
    nobits: bool = False
    align: int = 1
    data: bytearray = field(default_factory=bytearray)
    size: int = 0
    fixups: list[Fixup] = field(default_factory=list)
    nonzero: bool = False  # something else than zeros was to go where there is no content

    @property
    def here(self) -> int:
        """The offset of what comes next."""
        return self.size if self.nobits else len(self.data)

    def append(self, chunk: bytes) -> None:
        """Add bytes; in a section without content only their number counts."""
        if self.nobits:
            self.size += len(chunk)
            self.nonzero = self.nonzero or any(chunk)
        else:
            self.data += chunk

    def reserve(self, count: int, value: int = 0) -> None:
        """Add a byte many times."""
        if self.nobits:
            self.size += count
            self.nonzero = self.nonzero or value != 0
        else:
            self.data += bytes([value]) * count

    def align_to(self, align: int, value: int | None = None, most: int | None = None) -> None:
        """Fill up to a multiple of `align`; not at all where that takes more than `most` bytes."""
        self.align = max(self.align, align)
        count = -self.here % align
        if most is not None and count > most:
            return
        if self.executable and value is None and count % 8 == 0:
            # What the processor may run into must be an instruction that does nothing.
            self.append(_GOTO_NEXT * (count // 8))
        else:
            self.reserve(count, value or 0)


Lookup = Callable[[Name], Meaning | None]


class Filler:
    """Carries out the directives that fill sections.

    `lookup` says what a name means now: a number, or a place if labels are known that far.
    """

    def __init__(self, wrong: list[Diagnostic], byteorder: ByteOrder, lookup: Lookup) -> None:
        self._wrong = wrong
        self._order = byteorder
        self._lookup = lookup

    def fill(self, directive: RawDirective, into: Contents) -> None:
        """Carry one directive out. Raises Misread where it is written wrongly."""
        name = directive.name
        source, usage = directive.span.source, f"write {CONTENTS[name]}"
        arguments = Arguments(source, directive.text, directive.start, usage)
        if name in INTEGERS:
            self._integers(arguments, INTEGERS[name], into)
        elif name in FLOATS:
            self._floats(arguments, "f" if FLOATS[name] == 4 else "d", into)
        elif name == ".org":
            self._origin(arguments, into)
        elif name in STRINGS:
            self._strings(arguments, STRINGS[name], into)
        elif name in LEBS:
            self._lebs(arguments, name == ".sleb128", into)
        elif name in ALIGNMENTS:
            self._alignment(arguments, name, into)
        else:
            self._space(arguments, name, into)

    def plain(self, number: re.Match[str], into: Contents) -> bool:
        """Add a number that was matched as its directive and its digits; False where it is not fit.

        The quick way for lines that have nothing else.
        """
        size, value = INTEGERS[number[1]], int(number[2])
        if value >> 8 * size or into.nobits:
            return False
        into.data += value.to_bytes(size, self._order)
        return True

    def _integers(self, arguments: Arguments, size: int, into: Contents) -> None:
        if arguments.done:
            raise arguments.problem("a number is missing")
        while True:
            plain = arguments.plain()
            if plain is not None and -(1 << 8 * size - 1) <= plain < 1 << 8 * size:
                into.append((plain & (1 << 8 * size) - 1).to_bytes(size, self._order))
            else:
                tree = (
                    arguments.expression()
                    if plain is None
                    else Literal(plain, arguments.plain_span)
                )
                self._integer(tree, size, into)
            if not arguments.comma():
                return

    def _integer(self, tree: Expression, size: int, into: Contents) -> None:
        if isinstance(tree, Literal):
            into.append(packed(tree.value, size, self._order, tree.span, self._wrong))
            return
        into.fixups.append(Fixup(into.here, size, tree, tree.span))
        into.reserve(size)

    def _floats(self, arguments: Arguments, kind: str, into: Contents) -> None:
        order = "<" if self._order == "little" else ">"
        while True:
            place = arguments.rest
            value = arguments.real()
            try:
                into.append(struct.pack(order + kind, value))
            except OverflowError:
                self._wrong.append(error("asm-range", f"{value} is too large for 32 bits", place))
            if not arguments.comma():
                return

    def _origin(self, arguments: Arguments, into: Contents) -> None:
        """Go on at an offset of the section, which may not lie behind."""
        place = arguments.rest
        offset = self._offset(arguments, into)
        value = self.number(arguments, -128, 255) & 0xFF if arguments.comma() else 0
        arguments.finish()
        if offset < into.here:
            message = f"the section has {into.here} bytes already: it cannot go on at {offset}"
            self._wrong.append(error("asm-range", message, place))
            return
        into.reserve(offset - into.here, value)

    def _offset(self, arguments: Arguments, into: Contents) -> int:
        """A number, or a place in the section that is being filled."""
        plain = arguments.plain()
        if plain is not None:
            return min(plain, MOST_BYTES)
        tree = arguments.expression()
        match resolve(tree, self._lookup, self._wrong.append):
            case None:
                return into.here
            case Relative(offset=offset) | int(offset) if offset <= MOST_BYTES:
                return offset
            case _:
                message = f"the section would be larger than {MOST_BYTES} bytes"
                raise arguments.problem(message, tree.span)

    def _strings(self, arguments: Arguments, end: bytes, into: Contents) -> None:
        while not arguments.done:
            into.append(arguments.string() + end)
            if not arguments.comma():
                return

    def number(self, arguments: Arguments, low: int, high: int) -> int:
        """A number that is known here, within bounds."""
        plain = arguments.plain()
        if plain is not None and low <= plain <= high:
            return plain
        span = arguments.plain_span
        if plain is None:
            tree = arguments.expression()
            span = tree.span
            plain = evaluate(tree, self._lookup, self._wrong.append)
        if not low <= plain <= high:
            self._wrong.append(error("asm-range", f"{plain} is outside {low} to {high}", span))
            return low if low > plain else 0
        return plain

    def _space(self, arguments: Arguments, name: str, into: Contents) -> None:
        count = self.number(arguments, 0, MOST_BYTES)
        size, value = 1, 0
        if name == ".fill":
            size = self.number(arguments, 0, 8) if arguments.comma() else 1
        if arguments.comma():
            value = self.number(arguments, -(1 << 63), (1 << 64) - 1)
        arguments.finish()
        if count * size + into.here > MOST_BYTES:
            raise arguments.problem(f"the section would be larger than {MOST_BYTES} bytes")
        if size == 1:
            into.reserve(count, value & 0xFF)
        else:
            into.append((value & (1 << 8 * size) - 1).to_bytes(size, self._order) * count)

    def _alignment(self, arguments: Arguments, name: str, into: Contents) -> None:
        if name == ".p2align":
            align = 1 << self.number(arguments, 0, 30)
        else:
            align = self.number(arguments, 0, 1 << 30) or 1
            if align & (align - 1):
                raise arguments.problem(f"{align} is no power of two")
        value = most = None
        if arguments.comma():
            value = None if arguments.empty() else self.number(arguments, -128, 255) & 0xFF
            if arguments.comma():
                most = self.number(arguments, 0, MOST_BYTES)
        arguments.finish()
        into.align_to(align, value, most)

    def _lebs(self, arguments: Arguments, signed: bool, into: Contents) -> None:
        while True:
            low = -(1 << 63) if signed else 0
            value = self.number(arguments, low, (1 << 64) - 1)
            into.append(_leb128(value, signed))
            if not arguments.comma():
                return


def _leb128(value: int, signed: bool) -> bytes:
    """A number in groups of seven bits, lowest first (DWARF 5, section 7.6)."""
    chunk = bytearray()
    while True:
        low = value & 0x7F
        value >>= 7
        # What is left must be no more than the sign of what was written.
        if value == (-1 if signed and low & 0x40 else 0):
            chunk.append(low)
            return bytes(chunk)
        chunk.append(low | 0x80)


def packed(
    value: int, size: int, byteorder: ByteOrder, span: Span, wrong: list[Diagnostic]
) -> bytes:
    """A number as it stands in memory, signed or unsigned; reported where it does not fit."""
    bits = 8 * size
    if not -(1 << bits - 1) <= value < 1 << bits:
        low, high = -(1 << bits - 1), (1 << bits) - 1
        wrong.append(error("asm-range", f"{value} is outside {low} to {high}", span))
        value = 0
    return (value & (1 << bits) - 1).to_bytes(size, byteorder)
