"""Random programs: legal ones, which the kernel's verifier accepts, and wild ones."""

from __future__ import annotations

import random
from collections.abc import Callable

from ebpfasm.ir import Instruction, ProgramSpec, collect
from ebpfasm.isa.forms import RANGES, Form
from ebpfasm.isa.table import BY_NAME, TABLE, InstructionSpec
from tests.support import kernel_release, release_of

STACK = 64  # bytes below r10 that programs use; all of them are written first

_ARITHMETIC = [row for row in TABLE if row.form in (Form.ALU_IMM, Form.ALU_REG)]
_MOVES = [row for row in TABLE if row.form in (Form.MOV_IMM, Form.MOV_REG, Form.MOVSX, Form.NEG)]
_SWAPS = [row for row in TABLE if row.form is Form.SWAP]
_JUMPS = [row for row in TABLE if row.form in (Form.JCOND_IMM, Form.JCOND_REG)]
_MEMORY = [row for row in TABLE if row.form in (Form.LOAD, Form.STORE_REG, Form.STORE_IMM)]
_ATOMIC = [
    row
    for row in TABLE
    if row.form in (Form.ATOMIC, Form.FETCH, Form.XCHG, Form.XCHG32, Form.CMPXCHG, Form.CMPXCHG32)
]
_EDGES = (0, 1, -1, 2, -2, 31, 32, 63, 0x7FFFFFFF, -0x80000000, 0xFF, 0x8000, -0x8000, 0x1234567)
_WIDE = (0, 1, -1, 1 << 63, (1 << 63) - 1, 0xFFFFFFFF, 0x80000000, 0x123456789ABCDEF0)
_GENERAL = tuple(range(10))  # r0 to r9


def make(name: str, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Instruction:
    """An instruction by its row's name."""
    return Instruction(BY_NAME[name], dst, src, off, imm)


def filled(row: InstructionSpec, values: dict[str, int]) -> Instruction:
    """An instruction of a row with its four fields."""
    return Instruction(row, values["dst"], values["src"], values["off"], values["imm"])


class Legal:
    """One program of numbers: no pointer but r10 is ever in a register when it is used."""

    def __init__(self, seed: int, length: int = 40, *, for_kernel: bool = False) -> None:
        self.for_kernel = for_kernel
        self.random = random.Random(seed)
        self.length = length
        self.out: list[Instruction] = []

    def _row(self, rows: list[InstructionSpec]) -> InstructionSpec:
        if self.for_kernel:
            now = kernel_release()
            rows = [each for each in rows if release_of(each.since) <= now]
        return self.random.choice(rows)

    def build(self) -> list[Instruction]:
        """The instructions; r0 comes to depend on every register and the whole stack."""
        choose = self.random
        for register in _GENERAL:
            value = choose.choice((*_WIDE, choose.getrandbits(64)))
            self.out.append(make("lddw", register, imm=_signed(value, 64)))
        for offset in range(-STACK, 0, 8):
            self.out.append(make("stxdw", 10, choose.choice(_GENERAL), offset))
        kinds: list[tuple[Callable[[], Instruction | None], int]] = [
            (self._arithmetic, 10), (self._move, 4), (self._swap, 2), (self._memory, 5),
            (self._atomic, 3), (self._jump, 3),
        ]  # fmt: skip
        makers, weights = zip(*kinds, strict=True)
        body: list[Instruction] = []
        while len(body) < self.length:
            each = choose.choices(makers, weights)[0]()
            if each is not None:
                body.append(each)
                if self.for_kernel and each.spec.name == "cmpxchg32":
                    body.append(_HALF)
        self.out += self._aimed(body)
        return self.out + self._ending()

    def _imm(self) -> int:
        return self.random.choice((*_EDGES, _signed(self.random.getrandbits(32), 32)))

    def _arithmetic(self) -> Instruction:
        row = self._row(_ARITHMETIC)
        imm = self._imm()
        if row.op in ("lsh", "rsh", "arsh"):
            imm = self.random.randrange(row.width)
        elif row.op in ("div", "mod", "sdiv", "smod") and imm == 0:
            imm = -1 if row.op[0] == "s" else 7
        dst, src = self.random.choice(_GENERAL), self.random.choice(_GENERAL)
        if row.form is Form.ALU_IMM:
            return Instruction(row, dst, imm=imm)
        return Instruction(row, dst, src)

    def _move(self) -> Instruction:
        row = self._row(_MOVES)
        dst, src = self.random.choice(_GENERAL), self.random.choice(_GENERAL)
        match row.form:
            case Form.MOV_IMM:
                return Instruction(row, dst, imm=self._imm())
            case Form.NEG:
                return Instruction(row, dst)
            case _:
                return Instruction(row, dst, src)

    def _swap(self) -> Instruction:
        return Instruction(self._row(_SWAPS), self.random.choice(_GENERAL))

    def _offset(self, size: int) -> int:
        return -STACK + size * self.random.randrange(STACK // size)

    def _memory(self) -> Instruction:
        row = self._row(_MEMORY)
        offset = self._offset(row.width // 8)
        register = self.random.choice(_GENERAL)
        match row.form:
            case Form.LOAD:
                return Instruction(row, register, 10, offset)
            case Form.STORE_REG:
                return Instruction(row, 10, register, offset)
            case _:
                return Instruction(row, 10, 0, offset, self._imm())

    def _atomic(self) -> Instruction:
        row = self._row(_ATOMIC)
        return Instruction(row, 10, self.random.choice(_GENERAL), self._offset(row.width // 8))

    def _jump(self) -> Instruction:
        row = self._row(_JUMPS)
        dst, src = self.random.choice(_GENERAL), self.random.choice(_GENERAL)
        if row.form is Form.JCOND_IMM:
            return Instruction(row, dst, imm=self._imm())
        return Instruction(row, dst, src)

    def _aimed(self, body: list[Instruction]) -> list[Instruction]:
        """Give jumps a place further on to go to."""
        aimed = []
        for index, each in enumerate(body):
            if each.spec.form in (Form.JCOND_IMM, Form.JCOND_REG):
                off = self.random.randrange(0, min(8, len(body) - index))
                each = Instruction(each.spec, each.dst, each.src, off, each.imm)
            aimed.append(each)
        return aimed

    def _ending(self) -> list[Instruction]:
        """r0 = a mixture of r0 to r9 and the stack, its halves folded together."""
        out = []
        for register in _GENERAL[1:]:
            out += [make("mul64_imm", 0, imm=31), make("add64_reg", 0, register)]
        for offset in range(-STACK, 0, 8):
            out += [make("ldxdw", 1, 10, offset), make("mul64_imm", 0, imm=31)]
            out.append(make("xor64_reg", 0, 1))
        out += [make("mov64_reg", 1, 0), make("rsh64_imm", 1, imm=32), make("xor64_reg", 0, 1)]
        return [*out, make("exit")]


# Linux 6.18 on x86 at times leaves the upper half of r0 as it was when a 32-bit compare and
# exchange succeeds: its verifier forgets the zero extension. RFC 9669 5.3 has it zeroed.
_HALF = make("mov32_reg", 0, 0)


def legal(seed: int, length: int = 40, *, for_kernel: bool = False) -> ProgramSpec:
    """A program that the verifier accepts, with what it computes in r0.

    `for_kernel` keeps it away from what the running kernel does not know, and from what a
    kernel is known to compute wrongly.
    """
    return program(Legal(seed, length, for_kernel=for_kernel).build())


def wild(seed: int, length: int = 20) -> ProgramSpec:
    """Any rows with any fields, most of them near to something that makes sense."""
    choose = random.Random(seed)
    type_ = choose.choice(("xdp", "sched_cls", "socket_filter", "tracepoint"))
    out = _beginning(choose, type_) if choose.random() < 0.9 else []
    rows = choose.choice((TABLE, _COMMON))
    for _ in range(choose.randrange(1, length)):
        row = choose.choice(rows)
        values = {"dst": 0, "src": 0, "off": 0, "imm": 0}
        for operand in row.form.operands:
            if operand.field in ("dst", "src"):
                writes = "w" in operand.access and operand.kind == "value"
                known = (0, 1, 2, 3, 4, 5) if writes else (0, 1, 6, 7, 7, 8, 9, 9, 10)
                values[operand.field] = choose.choice((*known, choose.randrange(11)))
            elif operand.kind == "target":
                values[operand.field] = choose.randrange(-4, 8)
            elif operand.field == "off":
                near = (0, 4, 8, 12, -8, -4, 60, 63, -512, choose.randrange(-600, 600))
                values["off"] = choose.choice(near)
            elif operand.field == "imm":
                low, high = RANGES[operand.kind]
                small = choose.choice((*_HELPERS, choose.randrange(-16, 200)))
                values["imm"] = choose.choice((small, small, choose.randint(low, high)))
        out.append(filled(row, values))
    return program([*out, make("mov64_imm", 0, imm=2), make("exit")], type_)


_HELPERS = (5, 6, 7, 8, 14, 26, 28, 44, 65, 9, 125, 181)
_COMMON = [row for row in TABLE if row.group != "linux" and row.op not in ("call", "lddw")]
_FIELDS = {"xdp": (0, 4), "sched_cls": (76, 80)}


def _beginning(choose: random.Random, type_: str) -> list[Instruction]:
    """r6: context, r7: packet or context, r8: packet's end or a number, r9: stack."""
    out = [make("mov64_reg", 6, 1), make("mov64_reg", 7, 1), make("mov64_imm", 8, imm=5)]
    if type_ in _FIELDS:
        data, end = _FIELDS[type_]
        out = [out[0], make("ldxw", 7, 1, data), make("ldxw", 8, 1, end)]
    out += [make("mov64_reg", 9, 10), make("add64_imm", 9, imm=-64)]
    out += [make("stdw", 9, 0, offset, choose.getrandbits(30)) for offset in range(0, 64, 8)]
    kept = choose.random() < 0.3
    for register in range(1 if not kept else 2, 6):
        out.append(make("mov64_imm", register, imm=choose.choice((0, 1, 4, 64, -1, 300))))
    return [*out, make("mov64_imm", 0, imm=choose.randrange(100))]


def program(instructions: list[Instruction], type: str = "xdp") -> ProgramSpec:
    """A program of a type."""
    spec = ProgramSpec("random", type, type, tuple(instructions), license="GPL")
    return collect([spec], license="GPL").programs["random"]


def _signed(value: int, bits: int) -> int:
    return (value ^ 1 << bits - 1) - (1 << bits - 1) if value >= 0 else value
