"""Is all of a piece of code instructions, and which of them take two slots?

Long objects are checked without an object an instruction: a row of the table is a mask of the
fields that it fixes and their values, which the native core, or a loop over words, compares.
"""

from __future__ import annotations

from array import array
from functools import cache
from typing import Any

from ebpfasm.errors import Diagnostic, error
from ebpfasm.isa import codec
from ebpfasm.isa.codec import REGISTERS, SLOT
from ebpfasm.isa.table import BY_NAME, BY_OPCODE, InstructionSpec
from ebpfasm.native import native_core

# The fields of a slot as a little-endian word: RFC 9669, section 3.
_FIELDS = {"dst": (8, 4), "src": (12, 4), "off": (16, 16), "imm": (32, 32)}
_WIDE = BY_NAME["lddw"].opcode
_FEW = 4  # slots that are quicker looked at here than given to the native core
_DST, _SRC = 1, 2  # EBPFASM_CODE_*: the register fields that are operands


def little_endian(code: bytes) -> bytes:
    """Code of a big-endian machine as little-endian code."""
    swapped = bytearray(code)
    nibbles = bytes(each >> 4 | (each & 15) << 4 for each in range(256))
    swapped[1::SLOT] = code[1::SLOT].translate(nibbles)
    swapped[2::SLOT], swapped[3::SLOT] = code[3::SLOT], code[2::SLOT]
    for place in range(4):
        swapped[4 + place :: SLOT] = code[7 - place :: SLOT]
    return bytes(swapped)


def wide_slots(code: bytes) -> array[int] | Diagnostic:
    """The first slots of all 64-bit immediates in little-endian code, in their order.

    A Diagnostic says which slot is no instruction, where one is none.
    """
    if len(code) % SLOT:
        return error("decode-truncated", f"{len(code)} bytes are no whole number of slots")
    core = native_core() if len(code) > _FEW * SLOT else None
    bad, wide = _scan_native(code, core) if core is not None else _scan(code)
    if bad < 0:
        return wide
    match codec.decode_one(code, bad * SLOT):
        case Diagnostic() as diagnostic:
            return diagnostic
        case fields:
            raise AssertionError(f"slot {bad} is {fields}")


def starts(count: int, wide: array[int]) -> array[int]:
    """The slot of each instruction in code of `count` slots."""
    counting = _counting(count.bit_length())
    if not wide:
        return counting[:count]
    found = array("I")
    begin = 0
    for slot in wide:
        found += counting[begin : slot + 1]
        begin = slot + 2
    found += counting[begin:count]
    return found


@cache
def _counting(bits: int) -> array[int]:
    # A copy of a part takes a hundredth of the time that making it takes.
    return array("I", range(1 << bits))


def _row(spec: InstructionSpec) -> tuple[int, int, int, int]:
    """A row's mask and value, which register fields it has, and its slots."""
    mask, value, registers = 0xFF, spec.opcode, 0
    fixed = spec.fixed_fields
    for name, (shift, bits) in _FIELDS.items():
        if spec.form.operand(name) is None:
            field = (1 << bits) - 1
            mask |= field << shift
            value |= (fixed.get(name, 0) & field) << shift
        elif name in ("dst", "src"):
            registers |= _DST if name == "dst" else _SRC
    return mask, value, registers, spec.slots


@cache
def _rows() -> dict[int, tuple[tuple[int, int, int, int], ...]]:
    return {opcode: tuple(map(_row, rows)) for opcode, rows in BY_OPCODE.items()}


def _scan(code: bytes) -> tuple[int, array[int]]:
    """The first bad slot, -1 for none, and the wide ones."""
    words = [int.from_bytes(code[at : at + SLOT], "little") for at in range(0, len(code), SLOT)]
    wide = array("I")
    slot, rows = 0, _rows()
    while slot < len(words):
        slots = _match(words[slot], rows.get(words[slot] & 0xFF, ()))
        if slots == 0:
            return slot, wide
        if slots == 2:
            if slot + 1 == len(words) or words[slot + 1] & 0xFFFF_FFFF:
                return slot, wide
            wide.append(slot)
        slot += slots
    return -1, wide


def _match(word: int, rows: tuple[tuple[int, int, int, int], ...]) -> int:
    for mask, value, registers, slots in rows:
        if word & mask != value:
            continue
        if registers & _DST and word >> 8 & 15 >= REGISTERS:
            continue
        if registers & _SRC and word >> 12 & 15 >= REGISTERS:
            continue
        return slots
    return 0


def _scan_native(code: bytes, core: Any) -> tuple[int, array[int]]:
    wide = array("I", bytes(4 * (code[::SLOT].count(_WIDE) or 1)))
    found = core.ffi.new("size_t *")
    begin = core.ffi.from_buffer(code)
    into = core.ffi.from_buffer("uint32_t[]", wide)
    bad = core.lib.ebpfasm_code_scan(begin, len(code) // SLOT, _native_rows(core), into, found)
    return bad, wide[: found[0]]


@cache
def _native_rows(core: Any) -> Any:
    """The table for the native core: rows by opcode, each opcode's last one marked."""
    rows = [
        (opcode, *row, number == len(found) - 1)
        for opcode, found in sorted(_rows().items())
        for number, row in enumerate(found)
    ]
    table = core.ffi.new("ebpfasm_code_rows *")
    for number, (opcode, mask, value, registers, slots, last) in enumerate(rows):
        if table.first[opcode] == 0:
            table.first[opcode] = number + 1
        row = table.rows[number]
        row.mask, row.value, row.registers, row.slots, row.last = (
            mask, value, registers, slots, last,
        )  # fmt: skip
    return table
