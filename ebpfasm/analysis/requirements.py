"""What must hold before an instruction runs.

Requirements are read off the instruction; whether they hold is asked elsewhere (checks.py),
what the instruction does is said elsewhere (transfer.py), and what to tell the user when one
does not hold elsewhere again (explain.py). PREVAIL is built the same way.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ebpfasm.analysis.values import FRAME_POINTER
from ebpfasm.ir.instruction import Instruction
from ebpfasm.isa import helpers
from ebpfasm.isa.forms import Form

CONTEXT = "the context"

# Where the kernel's variant of a GPL-only helper is not.
ANY_LICENSE = frozenset({("perf_event", "bpf_get_stackid"), ("kprobe", "bpf_get_func_ip")})


@dataclass(frozen=True, slots=True)
class Readable:
    """A register was written on every path; `role` says what it is read as, if that is special."""

    register: int
    role: str = ""

    def __str__(self) -> str:
        return f"r{self.register} is written"


@dataclass(frozen=True, slots=True)
class NotFramePointer:
    """A register that is written is not r10."""

    register: int

    def __str__(self) -> str:
        return f"r{self.register} is not the frame pointer"


@dataclass(frozen=True, slots=True)
class WithinStack:
    """If a register points into the stack, `size` bytes at `offset` from it lie in the frame."""

    register: int
    offset: int
    size: int

    def __str__(self) -> str:
        return f"{self.size} bytes at r{self.register}{self.offset:+} are within the stack"


@dataclass(frozen=True, slots=True)
class DivisorNotZero:
    """A constant divisor is not zero."""

    divisor: int

    def __str__(self) -> str:
        return f"the divisor {self.divisor} is not 0"


@dataclass(frozen=True, slots=True)
class ShiftWithin:
    """A constant shift count is in 0 to width - 1."""

    count: int
    width: int

    def __str__(self) -> str:
        return f"0 <= {self.count} < {self.width}"


@dataclass(frozen=True, slots=True)
class HelperExists:
    """There is a helper with this number."""

    number: int

    def __str__(self) -> str:
        return f"there is a helper {self.number}"


@dataclass(frozen=True, slots=True)
class HelperAllowed:
    """The program type has the helper."""

    name: str
    program_type: str

    def __str__(self) -> str:
        return f"{self.program_type} programs have {self.name}"


@dataclass(frozen=True, slots=True)
class LicenseAllows:
    """The program's license is compatible with the GPL, which `what` demands."""

    what: str
    license: str

    def __str__(self) -> str:
        return f"the license {self.license!r} allows {self.what}"


@dataclass(frozen=True, slots=True)
class PacketLoadAllowed:
    """The program type has the legacy packet loads."""

    program_type: str

    def __str__(self) -> str:
        return f"{self.program_type} programs have packet loads"


@dataclass(frozen=True, slots=True)
class FromTable:
    """A register that `gotox` jumps to may hold what was loaded from a jump table."""

    register: int

    def __str__(self) -> str:
        return f"r{self.register} was loaded from a jump table"


Requirement = (
    Readable
    | NotFramePointer
    | WithinStack
    | DivisorNotZero
    | ShiftWithin
    | HelperExists
    | HelperAllowed
    | LicenseAllows
    | PacketLoadAllowed
    | FromTable
)


@dataclass(frozen=True, slots=True)
class Setting:
    """What a requirement depends on besides the instruction.

    `returns_value` says whether the function's r0 is read when it exits.
    """

    program_type: str
    license: str
    returns_value: bool


def requirements(each: Instruction, setting: Setting) -> Iterator[Requirement]:
    """Yield what must hold before the instruction runs, reads first."""
    form = each.spec.form
    if form is Form.CALL_HELPER:
        yield from _of_helper(each.imm, setting)
    elif form is Form.CALL_KFUNC:
        yield LicenseAllows("kernel functions", setting.license)
    elif form is Form.JUMP_REG:
        yield FromTable(each.dst)
    elif form in (Form.LOAD_ABS, Form.LOAD_IND):
        yield PacketLoadAllowed(setting.program_type)
    if form is not Form.EXIT:
        role = CONTEXT if form in (Form.LOAD_ABS, Form.LOAD_IND) else ""
        for register in dict.fromkeys(each.registers("r")):
            yield Readable(register, role if register == 6 else "")
    elif setting.returns_value:
        yield Readable(0, "the return value")
    for register in each.registers("w"):
        if register == FRAME_POINTER:
            yield NotFramePointer(register)
    yield from _of_operands(each)


def _of_operands(each: Instruction) -> Iterator[Requirement]:
    spec = each.spec
    for operand in spec.form.operands:
        # A packet load's base is an index; with a reference, CO-RE will set the offset.
        if operand.kind == "base" and spec.form is not Form.LOAD_IND and each.ref is None:
            register = each.dst if operand.field == "dst" else each.src
            yield WithinStack(register, each.off, spec.width // 8)
    if spec.form is Form.ALU_IMM and each.ref is None:
        if spec.op in ("div", "sdiv", "mod", "smod"):
            yield DivisorNotZero(each.imm)
        elif spec.op in ("lsh", "rsh", "arsh"):
            yield ShiftWithin(each.imm, spec.width)


def _of_helper(number: int, setting: Setting) -> Iterator[Requirement]:
    helper = helpers.find(number)
    if helper is None:
        yield HelperExists(number)
        return
    yield HelperAllowed(helper.name, setting.program_type)
    if helper.gpl_only and (setting.program_type, helper.name) not in ANY_LICENSE:
        yield LicenseAllows(helper.name, setting.license)
    fixed = helper.params[:-1] if helper.variadic else helper.params
    for position, _ in enumerate(fixed, 1):
        yield Readable(position, f"argument {position} of {helper.name}")
