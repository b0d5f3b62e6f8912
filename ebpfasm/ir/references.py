"""Names that an instruction stands for until they are resolved.

A label or function becomes a distance in `ir.link`; a map, variable or kernel symbol a
descriptor or address when the program is loaded.
"""

from __future__ import annotations

from ebpfasm.frozen import dataclass


@dataclass(frozen=True, slots=True)
class LabelRef:
    """A jump to a label of the same function."""

    name: str


@dataclass(frozen=True, slots=True)
class FunctionRef:
    """A call of, or the address of, a subprogram."""

    name: str


@dataclass(frozen=True, slots=True)
class MapRef:
    """The map itself, as helpers take it."""

    name: str


@dataclass(frozen=True, slots=True)
class VarRef:
    """An address inside the value of a map: global data."""

    map: str
    name: str
    offset: int = 0

    @property
    def written(self) -> str:
        """The variable's name; where it has none, the map's and how far inside."""
        return self.name or (f"{self.map}+{self.offset}" if self.offset else self.map)


@dataclass(frozen=True, slots=True)
class KfuncRef:
    """A kernel function, called by the BTF id that the running kernel gives it.

    `type_id` is its prototype in the object's BTF, 0 where there is none to compare with.
    """

    name: str
    weak: bool = False
    type_id: int = 0


@dataclass(frozen=True, slots=True)
class KsymRef:
    """The address of a kernel symbol; `type_id` is its type in the object's BTF, 0 if untyped."""

    name: str
    type_id: int = 0
    weak: bool = False


@dataclass(frozen=True, slots=True)
class CoreRef:
    """A CO-RE relocation: root type, access path such as "0:1:2", and the relocation's kind."""

    type_id: int
    access: str
    kind: int


@dataclass(frozen=True, slots=True)
class PlaceRef:
    """A label of a function, as an entry of a jump table (a map of type insn_array) has it."""

    function: str
    label: str

    @property
    def name(self) -> str:
        """Function and label in one word, for people."""
        return f"{self.function}.{self.label}"


Reference = LabelRef | FunctionRef | MapRef | VarRef | KfuncRef | KsymRef | CoreRef
