"""What kind of program a function is: by the name of its section, or as the user says."""

from __future__ import annotations

from collections.abc import Mapping

from ebpfasm.errors import ElfError, error
from ebpfasm.ir.specs import Function, ProgramSpec
from ebpfasm.isa import sections
from ebpfasm.isa.kinds import PROGRAM_TYPES


class Kinds:
    """Program types by section; `types` is what a user says of sections.

    Raises ElfError where a user names a type that there is not.
    """

    def __init__(self, types: Mapping[str, str]) -> None:
        self._given = types
        for section, kind in types.items():
            if sections.resolve(kind) is None and PROGRAM_TYPES.find(kind) is None:
                message = f"section {section!r}: {kind!r} is neither a program type nor a section"
                raise ElfError(error("elf-function", message))

    def given(self, section: str) -> bool:
        """Whether a user said of which type a section is."""
        return section in self._given

    def match(self, section: str) -> sections.SectionMatch | str | None:
        """What a section means: a row of the table, or just a type."""
        kind = self._given.get(section, section)
        found = sections.resolve(kind, legacy=True)
        if found is not None or section not in self._given:
            return found
        row = PROGRAM_TYPES.find(kind)
        return row.name if row is not None else None


def program(kinds: Kinds, section: str, function: Function, version: int) -> ProgramSpec:
    """A program of a section, without the license and what it reaches."""
    kind, attach_type, target, flags = "", "", "", 0
    match kinds.match(section):
        case None:
            pass
        case str() as kind:
            pass
        case found:
            kind, flags = found.program_type, found.load_flags
            attach_type, target = found.attach_type or "", found.target or ""
    return ProgramSpec(
        function.name, section.removeprefix("?"), kind, function.instructions, attach_type, target,
        flags, span=function.span, autoload=not section.startswith("?"), version=version,
        debug=function.debug,
    )  # fmt: skip
