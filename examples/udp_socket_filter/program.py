"""The program in builder calls: the same instructions as udp_socket_filter.s."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R6, Builder

SKF_NET_OFF = -0x100000  # loads relative to the network header (linux/filter.h)
LOCALHOST = 0x7F000001

builder = Builder(license="GPL")

with builder.program("to_localhost", section="socket") as p:
    p.mov(R6, R1)  # packet loads want the context here
    p.ldabsw(SKF_NET_OFF + 16)
    p.jeq32(R0, LOCALHOST, "pass")  # packet loads give host order
    p.mov32(R0, 0)  # how many bytes to keep: none
    p.exit()
    p.label("pass")
    p.ldxw(R0, R6, "__sk_buff.len")
    p.exit()

spec = builder.build()
