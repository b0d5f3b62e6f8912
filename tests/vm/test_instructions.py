"""Single instructions and rows, judged by numbers worked out by hand or by the standard."""

from __future__ import annotations

import sys

import pytest

import ebpfasm
from ebpfasm.ir import Instruction
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import TABLE, InstructionSpec
from tests.support import need_native
from tests.vm.engines import both
from tests.vm.generate import filled, legal, make, program, wild

U64 = (1 << 64) - 1

# (instructions, r0): what machines of this kind get wrong first
PROGRAMS = [
    ("r0 = -1; w0 = w0; exit", 0xFFFFFFFF),
    ("r0 = -1; w0 += 1; exit", 0),
    ("r0 = 0x80000000 ll; w0 s>>= 4; exit", 0xF8000000),
    ("r0 = 1; r1 = 65; r0 <<= r1; exit", 2),
    ("r0 = 1; r1 = 33; w0 <<= w1; exit", 2),
    ("r0 = 7; r1 = 0; r0 /= r1; exit", 0),
    ("r0 = 7; r1 = 0; r0 %= r1; exit", 7),
    ("r0 = 0x100000007 ll; r1 = 0; w0 %= w1; exit", 7),
    ("r0 = -7; r1 = 2; r0 s/= r1; exit", -3 & U64),
    ("r0 = -7; r1 = 2; r0 s%= r1; exit", U64),
    ("r0 = 0x8000000000000000 ll; r1 = -1; r0 s/= r1; exit", 1 << 63),
    ("r0 = 0x8000000000000000 ll; r1 = -1; r0 s%= r1; exit", 0),
    ("w0 = 0x80000000; w1 = -1; w0 s/= w1; exit", 1 << 31),
    ("r0 = -7; r0 /= 2; exit", 0x7FFFFFFFFFFFFFFC),
    ("r0 = 5; r0 /= -1; exit", 0),
    ("r0 = 0x1122334455667788 ll; r0 = be16 r0; exit", 0x8877),
    ("r0 = 0x1122334455667788 ll; r0 = be32 r0; exit", 0x88776655),
    ("r0 = 0x1122334455667788 ll; r0 = be64 r0; exit", 0x8877665544332211),
    ("r0 = 0x1122334455667788 ll; r0 = le16 r0; exit", 0x7788),
    ("r0 = 0x1122334455667788 ll; r0 = bswap32 r0; exit", 0x88776655),
    ("r0 = 0x180; r0 = (s8)r0; exit", -128 & U64),
    ("r0 = 0x18000; w0 = (s16)w0; exit", 0xFFFF8000),
    ("r0 = 1; r1 = -1; if r1 s< 0 goto l; r0 = 2; l: exit", 1),
    ("r0 = 1; r1 = 0; if r1 s< 0 goto l; r0 = 2; l: exit", 2),
    ("r0 = 1; r1 = 6; if r1 & 1 goto l; r0 = 2; l: exit", 2),
    ("r0 = 1; r1 = 0xffffffff ll; if w1 s< 0 goto l; r0 = 2; l: exit", 1),
    ("r0 = 1; r1 = -1; if r1 > 5 goto l; r0 = 2; l: exit", 1),
    ("*(u64 *)(r10 - 8) = -2; r0 = *(u32 *)(r10 - 8); exit", 0xFFFFFFFE),
    ("*(u64 *)(r10 - 8) = -2; r0 = *(s32 *)(r10 - 8); exit", -2 & U64),
    ("r1 = 0x11223344; *(u64 *)(r10 - 8) = r1; r0 = *(u8 *)(r10 - 7); exit",
     0x33 if sys.byteorder == "little" else 0),
    ("*(u64 *)(r10 - 8) = 5; r0 = 5; r1 = 9; r0 = cmpxchg_64(r10 - 8, r0, r1); "
     "r1 = *(u64 *)(r10 - 8); r0 *= 16; r0 += r1; exit", 0x59),
    ("*(u64 *)(r10 - 8) = 5; r0 = 4; r1 = 9; r0 = cmpxchg_64(r10 - 8, r0, r1); "
     "r1 = *(u64 *)(r10 - 8); r0 *= 16; r0 += r1; exit", 0x55),
    ("*(u64 *)(r10 - 8) = 5; r1 = 3; r1 = xchg_64(r10 - 8, r1); r0 = r1; exit", 5),
    ("*(u32 *)(r10 - 8) = -1; r1 = 3; w1 = atomic_fetch_add((u32 *)(r10 - 8), w1); r0 = r1; exit",
     0xFFFFFFFF),
    ("*(u64 *)(r10 - 8) = 5; r1 = 9; store_release((u32 *)(r10 - 8), w1); "
     "w0 = load_acquire((u32 *)(r10 - 8)); exit", 9),
    ("r0 = 0; l: may_goto end; r0 += 1; goto l; end: exit", 0xFFFF),
    ("r6 = 6; call f; r0 += r6; exit\n.text\nf: r6 = 60; r0 = 1; exit", 7),
    ("r1 = f ll; callx r1; exit\n.text\nf: r0 = 11; exit", 11),
    ("gotol l; r0 = 1; exit; l: r0 = 2; exit", 2),
]  # fmt: skip


@pytest.mark.parametrize(("text", "r0"), PROGRAMS)
def test_a_program_computes(text: str, r0: int) -> None:
    need_native()
    spec = ebpfasm.assemble(f".section xdp\nm: {text}").programs["m"]
    outcome = both(spec, budget=1_000_000)
    assert (outcome.wrong, outcome.r0) == ("", r0)


def test_random_programs_use_every_row() -> None:
    used = {each.spec.name for seed in range(400) for each in _instructions(legal(seed))}
    used |= {each.spec.name for seed in range(600) for each in _instructions(wild(seed))}
    assert {row.name for row in TABLE} - used == set()


def _instructions(spec: ebpfasm.ProgramSpec) -> list[Instruction]:
    return [each for each in spec.instructions if isinstance(each, Instruction)]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.name)
def test_every_row_runs_or_says_why_not(row: InstructionSpec) -> None:
    need_native()
    values = {"dst": 0, "src": 0, "off": 0, "imm": 0}
    for operand in row.form.operands:
        if operand.kind == "base":
            values[operand.field] = 10
            values["off"] = -8
        elif operand.field in ("dst", "src"):
            values[operand.field] = 1 if operand.field == "src" else 2
        elif operand.field == "imm" and operand.kind != "target":
            values["imm"] = 5
    if row.form is Form.LOAD_IND:
        values["imm"] = 4
    begin = [make("mov64_reg", 6, 1), make("mov64_imm", 0, imm=1), make("mov64_imm", 2, imm=977)]
    begin += [make("mov64_imm", 1, imm=3), make("stdw", 10, 0, -8, 9)]
    end = [make("mov64_imm", 0, imm=4), make("exit")]
    outcome = both(program([*begin, filled(row, values), *end], "sched_cls"))
    expected = {
        Form.CALL_KFUNC: "not-supported",
        Form.JUMP_REG: "vm-jump", Form.LOAD_PSEUDO: "", Form.CALL_REG: "vm-helper",
        Form.CALL_LOCAL: "",
    }.get(row.form)  # fmt: skip
    if expected is None:
        assert outcome.wrong == ""
    else:
        assert expected in outcome.wrong
