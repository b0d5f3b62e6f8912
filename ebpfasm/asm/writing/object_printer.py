"""A whole object as LLVM's assembler takes it: `asm.objects` makes the same object of it again.

The head names every symbol in the table's order; then come the sections with their content. A
relocation is written as the name that leads to it: a local symbol or, where none is, a temporary
label `.LSECTION_OFFSET`, which the assembler turns into the section and an offset.

What assembly cannot say is left out, with a comment in its place: relocations of LLVM's that do
not fit what they point to, and flags and types of sections that assemblers do not write.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ebpfasm.asm.objects.symbols import is_temporary
from ebpfasm.asm.writing.object_lines import source_lines
from ebpfasm.asm.writing.object_text import bare_name, byte_lines, escaped, heading_line, name_text
from ebpfasm.asm.writing.printer import ADDRESS, CALL, source_line, text_of
from ebpfasm.errors import Diagnostic, LineSpan
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_MERGE,
    SHF_WRITE,
    SHT_NOBITS,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
    RelocationType,
)
from ebpfasm.ir.references import LabelRef
from ebpfasm.isa.codec import SLOT, decode_one
from ebpfasm.isa.forms import Form

_INDENT = "    "
_TYPES = {
    "object": "@object", "func": "@function", "common": "@common", "tls": "@tls_object",
}  # fmt: skip
_BINDINGS = {"local": ".local", "global": ".globl", "weak": ".weak"}
_FIELDS = {"R_BPF_64_ABS64": 8, "R_BPF_64_ABS32": 4, "R_BPF_64_NODYLD32": 4}


def print_object(read: Object, *, source: bool = False) -> str:
    """Write an object as a file for `ebpfasm asm -o`; never fails.

    With `source`, lines of source from .BTF.ext stand above their instructions, as comments.
    Raises BtfError where that is damaged.
    """
    above = source_lines(read) if source else {}
    return "\n".join(_Printer(_with_names_once(read), above).lines()) + "\n"


def _with_names_once(read: Object) -> Object:
    """Linked objects have static things of one name, which text must tell apart: `f`, `f.1`."""
    named = [each for each in read.symbols if each.name and each.type not in ("section", "file")]
    names = {each.name for each in named}
    if len(names) == len(named):
        return read
    taken = {each.name for each in named if each.binding != "local"}
    counts: dict[str, int] = {}
    symbols = list(read.symbols)
    for index, each in enumerate(symbols):
        if not each.name or each.binding != "local" or each.type in ("section", "file"):
            continue
        name, number = each.name, counts.get(each.name, 0)
        while name in taken or (number and name in names):
            number += 1
            name = f"{each.name}.{number}"
        counts[each.name] = number
        taken.add(name)
        symbols[index] = replace(each, name=name)
    return replace(read, symbols=tuple(symbols))


@dataclass(slots=True)
class _Body:
    """A section on its way: texts by offset with the bytes that each stands for."""

    number: int
    section: ObjectSection
    pieces: dict[int, tuple[int, str]] = field(default_factory=dict)


class _Printer:
    def __init__(self, source: Object, above: Mapping[tuple[str, int], LineSpan]) -> None:
        self._source = source
        self._above = above
        self._names = {each.name for each in source.symbols if each.type != "section"}
        self._wanted: set[tuple[int, int]] = set()  # places of temporary labels
        self._in_section: dict[int, list[ObjectSymbol]] = {}
        for each in source.symbols:
            if isinstance(each.section, int) and each.type != "section":
                self._in_section.setdefault(each.section, []).append(each)
        # Local symbols by place, and the places by section, in order.
        self._locals: dict[tuple[int, int], ObjectSymbol] = {}
        for number, symbols in self._in_section.items():
            for each in symbols:
                known = each.binding == "local" and not is_temporary(each.name)
                if known and bare_name(each.name):
                    self._locals.setdefault((number, each.value), each)
        self._starts: dict[int, list[int]] = {}
        for number, offset in sorted(self._locals):
            self._starts.setdefault(number, []).append(offset)
        same: dict[str, int] = {}
        self._headings = []
        for section in source.sections:
            self._headings.append(heading_line(section, same.get(section.name, 0)))
            same[section.name] = same.get(section.name, 0) + 1

    def lines(self) -> Iterator[str]:
        """The file, line by line."""
        bodies = [self._body(number) for number in range(len(self._source.sections))]
        if self._source.byteorder == "big":
            yield "# assemble with --byteorder big"
        yield from self._head()
        for body in bodies:
            yield ""
            yield from self._section(body)
        if self._source.addrsig is not None:
            yield f"\n{_INDENT}.addrsig"
            for number in self._source.addrsig:
                yield f"{_INDENT}.addrsig_sym {name_text(self._source.symbols[number].name)}"

    # The head ----------------------------------------------------------------------------------

    def _head(self) -> Iterator[str]:
        entered = 0
        for each in self._source.symbols:
            name = name_text(each.name)
            if each.type == "file":
                yield f'{_INDENT}.file "{escaped(each.name)}"'
            elif each.type == "section":
                # The assembler puts a section's symbol where the section is first entered.
                while isinstance(each.section, int) and entered <= each.section:
                    yield _INDENT + self._headings[entered]
                    entered += 1
            else:
                yield f"{_INDENT}{_BINDINGS[each.binding]} {name}"
                yield from self._elsewhere(each)
        # All that are left, so that they keep their order whatever stands in them.
        for number in range(entered, len(self._source.sections)):
            yield _INDENT + self._headings[number]

    def _elsewhere(self, each: ObjectSymbol) -> Iterator[str]:
        """What is to say of a symbol, but for its place if that is in a section."""
        name = name_text(each.name)
        if each.section == "common":
            yield f"{_INDENT}.comm {name}, {each.size}, {each.value}"
        if each.section == "absolute":
            yield f"{_INDENT}.set {name}, {each.value}"
        if each.type in _TYPES:
            yield f"{_INDENT}.type {name}, {_TYPES[each.type]}"
        if each.visibility != "default":
            yield f"{_INDENT}.{each.visibility} {name}"
        if each.size and each.section != "common":
            yield f"{_INDENT}.size {name}, {each.size}"

    # Sections ----------------------------------------------------------------------------------

    def _body(self, number: int) -> _Body:
        """The instructions and relocations of a section; what names them is noted in passing."""
        body = _Body(number, self._source.sections[number])
        relocations = {each.offset: each for each in body.section.relocations}
        if body.section.executable:
            self._code(body, relocations)
            return body
        for each in relocations.values():
            size = _FIELDS.get(each.type, 0)
            value = self._value(body.section, each, size)
            if value is not None:
                word = ".quad" if size == 8 else ".long"
                body.pieces[each.offset] = size, f"{word} {value}"
            else:
                body.pieces[each.offset] = 0, f"# {self._left_out(each)}"
        return body

    def _section(self, body: _Body) -> Iterator[str]:
        section, content = body.section, body.section.content
        yield _INDENT + self._headings[body.number]
        if section.align > 1:
            yield f"{_INDENT}.p2align {section.align.bit_length() - 1}"
        labels, distant = self._labels(body)
        for name, offset in distant:
            yield f"{_INDENT}.set {name}, {self._label(body.number, 0)} + {offset}"
        size = section.size if section.type == SHT_NOBITS else len(content)
        places = sorted({*labels, *body.pieces, size})
        at = 0
        for place in places:
            if place > at:
                if section.type == SHT_NOBITS:
                    yield f"{_INDENT}.zero {place - at}"
                else:
                    yield from (_INDENT + line for line in byte_lines(content[at:place]))
                at = place
            yield from (f"{name}:" for name in labels.get(place, ()))
            if place in body.pieces:
                length, text = body.pieces[place]
                line = self._above.get((section.name, place))
                if line is not None and section.executable:
                    yield source_line(line)
                yield _INDENT + text
                at += length

    def _labels(self, body: _Body) -> tuple[dict[int, list[str]], list[tuple[str, int]]]:
        """Names by the offset at which they can stand, and those that no line begins at."""
        size = len(body.section.content) or body.section.size
        symbols = self._in_section.get(body.number, ())
        found = [(name_text(each.name), each.value) for each in symbols]
        wanted = sorted(offset for number, offset in self._wanted if number == body.number)
        found += [(self._label(body.number, offset), offset) for offset in wanted]
        starts = sorted(body.pieces)
        labels: dict[int, list[str]] = {}
        distant = []
        for name, offset in found:
            before = bisect_left(starts, offset) - 1
            inside = before >= 0 and starts[before] + body.pieces[starts[before]][0] > offset
            if 0 <= offset <= size and not inside:
                labels.setdefault(offset, []).append(name)
            else:
                distant.append((name, offset))
        start = self._label(body.number, 0)
        if distant and start not in labels.get(0, ()):
            labels.setdefault(0, []).append(start)
        return labels, distant

    def _label(self, number: int, offset: int) -> str:
        sign = "m" if offset < 0 else ""
        name = f".L{number}_{sign}{abs(offset):x}"
        while name in self._names:
            name += "_"
        return name

    def _place(self, number: int, offset: int) -> str:
        """A temporary label's name, which from now on is defined."""
        self._wanted.add((number, offset))
        return self._label(number, offset)

    # Code --------------------------------------------------------------------------------------

    def _code(self, body: _Body, relocations: dict[int, ObjectRelocation]) -> None:
        content, order = body.section.content, self._source.byteorder
        found: dict[int, Instruction] = {}
        at = 0
        while at < len(content):
            match decode_one(content, at, byteorder=order):
                case Diagnostic():
                    left = content[at : at + SLOT]
                    # A rest that is no slot is printed as the bytes that it is.
                    if len(left) == SLOT:
                        value = int.from_bytes(left, order)
                        body.pieces[at] = SLOT, f".8byte {value:#018x}"
                    at += SLOT
                case fields:
                    found[at] = Instruction(*fields)
                    at += SLOT * fields.spec.slots
        starts = {*found, *body.pieces, len(content)}
        for at, each in found.items():
            relocation = relocations.pop(at, None)
            text = self._instruction(body, at, each, relocation, starts)
            body.pieces[at] = SLOT * each.slots, text
        for left_out in relocations.values():
            if left_out.offset in body.pieces:
                size, text = body.pieces[left_out.offset]
                body.pieces[left_out.offset] = size, f"{text}  # {self._left_out(left_out)}"

    def _instruction(
        self,
        body: _Body,
        at: int,
        each: Instruction,
        relocation: ObjectRelocation | None,
        starts: set[int],
    ) -> str:
        comment = ""
        if relocation is not None:
            named = self._relocated(body, each, relocation)
            if named is not None:
                return named
            comment = f"  # {self._left_out(relocation)}"
        form = each.spec.form
        if form in JUMPS or (form is Form.CALL_LOCAL and relocation is None):
            distance = each.off if distance_field(form) == "off" else each.imm
            target = at + SLOT + SLOT * distance
            if target in starts:
                if form is Form.CALL_LOCAL:
                    local = self._nearest(body.number, target, exact=True)
                    return CALL.format(name=local or self._place(body.number, target))
                each = replace(each, ref=LabelRef(self._place(body.number, target)))
        text = text_of(each)
        if form is Form.CALL_HELPER and text.removeprefix("call ") in self._names:
            text = text_of(each, plain=True)  # the name is the file's own
        return text + comment

    def _relocated(
        self, body: _Body, each: Instruction, relocation: ObjectRelocation
    ) -> str | None:
        """The instruction with its relocation's name; None where assembly cannot say it."""
        match relocation.type, each.spec.form:
            case "R_BPF_64_64", Form.LOAD_IMM64 if not each.imm >> 32:
                addend = (each.imm & 0xFFFF_FFFF ^ 0x8000_0000) - 0x8000_0000
                name = self._reference(relocation, addend)
                return ADDRESS.format(dst=each.dst, name=name) if name is not None else None
            case "R_BPF_64_32", Form.CALL_LOCAL:
                symbol, addend = self._source.symbols[relocation.symbol], SLOT * (each.imm + 1)
                if symbol.binding == "local" and symbol.section == body.number:
                    return None  # the assembler knows how far it is
                if symbol.binding != "local" and addend:
                    return None
                name = self._reference(relocation, addend, exact=True)
                return CALL.format(name=name) if name is not None else None
            case _:
                return None

    # References --------------------------------------------------------------------------------

    def _value(self, section: ObjectSection, each: ObjectRelocation, size: int) -> str | None:
        """The expression of a field of data that a relocation fills."""
        if size == 0:
            return None
        chunk = section.content[each.offset : each.offset + size]
        addend = int.from_bytes(chunk, self._source.byteorder, signed=True)
        return self._reference(each, addend)

    def _reference(
        self, relocation: ObjectRelocation, addend: int, *, exact: bool = False
    ) -> str | None:
        """The name and number that lead to a relocation and its addend; None where none do."""
        symbol = self._source.symbols[relocation.symbol]
        place, kind = symbol.section, relocation.type
        if not isinstance(place, int):
            possible = kind != "R_BPF_64_NODYLD32" and symbol.type != "section"
            return _sum(name_text(symbol.name), addend) if possible else None
        section = self._source.sections[place]
        merged = bool(section.flags & SHF_MERGE)
        temporary = is_temporary(symbol.name)
        if symbol.binding != "local" or (merged and addend and symbol.type != "section"):
            possible = _makes(kind, section, temporary=temporary)
            return _sum(name_text(symbol.name), addend) if possible else None
        offset = symbol.value + addend
        if _makes(kind, section, temporary=False):
            named = self._nearest(place, offset, exact=exact or merged)
            if named is not None:
                return named
            if not _makes(kind, section, temporary=True):
                return self._beginning(place, offset)
        if not _makes(kind, section, temporary=True):
            return None
        if exact or merged or kind == "R_BPF_64_64":
            return self._place(place, offset)
        # Debug information points at every line: one label is enough for that.
        return _sum(self._place(place, 0), offset)

    def _nearest(self, number: int, offset: int, *, exact: bool) -> str | None:
        """A local symbol at a place or around it."""
        starts = self._starts.get(number, [])
        at = bisect_right(starts, offset) - 1
        if at < 0:
            return None
        each = self._locals[number, starts[at]]
        distance = offset - each.value
        if distance and (exact or distance >= each.size):
            return None
        return _sum(each.name, distance)

    def _beginning(self, number: int, offset: int) -> str | None:
        """The section's own name, which means its start; None where it means something else."""
        section = self._source.sections[number]
        first = self._source.section(section.name) is section
        if not first or section.name in self._names or section.flags & SHF_MERGE:
            return None
        return _sum(name_text(section.name), offset)

    def _left_out(self, each: ObjectRelocation) -> str:
        symbol = self._source.symbols[each.symbol]
        return f"{each.type} {name_text(symbol.name)}: no assembly says this"


def _makes(kind: RelocationType, section: ObjectSection, *, temporary: bool) -> bool:
    """Whether the assembler makes this kind for a name in a section (see asm.resolve)."""
    wanted = SHF_EXECINSTR if temporary else SHF_WRITE
    narrow = bool(section.flags & SHF_ALLOC and section.flags & wanted)
    match kind:
        case "R_BPF_64_NODYLD32":
            return narrow
        case "R_BPF_64_ABS32":
            return not narrow
        case _:
            return True


def _sum(name: str, addend: int) -> str:
    if not addend:
        return name
    return f"{name} {'-' if addend < 0 else '+'} {abs(addend)}"
