"""An object on its way: sections that grow, symbols by a key, relocations that name their key."""

from __future__ import annotations

from dataclasses import dataclass, field

from ebpfasm.ir.object import (
    SHF_ALLOC,
    SHT_PROGBITS,
    Binding,
    Object,
    ObjectRelocation,
    ObjectSection,
    ObjectSymbol,
    RelocationType,
    SymbolType,
)
from ebpfasm.isa.codec import ByteOrder


@dataclass(slots=True)
class SectionDraft:
    """A section; `size` counts bytes, which one without content has too."""

    name: str
    flags: int
    type: int = SHT_PROGBITS
    align: int = 8
    content: bytearray = field(default_factory=bytearray)
    size: int = 0
    relocations: list[tuple[int, RelocationType, str]] = field(default_factory=list)


class Drafts:
    """All sections in the order in which they were opened, and all symbols."""

    def __init__(self, byteorder: ByteOrder) -> None:
        self.byteorder = byteorder
        self._sections: dict[str, SectionDraft] = {}
        self._numbers: dict[str, int] = {}
        self._symbols: dict[str, ObjectSymbol] = {}  # by key; sections' keys begin with \0

    def section(self, name: str, flags: int = SHF_ALLOC) -> SectionDraft:
        """The section of a name, which is a new one if it is not known."""
        found = self._sections.get(name)
        if found is None:
            self._numbers[name] = len(self._sections)
            found = self._sections[name] = SectionDraft(name, flags)
        return found

    def has_symbol(self, key: str) -> bool:
        """Whether a symbol has been defined."""
        return key in self._symbols

    def define(
        self,
        name: str,
        section: str,
        offset: int,
        size: int,
        binding: Binding = "global",
        type: SymbolType = "object",
    ) -> None:
        """Define a symbol in a section that there is; its name is its key."""
        number = self._numbers[section]
        self._symbols[name] = ObjectSymbol(name, number, offset, size, binding, type)

    def undefined(self, name: str, *, weak: bool) -> None:
        """Mention a symbol that is defined elsewhere."""
        self._symbols.setdefault(name, ObjectSymbol(name, binding="weak" if weak else "global"))

    def relocate(
        self, section: SectionDraft, at: int, key: str, type: RelocationType = "R_BPF_64_64"
    ) -> None:
        """Relocate against a symbol, which may be defined later."""
        section.relocations.append((at, type, key))

    def relocate_section(
        self, section: SectionDraft, at: int, target: str, type: RelocationType = "R_BPF_64_64"
    ) -> None:
        """Relocate against another section's beginning."""
        key = f"\0{target}"
        if key not in self._symbols:
            self._symbols[key] = ObjectSymbol(target, self._numbers[target], type="section")
        self.relocate(section, at, key, type)

    def finish(self) -> Object:
        """The object."""
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
        return Object(sections, tuple(self._symbols.values()), self.byteorder)
