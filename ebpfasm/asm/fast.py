"""Long files at the speed of C: what `assemble` does, for text whose statements have few shapes.

The native core cuts the text up and encodes each statement whose shape is known; the grammar
reads one statement of each shape, and those that have no recipe. Where a file uses more than
instructions, labels and plain directives, or is wrong, this way gives up and says None: the
ordinary way then does the same work, or tells what is wrong.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.quick import QuickReader
from ebpfasm.asm.reading.recipes import Place, Recipe
from ebpfasm.asm.reading.shapes import keep, learn, words
from ebpfasm.asm.reading.statements import (
    Directive,
    Operation,
    RawDirective,
    Role,
    Statement,
    Symbol,
)
from ebpfasm.errors import Diagnostic, Source, Span
from ebpfasm.ir import FunctionRef, MapRef, Reference
from ebpfasm.ir.packed import Packed, Stream, TextPlaces
from ebpfasm.isa import codec, helpers
from ebpfasm.isa.codec import SLOT
from ebpfasm.isa.table import BY_NAME

# Directives that mean here what they mean in the ordinary way, and nothing more.
PLAIN = frozenset(
    (".section", ".text", ".globl", ".global", ".type", ".license", ".map", ".file", ".ident",
     ".p2align", ".addrsig")
)  # fmt: skip

_SLOW, _LABEL, _FIRST = 0, 1, 2  # EBPFASM_SHAPE_*
_PLAIN, _JUMP, _SYMBOL = 1, 2, 3  # EBPFASM_PLAIN, ...


class GiveUp(Exception):
    """This text needs the ordinary way."""


@dataclass(slots=True)
class Body:
    """A function as it was packed: what it names is still to be looked up."""

    name: str
    section: str
    span: Span
    stream: Stream
    refs: list[tuple[int, Role, str]]  # instruction, what the name stands for, name

    def resolve(self, functions: dict[str, Body], maps: dict[str, Any]) -> Stream:
        """The stream with its references; GiveUp where a name is nothing."""
        packed = self.stream.body
        code, refs = bytearray(packed.code), dict[int, Reference]()
        numbers = Names()
        for index, role, name in self.refs:
            if numbers.find(name) is not None:
                raise GiveUp  # it may be meant as a number
            at = packed.slots[index] * SLOT
            if role is Role.CALLEE and name not in functions:
                helper = helpers.find(name)
                if helper is None:
                    raise GiveUp
                code[at + 4 : at + 8] = helper.id.to_bytes(4, "little")
            elif role is Role.ADDRESS and name in maps:
                refs[index] = MapRef(name)
                _set_source(code, at, "lddw_map_fd")
            elif name in functions:
                refs[index] = FunctionRef(name)
                _set_source(code, at, "call_local" if role is Role.CALLEE else "lddw_func")
            else:
                raise GiveUp
        packed.code, packed.refs = bytes(code), refs
        return self.stream


def _set_source(code: bytearray, at: int, row: str) -> None:
    code[at + 1] = code[at + 1] & 0x0F | BY_NAME[row].fixed_fields["src"] << 4


class Text:
    """A text in the native core's hands: statements, shapes, names."""

    def __init__(self, core: Any, source: Source) -> None:
        self.source = source
        self.ffi, self.lib = core.ffi, core.lib
        # What is not ASCII can only stand in comments and strings; a character stays a byte.
        self._bytes = source.text.encode("ascii", "replace")
        kept = " ".join(words()).encode()
        self.raw = self.ffi.gc(self.ffi.new("ebpfasm_text *"), self.lib.ebpfasm_text_free)
        begin = self.ffi.from_buffer(self._bytes)
        if self.lib.ebpfasm_text_read(begin, len(self._bytes), kept, len(kept), self.raw) != 0:
            raise GiveUp
        self.count = int(self.raw.statements)
        self.shape = self._view(self.raw.shape, self.count)
        self.start = self._view(self.raw.start, self.count)
        self.length = self._view(self.raw.length, self.count)
        size = self.count * self.lib.EBPFASM_VALUES
        self.value = memoryview(self.ffi.buffer(self.raw.value, size * 8)).cast("Q")
        names = int(self.raw.names)
        starts = self._view(self.raw.name_start, names)
        lengths = self._view(self.raw.name_length, names)
        self.names = TextNames(source.text, array("I", starts), array("I", lengths))

    def _view(self, pointer: Any, count: int) -> memoryview:
        return memoryview(self.ffi.buffer(pointer, count * 4)).cast("I")

    def shapes(self) -> list[str]:
        """Every shape that was met."""
        return [
            bytes(self.ffi.buffer(self.raw.shape_text[each], self.raw.shape_length[each])).decode()
            for each in range(self.raw.shapes)
        ]

    def name(self, statement: int, value: int) -> int:
        """The number of the name that a statement has as one of its values."""
        return int(self.value[statement * self.lib.EBPFASM_VALUES + value])

    def span(self, statement: int) -> Span:
        """Where a statement stands."""
        start = self.start[statement]
        return Span(self.source, start, start + self.length[statement])


class TextNames(Sequence[str]):
    """The names of a text by number, cut out of it when they are asked for."""

    def __init__(self, text: str, starts: array[int], lengths: array[int]) -> None:
        self._text, self._starts, self._lengths = text, starts, lengths

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        start = self._starts[index]
        return self._text[start : start + self._lengths[index]]

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The names' numbers."""
        return {name: number for number, name in enumerate(self)}


class Packer:
    """Encodes a text function by function."""

    def __init__(self, text: Text, wrong: list[Diagnostic]) -> None:
        self.text = text
        self._wrong = wrong
        self._reader = QuickReader(text.source, wrong)
        self._known: dict[str, tuple[bytes, Role | None, str]] = {}
        self.recipes = [learn(shape) for shape in text.shapes()]
        keep()
        self._table = _table(text, self.recipes)
        count = text.count + 1
        self._code = text.ffi.new("ebpfasm_code *")
        self._arrays = {
            name: array("I", bytes(4 * count * width)) for name, width in _ARRAYS.items()
        }
        self._bytes = bytearray(count * 2 * SLOT)
        for name, content in self._arrays.items():
            setattr(self._code, name, text.ffi.from_buffer("uint32_t[]", content))
        self._code.code = text.ffi.from_buffer("unsigned char[]", self._bytes)
        self._refs: list[tuple[int, Role, str]] = []

    def special(self) -> dict[int, list[Statement]]:
        """Statements without a recipe, read one by one: those that are no instructions.

        Instructions among them are kept as code. Raises GiveUp where one is wrong or is more
        than this way knows.
        """
        slow = {_SLOW}
        slow.update(_FIRST + number for number, each in enumerate(self.recipes) if each is None)
        found = {}
        for statement, shape in enumerate(self.text.shape):
            if shape in slow:
                place = self.text.span(statement)
                read = self._read(place)
                if read is not None:
                    found[statement] = read
        return found

    def _read(self, place: Span) -> list[Statement] | None:
        text = self.text.source.text[place.start : place.end]
        if text in self._known:
            return None
        read = self._reader.read(place, text)
        if self._wrong or len(read) != 1:
            raise GiveUp
        match read[0]:
            case Operation(symbol=Symbol(addend=addend)) if addend:
                raise GiveUp
            case Operation() as operation:
                self._known[text] = _encoded(operation)
                return None
            case Directive(name=name) if name in PLAIN:
                return read
            case RawDirective(name=".p2align"):
                return []
            case _:
                raise GiveUp

    def called(self) -> set[str]:
        """Names of what is called, or whose address is taken."""
        roles = (Role.CALLEE, Role.ADDRESS)
        found = {name for _, role, name in self._known.values() if role in roles}
        by_shape = {
            _FIRST + number: each.name
            for number, each in enumerate(self.recipes)
            if each is not None and each.role in roles
        }
        numbers = {
            self.text.name(statement, by_shape[shape])
            for statement, shape in enumerate(self.text.shape)
            if shape in by_shape
        }
        return found | {self.text.names[number] for number in numbers}

    def begin(self) -> None:
        """Begin a function: what is encoded from here on is its own."""
        code = self._code
        code.instructions = code.slots = code.jumps = code.labels = 0
        self._refs = []

    def feed(self, first: int, end: int, stops: bytes) -> int:
        """Encode statements from `first` until a label that begins a function, or `end`.

        Returns where it stopped.
        """
        at = first
        while at < end:
            at = self.text.lib.ebpfasm_text_encode(
                self.text.raw, self._table, stops, at, end, self._code
            )
            if at >= end or self.text.shape[at] == _LABEL:
                break
            self._one(at)
            at += 1
        return at

    def finish(self, name: str, section: str, span: Span) -> Body:
        """End the function that was begun."""
        return Body(name, section, span, self._stream(), self._refs)

    def _one(self, statement: int) -> None:
        """Encode a statement that the native core stopped at."""
        recipe = self._recipe(statement)
        if recipe is not None and recipe.role in (Role.CALLEE, Role.ADDRESS):
            dst = self.text.name(statement, recipe.dst.value) if recipe.dst.value >= 0 else 0
            content = codec.encode(recipe.spec, dst)
            name = self.text.names[self.text.name(statement, recipe.name)]
            self._append(statement, content, recipe.role, name)
            return
        place = self.text.span(statement)
        known = self._known.get(self.text.source.text[place.start : place.end])
        if known is None:
            raise GiveUp  # a value that does not fit, for one: the ordinary way tells
        self._append(statement, *known)

    def _recipe(self, statement: int) -> Recipe | None:
        shape = self.text.shape[statement]
        return self.recipes[shape - _FIRST] if shape >= _FIRST else None

    def _append(self, statement: int, content: bytes, role: Role | None, name: str) -> None:
        code, arrays = self._code, self._arrays
        index, slot = code.instructions, code.slots
        self._bytes[slot * SLOT : slot * SLOT + len(content)] = content
        arrays["start"][index] = self.text.start[statement]
        arrays["length"][index] = self.text.length[statement]
        arrays["slot"][index] = slot
        code.instructions += 1
        code.slots += len(content) // SLOT
        if role is Role.TARGET:
            number = self.text.names.numbers.get(name)
            if number is None:  # a label that is called like a word of the language
                raise GiveUp
            arrays["jump"][code.jumps * 2] = index
            arrays["jump"][code.jumps * 2 + 1] = number
            code.jumps += 1
        elif role is not None:
            self._refs.append((index, role, name))

    def _stream(self) -> Stream:
        code, arrays = self._code, self._arrays
        count = code.instructions
        packed = Packed(
            bytes(memoryview(self._bytes)[: code.slots * SLOT]),
            arrays["slot"][:count],
            TextPlaces(self.text.source, arrays["start"][:count], arrays["length"][:count]),
            {},
        )
        labels = arrays["label"][: code.labels * 3]
        for number in range(code.labels):
            labels[number * 3 + 2] = self.text.start[labels[number * 3 + 2]]
        return Stream(packed, arrays["jump"][: code.jumps * 2], labels, self.text.names)


_ARRAYS = {"start": 1, "length": 1, "slot": 1, "jump": 2, "label": 3}


def _encoded(operation: Operation) -> tuple[bytes, Role | None, str]:
    content = codec.encode(
        operation.spec, operation.dst, operation.src, operation.off, operation.imm
    )
    if operation.symbol is None:
        return content, None, ""
    return content, operation.symbol.role, operation.symbol.name


def _table(text: Text, recipes: list[Recipe | None]) -> Any:
    """The recipes as the native core takes them, by the shapes' numbers."""
    table = text.ffi.new("ebpfasm_recipe[]", len(recipes) + _FIRST)
    for number, recipe in enumerate(recipes):
        if recipe is not None:
            _fill(table[number + _FIRST], recipe)
    return table


def _fill(row: Any, recipe: Recipe) -> None:
    spec = recipe.spec
    kinds = {None: _PLAIN, Role.TARGET: _JUMP, Role.CALLEE: _SYMBOL, Role.ADDRESS: _SYMBOL}
    row.kind = kinds[recipe.role]
    row.opcode, row.slots = spec.opcode, spec.slots
    row.dst, row.src = recipe.dst.value, recipe.src.value
    row.off, row.imm = recipe.off.value, recipe.imm.value
    row.fixed_src, row.fixed_off, row.fixed_imm = _constants(recipe.src, recipe.off, recipe.imm)
    row.off_negative, row.imm_negative = recipe.off.negative, recipe.imm.negative
    row.imm_bits = 64 if spec.slots == 2 else 32
    row.name = recipe.name
    for value in range(len(row.same)):
        row.same[value] = -1
    for low, high in recipe.same:
        row.same[high] = low
    row.zero = sum(1 << value for value in recipe.zero)


def _constants(*places: Place) -> tuple[int, ...]:
    return tuple(place.fixed for place in places)
