"""A program as the kernel runs it (xlated), as text.

The verifier rewrites what was loaded: calls hold addresses or distances elsewhere, helpers are
replaced by their code, and instructions appear that no program may contain. What has no text in
the assembly language is written as `.8byte` with a comment; nothing here fails.
"""

from __future__ import annotations

import struct
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import field, replace
from functools import cached_property

from ebpfasm.asm.reading.dialects import Dialect
from ebpfasm.asm.writing import mnemonic_printer, printer
from ebpfasm.errors import LineSpan
from ebpfasm.frozen import dataclass
from ebpfasm.ir import FunctionRef, Instruction, KfuncRef, KsymRef, LabelRef, MapRef, MapSpec
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.ir.references import VarRef
from ebpfasm.ir.specs import VarSpec
from ebpfasm.isa import helpers
from ebpfasm.isa.codec import REGISTERS, SLOT, ByteOrder
from ebpfasm.isa.table import BY_NAME, BY_OPCODE, InstructionSpec

_HOST: ByteOrder = "little" if sys.byteorder == "little" else "big"
_CALL = BY_NAME["call_helper"].opcode
_LDDW = BY_NAME["lddw"].opcode
_MOV32, _MOV64 = BY_NAME["mov32_reg"].opcode, BY_NAME["mov64_reg"].opcode

# What linux/filter.h and linux/bpf_verifier.h add to the modes of loads and stores: the class
# and mode, those of the instruction that it does the work of, and what is different.
_CLASS_AND_MODE = 0xE7
_PROBES: dict[int, tuple[int, str]] = {
    0x21: (0x61, "BPF_PROBE_MEM: reads 0 where it faults"),
    0x41: (0x81, "BPF_PROBE_MEMSX: reads 0 where it faults"),
    0xA1: (0x61, "BPF_PROBE_MEM32: in the arena"),
    0xC1: (0x81, "BPF_PROBE_MEM32SX: in the arena"),
    0xA2: (0x62, "BPF_PROBE_MEM32: in the arena"),
    0xA3: (0x63, "BPF_PROBE_MEM32: in the arena"),
    0xE3: (0xC3, "BPF_PROBE_ATOMIC: in the arena"),
}
_BARRIER = 0xC2  # BPF_ST | BPF_NOSPEC
_PER_CPU = -1  # off of BPF_MOV64_PERCPU_REG
_ZERO_EXTENSION = 1  # imm of BPF_ZEXT_REG
_HIDDEN = "the kernel hides which function: see kernel.kptr_restrict and net.core.bpf_jit_harden"


@dataclass(frozen=True, slots=True)
class Row:
    """One instruction of a listing: its slot, text and bytes, and what stands above it."""

    slot: int
    text: str
    code: bytes
    labels: tuple[str, ...] = ()
    comment: str = ""
    source: LineSpan | None = None


@dataclass(frozen=True)
class Translated:
    """A program as BPF_OBJ_GET_INFO_BY_FD shows it, with what the kernel knows of its names.

    `functions` are names by slot, in order; `lines` source lines by the slot where they begin;
    `maps` stand by id, their names different from each other. `symbols` names kernel functions
    by the immediate of their calls, `kfuncs` by BTF id, `addresses` variables of the kernel.
    """

    name: str
    code: bytes
    functions: Mapping[int, str] = field(default_factory=dict)
    lines: Mapping[int, LineSpan] = field(default_factory=dict)
    maps: Mapping[int, MapSpec] = field(default_factory=dict)
    variables: tuple[VarSpec, ...] = ()
    symbols: Mapping[int, str] = field(default_factory=dict)
    kfuncs: Mapping[int, str] = field(default_factory=dict)
    addresses: Mapping[int, str] = field(default_factory=dict)
    byteorder: ByteOrder = _HOST

    @cached_property
    def slots(self) -> list[Fields]:
        """The fields of every slot."""
        layout = "<BBhi" if self.byteorder == "little" else ">BBhi"
        whole = self.code[: len(self.code) // SLOT * SLOT]
        return [
            Fields(opcode, *self._registers(both), off, imm)
            for opcode, both, off, imm in struct.iter_unpack(layout, whole)
        ]

    def _registers(self, both: int) -> tuple[int, int]:
        return (both & 15, both >> 4) if self.byteorder == "little" else (both >> 4, both & 15)

    @cached_property
    def starts(self) -> dict[int, str]:
        """Where functions begin: those that BTF names, and those that are called."""
        found = dict.fromkeys(sorted({0, *self.functions, *self._callees()}), "")
        return {
            slot: self.functions.get(slot) or (self.name if slot == 0 else f"func_{slot}")
            for slot in found
        }

    def _callees(self) -> Iterator[int]:
        for slot, each in self.instructions():
            callee = self.callee(slot, each)
            if callee is not None and 0 <= callee < len(self.slots):
                yield callee

    def callee(self, slot: int, each: Fields) -> int | None:
        """The slot of the subprogram that an instruction calls, or takes the address of."""
        if each.opcode == _CALL and each.src == BY_NAME["call_local"].fixed_fields["src"]:
            # The JIT keeps a subprogram's number in imm, the interpreter an address.
            return self._subprogram(slot + 1 + each.off, each.imm)
        if each.opcode == _LDDW and each.src == BY_NAME["lddw_func"].fixed_fields["src"]:
            return self._subprogram(slot + 1 + each.imm, self.slots[slot + 1].imm)
        return None

    def _subprogram(self, place: int, number: int) -> int:
        # A distance that 16 bits do not hold is cut off: then only the number tells.
        if self.functions and place not in self.functions and 0 <= number < len(self.functions):
            return sorted(self.functions)[number]
        return place

    def instructions(self) -> Iterator[tuple[int, Fields]]:
        """Slots where instructions begin, and their fields."""
        slot = 0
        while slot < len(self.slots):
            each = self.slots[slot]
            yield slot, each
            slot += 2 if each.opcode == _LDDW and slot + 1 < len(self.slots) else 1


@dataclass(frozen=True, slots=True)
class Fields:
    """One slot, taken apart."""

    opcode: int
    dst: int
    src: int
    off: int
    imm: int


def functions(program: Translated, dialect: Dialect = "llvm") -> Iterator[tuple[str, list[Row]]]:
    """Each function's name and rows; jump targets have labels, which begin anew in each."""
    write = _Writer(program, dialect)
    name, rows = "", list[Row]()
    for slot, each in program.instructions():
        if slot in program.starts:
            if rows:
                yield name, rows
            name, rows = program.starts[slot], []
        rows.append(write.row(slot, each))
    yield name or program.name, rows


def print_translated(
    program: Translated, dialect: Dialect = "llvm", *, head: str = "", source: bool = False
) -> str:
    """The program as text, with its maps; `source` puts source lines above their instructions."""
    lines = [f"# {head}"] if head else []
    lines += [printer.print_map(spec) for spec in program.maps.values()]
    for name, rows in functions(program, dialect):
        lines += [f".globl {name}", f"{name}:"]
        for row in rows:
            lines += [f"{label}:" for label in row.labels]
            if source and row.source is not None:
                lines.append(printer.source_line(row.source))
            comment = f"  # {row.comment}" if row.comment else ""
            lines.append(f"    {row.text}{comment}")
    return "\n".join(lines) + "\n"


class _Writer:
    """Writes slots as rows."""

    def __init__(self, program: Translated, dialect: Dialect) -> None:
        self._program = program
        self._write = printer.text_of if dialect == "llvm" else mnemonic_printer.text_of
        self._labels = _labels(program)

    def row(self, slot: int, each: Fields) -> Row:
        program = self._program
        wide = each.opcode == _LDDW and slot + 1 < len(program.slots)
        text, comment = self._text(slot, each)
        label = self._labels.get(slot)
        return Row(
            slot,
            text,
            program.code[slot * SLOT : (slot + 1 + wide) * SLOT],
            (label,) if label is not None else (),
            comment,
            program.lines.get(slot),
        )

    def _text(self, slot: int, each: Fields) -> tuple[str, str]:
        found, comment = self._instruction(slot, each)
        if found is None:
            raw = self._program.code[slot * SLOT : (slot + 1) * SLOT]
            number = int.from_bytes(raw, self._program.byteorder)
            return f".8byte {number:#018x}", comment or "no instruction that is known"
        if max(found.dst, found.src) >= REGISTERS:
            comment = "; ".join(filter(None, (comment, "r11 is the kernel's own register")))
        return self._write(found), comment

    def _instruction(self, slot: int, each: Fields) -> tuple[Instruction | None, str]:
        if each.opcode == _CALL:
            return self._call(slot, each)
        if each.opcode == _LDDW:
            return self._wide(slot, each)
        if each.opcode == _BARRIER:
            return None, "BPF_NOSPEC: holds speculation back"
        if each.opcode == _MOV64 and each.off == _PER_CPU:
            return None, f"r{each.dst} = &(void __percpu *)(r{each.src})"
        comment = ""
        if each.opcode == _MOV32 and each.imm == _ZERO_EXTENSION:
            each, comment = replace(each, imm=0), "zero-extension that the verifier put in"
        probe = _PROBES.get(each.opcode & _CLASS_AND_MODE)
        if probe is not None:
            plain, comment = probe
            each = replace(each, opcode=each.opcode & ~_CLASS_AND_MODE | plain)
        found = _decoded(each)
        label = self._labels.get(_target(slot, found)) if found is not None else None
        if found is not None and label is not None:
            found = replace(found, ref=LabelRef(label))
        return found, comment

    def _call(self, slot: int, each: Fields) -> tuple[Instruction | None, str]:
        callee = self._program.callee(slot, each)
        if callee is not None:
            name = self._program.starts.get(callee)
            spec = BY_NAME["call_local"]
            return Instruction(spec, imm=each.off, ref=FunctionRef(name) if name else None), ""
        if each.src == BY_NAME["call_kfunc"].fixed_fields["src"]:
            # The kernel keeps a distance, or where that may not reach, the BTF id.
            name = self._program.symbols.get(each.imm)
            if name is None and each.off == 0:
                name = self._program.kfuncs.get(each.imm)
            ref = KfuncRef(name) if name else None
            found = Instruction(BY_NAME["call_kfunc"], off=each.off, imm=each.imm, ref=ref)
            return found, "" if each.imm else _HIDDEN
        spec = BY_NAME["call_helper"]
        if each.imm == 0:
            return Instruction(spec), _HIDDEN
        if helpers.find(each.imm) is not None:
            return Instruction(spec, imm=each.imm), ""
        name = self._program.symbols.get(each.imm)
        if name is None:
            distance = "no symbol at this distance from __bpf_call_base"
            return Instruction(spec, imm=each.imm), distance
        return Instruction(spec, imm=each.imm, ref=KfuncRef(name)), ""

    def _wide(self, slot: int, each: Fields) -> tuple[Instruction | None, str]:
        program = self._program
        if slot + 1 >= len(program.slots):
            return None, "half a 64-bit immediate"
        high = program.slots[slot + 1].imm
        found = _decoded(each, high)
        if found is None:
            return None, "a 64-bit immediate of a kind that is not known"
        match found.spec.op:
            case "lddw_map_fd" if each.imm in program.maps:
                return replace(found, ref=MapRef(program.maps[each.imm].name)), ""
            case "lddw_map_value" if each.imm in program.maps:
                ref = _variable(program, program.maps[each.imm].name, high & 0xFFFFFFFF)
                return replace(found, ref=ref), f"in the value of map {ref.map}"
            case "lddw_map_fd" | "lddw_map_value":
                return found, f"map {each.imm & 0xFFFFFFFF}"
            case "lddw_func":
                callee = program.callee(slot, each)
                name = program.starts.get(callee) if callee is not None else None
                return replace(found, ref=FunctionRef(name) if name else None), ""
            case _:
                name = program.addresses.get(found.imm & 0xFFFFFFFFFFFFFFFF)
                return replace(found, ref=KsymRef(name) if name else None), ""


def _variable(program: Translated, map: str, offset: int) -> VarRef:
    """The variable that begins at an offset of a map's value, or holds it."""
    own = [each for each in program.variables if each.map == map and each.offset <= offset]
    best = max(own, key=lambda each: each.offset, default=None)
    base, begin = (map, 0) if best is None else (best.name, best.offset)
    return VarRef(map, f"{base}+{offset - begin}" if offset > begin else base, offset)


def _decoded(each: Fields, high: int | None = None) -> Instruction | None:
    """The instruction, registers taken as they are; None where no row of the table fits."""
    imm = each.imm if high is None else high << 32 | each.imm & 0xFFFFFFFF
    values = {"dst": each.dst, "src": each.src, "off": each.off, "imm": imm}
    for spec in BY_OPCODE.get(each.opcode, ()):
        if _fits(spec, values):
            dst, src, off, field = (
                value if spec.form.operand(name) is not None else 0
                for name, value in values.items()
            )
            return Instruction(spec, dst, src, off, field)
    return None


def _fits(spec: InstructionSpec, values: Mapping[str, int]) -> bool:
    fixed = spec.fixed_fields
    return all(
        spec.form.operand(name) is not None or value == fixed.get(name, 0)
        for name, value in values.items()
    )


def _target(slot: int, each: Instruction) -> int:
    """Where a jump goes, -1 for any other instruction."""
    if each.spec.form not in JUMPS:
        return -1
    return slot + 1 + (each.off if distance_field(each.spec.form) == "off" else each.imm)


def _labels(program: Translated) -> dict[int, str]:
    """A label for each slot that is jumped to from its own function, L1 and so on."""
    beginnings = {slot for slot, _ in program.instructions()}
    starts = sorted(program.starts)
    targets: dict[int, set[int]] = {}
    for slot, each in program.instructions():
        found = _decoded(each) if each.opcode not in (_LDDW, _CALL) else None
        target = _target(slot, found) if found is not None else -1
        function = bisect_right(starts, slot)
        if target in beginnings and bisect_right(starts, target) == function:
            targets.setdefault(function, set()).add(target)
    return {
        slot: f"L{number}"
        for found_in in targets.values()
        for number, slot in enumerate(sorted(found_in), 1)
    }
