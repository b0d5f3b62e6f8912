"""The program in builder calls: the same instructions as map_in_map.s."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R10, Builder
from ebpfasm.ir import MapSpec
from ebpfasm.isa.constants import CONSTANTS

COUNTERS = MapSpec("counters", "array", 4, 8, 5, key="u32", value="u64")

builder = Builder(license="GPL")
outer = builder.map("outer", "array_of_maps", key="u32", value="u32", max_entries=2, inner=COUNTERS)

with builder.program("count", section="xdp") as p:
    p.mov32(R1, 0)
    p.stxw(R10, -4, R1)  # which map
    p.mov(R2, R10)
    p.add(R2, -4)
    p.lddw_map(R1, outer)
    p.call("bpf_map_lookup_elem")
    p.jeq(R0, 0, "out")
    p.mov32(R1, CONSTANTS["XDP_PASS"])
    p.stxw(R10, -4, R1)  # which counter in it
    p.mov(R2, R10)
    p.add(R2, -4)
    p.mov(R1, R0)
    p.call("bpf_map_lookup_elem")
    p.jeq(R0, 0, "out")
    p.mov(R1, 1)
    p.atomic_add64(R0, 0, R1)
    p.label("out")
    p.mov32(R0, CONSTANTS["XDP_PASS"])
    p.exit()

spec = builder.build()
