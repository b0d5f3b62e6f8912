"""The packet counter from builder calls: the same instructions as xdp_stats_assembly."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R10, Builder
from ebpfasm.ir import CollectionSpec


def build() -> CollectionSpec:
    """Count packets in `xdp_stats_map` under the key XDP_PASS and pass them on."""
    b = Builder(license="GPL")
    stats = b.map("xdp_stats_map", "array", key="u32", value="u64", max_entries=5)
    with b.program("xdp_stats", section="xdp") as p:
        p.mov32(R1, 2)  # XDP_PASS is the key
        p.stxw(R10, -4, R1)
        p.mov(R2, R10)
        p.add(R2, -4)
        p.lddw_map(R1, stats)
        p.call("bpf_map_lookup_elem")
        p.mov(R1, R0)
        p.mov32(R0, 0)  # XDP_ABORTED where the map has no such key
        p.jeq(R1, 0, "out")
        p.mov(R2, 1)
        p.atomic_add64(R1, 0, R2)
        p.mov32(R0, 2)
        p.label("out")
        p.exit()
    return b.build()


spec = build()
