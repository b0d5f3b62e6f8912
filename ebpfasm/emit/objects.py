"""A collection as a relocatable object that libbpf, bpftool and `ip link set xdp obj` load.

Programs lie in the sections they name, subprograms in .text, maps in .maps with their BTF,
variables in their data sections, the license in `license`. .BTF.ext points each instruction at
its line of assembly or Python. What names another section is relocated, as in clang's objects.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from ebpfasm.btf import codec as btf_codec
from ebpfasm.btf.ext import CoreRelocation, FuncInfo, LineInfo, encode_ext
from ebpfasm.btf.strings import StringTable
from ebpfasm.emit.debug import Lines
from ebpfasm.emit.object_data import ARENA, KCONFIG, place_data, place_license
from ebpfasm.emit.object_sections import Drafts, SectionDraft
from ebpfasm.emit.object_tables import place_tables
from ebpfasm.emit.object_types import ObjectTypes
from ebpfasm.errors import BtfError, Diagnostic, EncodeError, LinkError, error
from ebpfasm.ir.debug import FunctionDebug
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.link import LinkedFunction, LinkedProgram, link
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    Binding,
    Object,
    RelocationType,
)
from ebpfasm.ir.references import CoreRef, KfuncRef, KsymRef, MapRef, Reference, VarRef
from ebpfasm.ir.specs import CollectionSpec
from ebpfasm.ir.tables import is_table
from ebpfasm.isa import codec
from ebpfasm.isa.codec import SLOT, ByteOrder
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME

TEXT = ".text"


def object_of(spec: CollectionSpec, *, byteorder: ByteOrder = "little") -> Object:
    """Make an object of a whole collection.

    Raises LinkError for names that do not resolve; EncodeError for values that do not fit, and
    where the variables are laid out for the other byte order.
    """
    if spec.byteorder not in (None, byteorder):
        message = (
            f"this collection is for a {spec.byteorder}-endian machine, not {byteorder}-endian"
        )
        raise EncodeError(error("encode-range", message))
    return _Build(spec, byteorder).object()


@dataclass(slots=True)
class _Body:
    """A function's instructions, linked within one program, and where they come to lie."""

    name: str
    section: str
    linked: LinkedProgram
    function: LinkedFunction
    end: int  # index behind its last instruction
    offset: int = 0  # bytes, in its section
    type: str | None = None  # the program type, None for a subprogram
    debug: FunctionDebug | None = None

    def instructions(self) -> Iterator[tuple[int, Instruction]]:
        """Each instruction with its slot in the linked program."""
        slot = self.function.slot
        for each in self.linked.instructions[self.function.index : self.end]:
            yield slot, each
            slot += each.slots

    @property
    def slots(self) -> int:
        """Slots that it takes."""
        return sum(each.slots for _, each in self.instructions())


class _Build:
    def __init__(self, spec: CollectionSpec, byteorder: ByteOrder) -> None:
        self._spec = spec
        self._order: ByteOrder = byteorder
        self._drafts = Drafts(byteorder)
        self._types = ObjectTypes()
        self._wrong: list[Diagnostic] = []
        self._bodies: dict[str, _Body] = {}
        self._core: dict[str, list[tuple[int, CoreRef, int]]] = {}

    def object(self) -> Object:
        """Everything, section by section in the order of clang's."""
        self._find_bodies()
        for body in self._bodies.values():
            self._place(body)
        for body in self._bodies.values():
            place_tables(body, self._drafts)
        place_data(self._spec, self._drafts, self._types)
        for body in self._bodies.values():
            self._encode(body)
        if self._wrong:
            raise LinkError(*self._wrong)
        place_license(self._spec, self._drafts)
        self._debug()
        return self._drafts.finish()

    # Code ------------------------------------------------------------------------------------

    def _find_bodies(self) -> None:
        """Link each program by itself, which reports what is wrong with it, and take it apart."""
        wrong: list[Diagnostic] = []
        subprograms: dict[str, _Body] = {}
        for program in self._spec.programs.values():
            try:
                linked = link(program)
            except LinkError as problem:
                wrong += problem.diagnostics
                continue
            ends = [each.index for each in linked.functions[1:]] + [len(linked.instructions)]
            for function, end in zip(linked.functions, ends, strict=True):
                if function.index == 0:
                    section = program.section or TEXT
                    optional = "" if program.autoload else "?"
                    body = _Body(program.name, optional + section, linked, function, end)
                    body.type, body.debug = program.type, program.debug
                    self._bodies[program.name] = body
                else:
                    body = _Body(function.name, TEXT, linked, function, end)
                    known = program.function(function.name)
                    body.debug = known.debug if known is not None else None
                    subprograms.setdefault(function.name, body)
        if wrong:
            raise LinkError(*dict.fromkeys(wrong))
        for name, body in subprograms.items():
            if name in self._bodies:
                message = f"{name} is both a program and a subprogram"
                raise LinkError(
                    error("link-function", message, self._bodies[name].linked.program.span)
                )
            self._bodies[name] = body

    def _place(self, body: _Body) -> None:
        section = self._drafts.section(body.section, SHF_ALLOC | SHF_EXECINSTR)
        body.offset = section.size
        size = SLOT * body.slots
        section.size += size
        binding: Binding = "local" if body.type is None else "global"
        self._drafts.define(body.name, body.section, body.offset, size, binding, "func")

    def _encode(self, body: _Body) -> None:
        section = self._drafts.section(body.section)
        for slot, each in body.instructions():
            at = body.offset + SLOT * (slot - body.function.slot)
            try:
                section.content += self._bytes(body, section, slot, at, each)
            except EncodeError as refused:
                placed = (replace(wrong, span=each.span) for wrong in refused.diagnostics)
                raise EncodeError(*placed) from None

    def _bytes(
        self, body: _Body, section: SectionDraft, slot: int, at: int, each: Instruction
    ) -> bytes:
        spec, imm = each.spec, each.imm
        match each.ref:
            case CoreRef() as core:
                self._core_relocation(body, section, at, core)
            case KfuncRef(name=name, weak=weak):
                self._extern(section, at, ".ksyms", name, weak, "R_BPF_64_32")
                # As clang writes a call that is yet to be linked.
                return codec.encode(BY_NAME["call_local"], imm=-1, byteorder=self._order)
            case None:
                target = self._callee(body, slot, each) if _leads_away(each) else None
                if target is not None and spec.form is Form.CALL_LOCAL:
                    imm = self._call(section, at, target)
                elif target is not None:
                    spec, imm = BY_NAME["lddw"], target.offset
                    self._drafts.relocate_section(section, at, target.section)
            case ref:
                spec, imm = BY_NAME["lddw"], self._address(section, at, each, ref)
        return codec.encode(spec, each.dst, each.src, each.off, imm, byteorder=self._order)

    def _callee(self, body: _Body, slot: int, each: Instruction) -> _Body | None:
        """The function at the end of a linked distance, None inside the function itself."""
        target = slot + 1 + each.imm
        for function in body.linked.functions:
            if function.slot == target:
                return self._bodies[function.name]
        first = body.function.slot
        if not first <= target < first + body.slots:
            message = "this call leads into the middle of another function"
            self._wrong.append(error("link-function", message, each.span))
        return None

    def _call(self, section: SectionDraft, at: int, target: _Body) -> int:
        if target.section == section.name:
            return (target.offset - at) // SLOT - 1
        self._drafts.relocate_section(section, at, target.section, "R_BPF_64_32")
        return target.offset // SLOT - 1

    def _address(self, section: SectionDraft, at: int, each: Instruction, ref: Reference) -> int:
        """Relocate what names a map, variable or kernel symbol; the addend of the field."""
        match ref:
            case MapRef(name=name):
                self._drafts.relocate(section, at, name)
            case VarRef(map=map, name=name) if map == KCONFIG:
                spec = self._spec.kconfig.get(name)
                self._extern(section, at, KCONFIG, name, spec is not None and spec.weak)
            case VarRef(map=map, offset=offset) if is_table(self._spec.maps[map]):
                if offset:
                    message = "an object can name a jump table, and no place inside one"
                    self._wrong.append(error("link-unresolved", message, each.span))
                self._drafts.relocate(section, at, map)
            case VarRef(map=map, name=name, offset=offset):
                found = self._spec.variables.get(name)
                if found is None or found.map != map:
                    arena = self._spec.maps[map].type == "arena"
                    self._drafts.relocate_section(section, at, ARENA if arena else map)
                    return offset
                self._drafts.relocate(section, at, name)
                return (offset - found.offset) & 0xFFFF_FFFF
            case KsymRef(name=name, weak=weak):
                self._extern(section, at, ".ksyms", name, weak)
            case _:
                message = "a name is left here that only linking can resolve"
                self._wrong.append(error("link-unresolved", message, each.span))
        return 0

    def _extern(
        self,
        section: SectionDraft,
        at: int,
        kind: str,
        name: str,
        weak: bool,
        type: RelocationType = "R_BPF_64_64",
    ) -> None:
        """Relocate against a name of the kernel's, and declare it in BTF."""
        debug = self._spec.debug
        self._drafts.undefined(name, weak=weak)
        self._drafts.relocate(section, at, name, type)
        source = debug.btf if debug is not None else None
        self._types.extern(kind, name, source, function=type == "R_BPF_64_32")

    def _core_relocation(self, body: _Body, section: SectionDraft, at: int, core: CoreRef) -> None:
        debug = body.debug
        if debug is None:
            message = "a CO-RE relocation needs the types of the object that it came from"
            raise LinkError(error("link-unresolved", message))
        type_id = self._types.imported(debug.object.btf, core.type_id)
        self._core.setdefault(section.name, []).append((at, core, type_id))

    # BTF ---------------------------------------------------------------------------------------

    def _debug(self) -> None:
        functions: dict[str, list[FuncInfo]] = {}
        for body in sorted(self._bodies.values(), key=lambda each: each.offset):
            type_id = self._types.function(body.name, body.type, body.debug)
            functions.setdefault(body.section, []).append(FuncInfo(body.offset, type_id))
        strings, lines = self._lines(texts=True)
        try:
            btf = btf_codec.encode(self._types.finish(), self._order, strings=strings)
        except BtfError:  # the string table is full
            strings, lines = self._lines(texts=False)
            btf = btf_codec.encode(self._types.finish(), self._order, strings=strings)
        by_offset = {strings.add(name): name for name in (*functions, *lines, *self._core)}
        offsets = {name: offset for offset, name in by_offset.items()}
        ext = encode_ext(
            [(offsets[name], records) for name, records in functions.items()],
            [(offsets[name], records) for name, records in lines.items() if records],
            self._order,
            [
                (
                    offsets[name],
                    [CoreRelocation(at, id, strings.add(core.access), core.kind)
                     for at, core, id in records],
                )
                for name, records in self._core.items()
            ],
        )  # fmt: skip
        btf = btf_codec.encode(self._types.finish(), self._order, strings=strings)
        header, types = (struct.unpack_from(_word(self._order), btf, at)[0] for at in (4, 12))
        section = self._raw_section(".BTF", btf)
        for at, name in self._types.places(header + types):
            self._drafts.relocate(section, at, name, "R_BPF_64_NODYLD32")
        section = self._raw_section(".BTF.ext", ext.data)
        for at, name_offset in ext.places:
            target = by_offset[name_offset]
            self._drafts.relocate_section(section, at, target, "R_BPF_64_NODYLD32")

    def _raw_section(self, name: str, content: bytes) -> SectionDraft:
        section = self._drafts.section(name, 0)
        section.align = 4
        section.content += content
        section.size = len(content)
        return section

    def _lines(self, *, texts: bool) -> tuple[StringTable, dict[str, list[LineInfo]]]:
        """Line records by section, their places in bytes of it."""
        strings = StringTable()
        made = Lines(strings, texts)
        known: dict[int, list[LineInfo]] = {}
        found: dict[str, list[LineInfo]] = {}
        for body in self._bodies.values():
            if id(body.linked) not in known:
                known[id(body.linked)] = made.of(body.linked)
            first, last = body.function.slot, body.function.slot + body.slots
            found.setdefault(body.section, []).extend(
                replace(each, insn_off=body.offset + SLOT * (each.insn_off - first))
                for each in known[id(body.linked)]
                if first <= each.insn_off < last
            )
        return strings, found


def _leads_away(each: Instruction) -> bool:
    return each.spec.form is Form.CALL_LOCAL or each.spec.op == "lddw_func"


def _word(byteorder: ByteOrder) -> str:
    return "<I" if byteorder == "little" else ">I"
