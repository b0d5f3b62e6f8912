"""A program's bytes as text: hexadecimal, and initialisers to paste into C."""

from __future__ import annotations

import re
from typing import assert_never

from ebpfasm.emit.code import Image
from ebpfasm.ir.references import (
    CoreRef,
    FunctionRef,
    KfuncRef,
    KsymRef,
    LabelRef,
    MapRef,
    Reference,
    VarRef,
)
from ebpfasm.isa.codec import SLOT

_UNSAFE = re.compile(r"[^ -~]|[*\\]")

# C11's keywords, less those that begin with an underscore and a capital.
# fmt: off
_KEYWORDS = frozenset((
    "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else", "enum",
    "extern", "float", "for", "goto", "if", "inline", "int", "long", "register", "restrict",
    "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef", "union",
    "unsigned", "void", "volatile", "while",
))
# fmt: on


def hex_text(image: Image) -> str:
    """The bytes in the order that they lie in memory, a slot of 8 on each line."""
    lines = (image.code[at : at + SLOT].hex(" ") for at in range(0, len(image.code), SLOT))
    return "".join(f"{line}\n" for line in lines)


def c_array(image: Image, name: str) -> str:
    """A definition of the bytes as a C array, aligned for `struct bpf_insn`; it needs no header.

    A slot that must still be filled at load is followed by a comment that names what belongs
    there. A name that C does not take is changed, see `identifier`.
    """
    rows, remarks = [], _remarks(image)
    for slot, code in _slots(image):
        rows.append(" ".join(f"{byte:#04x}," for byte in code) + remarks.get(slot, ""))
    head = f"static const unsigned char {identifier(name)}[] __attribute__((aligned({SLOT}))) = {{"
    return _definition(head, rows)


def c_header(image: Image, name: str) -> str:
    """The definition of `c_array` as a header, which may be included twice."""
    guard = f"{identifier(name).upper()}_H"
    return f"#ifndef {guard}\n#define {guard}\n\n{c_array(image, name)}\n#endif\n"


def c_instructions(image: Image, name: str) -> str:
    """A definition of the program as an array of `struct bpf_insn`, which linux/bpf.h declares.

    The text is the same for images of both byte orders. Comments and name as in `c_array`.
    """
    rows, remarks = [], _remarks(image)
    for slot, code in _slots(image):
        order = image.byteorder
        high, low = code[1] >> 4, code[1] & 15
        dst, src = (low, high) if order == "little" else (high, low)
        off = int.from_bytes(code[2:4], order, signed=True)
        imm = int.from_bytes(code[4:8], order, signed=True)
        row = f"{{ .code = {code[0]:#04x}, .dst_reg = {dst}, .src_reg = {src}, "
        rows.append(f"{row}.off = {off}, .imm = {_c_int(imm)} }}," + remarks.get(slot, ""))
    return _definition(f"static const struct bpf_insn {identifier(name)}[] = {{", rows)


def identifier(name: str) -> str:
    """The nearest name that C takes: other characters become _, a keyword gets one behind it.

    >>> identifier("2nd.prog"), identifier("int")
    ('_2nd_prog', 'int_')
    """
    spelled = re.sub(r"\W", "_", name, flags=re.ASCII)
    if not spelled or spelled[0].isdigit():
        spelled = f"_{spelled}"
    return f"{spelled}_" if spelled in _KEYWORDS else spelled


def _slots(image: Image) -> list[tuple[int, bytes]]:
    places = range(0, len(image.code), SLOT)
    return [(slot, image.code[at : at + SLOT]) for slot, at in enumerate(places)]


def _definition(head: str, rows: list[str]) -> str:
    return "\n".join([head, *(f"\t{row}" for row in rows), "};", ""])


def _c_int(value: int) -> str:
    # C has no negative literals: 2147483648 would be a long that is then negated.
    return "-2147483647 - 1" if value == -(1 << 31) else str(value)


def _remarks(image: Image) -> dict[int, str]:
    # Nothing that a name holds may end the comment or splice its line.
    texts = ((each.slot, describe(each.ref)) for each in image.relocations)
    return {slot: f" /* {_UNSAFE.sub('_', text)} */" for slot, text in texts}


def describe(ref: Reference) -> str:
    """What a reference stands for, in a few words."""
    match ref:
        case MapRef(name=name):
            return f"map {name}"
        case VarRef():
            return f"variable {ref.written}"
        case KfuncRef(name=name):
            return f"kfunc {name}"
        case KsymRef(name=name):
            return f"kernel symbol {name}"
        case CoreRef(type_id=type_id, access=access):
            return f"CO-RE type {type_id}, {access}"
        case LabelRef(name=name):
            return f"label {name}"
        case FunctionRef(name=name):
            return f"function {name}"
        case _:
            assert_never(ref)
