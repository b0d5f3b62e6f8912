"""What one statement of assembly says, before names are looked up."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import field
from enum import Enum

from ebpfasm.asm.reading.expressions import Expression
from ebpfasm.errors import Span
from ebpfasm.frozen import dataclass
from ebpfasm.isa.table import InstructionSpec


class Role(Enum):
    """What the name in an instruction stands for."""

    TARGET = "jump target"
    CALLEE = "function or helper"
    FUNCTION = "function"
    ADDRESS = "map or function"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name in an instruction that the whole file has to explain."""

    role: Role
    name: str
    span: Span
    addend: int = 0  # bytes behind the address that the name stands for


@dataclass(frozen=True, slots=True)
class Operation:
    """An instruction whose numbers are known and whose symbol, if any, is not yet."""

    spec: InstructionSpec
    span: Span
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0
    symbol: Symbol | None = None


@dataclass(frozen=True, slots=True)
class LabelDefinition:
    """A name before a colon. A `local` one was a number, and begins no function."""

    name: str
    span: Span
    local: bool = False


_LOCAL = re.compile(r"\.L(\d+)\$\d+", re.ASCII)


def local_label(number: int, count: int) -> str:
    """The name of a numeric label's definition, by how many there were of that number.

    >>> local_label(1, 2)
    '.L1$2'
    """
    return f".L{number}${count}"


def label_text(name: str) -> str:
    """A label's name as the user wrote it: just the number of a numeric one."""
    match = _LOCAL.fullmatch(name)
    return match[1] if match is not None else name


@dataclass(frozen=True, slots=True)
class Value:
    """A directive's value: a name, a string's content, or an expression.

    `number` is what the expression comes to where all its names are known by then.
    """

    text: str
    span: Span
    number: int | None = None
    expression: Expression | None = None
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """A directive's argument: a value, with a key before = or without."""

    value: Value
    span: Span
    key: str = ""


@dataclass(frozen=True, slots=True)
class Directive:
    """A word that begins with a dot, and its arguments."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span
    name_span: Span


@dataclass(frozen=True, slots=True)
class RawDirective:
    """A directive of sections, symbols and data: its arguments are text still.

    `start` is where that text begins in the source, `constants` what has a value there.
    """

    name: str
    text: str
    start: int
    span: Span
    name_span: Span
    constants: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)


Statement = Operation | LabelDefinition | Directive | RawDirective
