"""Expressions: numbers and names joined by operators, wherever assembly takes a number.

Operators bind as in LLVM's assembler, which is not as in C::

    - + ~ !              one operand
    * / % << >>
    | & ^
    + -
    == != <> < <= > >=
    &&
    ||

Operators of one line bind to the left. `/` and `%` round towards zero, `>>` moves zeros in, a
comparison is -1 where it holds and else 0, `&&`, `||` and `!` give 1 or 0. Numbers are 64-bit
ones, signed or unsigned; a result that fits neither is a mistake and never cut off.

A name may also stand for a place whose address is not known yet: see `Relative`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, assert_never

from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.frozen import dataclass

MOST_OPERANDS = 10_000  # of one expression; text is deeper only by mistake or malice
MOST_NESTING = 64  # parentheses and signs inside each other


@dataclass(frozen=True, slots=True)
class Literal:
    """A number as it was written."""

    value: int
    span: Span


@dataclass(frozen=True, slots=True)
class Name:
    """A name, or `.` for the place of the statement."""

    text: str
    span: Span


@dataclass(frozen=True, slots=True)
class Unary:
    """A sign or `~` or `!` before an operand."""

    operator: str
    operand: Expression
    span: Span


@dataclass(frozen=True, slots=True)
class Binary:
    """Two operands and the operator between them."""

    operator: str
    left: Expression
    right: Expression
    span: Span


Expression = Literal | Name | Unary | Binary


@dataclass(frozen=True, slots=True)
class Relative:
    """A number that counts from a place not known yet: a section's start, or another symbol.

    Two of them with the same base have a difference that is a plain number.
    """

    base: str
    offset: int


Meaning = int | Relative
Lookup = Callable[[Name], Meaning | None]
Report = Callable[[Diagnostic], None]


def evaluate(tree: Expression, lookup: Lookup, report: Report) -> int:
    """The number that an expression stands for; what is wrong is reported, and 0 then.

    `lookup` says what a name means; where it gives None it has reported why. Recursion is as
    deep as the expression's parentheses, which `read` bounds.
    """
    value = resolve(tree, lookup, report)
    if isinstance(value, Relative):
        message = "this is a place in the program, where a number is needed"
        report(error("asm-operand", message, tree.span))
        return 0
    return value or 0


def resolve(tree: Expression, lookup: Lookup, report: Report) -> Meaning | None:
    """Like `evaluate`, for those who can use a place too; None where something is wrong."""
    match tree:
        case Literal(value=value):
            return value
        case Name():
            return lookup(tree)
        case Unary(operator=operator, operand=operand, span=span):
            inner = resolve(operand, lookup, report)
            if inner is None or operator == "+":
                return inner
            if isinstance(inner, int):
                return _UNARY[operator](inner)
            report(_no_place(operator, span))
            return None
        case Binary():
            return _chain(tree, lookup, report)
        case _:
            assert_never(tree)


def names(tree: Expression) -> Iterator[Name]:
    """The names in an expression, from left to right."""
    pending: list[Expression] = [tree]
    while pending:
        match pending.pop():
            case Literal():
                pass
            case Name() as name:
                yield name
            case Unary(operand=operand):
                pending.append(operand)
            case Binary(left=left, right=right):
                pending += (right, left)


def renamed(tree: Expression, old: str, new: str) -> Expression:
    """The same expression with another name in place of one."""
    return _with(tree, lambda name: Name(new, name.span) if name.text == old else name)


def settled(tree: Expression, values: Mapping[str, int]) -> Expression:
    """The same expression with numbers in place of the names that have a value."""
    if not values:
        return tree

    def number(name: Name) -> Expression:
        return Literal(values[name.text], name.span) if name.text in values else name

    return _with(tree, number)


def _with(tree: Expression, change: Callable[[Name], Expression]) -> Expression:
    match tree:
        case Literal():
            return tree
        case Name():
            return change(tree)
        case Unary(operator=operator, operand=operand, span=span):
            return Unary(operator, _with(operand, change), span)
        case Binary():
            spine: list[Binary] = []
            first: Expression = tree
            while isinstance(first, Binary):
                spine.append(first)
                first = first.left
            made = _with(first, change)
            for node in reversed(spine):
                made = Binary(node.operator, made, _with(node.right, change), node.span)
            return made
        case _:
            assert_never(tree)


def symbol_and_addend(tree: Expression) -> tuple[Name, Expression | None] | None:
    """A tree that is `NAME`, `NAME + X` or `NAME - X` in its two parts; None for any other."""
    match tree:
        case Name():
            return tree, None
        case Binary(operator="+", left=Name() as name, right=addend):
            return name, addend
        case Binary(operator="-", left=Name() as name, right=right, span=span):
            return name, Unary("-", right, span)
        case _:
            return None


# Evaluation -----------------------------------------------------------------------------------


def _chain(tree: Binary, lookup: Lookup, report: Report) -> Meaning | None:
    # A long sum leans to the left as deep as it is long: a loop, where recursion would not end.
    spine: list[Binary] = []
    first: Expression = tree
    while isinstance(first, Binary):
        spine.append(first)
        first = first.left
    value = resolve(first, lookup, report)
    for node in reversed(spine):
        right = resolve(node.right, lookup, report)
        value = None if value is None or right is None else _apply(node, value, right, report)
    return value


def _apply(node: Binary, left: Meaning, right: Meaning, report: Report) -> Meaning | None:
    match node.operator, left, right:
        case _, int(), int():
            return _number(node, left, right, report)
        case "+", Relative(base, offset), int():
            return Relative(base, offset + right)
        case "+", int(), Relative(base, offset):
            return Relative(base, left + offset)
        case "-", Relative(base, offset), int():
            return Relative(base, offset - right)
        case "-", Relative(base, offset), Relative(other, less) if base == other:
            return offset - less
        case _:
            report(_no_place(node.operator, node.span))
            return None


def _no_place(operator: str, span: Span) -> Diagnostic:
    message = f"{operator} has no meaning for a place in the program"
    hint = "a number may be added, and places in one section have a difference"
    return error("asm-operand", message, span, hint=hint)


def _number(node: Binary, left: int, right: int, report: Report) -> int | None:
    operator = node.operator
    if operator in ("/", "%") and right == 0:
        report(error("asm-range", f"{left} {operator} 0: there is no such number", node.span))
        return None
    if operator in ("<<", ">>") and not 0 <= right < 64:
        message = f"a shift by {right}, which is outside 0 to 63"
        report(error("asm-range", message, node.right.span))
        return None
    # As written first: 0x8000000000000000 - 1 is meant unsigned.
    apply = _BINARY[operator]
    for value in (apply(left, right), apply(_signed(left), _signed(right))):
        if -(1 << 63) <= value < 1 << 64:
            return value
    report(error("asm-range", f"{left} {operator} {right} does not fit 64 bits", node.span))
    return None


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value


def _quotient(left: int, right: int) -> int:
    left, right = _signed(left), _signed(right)
    size = abs(left) // abs(right)
    return size if (left < 0) == (right < 0) else -size


def _remainder(left: int, right: int) -> int:
    return _signed(left) - _quotient(left, right) * _signed(right)


def _truth(value: bool) -> int:
    return -1 if value else 0


_UNARY: dict[str, Callable[[int], int]] = {
    "-": lambda value: -value,
    "~": lambda value: ~_signed(value),
    "!": lambda value: int(not value),
}

_BINARY: dict[str, Callable[[int, int], int]] = {
    "*": lambda left, right: left * right,
    "/": _quotient,
    "%": _remainder,
    "<<": lambda left, right: left << right,
    ">>": lambda left, right: (left & (1 << 64) - 1) >> right,
    "|": lambda left, right: _signed(left) | _signed(right),
    "&": lambda left, right: _signed(left) & _signed(right),
    "^": lambda left, right: _signed(left) ^ _signed(right),
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "==": lambda left, right: _truth(_signed(left) == _signed(right)),
    "!=": lambda left, right: _truth(_signed(left) != _signed(right)),
    "<>": lambda left, right: _truth(_signed(left) != _signed(right)),
    "<": lambda left, right: _truth(_signed(left) < _signed(right)),
    "<=": lambda left, right: _truth(_signed(left) <= _signed(right)),
    ">": lambda left, right: _truth(_signed(left) > _signed(right)),
    ">=": lambda left, right: _truth(_signed(left) >= _signed(right)),
    "&&": lambda left, right: int(bool(left) and bool(right)),
    "||": lambda left, right: int(bool(left) or bool(right)),
}

_LEVELS = (("||",), ("&&",), ("==", "!=", "<>", "<", "<=", ">", ">="), ("+", "-"),
           ("|", "&", "^"), ("*", "/", "%", "<<", ">>"))  # fmt: skip
_STRENGTH = {operator: level for level, row in enumerate(_LEVELS, 1) for operator in row}


# From the grammar's flat list to a tree -------------------------------------------------------


class TooLong(Exception):
    """An expression with more operands or deeper parentheses than any that is meant."""


class TreeReader:
    """Makes a tree of what the grammar's `expression` and `offset` matched.

    The grammar says which tokens may follow each other and leaves them in one list; what binds
    to what is said here, in one table. `literal` reads a number's token, `span` places one.
    A token is a string with a `type`, the parser's or another one.
    """

    def __init__(self, literal: Callable[[Any], int], span: Callable[[Any], Span]) -> None:
        self._literal = literal
        self._span = span

    def read(self, items: Sequence[Any], depth: int = 0) -> Expression:
        """Read a node's children: tokens, and a node for what is in parentheses.

        Raises TooLong.
        """
        if len(items) > MOST_OPERANDS or depth > MOST_NESTING:
            raise TooLong
        operands: list[Expression] = []
        operators: list[Any] = []
        position = 0
        while position < len(items):
            operand, position = self._operand(items, position, depth)
            operands.append(operand)
            if position == len(items):
                break
            _reduce(operands, operators, _STRENGTH[items[position]])
            operators.append(items[position])
            position += 1
        _reduce(operands, operators, 0)
        return operands[0]

    def _operand(self, items: Sequence[Any], at: int, depth: int) -> tuple[Expression, int]:
        signs: list[Any] = []
        while getattr(items[at], "type", None) in ("SIGN", "PREFIX"):
            signs.append(items[at])
            at += 1
        if depth + len(signs) > MOST_NESTING:
            raise TooLong
        item: Any = items[at]
        tree: Expression
        if not hasattr(item, "type"):  # what stands in parentheses
            tree = self.read(item.children, depth + len(signs) + 1)
        elif item.type in ("NAME", "FIELD"):
            tree = Name(str(item), self._span(item))
        else:
            tree = Literal(self._literal(item), self._span(item))
        for sign in reversed(signs):
            tree = _signed_tree(sign, tree, _around(self._span(sign), tree.span))
        return tree, at + 1


def _signed_tree(sign: str, tree: Expression, span: Span) -> Expression:
    # A number with its sign is one number: -1 is what the user wrote.
    if isinstance(tree, Literal) and sign in ("-", "+"):
        return Literal(-tree.value if sign == "-" else tree.value, span)
    return Unary(str(sign), tree, span)


def _reduce(operands: list[Expression], operators: list[str], strength: int) -> None:
    """Join what binds at least as strongly as the operator that comes next."""
    while operators and _STRENGTH[operators[-1]] >= strength:
        right, left = operands.pop(), operands.pop()
        span = _around(left.span, right.span)
        operands.append(Binary(str(operators.pop()), left, right, span))


def _around(first: Span, last: Span) -> Span:
    return Span(first.source, first.start, last.end)
