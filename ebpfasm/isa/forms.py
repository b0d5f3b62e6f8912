"""The forms an instruction can have: its operands, how each is used, and how they are written.

A form says which fields of the encoding carry operands, whether each is read, written or
both, and how the LLVM and the mnemonic dialect write it. The encoder, readers, printers,
builder and verifier read it.
"""

from __future__ import annotations

from enum import Enum
from typing import Literal

from ebpfasm.frozen import dataclass

Access = Literal["r", "w", "rw", "x"]  # x: left unreadable (clobbered by a call)
Kind = Literal["value", "base", "off", "target", "imm32", "imm64", "implicit"]

# How far each kind of number reaches. RFC 9669 section 3: off is a signed 16-bit field, imm a
# signed 32-bit one; the wide form (section 5.4) joins two imm fields.
RANGES: dict[Kind, tuple[int, int]] = {
    "off": (-(1 << 15), (1 << 15) - 1),
    "imm32": (-(1 << 31), (1 << 31) - 1),
    "imm64": (-(1 << 63), (1 << 63) - 1),
}


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand: the field that holds it, how it is used, and what kind of thing it is.

    `field` is dst, src, off or imm, or the name of a register that the encoding does not
    spell (r0, r6). A `base` is an address and always 64 bits wide; a `value` register shows
    as w where the instruction works on 32 bits. A `target` is a distance in slots, counted
    from the following slot.
    """

    field: str
    access: Access
    kind: Kind


def _operands(text: str) -> tuple[Operand, ...]:
    """Read "dst:rw src:r off imm"; `@` marks a base, `>` a jump target, `imm64` the wide field."""
    operands: list[Operand] = []
    for word in text.split():
        name, _, access = word.partition(":")
        if name in ("off", "imm", "imm64"):
            kind: Kind = "off" if name == "off" else "imm64" if name == "imm64" else "imm32"
            operands.append(Operand(name.removesuffix("64"), "r", kind))
        elif name in (">off", ">imm"):
            operands.append(Operand(name[1:], "r", "target"))
        else:
            kind = "base" if name[0] == "@" else "value" if name in ("dst", "src") else "implicit"
            operands.append(Operand(name.lstrip("@"), _access(access), kind))
    return tuple(operands)


def _access(text: str) -> Access:
    match text:
        case "r" | "w" | "rw" | "x":
            return text
        case _:
            raise ValueError(f"{text!r} is no access")


_CALL = "r0:w r1:x r2:x r3:x r4:x r5:x"
_SKB = "r6:r r0:w r1:x r2:x r3:x r4:x r5:x"


class Form(Enum):
    """A shape shared by rows of the table: (operands, LLVM syntax, mnemonic syntax).

    In the syntax {dst} and {src} are registers, {sym} the operator, {ty} a memory type such
    as u32, {mem} a signed offset such as "+ 0x8", {imm} a number, {to} a jump target. The
    mnemonic syntax is what stands behind the mnemonic (`ebpfasm.isa.mnemonics`).
    """

    # fmt: off
    ALU_IMM      = ("dst:rw imm",            "{dst} {sym} {imm}",                                           "{dst}, {imm}")
    ALU_REG      = ("dst:rw src:r",          "{dst} {sym} {src}",                                           "{dst}, {src}")
    MOV_IMM      = ("dst:w imm",             "{dst} = {imm}",                                               "{dst}, {imm}")
    MOV_REG      = ("dst:w src:r",           "{dst} = {src}",                                               "{dst}, {src}")
    NEG          = ("dst:rw",                "{dst} = -{dst}",                                              "{dst}")
    MOVSX        = ("dst:w src:r",           "{dst} = ({ty}){src}",                                         "{dst}, {src}")
    CAST         = ("dst:w src:r imm",       "{dst} = addr_space_cast({src}, {as_dst}, {as_src})",          "{dst}, {src}, {as_dst}, {as_src}")
    SWAP         = ("dst:rw",                "{dst} = {op}{width} {dst}",                                   "{dst}")
    JUMP         = (">off",                  "goto {to}",                                                   "{to}")
    JUMP_LONG    = (">imm",                  "gotol {to}",                                                  "{to}")
    JUMP_REG     = ("dst:r",                 "gotox {dst}",                                                 "{dst}")
    JCOND_IMM    = ("dst:r imm >off",        "if {dst} {sym} {imm} goto {to}",                              "{dst}, {imm}, {to}")
    JCOND_REG    = ("dst:r src:r >off",      "if {dst} {sym} {src} goto {to}",                              "{dst}, {src}, {to}")
    MAY_GOTO     = (">off",                  "may_goto {to}",                                               "{to}")
    CALL_HELPER  = ("imm " + _CALL,          "call {imm}",                                                  "{imm}")
    CALL_LOCAL   = (">imm " + _CALL,         "call {to}",                                                   "{to}")
    CALL_KFUNC   = ("imm off " + _CALL,      "call btf_id({imm}, {off})",                                   "{imm}, {off}")
    CALL_REG     = ("dst:r " + _CALL,        "callx {dst}",                                                 "{dst}")
    EXIT         = ("r0:r",                  "exit",                                                        "")
    LOAD_IMM64   = ("dst:w imm64",           "{dst} = {imm} ll",                                            "{dst}, {imm}")
    LOAD_PSEUDO  = ("dst:w imm64",           "ld_pseudo {dst}, {pseudo}, {imm}",                            "{dst}, {imm}")
    LOAD         = ("dst:w @src:r off",      "{dst} = *({ty} *)({base} {mem})",                             "{dst}, [{base}{mem}]")
    STORE_REG    = ("@dst:r src:r off",      "*({ty} *)({base} {mem}) = {src}",                             "[{base}{mem}], {src}")
    STORE_IMM    = ("@dst:r off imm",        "*({ty} *)({base} {mem}) = {imm}",                             "[{base}{mem}], {imm}")
    ATOMIC       = ("@dst:r src:r off",      "lock *({ty} *)({base} {mem}) {sym} {src}",                    "[{base}{mem}], {src}")
    FETCH        = ("@dst:r src:rw off",     "{src} = atomic_fetch_{op}(({ty} *)({base} {mem}), {src})",    "[{base}{mem}], {src}")
    XCHG         = ("@dst:r src:rw off",     "{src} = xchg_64({base} {mem}, {src})",                        "[{base}{mem}], {src}")
    XCHG32       = ("@dst:r src:rw off",     "{src} = xchg32_32({base} {mem}, {src})",                      "[{base}{mem}], {src}")
    CMPXCHG      = ("@dst:r src:r off r0:rw", "r0 = cmpxchg_64({base} {mem}, r0, {src})",                   "[{base}{mem}], {src}")
    CMPXCHG32    = ("@dst:r src:r off r0:rw", "w0 = cmpxchg32_32({base} {mem}, w0, {src})",                 "[{base}{mem}], {src}")
    LOAD_ACQUIRE = ("dst:w @src:r off",      "{dst} = load_acquire(({ty} *)({base} {mem}))",                "{dst}, [{base}{mem}]")
    STORE_RELEASE = ("@dst:r src:r off",     "store_release(({ty} *)({base} {mem}), {src})",                "[{base}{mem}], {src}")
    LOAD_ABS     = ("imm " + _SKB,           "r0 = *({ty} *)skb[{imm}]",                                    "{imm}")
    LOAD_IND     = ("@src:r imm " + _SKB,    "r0 = *({ty} *)skb[{index}]",                                  "{src}, {imm}")
    # fmt: on

    def __init__(self, operands: str, syntax: str, mnemonic_syntax: str) -> None:
        self.operands = _operands(operands)
        self.syntax = syntax
        self.mnemonic_syntax = mnemonic_syntax
        # The field of the register that an address is made of, empty where there is none.
        self.base = next((each.field for each in self.operands if each.kind == "base"), "")

    def operand(self, field: str) -> Operand | None:
        """The operand that lives in a field, None where the field is reserved or fixed."""
        for operand in self.operands:
            if operand.field == field:
                return operand
        return None
