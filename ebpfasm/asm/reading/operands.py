"""Registers, numbers and names as a statement writes them, checked against the instruction.

What is wrong is reported at once and replaced by something harmless, so that one statement
can be told of all its mistakes.
"""

from __future__ import annotations

from typing import Any, Protocol

from lark import Token

from ebpfasm.asm.reading.expressions import Expression, Literal, TooLong, TreeReader, evaluate
from ebpfasm.asm.reading.names import Names
from ebpfasm.errors import Diagnostic, Source, Span, error
from ebpfasm.frozen import dataclass
from ebpfasm.isa.codec import REGISTERS, fit
from ebpfasm.isa.forms import RANGES, Form, Kind
from ebpfasm.isa.table import BY_SHAPE, TABLE, InstructionSpec


class Node(Protocol):
    """A rule of the grammar that matched: its name and what it is made of."""

    data: str
    children: list[Any]
    meta: Any


@dataclass(frozen=True, slots=True)
class Register:
    """A register as it was written: its number, and whether as w."""

    number: int
    narrow: bool
    span: Span

    def __str__(self) -> str:
        return f"{'w' if self.narrow else 'r'}{self.number}"


@dataclass(frozen=True, slots=True)
class Number:
    """A number as it was meant, of any size; whether it fits is the instruction's affair."""

    value: int
    span: Span


_LITERALS = frozenset({"NUMBER", "DIGITS", "CHAR"})
_ESCAPES = {"n": 10, "t": 9, "r": 13, "0": 0, "\\": 92, "'": 39, '"': 34, "a": 7, "b": 8, "f": 12}


def read_character(text: str) -> int:
    """The code of a character in quotes; ValueError for an escape that does not exist.

    >>> read_character("'a'"), read_character(r"'\\n'")
    (97, 10)
    """
    inner = text[1:-1]
    if not inner.startswith("\\"):
        return ord(inner)
    if inner[1] not in _ESCAPES:
        raise ValueError(text)
    return _ESCAPES[inner[1]]


class OperandReader:
    """Reads operands of one source; what is wrong with them gathers in `wrong`."""

    def __init__(self, source: Source, wrong: list[Diagnostic], names: Names | None = None) -> None:
        self.source = source
        self.wrong = wrong
        self.names = names if names is not None else Names()
        self._base = 0  # where the statement begins: tokens count from there
        self._whole = Span(source, 0, 0)  # the statement

    def _span(self, token: Token) -> Span:
        start = self._base + (token.start_pos or 0)
        return Span(self.source, start, start + len(token))

    def _problem(self, code: str, message: str, span: Span, hint: str | None = None) -> None:
        self.wrong.append(error(code, message, span, hint=hint))

    def register(self, node: Node) -> Register:
        """A register with its width; one that does not exist is reported and read as r0."""
        (token,) = node.children
        span = self._span(token)
        number = int(token[1:])
        if number >= REGISTERS:
            self._problem(
                "asm-register",
                f"there is no register {token}",
                span,
                hint="registers are r0 to r10",
            )
            number = 0
        return Register(number, token[0] in "wW", span)

    def number(self, node: Node) -> Number:
        """What a number or expression comes to; 0, and a report, where it is none."""
        items = node.children
        if len(items) == 1 and isinstance(items[0], Token) and items[0].type in _LITERALS:
            return Number(self._literal(items[0]), self._span(items[0]))
        if node.data == "number":
            return self._signed(*items)
        tree = self.tree(node)
        if isinstance(tree, Literal):
            return Number(tree.value, tree.span)
        return Number(
            evaluate(tree, self.names.meaning(self.wrong.append), self.wrong.append), tree.span
        )

    def tree(self, node: Node) -> Expression:
        """An expression as a value, its names not looked up yet."""
        try:
            return TreeReader(self._literal, self._span).read(node.children)
        except TooLong:
            self._problem("asm-syntax", "this expression is too long", self._whole)
            return Literal(0, self._whole)

    def _literal(self, token: Token) -> int:
        """A number as LLVM reads it: 0x, 0b, a leading 0 for octal, and 'c'."""
        text = str(token)
        try:
            if token.type == "CHAR":
                return read_character(text)
            if token.type == "DIGITS" and len(text) > 1 and text[0] == "0":
                return int(text, 8)
            return int(text, 0)
        except ValueError:
            message, hint = f"{_cut(text)} is not a number", "a leading 0 makes a number octal"
            self._problem("asm-number", message, self._span(token), hint)
            return 0

    def _signed(self, sign: Token | None, token: Token) -> Number:
        value, span = self._literal(token), self._span(token)
        if sign is not None:
            span = Span(self.source, self._base + (sign.start_pos or 0), span.end)
        return Number(-value if sign == "-" else value, span)

    def operand(self, node: Node) -> Register | Number:
        """A register, or what an expression comes to."""
        return self.register(node) if node.data == "register" else self.number(node)

    def _offset(self, node: Node | None) -> Number | None:
        return None if node is None else self.number(node)

    def _fit(self, kind: Kind, number: Number | None, what: str) -> int:
        if number is None:
            return 0
        value = fit(kind, number.value)
        if value is None:
            low, high = RANGES[kind]
            high = high if kind == "off" else 2 * high + 1
            message = f"{what} {number.value} is outside {low} to {high}"
            self._problem("asm-range", message, number.span)
            return 0
        return value

    def _value(self, spec: InstructionSpec, register: Register | None) -> int:
        """A register whose width the instruction decides."""
        if register is None:
            return 0
        if register.narrow != spec.narrow:
            name = f"{'w' if spec.narrow else 'r'}{register.number}"
            bits = 32 if register.narrow else 64
            message = f"{register} is {bits} bits wide here, where {name} is needed"
            self._problem("asm-register-width", message, register.span, f"write {name}")
        return register.number

    def _either(self, spec: InstructionSpec, register: Register) -> int:
        """A register moved to or from memory: r is taken for 32 bits and less too, as LLVM does."""
        return register.number if not register.narrow else self._value(spec, register)

    def _address(self, register: Register) -> int:
        if register.narrow:
            message = f"an address needs all 64 bits: w{register.number} cannot be one"
            self._problem("asm-register-width", message, register.span, f"write r{register.number}")
        return register.number

    def _same(self, dst: Register, src: Register, what: str) -> None:
        if (dst.number, dst.narrow) != (src.number, src.narrow):
            message = f"{what} works in place: {src} cannot differ from {dst}"
            self._problem("asm-operand", message, src.span, f"copy it first: {dst} = {src}")

    def _memory(self, form: Form, op: str, kind: Token) -> InstructionSpec:
        spec = BY_SHAPE.get((form, op, int(kind[1:])))
        if spec is None or spec.memory_type != kind:
            rows = [each for each in TABLE if (each.form, each.op) == (form, op)]
            names = ", ".join(each.memory_type for each in rows)
            self._problem(
                "asm-operand",
                f"this instruction has no {kind} form",
                self._span(kind),
                f"it takes {names}",
            )
            return rows[0]
        return spec


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:37]}..."
