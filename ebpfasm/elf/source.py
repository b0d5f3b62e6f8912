"""The object that is read, as all steps of reading it see it, and how they say what is wrong."""

from __future__ import annotations

from dataclasses import field

from ebpfasm.errors import Diagnostic, ElfError, Location, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.object import SHT_NOBITS, Object, ObjectSection, ObjectSymbol

_set = object.__setattr__

# Told of one object: what has more of them is no object.
MOST_MISTAKES = 100


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """An object and what messages call it. Mistakes are collected: an object fails once.

    `indices` has the number of the first section of each name, `executable` says of each section
    whether it holds code.
    """

    object: Object
    name: str
    wrong: list[Diagnostic] = field(default_factory=list)
    indices: dict[str, int] = field(init=False)
    executable: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        found: dict[str, int] = {}
        for index, section in enumerate(self.object.sections):
            found.setdefault(section.name, index)
        _set(self, "indices", found)
        _set(self, "executable", [each.executable for each in self.object.sections])

    def report(
        self, code: str, message: str, span: Location | None = None, hint: str | None = None
    ) -> None:
        """Note a mistake and go on. Raises ElfError where there are MOST_MISTAKES."""
        self.wrong.append(error(code, self._shown(message), span, hint=hint))
        if len(self.wrong) >= MOST_MISTAKES:
            self.finish()

    def refusal(self, code: str, message: str, hint: str | None = None) -> ElfError:
        """The error to raise where reading cannot go on, with everything that was noted."""
        return ElfError(*self.wrong, error(code, self._shown(message), hint=hint))

    def _shown(self, message: str) -> str:
        """The message with the file's name; names that are not UTF-8 with their bytes in it."""
        return f"{self.name}: {message}".encode("utf-8", "backslashreplace").decode()

    def finish(self) -> None:
        """Raises ElfError where anything was noted."""
        if self.wrong:
            raise ElfError(*self.wrong)

    @property
    def little(self) -> bool:
        """Whether the object is of a little-endian machine."""
        return self.object.byteorder == "little"

    def section(self, index: int) -> ObjectSection:
        """A section by its number."""
        return self.object.sections[index]

    def named(self, name: str) -> ObjectSection | None:
        """The first section of a name, None where there is none."""
        index = self.indices.get(name)
        return None if index is None else self.object.sections[index]

    def symbol(self, index: int) -> ObjectSymbol:
        """A symbol by its number."""
        return self.object.symbols[index]

    def word(self, data: bytes, at: int, size: int = 4) -> int:
        """An unsigned number of the object's byte order."""
        return int.from_bytes(data[at : at + size], self.object.byteorder)

    def place(self, section: int, offset: int) -> str:
        """A place as messages write it: "section xdp, offset 0x18"."""
        return f"section {self.section(section).name}, offset {offset:#x}"


def is_nobits(section: ObjectSection) -> bool:
    """Whether a section has a size and no content."""
    return section.type == SHT_NOBITS


class UniqueNames:
    """Makes names that are there once: linked objects have static things of one name."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def unique(self, name: str) -> str:
        """The name itself the first time, then with a number behind it."""
        while True:
            count = self._counts.get(name, 0)
            self._counts[name] = count + 1
            if count == 0:
                return name
            name = f"{name}.{count}"
