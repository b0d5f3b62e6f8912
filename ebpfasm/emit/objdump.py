"""Code as `llvm-objdump -d --mcpu=v4` writes it: addresses, bytes, text, symbols.

Where LLVM's text loses what an instruction says (the kind of a call, half an address) it does so
here too: this is for comparing, `asm.printer` is for assembling again. Instructions newer than LLVM
19 have the text that they have in ebpfasm.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from ebpfasm.asm.writing.printer import text_of
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.ir.object import Object, ObjectSymbol
from ebpfasm.isa.codec import SLOT, ByteOrder
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME, BY_OPCODE, InstructionSpec

_REGISTERS = 12  # LLVM has an r11
_LDDW = BY_NAME["lddw"]
_UNKNOWN = "<unknown>"
_ZEROS = re.compile(rb"\0{8,}")

# Forms whose text LLVM does not tell from another one's.
_WRITTEN_AS = {
    Form.CALL_LOCAL: BY_NAME["call_helper"],
    Form.CALL_KFUNC: BY_NAME["call_helper"],
}


def objdump(source: Object, name: str) -> str:
    """Every section of code in an object; `name` is the file's."""
    parts = [f"\n{name}:\tfile format elf64-bpf\n"]
    for number, section in enumerate(source.sections):
        if section.executable and section.content:
            symbols = _symbols(source.symbols, number)
            parts.append(
                objdump_code(section.content, symbols, section.name, byteorder=source.byteorder)
            )
    return "".join(parts)


def _symbols(symbols: Sequence[ObjectSymbol], section: int) -> dict[int, str]:
    """The name of each place in a section that has one."""
    here = [each for each in symbols if each.section == section and each.type != "section"]
    return {each.value: each.name for each in sorted(here, key=_rank)}


def _rank(symbol: ObjectSymbol) -> tuple[bool, str]:
    """Of several in one place the last has its name shown: functions before other symbols."""
    return symbol.type != "notype", symbol.name


def objdump_code(
    code: bytes,
    symbols: Mapping[int, str] | None = None,
    section: str = ".text",
    *,
    byteorder: ByteOrder = "little",
) -> str:
    """One section, with names by byte offset; where its start has none it is called as it is."""
    symbols = {0: section, **(symbols or {})}
    places = sorted(place for place in symbols if 0 <= place < len(code) or place == 0)
    lines = ["", f"Disassembly of section {section}:"]
    for number, place in enumerate(places):
        end = places[number + 1] if number + 1 < len(places) else len(code)
        lines += ["", f"{place:016x} <{symbols[place]}>:"]
        lines += _Lines(code, symbols, places, byteorder).of(place, end)
    return "\n".join(lines) + "\n"


class _Lines:
    def __init__(
        self, code: bytes, symbols: Mapping[int, str], places: list[int], byteorder: ByteOrder
    ) -> None:
        self._code = code
        self._symbols = symbols
        self._places = places
        self._little = byteorder == "little"
        self._layout = struct.Struct("<BBhi" if self._little else ">BBhi")

    def of(self, at: int, end: int) -> Iterator[str]:
        """The lines of what lies from one offset to another."""
        while at < end:
            zeros = _zeros(self._code, at, end)
            if zeros:
                yield "\t\t..."
                at += zeros
                continue
            size, text = self._one(at)
            raw = self._code[at : at + size].hex(" ")
            yield f"{at // SLOT:>8}:\t{raw}\t{text}"
            at += size

    def _one(self, at: int) -> tuple[int, str]:
        """An instruction's size in bytes and its text."""
        left = len(self._code) - at
        if left < SLOT or (self._code[at] == _LDDW.opcode and left < 2 * SLOT):
            return 1, _UNKNOWN
        opcode, registers, off, imm = self._layout.unpack_from(self._code, at)
        dst, src = (registers & 15, registers >> 4)
        if not self._little:
            dst, src = src, dst
        size = SLOT
        if opcode == _LDDW.opcode:
            size = 2 * SLOT
            imm = self._layout.unpack_from(self._code, at + SLOT)[3] << 32 | imm & 0xFFFFFFFF
            if src:
                # LLVM shows the lower half, and takes any kind.
                text = f"ld_pseudo\tr{dst}, {src:#x}, {imm & 0xFFFFFFFF:#x}"
                return size, text if dst < _REGISTERS else _UNKNOWN
        spec = _row(opcode, src, off, imm)
        each = _instruction(spec, dst, src, off, imm) if spec is not None else None
        if each is None or max(each.dst, each.src) >= _REGISTERS:
            return size, _UNKNOWN
        return size, text_of(each, plain=True) + self._where(at, each)

    def _where(self, at: int, each: Instruction) -> str:
        """The symbol that a jump goes to."""
        if each.spec.form not in JUMPS:
            return ""
        distance = each.off if distance_field(each.spec.form) == "off" else each.imm
        # What lies before the section is far behind its last symbol: addresses have no sign.
        target = (at + SLOT + distance * SLOT) % (1 << 64)
        place = self._places[bisect_right(self._places, target) - 1]
        beyond = f"+{target - place:#x}" if target > place else ""
        return f" <{self._symbols[place]}{beyond}>"


def _zeros(code: bytes, at: int, end: int) -> int:
    """How many zero bytes are passed over: LLVM does so with 8 and more, four by four."""
    found = _ZEROS.match(code, at, end)
    return len(found.group()) & ~3 if found is not None else 0


def _instruction(spec: InstructionSpec, dst: int, src: int, off: int, imm: int) -> Instruction:
    written = _WRITTEN_AS.get(spec.form, spec)
    uses = _operands(written)
    values = (("dst", dst), ("src", src), ("off", off), ("imm", imm))
    dst, src, off, imm = (value if name in uses else 0 for name, value in values)
    return Instruction(written, dst, src, off, imm)


@cache
def _operands(spec: InstructionSpec) -> frozenset[str]:
    return frozenset(each.field for each in spec.form.operands)


def _row(opcode: int, src: int, off: int, imm: int) -> InstructionSpec | None:
    """The row whose constants the fields hold; of other reserved fields LLVM looks at off alone."""
    values = {"src": src, "off": off, "imm": imm}
    rows = BY_OPCODE.get(opcode, ())
    for spec in sorted(rows, key=lambda each: -len(each.fixed)) if len(rows) > 1 else rows:
        wanted = {**({} if "off" in _operands(spec) else {"off": 0}), **spec.fixed_fields}
        if all(values[name] == value for name, value in wanted.items()):
            return spec
    return None
