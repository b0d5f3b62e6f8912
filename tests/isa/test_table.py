"""Laws of the instruction table, and the groups that RFC 9669's registry lists."""

from __future__ import annotations

from itertools import combinations

from ebpfasm.isa import semantics
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME, BY_OPCODE, TABLE, InstructionSpec

# RFC 9669, appendix A: group, src_reg, offset, imm, and the opcodes that have them. It leaves
# out the sign-extension loads; sections 2.4 and 5.2 put them in base32.
REGISTRY = """
base32   0   0   any : 04 14 44 54 64 74 a4 b4 c4 06 85
base32   1   0   any : 85
base32   2   0   any : 85
base32   0   any 0   : 05
base32   any 0   0   : 0c 1c 4c 5c 6c 7c ac bc cc
base32   any 8   0   : bc
base32   any 16  0   : bc
base32   0   0   0   : 84 95
base32   0   any any : 16 26 36 46 56 66 76 a6 b6 c6 d6 62 6a 72
base32   any any 0   : 1e 2e 3e 4e 5e 6e 7e ae be ce de 61 63 69 6b 71 73
base32   any any 0   : 81 89 91
base32   0   0   16  : d4 d7 dc
base32   0   0   32  : d4 d7 dc
base64   0   0   64  : d4 d7 dc
base64   0   0   any : 07 17 47 57 67 77 a7 b7 c7
base64   any 0   0   : 0f 1f 4f 5f 6f 7f af bf cf
base64   any 8   0   : bf
base64   any 16  0   : bf
base64   any 32  0   : bf
base64   0   0   0   : 87
base64   0   any any : 15 25 35 45 55 65 75 a5 b5 c5 d5 7a
base64   any any 0   : 1d 2d 3d 4d 5d 6d 7d ad bd cd dd 79 7b
base64   0   0   any : 18
base64   1   0   any : 18
base64   2   0   any : 18
base64   3   0   any : 18
base64   4   0   any : 18
base64   5   0   any : 18
base64   6   0   any : 18
divmul32 0   0   any : 24 34 94
divmul32 0   1   any : 34 94
divmul32 any 0   0   : 2c 3c 9c
divmul32 any 1   0   : 3c 9c
divmul64 0   0   any : 27 37 97
divmul64 0   1   any : 37 97
divmul64 any 0   0   : 2f 3f 9f
divmul64 any 1   0   : 3f 9f
atomic32 any any 0   : c3
atomic32 any any 1   : c3
atomic32 any any 64  : c3
atomic32 any any 65  : c3
atomic32 any any 80  : c3
atomic32 any any 81  : c3
atomic32 any any 160 : c3
atomic32 any any 161 : c3
atomic32 any any 225 : c3
atomic32 any any 241 : c3
atomic64 any any 0   : db
atomic64 any any 1   : db
atomic64 any any 64  : db
atomic64 any any 65  : db
atomic64 any any 80  : db
atomic64 any any 81  : db
atomic64 any any 160 : db
atomic64 any any 161 : db
atomic64 any any 225 : db
atomic64 any any 241 : db
packet   0   0   any : 20 28 30
packet   any 0   any : 40 48 50
"""


def _registered() -> dict[tuple[int, str, str, str], str]:
    found = {}
    for line in REGISTRY.strip().splitlines():
        head, _, opcodes = line.partition(":")
        group, src, off, imm = head.split()
        for opcode in opcodes.split():
            key = int(opcode, 16), src, off, imm
            assert key not in found, f"{key} is written twice"
            found[key] = group
    return found


def _as_registered(spec: InstructionSpec) -> tuple[int, str, str, str]:
    def value(name: str) -> str:
        if spec.form.operand(name) is not None:
            return "any"
        return str(spec.fixed_fields.get(name, 0))

    # Linux gives the offset of a kfunc call a meaning, a module's BTF; the RFC reserves it.
    off = "0" if spec.form is Form.CALL_KFUNC else value("off")
    return spec.opcode, value("src"), off, value("imm")


def test_the_rfc_lists_the_same_instructions_in_the_same_groups() -> None:
    ours = {_as_registered(spec): spec.group for spec in TABLE if spec.group != "linux"}

    assert ours == _registered()


def test_names_are_unique() -> None:
    assert len(BY_NAME) == len(TABLE)


def test_an_opcode_is_a_byte() -> None:
    assert [spec for spec in TABLE if not 0 < spec.opcode < 256] == []


def test_rows_that_share_an_opcode_differ_in_a_field_that_both_fix() -> None:
    """Whatever bytes there are, at most one row fits: what is not fixed and no operand is 0."""
    clashes = []
    for rows in BY_OPCODE.values():
        for one, other in combinations(rows, 2):
            fields = [name for name in ("src", "off", "imm") if _constant(one, name) is not None]
            pairs = [(_constant(one, name), _constant(other, name)) for name in fields]
            if not any(b is not None and a != b for a, b in pairs):
                clashes.append((one.name, other.name))

    assert clashes == []


def _constant(spec: InstructionSpec, name: str) -> int | None:
    return None if spec.form.operand(name) is not None else spec.fixed_fields.get(name, 0)


def test_no_row_fixes_a_field_that_is_an_operand() -> None:
    wrong = [s.name for s in TABLE for name, _ in s.fixed if s.form.operand(name) is not None]

    assert wrong == []


def test_only_the_64_bit_immediate_takes_two_slots() -> None:
    assert {spec.opcode for spec in TABLE if spec.slots == 2} == {0x18}


def test_semantics_know_the_arithmetic_of_the_table_and_no_other() -> None:
    forms = (Form.ALU_IMM, Form.ALU_REG, Form.MOV_IMM, Form.MOV_REG, Form.NEG)

    assert {spec.op for spec in TABLE if spec.form in forms} == semantics.ALU_OPS


def test_semantics_know_the_comparisons_of_the_table_and_no_other() -> None:
    forms = (Form.JCOND_IMM, Form.JCOND_REG)

    assert {spec.op for spec in TABLE if spec.form in forms} == semantics.COMPARE_OPS


def test_semantics_know_the_atomics_of_the_table_but_the_one_that_compares() -> None:
    forms = (Form.ATOMIC, Form.FETCH, Form.XCHG, Form.XCHG32)

    assert {spec.op for spec in TABLE if spec.form in forms} == semantics.ATOMIC_OPS
