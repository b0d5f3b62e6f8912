"""One instruction of a program, and the labels between instructions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import field
from functools import cache
from typing import assert_never

from ebpfasm.errors import Location
from ebpfasm.frozen import dataclass
from ebpfasm.ir.references import Reference
from ebpfasm.isa import codec
from ebpfasm.isa.codec import ByteOrder, Fields
from ebpfasm.isa.table import BY_NAME, InstructionSpec


@dataclass(frozen=True, slots=True)
class Instruction:
    """A logical instruction: a row of the table with its operands.

    `ref` is the name that stands for an operand still to be resolved; the operand's field is
    0, or an addend, until then. Two instructions are equal if they do the same, wherever
    they come from: span and comment do not count.
    """

    spec: InstructionSpec
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0
    ref: Reference | None = None
    span: Location | None = field(default=None, compare=False)
    comment: str = field(default="", compare=False)

    @property
    def slots(self) -> int:
        """Slots of 8 bytes that it takes: 1, or 2 for a 64-bit immediate."""
        return self.spec.slots

    @property
    def fields(self) -> Fields:
        """The operands without their origin, as the codec takes them."""
        return Fields(self.spec, self.dst, self.src, self.off, self.imm)

    def registers(self, access: str) -> tuple[int, ...]:
        """Numbers of the registers used in one of the given ways: "r", "w" or "x" (clobbered).

        A call's arguments are not among those read: how many there are is the callee's to say.

        >>> Instruction(BY_NAME["add64_reg"], dst=1, src=2).registers("r")
        (1, 2)
        """
        numbers = {"dst": self.dst, "src": self.src}
        return tuple(
            numbers[name] if name in numbers else int(name[1:])
            for name in _register_fields(self.spec, access)
        )


@cache
def _register_fields(spec: InstructionSpec, access: str) -> tuple[str, ...]:
    return tuple(
        operand.field
        for operand in spec.form.operands
        if operand.kind in ("value", "base", "implicit") and access in operand.access
    )


@dataclass(frozen=True, slots=True)
class Label:
    """A place between instructions. Several may share a place, and one may stand at the end."""

    name: str
    span: Location | None = field(default=None, compare=False)


Item = Instruction | Label


def instructions_of(items: Iterable[Item]) -> Iterator[Instruction]:
    """The instructions of a stream, without its labels."""
    for item in items:
        match item:
            case Instruction():
                yield item
            case Label():
                pass
            case _:
                assert_never(item)


def instruction(
    name: str,
    dst: int = 0,
    src: int = 0,
    off: int = 0,
    imm: int = 0,
    ref: Reference | None = None,
) -> Instruction:
    """Make an instruction by its row's name, as in `instruction("add64_imm", dst=1, imm=5)`."""
    return Instruction(BY_NAME[name], dst, src, off, imm, ref)


def decode(code: bytes, *, byteorder: ByteOrder = "little") -> tuple[Instruction, ...]:
    """Decode a program's bytes; distances stay numbers. Raises DecodeError."""
    return tuple(Instruction(*fields) for fields in codec.decode(code, byteorder=byteorder))
