"""What each instruction is called where a word comes first: `add32 %r0, 1`, `ldxdw %r0, [%r1+8]`.

Every row of the table is printed under one mnemonic, which follows from its form, operation
and width; others are taken as aliases. The names are those of ubpf's assembler and of the
bpf_conformance vectors, which agree with GNU as (-mdialect=normal) on all but atomics, byte
order and sign extension. A mnemonic may stand for several rows (`add` with a register and with
a number, `call`): their operands tell them apart.
"""

from __future__ import annotations

from collections.abc import Iterator

from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME, TABLE, InstructionSpec


def _printed(spec: InstructionSpec) -> str:
    bits = "32" if spec.width == 32 else ""
    match spec.form:
        case Form.ALU_IMM | Form.ALU_REG | Form.MOV_IMM | Form.MOV_REG | Form.NEG:
            return spec.op + bits
        case Form.JCOND_IMM | Form.JCOND_REG:
            return spec.op + bits
        case Form.MOVSX:
            return f"movsx{spec.fixed_fields['off']}{spec.width}"
        case Form.ATOMIC:
            return f"lock {spec.op.removeprefix('atomic_')}{bits}"
        case Form.FETCH:
            return f"lock fetch {spec.op.removeprefix('atomic_')}{bits}"
        case Form.XCHG | Form.XCHG32 | Form.CMPXCHG | Form.CMPXCHG32:
            return f"lock {spec.op}{bits}"
        case Form.JUMP_LONG:
            return "ja32"
        case Form.CALL_HELPER | Form.CALL_REG:
            return "call"
        case Form.CALL_LOCAL:
            return "call local"
        case Form.CALL_KFUNC:
            return "call runtime"
        case _:
            return spec.name


# Row -> the mnemonic under which it is printed.
PRINTED: dict[str, str] = {spec.name: _printed(spec) for spec in TABLE}

# Names of GNU as for atomics: `a` before the operation, `af` where the old value is fetched.
_GNU_ATOMICS = {"xchg": "axchg", "cmpxchg": "acmp"}


def _aliases() -> Iterator[tuple[str, str]]:
    """(alias, printed mnemonic)."""
    for spec in TABLE:
        printed = PRINTED[spec.name]
        match spec.form:
            case Form.ALU_IMM | Form.MOV_IMM | Form.NEG if spec.width == 64:
                yield f"{printed}64", printed
            case Form.ATOMIC | Form.FETCH:
                fetch = "f" if spec.form is Form.FETCH else ""
                yield f"a{fetch}{printed.rpartition(' ')[2]}", printed
            case Form.XCHG | Form.XCHG32 | Form.CMPXCHG | Form.CMPXCHG32:
                yield printed.removeprefix("lock ").replace(spec.op, _GNU_ATOMICS[spec.op]), printed
            case Form.SWAP if spec.op == "bswap":
                yield printed.removeprefix("b"), printed
            case _:
                pass
    # GNU as before binutils 2.41, its long jump, and what conformance's disassembler writes.
    yield from (("xaddw", "lock add32"), ("xadddw", "lock add"), ("jal", "ja32"))
    yield "call helper", "call"


ALIASES: dict[str, str] = dict(_aliases())


def _sized() -> Iterator[tuple[str, int, str]]:
    """(mnemonic, size, printed mnemonic) where GNU as writes the bits as the last operand."""
    for spec in TABLE:
        printed = PRINTED[spec.name]
        if spec.form is Form.SWAP:
            yield spec.op if spec.op == "bswap" else f"end{spec.op}", spec.width, printed
        elif spec.form is Form.MOVSX:
            bits = "32" if spec.width == 32 else ""
            yield f"movs{bits}", spec.fixed_fields["off"], printed


# (mnemonic, size) -> printed mnemonic: `endbe %r1, 16` is `be16 %r1`.
SIZED: dict[tuple[str, int], str] = {(word, size): printed for word, size, printed in _sized()}
SIZED_WORDS: frozenset[str] = frozenset(word for word, _ in SIZED)


def _rows() -> dict[str, tuple[InstructionSpec, ...]]:
    rows: dict[str, list[InstructionSpec]] = {}
    for spec in TABLE:
        rows.setdefault(PRINTED[spec.name], []).append(spec)
    return {printed: tuple(specs) for printed, specs in rows.items()}


# Printed mnemonic -> its rows.
BY_MNEMONIC: dict[str, tuple[InstructionSpec, ...]] = _rows()

# A word for one row of a mnemonic that has several.
_ONE_ROW: dict[str, InstructionSpec] = {"callx": BY_NAME["callx"]}

# Everything that may begin an instruction, for those who guess what was meant.
WORDS: frozenset[str] = frozenset((*BY_MNEMONIC, *ALIASES, *SIZED_WORDS, *_ONE_ROW))


def rows_of(mnemonic: str) -> tuple[InstructionSpec, ...]:
    """The rows that a mnemonic or alias stands for; none where it is unknown.

    >>> [spec.name for spec in rows_of("add32")], [spec.name for spec in rows_of("jal")]
    (['add32_imm', 'add32_reg'], ['gotol'])
    """
    if mnemonic in _ONE_ROW:
        return (_ONE_ROW[mnemonic],)
    return BY_MNEMONIC.get(ALIASES.get(mnemonic, mnemonic), ())
