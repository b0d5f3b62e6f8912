"""The program in builder calls: the same instructions as icmp_pcap.s."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R6, Builder
from examples.frames import ICMP, IPV4

builder = Builder(license="GPL")

with builder.program("icmp_only", section="socket") as p:
    p.mov(R6, R1)  # packet loads want the context here
    p.ldabsh(12)
    p.jne32(R0, IPV4, "drop")
    p.ldabsb(14 + 9)
    p.jne32(R0, ICMP, "drop")
    p.ldxw(R0, R6, "__sk_buff.len")  # how many bytes to keep: all
    p.exit()
    p.label("drop")
    p.mov32(R0, 0)
    p.exit()

spec = builder.build()
