"""What a name means where a number is needed: constants of the file, of the kernel, fields.

In this order: what `.equ`, `.set` or `.equiv` defined; the kernel's constants (XDP_PASS); the
offset of a field of a context (xdp_md.data) or packet header (iphdr.saddr); members of structs
and enumerators of the BTF that was given. `.sizeof` after a struct or field gives its bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ebpfasm.asm.reading.expressions import Lookup, Name, Report
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import Diagnostic, Note, Span, error
from ebpfasm.isa import constants

if TYPE_CHECKING:
    from ebpfasm.asm.reading.macros import Macro
    from ebpfasm.btf.layout import Layouts

SIZE = ".sizeof"
_REGISTER = re.compile(r"[rRwW]\d+", re.ASCII)


class Names:
    """The names of one assembly, as far as it has been read."""

    def __init__(self, layouts: Layouts | None = None) -> None:
        self.constants: dict[str, int] = {}
        self._is_shared = False
        self.places: dict[str, Span] = {}
        self.macros: dict[str, Macro] = {}
        self._layouts = layouts
        self._missed: dict[Diagnostic, str] = {}

    def define(self, name: str, value: int, span: Span) -> None:
        """Give a constant its value, or a new one."""
        if self._is_shared:
            self.constants, self._is_shared = dict(self.constants), False
        self.constants[name] = value
        self.places[name] = span

    def snapshot(self) -> Mapping[str, int]:
        """The constants as they are now, for a statement whose arguments are read later."""
        self._is_shared = True
        return self.constants

    def find(self, name: str) -> int | None:
        """The number that a name stands for, None where it stands for none."""
        if name in self.constants:
            return self.constants[name]
        if name in constants.CONSTANTS:
            return constants.CONSTANTS[name]
        if "." not in name.strip("."):
            return self._layouts.enumerator(name) if self._layouts is not None else None
        if name.endswith(SIZE):
            return self._size(name.removesuffix(SIZE))
        from ebpfasm.isa import contexts, packets  # most files name no field

        field = contexts.field(name) or packets.field(name)
        if field is not None:
            return field.offset
        return self._layouts.offset(name) if self._layouts is not None else None

    def _size(self, path: str) -> int | None:
        from ebpfasm.isa import contexts, packets  # most files name no field

        owner = contexts.STRUCTS.get(path) or packets.STRUCTS.get(path)
        owner_or_field = owner or contexts.field(path) or packets.field(path)
        if owner_or_field is not None:
            return owner_or_field.size
        return self._layouts.size(path) if self._layouts is not None else None

    def meaning(self, report: Report) -> Lookup:
        """What `expressions.evaluate` asks for a name's number; one without is reported."""

        def look(name: Name) -> int | None:
            value = self.find(name.text)
            if value is None:
                report(self.unknown(name.text, name.span))
            return value

        return look

    def unknown(self, name: str, span: Span) -> Diagnostic:
        """Say that a name stands for no number, and what was meant."""
        found = self._unknown(name, span)
        self._missed[found] = name
        return found

    def later(self, wrong: Iterable[Diagnostic]) -> Iterator[Diagnostic]:
        """The same diagnostics; of a constant that was defined below its use, that it was."""
        for each in wrong:
            name = self._missed.get(each, "")
            if name in self.places:
                note = Note("it is defined here, below", self.places[name])
                yield error("asm-constant", f"{name} is not defined yet", each.span, notes=(note,))
            else:
                yield each

    def _unknown(self, name: str, span: Span) -> Diagnostic:
        if _REGISTER.fullmatch(name):
            message = f"{name} is a register, where a number is needed"
            return error("asm-operand", message, span)
        problem = self._layouts.problem(name) if self._layouts is not None else None
        if self._layouts is not None and problem is not None:
            near = did_you_mean(name, self._layouts.near(name))
            return error("asm-symbol", problem, span, hint=near)
        hint = did_you_mean(name, (*self.constants, *constants.CONSTANTS, *self._fields(name)))
        if hint is None and self._layouts is None and "." in name:
            hint = "for structs of the kernel give BTF: --btf /sys/kernel/btf/vmlinux"
        return error("asm-symbol", f"{name} is no constant and no field", span, hint=hint)

    def _fields(self, name: str) -> Iterable[str]:
        head = name.partition(".")[0]
        from ebpfasm.isa import contexts, packets  # most files name no field

        owner = contexts.STRUCTS.get(head) or packets.STRUCTS.get(head)
        if owner is not None:
            return [f"{owner.name}.{field.name}" for field in owner.fields]
        if self._layouts is not None and "." in name:
            found = self._layouts.near(name)
            if found:
                return found
        from ebpfasm.isa import contexts, packets  # most files name no field

        return [*contexts.STRUCTS, *packets.STRUCTS]
