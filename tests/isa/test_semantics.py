"""Semantics against the kernel: its JIT computes hundreds of results, we compare each.

Operands come from a map, so that the verifier cannot know them and nothing is folded away.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pytest

from ebpfasm.emit import encode
from ebpfasm.ir import Instruction, ProgramSpec, instruction
from ebpfasm.isa import semantics
from ebpfasm.isa.forms import RANGES, Form
from ebpfasm.isa.table import TABLE, InstructionSpec
from tests import kernel
from tests.support import kernel_release, release_of

EDGES = (
    0, 1, 2, 31, 32, 63, 0x7F, 0x80, 0xFF, 0x8000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
    0x1_0000_0000, 0x7FFFFFFF_FFFFFFFF, 0x80000000_00000000, 0xFFFFFFFF_FFFFFFFF,
    0xFFFFFFFF_80000000, 0x01234567_89ABCDEF,
)  # fmt: skip
ROUNDS = 16  # of operands for each row
CASE = 32  # bytes of a case in the map: a, b, and two results


class Case(NamedTuple):
    """Instructions over r1 = a, r2 = b and r10 - 8 = a; r3 and r4 hold the results behind them."""

    what: str
    a: int
    b: int
    body: tuple[Instruction, ...]
    expected: tuple[int, int]


def _operands(row: InstructionSpec) -> Iterator[tuple[int, int]]:
    chooser = random.Random(row.name)  # the same for every run
    for _ in range(ROUNDS):
        yield tuple(  # type: ignore[misc]
            chooser.choice((chooser.choice(EDGES), chooser.getrandbits(64))) for _ in "ab"
        )


def _rows(*forms: Form) -> list[InstructionSpec]:
    """Those that the running kernel knows."""
    return [row for row in TABLE if row.form in forms and release_of(row.since) <= kernel_release()]


def _immediate(row: InstructionSpec, value: int) -> int:
    """An immediate that the verifier takes: no shift beyond the width, no division by zero."""
    if row.op in ("lsh", "rsh", "arsh"):
        return value % row.width
    if row.op in ("div", "mod", "sdiv", "smod") and value & 0xFFFFFFFF == 0:
        return 1
    return semantics.signed(value, 32)


def _keep(register: int) -> tuple[Instruction, ...]:
    return instruction("mov64_reg", dst=3, src=register), instruction("mov64_imm", dst=4)


def _arithmetic() -> Iterator[Case]:
    for row in _rows(Form.ALU_IMM, Form.ALU_REG, Form.MOV_IMM, Form.MOV_REG, Form.NEG):
        for a, b in _operands(row):
            imm = _immediate(row, b)
            operand = imm if "imm" in row.name else b
            if row.form is Form.NEG:
                body = Instruction(row, dst=1)
            elif "imm" in row.name:
                body = Instruction(row, dst=1, imm=imm)
            else:
                body = Instruction(row, dst=1, src=2)
            expected = semantics.alu(row.op, a, operand, row.width)
            yield Case(f"{row.name} {a:#x} {operand:#x}", a, b, (body, *_keep(1)), (expected, 0))


def _conversions() -> Iterator[Case]:
    for row in _rows(Form.MOVSX):
        for a, b in _operands(row):
            expected = semantics.sign_extend(b, row.fixed_fields["off"], row.width)
            body = Instruction(row, dst=1, src=2)
            yield Case(f"{row.name} {b:#x}", a, b, (body, *_keep(1)), (expected, 0))
    for row in _rows(Form.SWAP):
        for a, b in _operands(row):
            expected = semantics.byte_order(row.op, a, row.width)
            body = Instruction(row, dst=1)
            yield Case(f"{row.name} {a:#x}", a, b, (body, *_keep(1)), (expected, 0))


def _comparisons() -> Iterator[Case]:
    for row in _rows(Form.JCOND_IMM, Form.JCOND_REG):
        for a, b in _operands(row):
            # Half of them compare with an equal or neighbouring number.
            b = b if b & 1 else a + (b >> 1 & 1)
            b &= semantics.mask(64)
            imm = semantics.signed(b, 32)
            by_imm = row.form is Form.JCOND_IMM
            operand = imm if by_imm else b
            jump = Instruction(row, dst=1, imm=imm, off=1) if by_imm else Instruction(row, 1, 2, 1)
            body = (
                instruction("mov64_imm", dst=3, imm=1),
                jump,
                instruction("mov64_imm", dst=3, imm=0),
                instruction("mov64_imm", dst=4),
            )
            taken = semantics.compare(row.op, a, operand, row.width)
            yield Case(f"{row.name} {a:#x} {operand:#x}", a, b, body, (int(taken), 0))


def _atomics() -> Iterator[Case]:
    forms = (Form.ATOMIC, Form.FETCH, Form.XCHG, Form.XCHG32)
    for row in _rows(*forms, Form.CMPXCHG, Form.CMPXCHG32):
        low = semantics.mask(row.width)
        for a, b in _operands(row):
            old, compared = a & low, a if b & 1 else b
            handed = old
            if row.form in forms:
                new = semantics.atomic(row.op, a, b, row.width)
                handed = b if row.form is Form.ATOMIC else old
            else:
                new = b & low if compared & low == old else old
            kept = 2 if row.form in forms else 0
            body = (
                instruction("mov64_reg", dst=0, src=1 if b & 1 else 2),
                Instruction(row, dst=10, src=2, off=-8),
                instruction("ldxdw", dst=3, src=10, off=-8),
                instruction("mov64_reg", dst=4, src=kept),
            )
            memory = a & ~low & semantics.mask(64) | new  # little-endian: the low half comes first
            yield Case(f"{row.name} {a:#x} {b:#x}", a, b, body, (memory, handed))


def _program(cases: list[Case], map_fd: int) -> bytes:
    code = [
        instruction("stw", dst=10, off=-4),
        instruction("mov64_reg", dst=2, src=10),
        instruction("add64_imm", dst=2, imm=-4),
        instruction("lddw_map_fd", dst=1, imm=map_fd),
        instruction("call_helper", imm=1),
        instruction("jne64_imm", dst=0, off=1),
        instruction("exit"),
        instruction("mov64_reg", dst=9, src=0),
    ]
    for number, case in enumerate(cases):
        at = number * CASE
        code += [
            instruction("ldxdw", dst=1, src=9, off=at),
            instruction("ldxdw", dst=2, src=9, off=at + 8),
            instruction("stxdw", dst=10, src=1, off=-8),
            *case.body,
            instruction("stxdw", dst=9, src=3, off=at + 16),
            instruction("stxdw", dst=9, src=4, off=at + 24),
        ]
    code += [instruction("mov64_imm", dst=0, imm=1), instruction("exit")]
    return encode(ProgramSpec("judged", "xdp", "xdp", tuple(code)))


def _disagreements(cases: list[Case]) -> list[str]:
    key = bytes(4)
    with kernel.closing(kernel.map_create(kernel.ARRAY, 4, CASE * len(cases), 1)) as map_fd:
        operands = b"".join(struct.pack("<QQQQ", case.a, case.b, 0, 0) for case in cases)
        kernel.map_update(map_fd, key, operands)
        fd, _ = kernel.prog_load(_program(cases, map_fd))
        with kernel.closing(fd):
            assert kernel.run_once(fd) == 1
        value = kernel.map_lookup(map_fd, key, len(operands))
    found = []
    for number, case in enumerate(cases):
        results = struct.unpack_from("<QQ", value, number * CASE + 16)
        if results != case.expected:
            kernels, ours = (tuple(map(hex, each)) for each in (results, case.expected))
            found.append(f"{case.what}: the kernel has {kernels}, semantics {ours}")
    return found


def _batches(cases: Iterable[Case]) -> Iterator[list[Case]]:
    """Cut into programs whose offsets into the map's value still fit 16 bits."""
    whole = list(cases)
    size = RANGES["off"][1] // CASE
    return (whole[at : at + size] for at in range(0, len(whole), size))


@pytest.mark.kernel
@pytest.mark.parametrize(
    "family", [_arithmetic, _conversions, _comparisons, _atomics], ids=lambda f: f.__name__
)
def test_the_kernel_computes_what_semantics_say(family: object) -> None:
    assert callable(family)
    found = [line for batch in _batches(family()) for line in _disagreements(batch)]

    assert found == []


@pytest.mark.parametrize(
    ("op", "a", "b", "width", "expected"),
    [
        ("div", 7, 0, 64, 0),
        ("mod", 7, 0, 64, 7),
        ("sdiv", 0x80000000, 0xFFFFFFFF, 32, 0x80000000),
        ("smod", 0x80000000, 0xFFFFFFFF, 32, 0),
        ("sdiv", -7 & 0xFFFFFFFF, 2, 32, -3 & 0xFFFFFFFF),
        ("smod", -7 & 0xFFFFFFFF, 2, 32, -1 & 0xFFFFFFFF),
        ("smod", 7, -2 & 0xFFFFFFFF, 32, 1),
        ("lsh", 1, 33, 32, 2),
        ("arsh", 0x80000000, 31, 32, 0xFFFFFFFF),
        ("mov", 0, -1, 32, 0xFFFFFFFF),
    ],
)
def test_corners_of_arithmetic(op: str, a: int, b: int, width: int, expected: int) -> None:
    assert semantics.alu(op, a, b, width) == expected


def test_byte_order_on_a_big_endian_host_is_the_mirror() -> None:
    assert semantics.byte_order("be", 0x1234, 16) == 0x3412
    assert semantics.byte_order("be", 0x1234, 16, little_endian_host=False) == 0x1234
    assert semantics.byte_order("le", 0x51234, 16) == 0x1234
    assert semantics.byte_order("le", 0x1234, 16, little_endian_host=False) == 0x3412
    assert semantics.byte_order("bswap", 0x1234, 16, little_endian_host=False) == 0x3412
