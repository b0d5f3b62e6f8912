"""The program in builder calls: the same instructions as per_cpu_map.s."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R10, Builder
from ebpfasm.isa.constants import CONSTANTS

builder = Builder(license="GPL")
packets = builder.map("packets", "percpu_array", key="u32", value="u64", max_entries=8)

with builder.program("count", section="xdp") as p:
    p.mov32(R1, 0)
    p.stxw(R10, -4, R1)
    p.mov(R2, R10)
    p.add(R2, -4)
    p.lddw_map(R1, packets)
    p.call("bpf_map_lookup_elem")
    p.jeq(R0, 0, "out")
    p.ldxdw(R1, R0, 0)
    p.add(R1, 1)
    p.stxdw(R0, 0, R1)
    p.label("out")
    p.mov32(R0, CONSTANTS["XDP_PASS"])
    p.exit()

spec = builder.build()
