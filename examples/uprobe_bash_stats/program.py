"""The program in builder calls: the same instructions as uprobe_bash_stats.s."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R10, Builder

builder = Builder(license="GPL")
calls = builder.map("calls", "array", key="u32", value="u64", max_entries=1)

with builder.program("on_call", section="uprobe") as p:
    p.mov32(R1, 0)
    p.stxw(R10, -4, R1)
    p.mov(R2, R10)
    p.add(R2, -4)
    p.lddw_map(R1, calls)
    p.call("bpf_map_lookup_elem")
    p.jeq(R0, 0, "out")
    p.mov(R1, 1)
    p.atomic_add64(R0, 0, R1)
    p.label("out")
    p.mov32(R0, 0)
    p.exit()

spec = builder.build()
