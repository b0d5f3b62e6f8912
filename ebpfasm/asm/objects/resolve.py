"""The end of an object's assembly: distances, values and relocations from finished labels.

Which symbol a relocation names, and what its field holds, are LLVM's rules (ELFObjectWriter and
BPFELFObjectWriter): a local symbol gives way to its section, with its offset in the field; a
global or undefined one stays, with just the addend there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ebpfasm.asm.contents import Fixup, packed
from ebpfasm.asm.objects.symbols import SectionDraft, SymbolDraft, is_temporary
from ebpfasm.asm.reading.expressions import Expression, Meaning, Name, Relative, evaluate, resolve
from ebpfasm.asm.reading.names import Names
from ebpfasm.asm.reading.statements import Operation, Role, Symbol, label_text
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import Diagnostic, Span, error
from ebpfasm.ir.layout import distance_field
from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHF_MERGE,
    SHF_WRITE,
    Elsewhere,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
    RelocationType,
)
from ebpfasm.isa import codec, helpers
from ebpfasm.isa.codec import SLOT, ByteOrder, fit
from ebpfasm.isa.table import BY_NAME

MOST_ALIASES = 64  # names for names for names


class Resolver:
    """Everything that one file defined, and what becomes of it."""

    def __init__(
        self,
        sections: Sequence[SectionDraft],
        symbols: Mapping[str, SymbolDraft],
        order: Iterable[str | int],
        files: Sequence[str],
        names: Names,
        byteorder: ByteOrder,
        wrong: list[Diagnostic],
        addrsig: Iterable[str] | None = None,
    ) -> None:
        self._addrsig = addrsig
        self._sections = sections
        self._symbols = dict(symbols)
        self._order = dict.fromkeys(order)
        self._files = files
        self._names = names
        self._byteorder = byteorder
        self._wrong = wrong
        self._used: set[str | int] = set()
        self._open: set[str] = set()  # aliases that are being followed
        self._groups = {each.group for each in sections}
        self._relocations: list[list[tuple[int, RelocationType, str | int]]] = []
        self._name_sections()

    def _name_sections(self) -> None:
        """A section's name stands for its beginning, where no symbol has it."""
        beginnings = {each.name: each for each in reversed(self._sections)}
        for name, draft in self._symbols.items():
            if name in beginnings and not draft.defined and draft.binding is None:
                draft.section = beginnings[name]
                self._order.pop(name, None)

    def object(self) -> Object:
        """Fill in every field and list what the symbol table has to show."""
        for section in self._sections:
            self._relocations.append([])
            for offset, operation in section.operations:
                self._operation(section, offset, operation)
            for fixup in section.contents.fixups:
                self._fixup(section, fixup)
        symbols, indices = self._table()
        sections = [self._section(each, indices) for each in self._sections]
        addrsig = None
        if self._addrsig is not None:
            # Like LLVM: a name that is not in the table is passed over.
            addrsig = tuple(indices[each] for each in self._addrsig if each in indices)
        return Object(tuple(sections), symbols, self._byteorder, addrsig)

    def _section(self, draft: SectionDraft, indices: Mapping[str | int, int]) -> ObjectSection:
        relocations = sorted(self._relocations[draft.index], key=lambda each: each[0])
        content = draft.contents
        return ObjectSection(
            draft.name,
            draft.type,
            draft.flags,
            content.align,
            bytes(content.data),
            content.here,
            draft.entsize,
            tuple(ObjectRelocation(at, type, indices[key]) for at, type, key in relocations),
            draft.group,
        )

    # Symbols ---------------------------------------------------------------------------------

    def _table(self) -> tuple[tuple[ObjectSymbol, ...], dict[str | int, int]]:
        rows = [ObjectSymbol(each, "absolute", type="file") for each in self._files]
        indices: dict[str | int, int] = {}
        for key in self._order:
            if isinstance(key, int):
                if key in self._used:
                    indices[key] = len(rows)
                    rows.append(ObjectSymbol(self._sections[key].name, key, type="section"))
                continue
            draft = self._symbols[key]
            if key in self._used or self._shown(draft):
                indices[key] = len(rows)
                rows.append(self._row(draft))
        return tuple(rows), indices

    def _shown(self, draft: SymbolDraft) -> bool:
        if draft.name in self._groups:
            return True
        if draft.temporary:
            return False
        return draft.defined or draft.binding is not None

    def _row(self, draft: SymbolDraft) -> ObjectSymbol:
        base, offset = self._base(draft)
        section: int | Elsewhere | None = None
        value = offset
        if base is None:
            section = "absolute"
        elif base.common:
            section, value = "common", base.common
        elif base.section is not None:
            section, value = base.section.index, base.offset + offset
        # A group's name that stands for nothing else is known in this file alone.
        local = draft.defined or draft.name in self._groups
        binding = draft.binding or ("local" if local else "global")
        type = draft.type
        if type == "notype" and base is not None:
            type = base.type
        size = draft.size if draft.size is not None or base is None else base.size
        return ObjectSymbol(
            draft.name, section, value, self._number(size), binding, type, draft.visibility
        )

    def _number(self, size: Expression | int | None) -> int:
        if size is None or isinstance(size, int):
            return size or 0
        value = evaluate(size, self._place, self._wrong.append)
        if value < 0:
            self._wrong.append(error("asm-range", f"a size of {value} bytes", size.span))
            return 0
        return value

    def _base(self, draft: SymbolDraft) -> tuple[SymbolDraft | None, int]:
        """The symbol behind aliases and the distance from it; None where it is a number."""
        distance = 0
        while draft.alias is not None:
            value = self._alias(draft)
            if not isinstance(value, Relative):
                return None, (value or 0) + distance
            distance += value.offset
            draft = self._symbols[value.base]
        return draft, distance

    # Values ----------------------------------------------------------------------------------

    def _place(self, name: Name) -> Meaning | None:
        """A label as a place in its section: differences of those are numbers."""
        draft = self._symbols.get(name.text)
        if draft is None or not draft.defined:
            return self._constant(name)
        base, offset = self._base(draft)
        if base is None:
            return offset
        if base.section is None:
            return Relative(base.name, offset)
        return Relative(f"\0{base.section.index}", base.offset + offset)

    def _itself(self, name: Name) -> Meaning | None:
        """A symbol as a place of its own, which a relocation can name."""
        draft = self._symbols.get(name.text)
        if draft is None:
            return self._constant(name)
        number = self._names.find(name.text) if not draft.defined else None
        if number is not None:
            return number
        if draft.alias is not None:
            value = self._alias(draft)
            return Relative(name.text, 0) if isinstance(value, Relative) else value
        return Relative(name.text, 0)

    def _alias(self, draft: SymbolDraft) -> Meaning | None:
        """What the value of a `.set` comes to; None, and a report, where it leads to itself."""
        if draft.alias is None or draft.name in self._open or len(self._open) > MOST_ALIASES:
            message = f"{draft.name} is defined by itself, or through too many others"
            self._wrong.append(error("asm-symbol", message, draft.span))
            return None
        self._open.add(draft.name)
        value = self._relative(draft.alias)
        self._open.discard(draft.name)
        return value

    def _constant(self, name: Name) -> int | None:
        value = self._names.find(name.text)
        if value is None:
            hint = did_you_mean(name.text, self._symbols)
            message = f"there is no symbol {name.text}"
            self._wrong.append(error("asm-symbol", message, name.span, hint=hint))
        return value

    def _relative(self, tree: Expression) -> Meaning | None:
        """A number, or a symbol with an addend; what is neither is reported."""
        complaints: list[Diagnostic] = []
        value = resolve(tree, self._itself, complaints.append)
        if not complaints:
            return value
        value = resolve(tree, self._place, self._wrong.append)
        if isinstance(value, Relative):
            message = "no relocation can say this: a symbol and a number can be added"
            self._wrong.append(error("asm-operand", message, tree.span))
            return None
        return value

    # Fields ----------------------------------------------------------------------------------

    def _relocate(
        self, section: SectionDraft, offset: int, type: RelocationType, name: str, addend: int
    ) -> int:
        """Note a relocation and return what the field holds."""
        draft = self._symbols[name]
        base, distance = self._base(draft) if draft.alias is not None else (draft, 0)
        key: str | int = name
        section_of = base.section if base is not None and draft.local else None
        # A linker moves the pieces of a section that it merges: an addend could point into
        # another piece, so the symbol stays.
        if base is not None and section_of and not (section_of.flags & SHF_MERGE and addend):
            key = section_of.index
            addend += base.offset + distance
        self._used.add(key)
        self._order.setdefault(key)
        self._relocations[section.index].append((offset, type, key))
        return addend

    def _fixup(self, section: SectionDraft, fixup: Fixup) -> None:
        value = self._relative(fixup.value)
        if isinstance(value, Relative):
            type: RelocationType | None = self._data_type(fixup.size, value.base)
            if type is None:
                message = f"an address takes 4 or 8 bytes, not {fixup.size}"
                self._wrong.append(error("asm-operand", message, fixup.span))
                return
            value = self._relocate(section, fixup.offset, type, value.base, value.offset)
            value &= (1 << 8 * fixup.size) - 1
        chunk = packed(value or 0, fixup.size, self._byteorder, fixup.span, self._wrong)
        section.contents.data[fixup.offset : fixup.offset + fixup.size] = chunk

    def _data_type(self, size: int, name: str) -> RelocationType | None:
        if size == 8:
            return "R_BPF_64_ABS64"
        if size != 4:
            return None
        base, _ = self._base(self._symbols[name])
        if base is None or base.section is None:
            return "R_BPF_64_ABS32"
        # LLVM tells BTF's and .BTF.ext's fields from others by what they point to.
        wanted = SHF_EXECINSTR if is_temporary(name) else SHF_WRITE
        flags = base.section.flags
        if flags & SHF_ALLOC and flags & wanted:
            return "R_BPF_64_NODYLD32"
        return "R_BPF_64_ABS32"

    # Instructions ----------------------------------------------------------------------------

    def _operation(self, section: SectionDraft, offset: int, each: Operation) -> None:
        symbol = each.symbol
        assert symbol is not None
        spec, off, imm = each.spec, each.off, each.imm
        match symbol.role:
            case Role.TARGET:
                distance = self._distance(section, offset, symbol)
                if distance_field(spec.form) == "off":
                    off = self._reach(distance, symbol)
                else:
                    imm = distance
            case Role.CALLEE | Role.FUNCTION:
                helper = self._helper(symbol)
                if helper is None:
                    spec, imm = BY_NAME["call_local"], self._callee(section, offset, symbol)
                else:
                    imm = helper
            case Role.ADDRESS:
                value = self._address(section, offset, symbol, symbol.addend)
                imm = value & 0xFFFF_FFFF
        chunk = codec.encode(spec, each.dst, each.src, off, imm, byteorder=self._byteorder)
        section.contents.data[offset : offset + len(chunk)] = chunk

    def _helper(self, symbol: Symbol) -> int | None:
        """A helper's number, where the file neither defines nor declares the name."""
        draft = self._symbols[symbol.name]
        if draft.defined or draft.binding is not None:
            return None
        helper = helpers.find(symbol.name)
        return helper.id if helper is not None else None

    def _target(self, section: SectionDraft, symbol: Symbol) -> int | None:
        """A name's offset in this section, None where it lies elsewhere."""
        draft = self._symbols[symbol.name]
        base, distance = self._base(draft)
        if base is None or base.section is not section:
            return None
        return base.offset + distance

    def _distance(self, section: SectionDraft, offset: int, symbol: Symbol) -> int:
        target = self._target(section, symbol)
        if target is None:
            written = label_text(symbol.name)
            near = [each.name for each in self._symbols.values() if each.section is section]
            message = f"there is no label {written} in section {section.name}"
            self._wrong.append(
                error(
                    "asm-label-undefined", message, symbol.span,
                    hint=did_you_mean(written, near),
                )
            )  # fmt: skip
            return 0
        return self._in_slots(target - offset, symbol.span) - 1

    def _in_slots(self, distance: int, span: Span) -> int:
        if distance % SLOT:
            message = (
                f"the label is {distance} bytes away, which is no whole number of instructions"
            )
            self._wrong.append(error("asm-operand", message, span))
        return distance // SLOT

    def _reach(self, distance: int, symbol: Symbol) -> int:
        if fit("off", distance) is None:
            message = f"{symbol.name} is {distance} slots away; this jump reaches -32768 to 32767"
            hint = "gotol reaches 2147483647 slots"
            self._wrong.append(error("asm-range", message, symbol.span, hint=hint))
            return 0
        return distance

    def _callee(self, section: SectionDraft, offset: int, symbol: Symbol) -> int:
        draft = self._symbols[symbol.name]
        target = self._target(section, symbol)
        if target is not None and draft.local:
            return self._in_slots(target - offset, symbol.span) - 1
        addend = self._relocate(section, offset, "R_BPF_64_32", symbol.name, 0)
        return self._in_slots(addend, symbol.span) - 1

    def _address(self, section: SectionDraft, offset: int, symbol: Symbol, addend: int) -> int:
        draft = self._symbols[symbol.name]
        if draft.alias is not None:
            value = self._alias(draft)
            if not isinstance(value, Relative):
                return (value or 0) + addend
        return self._relocate(section, offset, "R_BPF_64_64", symbol.name, addend)
