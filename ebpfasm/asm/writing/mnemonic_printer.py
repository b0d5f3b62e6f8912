"""One instruction as the mnemonic dialect writes it.

Numbers, registers and memory operands are written so that ubpf, bpf_conformance and GNU as
read them alike: `%r1`, `[%r1+0]`, negative numbers in decimal. Names are kept, as in the LLVM
dialect.
"""

from __future__ import annotations

from typing import assert_never

from ebpfasm.ir import (
    CoreRef,
    FunctionRef,
    Instruction,
    KfuncRef,
    KsymRef,
    LabelRef,
    MapRef,
    VarRef,
)
from ebpfasm.isa import helpers
from ebpfasm.isa.forms import Form
from ebpfasm.isa.mnemonics import PRINTED


def text_of(each: Instruction, *, plain: bool = False) -> str:
    """One instruction as text; `plain` is without names, for assemblers that do not know ours.

    >>> from ebpfasm.ir import instruction
    >>> text_of(instruction("ldxw", dst=2, src=1, off=4))
    'ldxw %r2, [%r1+4]'
    """
    spec = each.spec
    operands = spec.form.mnemonic_syntax.format(
        dst=f"%r{each.dst}",
        src=f"%r{each.src}",
        base=f"%r{each.src if spec.form.base == 'src' else each.dst}",
        mem=f"{each.off:+}",
        imm=_number(each.imm) if plain else _name(each) or _number(each.imm),
        off=each.off,
        to=_target(each),
        as_dst=each.imm >> 16 & 0xFFFF,
        as_src=each.imm & 0xFFFF,
    )
    if spec.form is Form.CALL_KFUNC:
        operands = operands.removesuffix(", 0")  # the kernel's own BTF
    return f"{PRINTED[spec.name] if plain else _word(each)} {operands}".rstrip()


def _word(each: Instruction) -> str:
    # The kind of address is found again from the name.
    by_name = each.ref is not None and each.spec.form is Form.LOAD_PSEUDO
    return "lddw" if by_name else PRINTED[each.spec.name]


def _name(each: Instruction) -> str | None:
    """The name that stands for the number; None where there is none."""
    match each.ref:
        case VarRef():
            return each.ref.written
        case MapRef(name=name) | KsymRef(name=name):
            return name
        case FunctionRef(name=name) | KfuncRef(name=name):
            return name
        case None if each.spec.form is Form.CALL_HELPER:
            helper = helpers.find(each.imm)
            return helper.name if helper is not None else None
        case None | LabelRef() | CoreRef():
            return None
        case _:
            assert_never(each.ref)


def _target(each: Instruction) -> str:
    match each.ref:
        case LabelRef(name=name) | FunctionRef(name=name):
            return name
        case _:
            field = each.spec.form.operand("imm")
            far = field is not None and field.kind == "target"
            return f"{each.imm if far else each.off:+}"


def _number(number: int) -> str:
    return str(number) if number < 10 else f"{number:#x}"
