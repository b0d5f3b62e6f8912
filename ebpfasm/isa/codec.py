"""Instructions to bytes and back, in both byte orders, as the table says.

RFC 9669 section 3: an instruction is a slot of 8 bytes, opcode, two register nibbles, a
signed 16-bit offset, a signed 32-bit immediate; the wide form takes a second slot for the
upper half of a 64-bit immediate. The nibbles change place with the byte order.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Literal, NamedTuple

from ebpfasm.errors import DecodeError, Diagnostic, EncodeError, error
from ebpfasm.isa.forms import RANGES, Kind
from ebpfasm.isa.table import BY_OPCODE, InstructionSpec

ByteOrder = Literal["little", "big"]

SLOT = 8  # bytes
REGISTERS = 11  # r0 to r10
MOST_MISTAKES = 1000  # told of one program: what has more is no program

_LITTLE = struct.Struct("<BBhi")
_BIG = struct.Struct(">BBhi")


class Fields(NamedTuple):
    """A decoded instruction: its row, its operands, and nothing about where it came from.

    Fields that the row fixes hold 0 here; the row itself says what they are.
    """

    spec: InstructionSpec
    dst: int = 0
    src: int = 0
    off: int = 0
    imm: int = 0


def fit(kind: Kind, value: int) -> int | None:
    """The value as its field holds it, signed; None where it does not fit.

    Numbers are taken signed or unsigned, as LLVM's assembler does: 0xffffffff in a 32-bit
    immediate is -1. Offsets and jump targets are signed only.
    """
    low, high = RANGES[kind]
    if low <= value <= high:
        return value
    if kind in ("imm32", "imm64") and high < value <= 2 * high + 1:
        return value - 2 * (high + 1)
    return None


class _Bounds(NamedTuple):
    dst: int
    src: int
    off_low: int
    off_high: int
    imm_low: int
    imm_high: int


@cache
def _bounds(spec: InstructionSpec) -> _Bounds:
    """What `check` lets through, in numbers that are quick to compare with."""
    dst, src = (REGISTERS - 1 if spec.form.operand(name) else 0 for name in ("dst", "src"))
    return _Bounds(dst, src, *_limits(spec, "off"), *_limits(spec, "imm"))


def _limits(spec: InstructionSpec, name: str) -> tuple[int, int]:
    operand = spec.form.operand(name)
    if operand is None:
        return 0, 0
    return RANGES[operand.kind if operand.kind != "target" else _target_kind(name)]


def encode(
    spec: InstructionSpec,
    dst: int = 0,
    src: int = 0,
    off: int = 0,
    imm: int = 0,
    *,
    byteorder: ByteOrder = "little",
) -> bytes:
    """Encode one instruction, 8 or 16 bytes.

    Raises EncodeError where a value does not fit its field or a field that the row reserves
    or fixes is given a value of its own.
    """
    bounds = _bounds(spec)
    if not (
        0 <= dst <= bounds.dst
        and 0 <= src <= bounds.src
        and bounds.off_low <= off <= bounds.off_high
        and bounds.imm_low <= imm <= bounds.imm_high
    ):
        raise EncodeError(*check(spec, dst, src, off, imm))
    if spec.fixed:
        fixed = spec.fixed_fields
        src, off, imm = fixed.get("src", src), fixed.get("off", off), fixed.get("imm", imm)
    layout = _LITTLE if byteorder == "little" else _BIG
    registers = src << 4 | dst if byteorder == "little" else dst << 4 | src
    if spec.slots == 1:
        return layout.pack(spec.opcode, registers, off, imm)
    low = (imm & 0xFFFFFFFF ^ 0x80000000) - 0x80000000  # sign of the low half, for the signed field
    return layout.pack(spec.opcode, registers, off, low) + layout.pack(0, 0, 0, imm >> 32)


def check(
    spec: InstructionSpec, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0
) -> Iterator[Diagnostic]:
    """Yield what is wrong with the values, by field; nothing where they can be encoded."""
    for name, value in (("dst", dst), ("src", src), ("off", off), ("imm", imm)):
        operand = spec.form.operand(name)
        if operand is None:
            if value != 0:
                message = f"{spec.name} does not use {name}, which holds {value}"
                yield error("encode-range", message)
        elif name in ("dst", "src"):
            if not 0 <= value < REGISTERS:
                yield error("encode-range", f"{spec.name}: r{value} is no register, {name}")
        else:
            low, high = _limits(spec, name)
            if not low <= value <= high:
                message = f"{spec.name}: {name} = {value} is outside {low} to {high}"
                yield error("encode-range", message)


def _target_kind(name: str) -> Kind:
    return "off" if name == "off" else "imm32"


def decode(code: bytes, *, byteorder: ByteOrder = "little") -> tuple[Fields, ...]:
    """Decode a whole program.

    Raises DecodeError with one diagnostic for each slot that is no instruction (unknown
    opcodes, reserved fields that are not zero, a wide instruction cut short), up to
    MOST_MISTAKES.
    """
    found: list[Fields] = []
    wrong: list[Diagnostic] = []
    offset = 0
    while offset < len(code):
        match decode_one(code, offset, byteorder=byteorder):
            case Diagnostic() as diagnostic:
                wrong.append(diagnostic)
                # Go on behind a damaged wide instruction too, or its second half is reported.
                rows = BY_OPCODE.get(code[offset])
                offset += SLOT * (rows[0].slots if rows is not None else 1)
                if len(wrong) == MOST_MISTAKES and offset < len(code):
                    message = f"{MOST_MISTAKES} slots are no instructions; the rest was not read"
                    wrong.append(error("decode-limit", message))
                    break
            case fields:
                found.append(fields)
                offset += SLOT * fields.spec.slots
    if wrong:
        raise DecodeError(*wrong)
    return tuple(found)


def decode_one(
    code: bytes, offset: int = 0, *, byteorder: ByteOrder = "little"
) -> Fields | Diagnostic:
    """Decode the instruction at a byte offset; what is wrong with it comes back as a value."""
    slot = offset // SLOT
    if len(code) - offset < SLOT:
        return error("decode-truncated", f"slot {slot}: {len(code) - offset} bytes are left over")
    layout = _LITTLE if byteorder == "little" else _BIG
    opcode, registers, off, imm = layout.unpack_from(code, offset)
    high, low = registers >> 4, registers & 15
    dst, src = (low, high) if byteorder == "little" else (high, low)
    rows = BY_OPCODE.get(opcode)
    if rows is None:
        return error("decode-opcode", f"slot {slot}: no instruction has the opcode {opcode:#04x}")
    if rows[0].slots == 2:
        if len(code) - offset < 2 * SLOT:
            return error("decode-truncated", f"slot {slot}: lddw lacks its second half")
        opcode2, registers2, off2, imm2 = layout.unpack_from(code, offset + SLOT)
        if opcode2 or registers2 or off2:
            message = f"slot {slot + 1}: the second half of lddw may hold nothing but an immediate"
            return error("decode-reserved", message)
        imm = imm2 << 32 | imm & 0xFFFFFFFF
    values = {"dst": dst, "src": src, "off": off, "imm": imm}
    reason = ""
    for spec in rows:
        reason = _mismatch(spec, values)
        if not reason:
            return Fields(spec, **{name: values[name] for name in _operand_fields(spec)})
    if len(rows) > 1:
        told_apart = ", ".join(f"{name} = {value}" for name, value in values.items())
        return error(
            "decode-reserved", f"slot {slot}: no {rows[0].op} instruction has {told_apart}"
        )
    return error("decode-reserved", f"slot {slot}: {rows[0].name} {reason}")


def _operand_fields(spec: InstructionSpec) -> tuple[str, ...]:
    return tuple(
        operand.field
        for operand in spec.form.operands
        if operand.field in ("dst", "src", "off", "imm")
    )


def _mismatch(spec: InstructionSpec, values: dict[str, int]) -> str:
    """Say why the fields are not this row's; empty where they are."""
    fixed = spec.fixed_fields
    for name, value in values.items():
        if spec.form.operand(name) is not None:
            if name in ("dst", "src") and value >= REGISTERS:
                return f"has {name} = {value}, which is no register"
        elif value != fixed.get(name, 0):
            return f"has {name} = {value} where {fixed.get(name, 0)} is required"
    return ""
