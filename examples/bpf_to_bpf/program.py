"""The programs in builder calls: the same instructions as bpf_to_bpf.s, functions for macros."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R3, R4, R5, R6, R7, R8, R10, Builder, Code
from ebpfasm.isa.constants import CONSTANTS
from examples.frames import IPV4, IPV6, TCP, UDP

PASS, DROP = CONSTANTS["XDP_PASS"], CONSTANTS["XDP_DROP"]
ETHERNET, VLAN_TAG = 14, 4  # bytes

builder = Builder(license="GPL")


def statistics(name: str, key: str, entries: int) -> None:
    """A map of counters, {packets, bytes}, on each CPU."""
    builder.map(name, "lru_percpu_hash", key=key, value="u64[2]", max_entries=entries,
                flags=CONSTANTS["BPF_F_NO_COMMON_LRU"])  # fmt: skip


def handler(name: str, length: int, protocol: int) -> None:
    """A function for an IP version. Its arguments: the context, and where the header begins."""
    with builder.function(name) as p:
        p.mov(R6, R1)
        p.mov(R7, R2)
        p.ldxw(R3, R6, "xdp_md.data")
        p.ldxw(R4, R6, "xdp_md.data_end")
        p.add(R3, R7)
        p.mov(R5, R3)
        p.add(R5, length)
        p.jgt(R5, R4, "done")
        p.ldxb(R8, R3, protocol)
        p.mov(R2, R8)
        p.call_local("inc_ip_proto")
        p.mov(R1, R6)
        p.mov(R2, R7)
        p.add(R2, length)
        p.jeq32(R8, UDP, "udp")
        p.jne32(R8, TCP, "done")
        p.call_local("inc_tcp")
        p.ja("done")
        p.label("udp")
        p.call_local("inc_udp")
        p.label("done")
        p.mov(R0, 0)
        p.exit()


def count(p: Code, name: str) -> None:
    """Add 1 and r6 bytes to the counter whose key lies at r10 - 4."""
    p.mov(R2, R10)
    p.add(R2, -4)
    p.lddw_map(R1, name)
    p.call("bpf_map_lookup_elem")
    p.jeq(R0, 0, "first")
    p.ldxdw(R1, R0, 0)
    p.add(R1, 1)
    p.stxdw(R0, 0, R1)
    p.ldxdw(R1, R0, 8)
    p.add(R1, R6)
    p.stxdw(R0, 8, R1)
    p.ja("counted")
    p.label("first")
    p.mov(R1, 1)
    p.stxdw(R10, -24, R1)
    p.stxdw(R10, -16, R6)
    p.mov(R2, R10)
    p.add(R2, -4)
    p.mov(R3, R10)
    p.add(R3, -24)
    p.mov(R4, CONSTANTS["BPF_ANY"])
    p.lddw_map(R1, name)
    p.call("bpf_map_update_elem")
    p.label("counted")
    p.mov(R0, 0)
    p.exit()


def by_port(name: str, map: str, length: int) -> None:
    """A function that counts a packet under its destination port, in host order."""
    with builder.function(name) as p:
        p.ldxw(R6, R1, "xdp_md.data_end")
        p.ldxw(R3, R1, "xdp_md.data")
        p.mov(R4, R3)
        p.add(R4, R2)
        p.mov(R5, R4)
        p.add(R5, length)
        p.jgt(R5, R6, "out")
        p.ldxh(R1, R4, 2)
        p.be16(R1)
        p.stxh(R10, -4, R1)
        p.sub(R6, R3)
        count(p, map)
        p.label("out")
        p.mov(R0, 0)
        p.exit()


statistics("ip_proto_stats", "u8", 16)
statistics("udp_stats", "u16", 128)
statistics("tcp_stats", "u16", 128)

with builder.program("bpf_to_bpf", section="xdp") as p:
    p.mov(R6, R1)
    p.ldxw(R7, R6, "xdp_md.data")
    p.ldxw(R8, R6, "xdp_md.data_end")
    p.mov(R0, DROP)
    p.mov32(R2, ETHERNET)
    p.mov(R1, R7)
    p.add(R1, R2)
    p.jgt(R1, R8, "out")
    p.ldxh(R3, R7, 12)
    p.be16(R3)
    p.jeq32(R3, 0x8100, "vlan")
    p.jne32(R3, 0x88A8, "ip")
    p.label("vlan")
    p.add32(R2, VLAN_TAG)
    p.add(R1, VLAN_TAG)
    p.jgt(R1, R8, "out")
    p.ldxh(R3, R1, -2)
    p.be16(R3)
    p.label("ip")
    p.mov(R1, R6)
    p.jeq32(R3, IPV6, "ipv6")
    p.jne32(R3, IPV4, "pass")
    p.call_local("handle_ipv4")
    p.ja("pass")
    p.label("ipv6")
    p.call_local("handle_ipv6")
    p.label("pass")
    p.mov(R0, PASS)
    p.label("out")
    p.exit()

handler("handle_ipv4", 20, 9)
handler("handle_ipv6", 40, 6)

with builder.function("inc_ip_proto") as p:
    p.stxb(R10, -4, R2)
    p.ldxw(R6, R1, "xdp_md.data_end")
    p.ldxw(R2, R1, "xdp_md.data")
    p.sub(R6, R2)
    count(p, "ip_proto_stats")

by_port("inc_udp", "udp_stats", 8)
by_port("inc_tcp", "tcp_stats", 20)

spec = builder.build()
