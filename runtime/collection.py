"""What one load opened: programs, maps and variables by name, closed together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import MappingProxyType
from typing import TYPE_CHECKING

from ebpfasm.closing import Closing
from ebpfasm.ir.names import Named
from ebpfasm.ir.specs import VarSpec
from ebpfasm.isa import sections
from ebpfasm.runtime.arena import Arena
from ebpfasm.runtime.loading.struct_ops import Table
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.programs import Program
from ebpfasm.runtime.variables import Memory, Section, Variable

if TYPE_CHECKING:
    from ebpfasm.runtime.links import Link, Links

_NOTHING: Mapping[str, VarSpec] = MappingProxyType({})
_NO_TABLES: Mapping[str, Table] = MappingProxyType({})
_NO_ARENAS: Mapping[str, Arena] = MappingProxyType({})


class Collection(Closing):
    """Loaded programs, their maps and their variables. Closing gives their descriptors back.

    The kernel keeps what is still in use: an attached program goes on, with its maps, until
    its link is detached.
    """

    def __init__(
        self,
        programs: Mapping[str, Program],
        maps: Mapping[str, Map],
        variables: Mapping[str, VarSpec] = _NOTHING,
        tables: Mapping[str, Table] = _NO_TABLES,
        arenas: Mapping[str, Arena] = _NO_ARENAS,
    ) -> None:
        self.programs: Mapping[str, Program] = MappingProxyType(Named("program", programs))
        self.maps: Mapping[str, Map] = MappingProxyType(Named("map", maps))
        self._tables = tables
        self.arenas = arenas
        self._sections: dict[str, Memory] = dict(arenas)
        for each in variables.values():
            if each.map in maps and each.map not in self._sections:
                self._sections[each.map] = Section(maps[each.map])
        live = {
            name: Variable(each, self._sections[each.map])
            for name, each in variables.items()
            if each.map in self._sections
        }
        self.variables: Mapping[str, Variable] = MappingProxyType(Named("variable", live))

    def attach(self) -> Links:
        """Attach every program whose section says to what, and register struct_ops tables.

        What needs more than a section's name, as XDP programs need an interface, is left out:
        `Program.attach` takes it. All or nothing; the links end together. Raises LoadError,
        NotSupported.
        """
        from ebpfasm.runtime.links import Links

        with ExitStack() as attached:
            made: list[Link] = []
            for each in self.programs.values():
                match = sections.resolve(each.spec.section)
                if match is not None and match.spec.auto_attach and match.target:
                    made.append(attached.enter_context(each.attach()))
            made += [attached.enter_context(self.attach_struct_ops(name)) for name in self._tables]
            attached.pop_all()
            return Links("collection", made, f"{len(made)} places")

    def attach_struct_ops(self, name: str) -> Link:
        """Register a struct_ops map's table of programs with the kernel. Raises LoadError.

        Raises KeyError where there is no such map.
        """
        from ebpfasm.runtime.attach.struct_ops import attach_struct_ops

        fds = {each: program.fd for each, program in self.programs.items()}
        return attach_struct_ops(self.maps[name], self._tables[name].filled(fds))

    def close(self) -> None:
        """Close every program and map; variables cannot be read any more."""
        for memory in self._sections.values():
            memory.close()
        for each in (*self.programs.values(), *self.maps.values()):
            each.close()

    def __repr__(self) -> str:
        return f"<Collection of programs {list(self.programs)} and maps {list(self.maps)}>"
