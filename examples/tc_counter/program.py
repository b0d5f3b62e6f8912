"""The programs in builder calls: the same instructions as tc_counter.s."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R6, R10, Builder
from ebpfasm.isa.constants import CONSTANTS

builder = Builder(license="GPL")
traffic = builder.map("traffic", "array", key="u32", value="u64[2]", max_entries=2)

for direction, (name, section) in enumerate(
    (("count_in", "tcx/ingress"), ("count_out", "tcx/egress"))
):
    with builder.program(name, section=section) as p:
        p.ldxw(R6, R1, "__sk_buff.len")
        p.mov32(R1, direction)
        p.stxw(R10, -4, R1)
        p.mov(R2, R10)
        p.add(R2, -4)
        p.lddw_map(R1, traffic)
        p.call("bpf_map_lookup_elem")
        p.jeq(R0, 0, "out")
        p.mov(R1, 1)
        p.atomic_add64(R0, 0, R1)
        p.atomic_add64(R0, 8, R6)
        p.label("out")
        p.mov32(R0, CONSTANTS["TCX_NEXT"])
        p.exit()

spec = builder.build()
