"""Jump tables: the labels that a `gotox` may go to."""

from __future__ import annotations

from ebpfasm.dsl.stream import Stream
from ebpfasm.ir import MapSpec
from ebpfasm.ir.tables import table_spec


class Tables(Stream):
    """The method that makes one."""

    __slots__ = ()

    def jump_table(self, name: str, *labels: str) -> MapSpec:
        """Define a map of type insn_array whose entries are labels of this program or function.

        `lddw_map_value` loads its address; an entry has 8 bytes and is what `gotox` takes. Linux
        has them since 6.19.

        >>> from ebpfasm.dsl import R0, R1, R2, Builder
        >>> b = Builder()
        >>> with b.program("f", section="xdp") as p:
        ...     p.lddw_map_value(R1, p.jump_table("ways", "pass", "drop"))
        ...     p.ldxdw(R2, R1, 8)
        ...     p.gotox(R2)
        ...     p.label("pass")
        ...     p.mov(R0, 2)
        ...     p.exit()
        ...     p.label("drop")
        ...     p.mov(R0, 1)
        ...     p.exit()
        >>> b.build().maps["ways"].max_entries
        2
        """
        call = self._call()
        checked = self._findings.check_name("jump table", name, call.span)
        names = [each for each in labels if self._findings.check_name("label", each, call.span)]
        if not labels:
            message = f"jump table {name!r} has no labels"
            self._findings.report("dsl-label", message, call.span)
        spec = table_spec(checked, self.name, names, call.span)
        self.tables.append(spec)
        return spec
