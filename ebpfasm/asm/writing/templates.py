"""Long programs to text at the speed of C: what lifting and printing do, without an object a line.

The native core is given a template for each row of the table, made by the printer; so the table
and the printer stay the only ones who know how an instruction is written.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ebpfasm.asm.reading.dialects import Dialect
from ebpfasm.asm.writing.printer import ADDRESS, CALL, print_program, spell
from ebpfasm.ir import decode, lift
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.isa.codec import SLOT, ByteOrder
from ebpfasm.isa.forms import Form
from ebpfasm.isa.helpers import HELPERS
from ebpfasm.isa.table import BY_OPCODE, InstructionSpec
from ebpfasm.native import native_core

# Marks where an instruction's own values go, by the numbers of native/disasm.c.
_DST, _SRC, _IMM, _MEM, _SHORT, _LONG, _PC, _OFF, _AS_DST, _AS_SRC, _INDEX, _NAME = map(
    chr, range(1, 13)
)
_PLAIN, _JUMP, _LONG_JUMP, _FUNCTION, _HELPER = range(5)  # EBPFASM_ROW_*
_FIELDS = ("dst", "src", "off", "imm")

# Below this, making the templates costs more than the ordinary way.
LONG = 300  # slots


def template(spec: InstructionSpec) -> str:
    """A row's text without names, with marks for values.

    >>> from ebpfasm.isa.table import BY_NAME
    >>> template(BY_NAME["ldxw"])
    'w\\x01 = *(u32 *)(r\\x02 \\x04)'
    """
    match spec.form:
        case Form.CALL_LOCAL:
            to = f"pc{_PC}"
        case Form.JUMP_LONG:
            to = _LONG
        case _:
            to = _SHORT
    return spell(
        spec, dst=_DST, src=_SRC, mem=_MEM, imm=_IMM, to=to, off=_OFF, as_dst=_AS_DST,
        as_src=_AS_SRC, index=_INDEX,
    )  # fmt: skip


def named_template(spec: InstructionSpec) -> str:
    """A row's text where a name stands for its number; empty where none can."""
    kind = _kind(spec)
    if kind in (_JUMP, _LONG_JUMP):
        return template(spec).replace(_SHORT, _NAME).replace(_LONG, _NAME)
    if spec.form is Form.LOAD_PSEUDO:
        return ADDRESS.format(dst=_DST, name=_NAME)
    return CALL.format(name=_NAME) if kind in (_FUNCTION, _HELPER) else ""


def _kind(spec: InstructionSpec) -> int:
    if spec.form in JUMPS:
        return _JUMP if distance_field(spec.form) == "off" else _LONG_JUMP
    if spec.form is Form.CALL_LOCAL or spec.op == "lddw_func":
        return _FUNCTION
    return _HELPER if spec.form is Form.CALL_HELPER else _PLAIN


def print_code(code: bytes, dialect: Dialect = "llvm", *, byteorder: ByteOrder = "little") -> str:
    """A program's bytes as a file: jump targets have labels, callees names. Raises DecodeError."""
    core = native_core() if len(code) >= LONG * SLOT and dialect == "llvm" else None
    text = disassemble(code, core, byteorder=byteorder) if core is not None else None
    if text is not None:
        return text
    # This way tells what is wrong, too.
    return print_program(lift(decode(code, byteorder=byteorder)), dialect)


def disassemble(code: bytes, core: Any, *, byteorder: ByteOrder = "little") -> str | None:
    """Code as the printer writes it once it is lifted; None where it is not all instructions."""
    if len(code) % SLOT:
        return None
    out = core.ffi.new("ebpfasm_listing *")
    begin, big = core.ffi.from_buffer(code), int(byteorder == "big")
    form = _format(core)
    if core.lib.ebpfasm_disassemble(begin, len(code) // SLOT, big, form.raw, out) != 0:
        return None
    try:
        return str(core.ffi.buffer(out.text, out.length)[:], "ascii")
    finally:
        core.lib.ebpfasm_listing_free(out)


class _Format:
    """The table as the native core takes it; keeps alive what it points to."""

    def __init__(self, core: Any) -> None:
        self._templates = bytearray()
        names = {each.id: each.name.encode() for each in HELPERS}
        rows = [spec for opcode in range(256) for spec in BY_OPCODE.get(opcode, ())]
        self._rows = core.ffi.new("ebpfasm_row[]", len(rows))
        self._first = core.ffi.new("uint32_t[]", 257)
        for number, spec in enumerate(rows):
            self._fill(self._rows[number], spec)
            self._first[spec.opcode + 1] = number + 1
        for opcode in range(256):
            self._first[opcode + 1] = max(self._first[opcode], self._first[opcode + 1])
        self._helper = core.ffi.new("uint32_t[]", max(names) + 2)
        for number in range(max(names) + 1):
            self._helper[number + 1] = self._helper[number] + len(names.get(number, b""))
        self._texts = [
            core.ffi.new("char[]", bytes(content))
            for content in (
                self._templates,
                b"".join(names[each] for each in sorted(names)),
                b"main",
            )
        ]
        self.raw = core.ffi.new("ebpfasm_format *")
        self.raw.rows, self.raw.first, self.raw.helper = self._rows, self._first, self._helper
        self.raw.templates, self.raw.names, self.raw.entry = self._texts
        self.raw.helpers, self.raw.entry_length = max(names) + 1, len("main")

    def _fill(self, row: Any, spec: InstructionSpec) -> None:
        fixed = spec.fixed_fields
        row.kind, row.slots = _kind(spec), spec.slots
        row.uses = sum(
            1 << bit for bit, name in enumerate(_FIELDS) if spec.form.operand(name) is not None
        )
        row.src, row.off, row.imm = (fixed.get(name, 0) for name in ("src", "off", "imm"))
        row.text, row.text_length = self._add(template(spec))
        row.named, row.named_length = self._add(named_template(spec))

    def _add(self, text: str) -> tuple[int, int]:
        at = len(self._templates)
        self._templates += text.encode("ascii")
        return at, len(text)


@cache
def _format(core: Any) -> _Format:
    return _Format(core)
