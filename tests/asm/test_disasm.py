"""Disassembling: source lines between instructions, and long programs at the speed of C."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ebpfasm
from ebpfasm import ir
from ebpfasm.asm import assemble, print_collection, print_program
from ebpfasm.asm.reading.dialects import Dialect
from ebpfasm.asm.writing import templates
from ebpfasm.dsl import R0, Builder
from ebpfasm.errors import DecodeError, LineSpan
from ebpfasm.isa import codec
from ebpfasm.isa.codec import ByteOrder
from ebpfasm.isa.table import BY_NAME, TABLE
from ebpfasm.native import native_core
from tests.asm.test_ring import samples
from tests.support import need_native

DROP = """.section xdp
drop:
    r1 = 0; r2 = 0          # two on a line
    if r1 == 0 goto out     /* " */
    r0 = 1
out:
    r0 = 2
    exit
"""


@pytest.fixture
def _native_core() -> None:
    need_native()


needs_core = pytest.mark.usefixtures("_native_core")


def test_source_lines_stand_above_their_instructions_once() -> None:
    text = print_collection(assemble(DROP, "drop.s"), source=True)
    assert (
        text
        == """.section xdp
.globl drop
drop:
    # drop.s:3: r1 = 0; r2 = 0 # two on a line
    r1 = 0x0
    r2 = 0x0
    # drop.s:4: if r1 == 0 goto out /* " */
    if r1 == 0x0 goto out
    # drop.s:5: r0 = 1
    r0 = 0x1
out:
    # drop.s:7: r0 = 2
    r0 = 0x2
    # drop.s:8: exit
    exit
"""
    )


def test_lines_of_a_builder_are_its_own() -> None:
    builder = Builder()
    two = builder.program("two", "xdp")
    two.mov(R0, 2)  # here
    two.exit()
    text = ebpfasm.disassemble(builder.build(), source=True)
    assert "test_disasm.py:" in text
    assert ": two.mov(R0, 2) # here\n    r0 = 0x2\n" in text


@pytest.mark.parametrize("dialect", ["llvm", "mnemonic"])
def test_with_source_lines_it_assembles_to_the_same(dialect: Dialect) -> None:
    spec = assemble(DROP, "drop.s")
    assert assemble(print_collection(spec, dialect, source=True)) == spec


@given(st.text(), st.text(), st.sampled_from(["llvm", "mnemonic"]))
def test_no_line_of_source_ends_its_comment(name: str, line: str, dialect: Dialect) -> None:
    span = LineSpan(name, 1, text=line)
    exits = (ir.Instruction(BY_NAME["exit"], span=span),) * 2
    spec = ir.collect([ir.ProgramSpec("f", "xdp", "xdp", exits)])
    text = print_collection(spec, dialect, source=True)
    assert text.count("\n") == 6
    (again,) = assemble(text, dialect=dialect).programs.values()
    assert again.instructions == exits
    text.encode()


def ordinary(code: bytes, byteorder: ByteOrder = "little") -> str | None:
    """What lifting and printing give, None where it is no program."""
    try:
        return print_program(ir.lift(ir.decode(code, byteorder=byteorder)))
    except DecodeError:
        return None


def quickly(code: bytes, byteorder: ByteOrder = "little") -> str | None:
    return templates.disassemble(code, native_core(), byteorder=byteorder)


@needs_core
@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_every_form_is_written_alike_by_both_ways(byteorder: ByteOrder) -> None:
    for each in (each for spec in TABLE for each in samples(spec)):
        code = codec.encode(*each.fields, byteorder=byteorder) * 2
        assert quickly(code, byteorder) == ordinary(code, byteorder), each


@needs_core
@settings(max_examples=150, deadline=None)
@given(st.integers(0, 1 << 32), st.sampled_from(["little", "big"]))
def test_random_programs_are_written_alike_by_both_ways(seed: int, byteorder: ByteOrder) -> None:
    code = program(random.Random(seed), byteorder)
    assert quickly(code, byteorder) == ordinary(code, byteorder)


def program(chance: random.Random, byteorder: ByteOrder) -> bytes:
    """Instructions of any kind, whose distances mostly stay inside."""
    found = []
    for _ in range(chance.randrange(1, 40)):
        fields = chance.choice(samples(chance.choice(TABLE))).fields
        if fields.spec.form.operand("off") and chance.random() < 0.95:
            fields = fields._replace(off=chance.randrange(-12, 12))
        if fields.spec.form.operand("imm") and chance.random() < 0.95:
            fields = fields._replace(imm=chance.randrange(-12, 12))
        found.append(codec.encode(*fields, byteorder=byteorder))
    return b"".join(found)


@needs_core
@given(st.binary(max_size=80))
def test_random_bytes_are_taken_by_both_ways_or_by_none(code: bytes) -> None:
    if code:
        assert quickly(code) == ordinary(code)


@needs_core
@pytest.mark.parametrize(
    "code",
    [
        bytes(8),  # no opcode
        bytes([0xB7, 11]) + bytes(6),  # r11
        bytes([0xB7, 0x10]) + bytes(6),  # a register that is not used
        bytes([0x95, 0, 1]) + bytes(5),  # an offset that is not used
        bytes([0x18]) + bytes(7),  # half an instruction
        bytes([0x18]) + bytes(8) + bytes([1]) + bytes(6),  # a second half with registers
        bytes([0x85, 0x10]) + bytes(2) + b"\x07\0\0\0",  # a call that leaves the program
        bytes(7),
    ],
)
def test_what_is_no_program_is_left_to_the_ordinary_way(code: bytes) -> None:
    assert quickly(code) is None
    assert ordinary(code) is None


@needs_core
def test_jumps_and_calls_of_long_programs_have_names() -> None:
    text = (
        "f:\n" + "r0 = 0\n" * 400 + "if r0 == 0 goto out\ncall g\nr1 = g ll\nout: exit\ng: exit\n"
    )
    code = ebpfasm.encode(assemble(text).programs["f"])
    assert len(code) // 8 > templates.LONG
    found = ebpfasm.disassemble(code)
    assert found.startswith(".globl main\nmain:\n    r0 = 0x0\n")
    assert found.endswith("""    if r0 == 0x0 goto L1
    call func_405
    r1 = func_405 ll
L1:
    exit
.globl func_405
func_405:
    exit
""")
    assert ebpfasm.encode(assemble(found).programs["main"]) == code


@needs_core
def test_a_long_program_that_is_wrong_is_told_what() -> None:
    with pytest.raises(DecodeError, match="slot 400: no instruction has the opcode 0xff"):
        ebpfasm.disassemble(bytes([0xB7] + [0] * 7) * 400 + b"\xff" * 8)
