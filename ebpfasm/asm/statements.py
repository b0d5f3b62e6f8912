"""What one statement of assembly says, before names are looked up."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ebpfasm.errors import Span
from ebpfasm.isa.table import InstructionSpec


class Role(Enum):
    """What the name in an instruction stands for."""

    TARGET = "jump target"
    CALLEE = "function or helper"
    ADDRESS = "map or function"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A name in an instruction that the whole file has to explain."""

    role: Role
    name: str
    span: Span


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
    """A name before a colon."""

    name: str
    span: Span


@dataclass(frozen=True, slots=True)
class Value:
    """A directive's value: a name, a string's content, or a number."""

    text: str
    span: Span
    number: int | None = None
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Argument:
    """A directive's argument: values joined by |, with a key before = or without."""

    values: tuple[Value, ...]
    span: Span
    key: str = ""

    @property
    def only(self) -> Value:
        """The first value, which is the only one in most directives."""
        return self.values[0]


@dataclass(frozen=True, slots=True)
class Directive:
    """A word that begins with a dot, and its arguments."""

    name: str
    arguments: tuple[Argument, ...]
    span: Span
    name_span: Span


Statement = Operation | LabelDefinition | Directive
