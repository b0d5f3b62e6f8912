"""A collection as a relocatable object that libbpf, bpftool and `ip link set xdp obj` load.

Programs lie in the sections they name, subprograms in .text, maps in .maps with their BTF,
variables in their data sections, the license in `license`. .BTF.ext points each instruction at
its line of assembly or Python. What names another section is relocated, as in clang's objects.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ebpfasm.btf import codec as btf_codec
from ebpfasm.btf.ext import FuncInfo, LineInfo, encode_ext
from ebpfasm.btf.strings import StringTable
from ebpfasm.emit.debug import Lines
from ebpfasm.emit.object_types import ObjectTypes
from ebpfasm.errors import BtfError, Diagnostic, EncodeError, LinkError, error
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.link import LinkedFunction, LinkedProgram, link
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_WRITE,
    SHT_NOBITS,
    SHT_PROGBITS,
    Binding,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
    RelocationType,
)
from ebpfasm.ir.references import MapRef, Reference, VarRef
from ebpfasm.ir.specs import CollectionSpec, MapSpec, VarSpec, data_section
from ebpfasm.isa import codec
from ebpfasm.isa.codec import SLOT, ByteOrder
from ebpfasm.isa.forms import Form
from ebpfasm.isa.table import BY_NAME

TEXT = ".text"
_DATA_FLAGS = {
    ".data": SHF_ALLOC | SHF_WRITE,
    ".bss": SHF_ALLOC | SHF_WRITE,
    ".rodata": SHF_ALLOC,
}


def object_of(spec: CollectionSpec, *, byteorder: ByteOrder = "little") -> Object:
    """Make an object of a whole collection.

    Raises LinkError for names that do not resolve, and for references that an object of ours
    cannot hold yet (kernel symbols, CO-RE); EncodeError for values that do not fit.
    """
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


@dataclass(slots=True)
class _Section:
    """A section on its way; relocations name their symbol by a key."""

    name: str
    flags: int
    type: int = SHT_PROGBITS
    align: int = 8
    content: bytearray = field(default_factory=bytearray)
    size: int = 0
    relocations: list[tuple[int, RelocationType, str]] = field(default_factory=list)


class _Build:
    def __init__(self, spec: CollectionSpec, byteorder: ByteOrder) -> None:
        self._spec = spec
        self._order: ByteOrder = byteorder
        self._sections: dict[str, _Section] = {}
        self._symbols: dict[str, ObjectSymbol] = {}  # by key; sections' keys begin with \0
        self._wrong: list[Diagnostic] = []
        self._bodies: dict[str, _Body] = {}

    def object(self) -> Object:
        """Everything, section by section in the order of clang's."""
        self._find_bodies()
        for body in self._bodies.values():
            self._place(body)
        self._maps_and_data()
        for body in self._bodies.values():
            self._encode(body)
        if self._wrong:
            raise LinkError(*self._wrong)
        if self._spec.license:
            self._license(self._spec.license)
        self._debug()
        return self._finish()

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
                    body = _Body(program.name, program.section or TEXT, linked, function, end)
                    body.type = program.type
                    self._bodies[program.name] = body
                else:
                    body = _Body(function.name, TEXT, linked, function, end)
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
        section = self._section(body.section, SHF_ALLOC | SHF_EXECINSTR)
        body.offset = section.size
        size = SLOT * body.slots
        section.size += size
        binding: Binding = "local" if body.type is None else "global"
        index = list(self._sections).index(body.section)
        self._symbols[body.name] = ObjectSymbol(
            body.name, index, body.offset, size, binding, "func"
        )

    def _section(self, name: str, flags: int) -> _Section:
        section = self._sections.get(name)
        if section is None:
            section = self._sections[name] = _Section(name, flags)
        return section

    def _encode(self, body: _Body) -> None:
        section = self._sections[body.section]
        for slot, each in body.instructions():
            at = body.offset + SLOT * (slot - body.function.slot)
            try:
                section.content += self._bytes(body, section, slot, at, each)
            except EncodeError as refused:
                placed = (replace(wrong, span=each.span) for wrong in refused.diagnostics)
                raise EncodeError(*placed) from None

    def _bytes(
        self, body: _Body, section: _Section, slot: int, at: int, each: Instruction
    ) -> bytes:
        spec, imm = each.spec, each.imm
        if each.ref is not None:
            imm = self._data_reference(section, at, each, each.ref)
            spec = BY_NAME["lddw"]
        elif spec.form is Form.CALL_LOCAL or spec.op == "lddw_func":
            target = self._callee(body, slot, each)
            if target is not None and spec.form is Form.CALL_LOCAL:
                imm = self._call(section, at, target)
            elif target is not None:
                spec, imm = BY_NAME["lddw"], target.offset
                self._relocate(section, at, "R_BPF_64_64", target.section)
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

    def _call(self, section: _Section, at: int, target: _Body) -> int:
        if target.section == section.name:
            return (target.offset - at) // SLOT - 1
        self._relocate(section, at, "R_BPF_64_32", target.section)
        return target.offset // SLOT - 1

    def _data_reference(self, section: _Section, at: int, each: Instruction, ref: Reference) -> int:
        """Relocate what names a map or variable; the addend that the field holds."""
        match ref:
            case MapRef(name=name):
                self._relocations_to(section, at, name)
                return 0
            case VarRef(map=name, name=variable, offset=offset):
                found = self._spec.variables.get(variable)
                if found is None or found.map != name:
                    self._relocate(section, at, "R_BPF_64_64", name)
                    return offset
                self._relocations_to(section, at, variable)
                return (offset - found.offset) & 0xFFFF_FFFF
            case _:
                message = "kernel symbols and CO-RE cannot be written into an object yet"
                self._wrong.append(error("link-unresolved", message, each.span))
                return 0

    def _relocations_to(self, section: _Section, at: int, symbol: str) -> None:
        section.relocations.append((at, "R_BPF_64_64", symbol))

    def _relocate(self, section: _Section, at: int, type: RelocationType, target: str) -> None:
        """Relocate against another section's beginning."""
        section.relocations.append((at, type, self._section_symbol(target)))

    def _section_symbol(self, name: str) -> str:
        key = f"\0{name}"
        if key not in self._symbols:
            index = list(self._sections).index(name)
            self._symbols[key] = ObjectSymbol(name, index, type="section")
        return key

    # Maps, variables, license -----------------------------------------------------------------

    def _maps_and_data(self) -> None:
        self.types = ObjectTypes()
        plain = [each for each in self._spec.maps.values() if data_section(each.name) is None]
        if plain:
            section = self._section(".maps", SHF_ALLOC | SHF_WRITE)
            for placed in self.types.maps(plain):
                self._object_symbol(placed.name, ".maps", section.size, placed.size)
                section.size += placed.size
            section.content += bytes(section.size)
        for spec in self._spec.maps.values():
            if data_section(spec.name) is not None:
                self._data(spec)

    def _data(self, spec: MapSpec) -> None:
        kind = data_section(spec.name)
        assert kind is not None
        section = self._section(spec.name, _DATA_FLAGS[kind])
        section.size = spec.value_size
        if kind == ".bss":
            section.type = SHT_NOBITS
        else:
            section.content += spec.contents.ljust(spec.value_size, b"\0")
        variables = [each for each in self._spec.variables.values() if each.map == spec.name]
        for each in variables:
            self._object_symbol(each.name, spec.name, each.offset, each.size)
        if variables:
            self.types.data(spec.name, _without_overlap(variables))

    def _object_symbol(self, name: str, section: str, offset: int, size: int) -> None:
        index = list(self._sections).index(section)
        self._symbols[name] = ObjectSymbol(name, index, offset, size, "global", "object")

    def _license(self, text: str) -> None:
        section = self._section("license", SHF_ALLOC | SHF_WRITE)
        section.align = 1
        section.content += text.encode("utf-8", "surrogateescape") + b"\0"
        section.size = len(section.content)
        name = next(each for each in ("_license", "_license_") if each not in self._symbols)
        self._object_symbol(name, "license", 0, section.size)

    # BTF ---------------------------------------------------------------------------------------

    def _debug(self) -> None:
        functions: dict[str, list[FuncInfo]] = {}
        for body in sorted(self._bodies.values(), key=lambda each: each.offset):
            type_id = self.types.function(body.name, body.type)
            functions.setdefault(body.section, []).append(FuncInfo(body.offset, type_id))
        strings, lines = self._lines(texts=True)
        try:
            btf = btf_codec.encode(self.types.finish(), self._order, strings=strings)
        except BtfError:  # the string table is full
            strings, lines = self._lines(texts=False)
            btf = btf_codec.encode(self.types.finish(), self._order, strings=strings)
        by_offset = {strings.add(name): name for name in (*functions, *lines)}
        offsets = {name: offset for offset, name in by_offset.items()}
        ext = encode_ext(
            [(offsets[name], records) for name, records in functions.items()],
            [(offsets[name], records) for name, records in lines.items() if records],
            self._order,
        )
        btf = btf_codec.encode(self.types.finish(), self._order, strings=strings)
        header, types = (struct.unpack_from(_word(self._order), btf, at)[0] for at in (4, 12))
        section = self._raw_section(".BTF", btf)
        for at, name in self.types.places(header + types):
            section.relocations.append((at, "R_BPF_64_NODYLD32", name))
        section = self._raw_section(".BTF.ext", ext.data)
        for at, name_offset in ext.places:
            self._relocate(section, at, "R_BPF_64_NODYLD32", by_offset[name_offset])

    def _raw_section(self, name: str, content: bytes) -> _Section:
        section = self._section(name, 0)
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

    # The whole -----------------------------------------------------------------------------------

    def _finish(self) -> Object:
        keys = {key: index for index, key in enumerate(self._symbols)}
        sections = tuple(
            ObjectSection(
                each.name, each.type, each.flags, each.align, bytes(each.content), each.size,
                relocations=tuple(
                    ObjectRelocation(at, type, keys[key])
                    for at, type, key in sorted(each.relocations)
                ),
            )
            for each in self._sections.values()
        )  # fmt: skip
        return Object(sections, tuple(self._symbols.values()), self._order)


def _word(byteorder: ByteOrder) -> str:
    return "<I" if byteorder == "little" else ">I"


def _without_overlap(variables: Iterable[VarSpec]) -> Sequence[VarSpec]:
    """Variables in order, without those that BTF cannot hold: of no size, or over another one."""
    found: list[VarSpec] = []
    end = 0
    for each in sorted(variables, key=lambda each: each.offset):
        if each.size and each.offset >= end:
            found.append(each)
            end = each.offset + each.size
    return found
