"""Where the arguments of a USDT probe are: what compilers write into its note, by architecture.

An argument is its size, negative for signed numbers, an @, and an operand as the assembler writes
it: "-4@%eax 8@-24(%rbp)". libbpf reads the same forms (src/usdt.c).
"""

from __future__ import annotations

import re
from typing import NamedTuple

CONSTANT, REGISTER, MEMORY, INDEXED = range(4)  # enum __bpf_usdt_arg_type of usdt.bpf.h

_NUMBER = r"[-+]?(?:0x[0-9a-fA-F]+|\d+)"


class Argument(NamedTuple):
    """`value` is the constant, or what is added to a register; registers are places in pt_regs.

    `size` is in bytes, negative for signed; `shift` is what the index is shifted left by.
    """

    size: int
    kind: int
    value: int = 0
    register: int = 0
    index_register: int = 0
    shift: int = 0


class Unreadable(ValueError):
    """What stands there is no argument, or none that a program can read."""


def read_arguments(text: str, machine: str) -> list[Argument]:
    """Read a note's arguments as `machine` (x86_64, aarch64 ...) has them. Raises Unreadable.

    >>> read_arguments("-4@%eax 8@$3", "x86_64")[0]
    Argument(size=-4, kind=1, value=0, register=80, index_register=0, shift=0)
    """
    if machine not in _OPERANDS and text.strip():
        raise Unreadable(f"arguments as {machine} has them")
    return [_argument(each, machine) for each in _split(text)]


def _split(text: str) -> list[str]:
    """Cut at blanks that stand outside brackets: arm64 writes 8@[sp, 8]."""
    return re.findall(r"(?:\[[^\]]*\]|\([^)]*\)|\S)+", text)


def _argument(text: str, machine: str) -> Argument:
    width, mark, operand = text.partition("@")
    if not mark or not re.fullmatch(r"-?[1248]", width):
        raise Unreadable(f"an argument that is written {text!r}")
    read, pattern, registers = _OPERANDS[machine]
    if constant := re.fullmatch(rf"\$?({_NUMBER})", operand):
        return Argument(int(width), CONSTANT, int(constant[1], 0))
    match = re.fullmatch(pattern, operand.replace(" ", ""))
    try:
        if match is None:
            return Argument(int(width), REGISTER, 0, registers[read(operand)])
        fields = match.groupdict()
        offset, base = int(fields["off"] or "0", 0), registers[read(fields["base"])]
        if not fields.get("index"):
            return Argument(int(width), MEMORY, offset, base)
        shift = int(fields.get("scale") or "1").bit_length() - 1
        index = registers[read(fields["index"])]
        return Argument(int(width), INDEXED, offset, base, index, shift)
    except KeyError:
        raise Unreadable(f"an argument in {operand!r}") from None


# By architecture: how a register is called in the table, memory, and where registers lie in what
# programs see as struct pt_regs (user_pt_regs, user_regs_struct), in bytes.

_X86 = {
    "r15": 0, "r14": 8, "r13": 16, "r12": 24, "bp": 32, "bx": 40, "r11": 48, "r10": 56, "r9": 64,
    "r8": 72, "ax": 80, "cx": 88, "dx": 96, "si": 104, "di": 112, "ip": 128, "sp": 152,
}  # fmt: skip
_ARM64 = {f"x{number}": 8 * number for number in range(31)} | {"sp": 248}
_S390 = {f"r{number}": 24 + 8 * number for number in range(16)}
_RISCV_NAMES = (
    "pc ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 "
    "s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
)
_RISCV = {name: 8 * place for place, name in enumerate(_RISCV_NAMES.split())}


def _x86(name: str) -> str:
    """The name without its size: %eax and %al are ax, %r8d is r8."""
    match = re.fullmatch(
        r"%(?:(r\d+)[dwb]?|[re]?([abcd]x|[sd]i|[sb]p|ip)|([abcd])l|([sd]i|[sb]p)l)", name
    )
    if match is None:
        raise KeyError(name)
    return match[1] or match[2] or match[4] or f"{match[3]}x"


def _plain(name: str) -> str:
    return name


def _percent(name: str) -> str:
    return name.removeprefix("%") if name.startswith("%") else ""


_OPERANDS = {
    "x86_64": (
        _x86,
        rf"(?P<off>{_NUMBER})?\((?P<base>%\w+)(?:,(?P<index>%\w+)(?:,(?P<scale>[1248]))?)?\)",
        _X86,
    ),
    "aarch64": (_plain, rf"\[(?P<base>\w+)(?:,(?P<off>{_NUMBER}))?\]", _ARM64),
    "s390x": (_percent, rf"(?P<off>{_NUMBER})?\((?P<base>%\w+)\)", _S390),
    "riscv64": (_plain, rf"(?P<off>{_NUMBER})?\((?P<base>\w+)\)", _RISCV),
}
