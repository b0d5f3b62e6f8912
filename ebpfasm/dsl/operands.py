"""What a builder method takes: registers, and numbers or names in the other places."""

from __future__ import annotations

from enum import Enum

from ebpfasm.isa import forms
from ebpfasm.isa.forms import RANGES, Form, Kind
from ebpfasm.isa.table import InstructionSpec


class Register(Enum):
    """A register of RFC 9669 section 2; the value is its number.

    It is no int on purpose: an int is an immediate, so `add(R1, 2)` and `add(R1, R2)` differ
    in type and a type checker finds a register where only a number can stand. The width is
    the method's: `add` works on 64 bits, `add32` on the lower 32.
    """

    R0 = 0
    R1 = 1
    R2 = 2
    R3 = 3
    R4 = 4
    R5 = 5
    R6 = 6
    R7 = 7
    R8 = 8
    R9 = 9
    R10 = 10

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


R0 = Register.R0
R1 = Register.R1
R2 = Register.R2
R3 = Register.R3
R4 = Register.R4
R5 = Register.R5
R6 = Register.R6
R7 = Register.R7
R8 = Register.R8
R9 = Register.R9
R10 = Register.R10

# A register or an immediate.
Operand = Register | int
# Bytes from a base, or the path of a context's field such as "xdp_md.data_end".
Offset = int | str
# A label of the same function, or a distance in slots counted from the following slot.
Target = str | int


def wanted(spec: InstructionSpec, operand: forms.Operand) -> tuple[str, str]:
    """The parameter that gives a number of an instruction, and what it may be, in words."""
    if spec.name.endswith("_imm") and operand.field == "imm":
        return "operand", "a register or an int"
    match spec.form:
        case Form.CALL_HELPER:
            return "helper", "a name or a number"
        case Form.CALL_KFUNC:
            return "function", "a name or a BTF id"
        case Form.LOAD_PSEUDO if spec.op == "lddw_btf_id":
            return "symbol", "a name or a BTF id"
        case Form.CALL_LOCAL | Form.LOAD_PSEUDO:
            return "function", "a name or a distance in slots"
        case _ if operand.kind == "target":
            return "target", "a label or a distance in slots"
        case _:
            return operand.field, "an int"


def bounds(spec: InstructionSpec, operand: forms.Operand) -> tuple[int, int]:
    """The numbers that an instruction leaves as they are.

    Signed and unsigned are both taken where all bits of the number are used. A 64-bit
    operation sign-extends its 32 bits, so that 0xffffffff would come out as another number;
    a narrow store keeps only the low bits.
    """
    if spec.op == "lddw_func":  # a distance, as in a call
        return RANGES["imm32"]
    low, high = RANGES[_kind(operand)]
    if operand.kind == "imm64":
        return low, 2 * high + 1
    if operand.kind == "target" or spec.width == 64:
        return low, high
    if spec.form is Form.STORE_IMM and spec.width < 32:
        return -(1 << spec.width - 1), (1 << spec.width) - 1
    return low, 2 * high + 1


def signed(operand: forms.Operand, value: int) -> int:
    """A number within bounds as its field holds it."""
    _, high = RANGES[_kind(operand)]
    return value if value <= high else value - 2 * (high + 1)


def _kind(operand: forms.Operand) -> Kind:
    if operand.kind != "target":
        return operand.kind
    return "off" if operand.field == "off" else "imm32"
