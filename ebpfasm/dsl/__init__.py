"""Programs written in Python: a builder with a typed method for each instruction.

    >>> from ebpfasm.dsl import R0, R1, R2, R10, Builder
    >>> b = Builder(license="GPL")
    >>> hits = b.map("hits", "array", key="u32", value="u64", max_entries=1)
    >>> with b.program("count", section="xdp") as p:
    ...     p.stw(R10, -4, 0)
    ...     p.mov(R2, R10)
    ...     p.add(R2, -4)
    ...     p.lddw_map(R1, hits)
    ...     p.call("bpf_map_lookup_elem")
    ...     p.jeq(R0, 0, "out")
    ...     p.mov(R1, 1)
    ...     p.atomic_add64(R0, 0, R1)
    ...     p.label("out")
    ...     p.mov(R0, 2)
    ...     p.exit()
    >>> spec = b.build()

Every instruction carries the Python file and line that wrote it.
"""

from ebpfasm.dsl.builder import Builder, Code
from ebpfasm.dsl.operands import R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, Register

__all__ = [
    "R0", "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "R9", "R10",
    "Builder", "Code", "Register",
]  # fmt: skip
