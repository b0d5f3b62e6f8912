"""The programs in builder calls: the same instructions as tailcall.s, functions for macros."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R3, R4, R6, R7, R8, R9, R10, Builder, Code
from ebpfasm.isa.constants import CONSTANTS
from examples.frames import IPV4, IPV6, TCP, UDP

ABORTED, DROP, PASS = (CONSTANTS[f"XDP_{each}"] for each in ("ABORTED", "DROP", "PASS"))
TAIL_IPV4, TAIL_IPV6, TAIL_TCP, TAIL_UDP = range(4)
FARTHEST = 64  # no header that is counted begins behind this
ETHERNET, VLAN_TAG = 14, 4  # bytes

builder = Builder(license="GPL")
tails = builder.map("tails", "prog_array", key="u32", value="u32", max_entries=4)
for name, key, entries in (
    ("ip_proto_stats", "u8", 16), ("udp_stats", "u16", 128), ("tcp_stats", "u16", 128),
):  # fmt: skip
    builder.map(name, "lru_percpu_hash", key=key, value="u64[2]", max_entries=entries,
                flags=CONSTANTS["BPF_F_NO_COMMON_LRU"])  # fmt: skip


def tail(p: Code, index: int) -> None:
    """Go on in another program; what comes back is a failure."""
    p.mov(R1, R6)
    p.lddw_map(R2, tails)
    p.mov(R3, index)
    p.call("bpf_tail_call")
    p.mov32(R0, ABORTED)
    p.exit()


def header(p: Code, length: int) -> None:
    """Begin with r6 the context, r7 the packet, r8 its end, r9 where the header begins, r3 it."""
    p.mov(R6, R1)
    p.ldxw(R2, R6, "xdp_md.data_meta")
    p.ldxw(R7, R6, "xdp_md.data")
    p.ldxw(R8, R6, "xdp_md.data_end")
    p.mov(R3, R2)
    p.add(R3, 4)
    p.jgt(R3, R7, "broken")
    p.ldxw(R9, R2, 0)
    p.jgt(R9, FARTHEST, "broken")
    p.mov(R3, R7)
    p.add(R3, R9)
    p.mov(R4, R3)
    p.add(R4, length)
    p.jgt(R4, R8, "pass")


def endings(p: Code) -> None:
    """What every program behind a tail call may come to."""
    for label, action in (("pass", PASS), ("broken", ABORTED)):
        p.label(label)
        p.mov32(R0, action)
        p.exit()


def count(p: Code, map: str) -> None:
    """Count the packet under the key at r10 - 4."""
    p.mov(R2, R10)
    p.add(R2, -4)
    p.lddw_map(R1, map)
    p.call("bpf_map_lookup_elem")
    p.sub(R8, R7)  # bytes of the whole frame
    p.jeq(R0, 0, "first")
    p.ldxdw(R1, R0, 0)
    p.add(R1, 1)
    p.stxdw(R0, 0, R1)
    p.ldxdw(R1, R0, 8)
    p.add(R1, R8)
    p.stxdw(R0, 8, R1)
    p.ja("counted")
    p.label("first")
    p.mov(R1, 1)
    p.stxdw(R10, -24, R1)
    p.stxdw(R10, -16, R8)
    p.mov(R2, R10)
    p.add(R2, -4)
    p.mov(R3, R10)
    p.add(R3, -24)
    p.mov(R4, CONSTANTS["BPF_ANY"])
    p.lddw_map(R1, map)
    p.call("bpf_map_update_elem")
    p.label("counted")


def internet(name: str, length: int, protocol: int) -> None:
    """A program for an IP version."""
    with builder.program(name, section="xdp") as p:
        header(p, length)
        p.ldxb(R4, R3, protocol)
        p.stxb(R10, -4, R4)
        p.add32(R9, length)
        p.stxw(R2, 0, R9)  # where the next header begins
        p.mov(R9, R4)
        count(p, "ip_proto_stats")
        p.jeq32(R9, TCP, "next_tcp")
        p.jne32(R9, UDP, "pass")
        tail(p, TAIL_UDP)
        p.label("next_tcp")
        tail(p, TAIL_TCP)
        endings(p)


def transport(name: str, length: int, map: str) -> None:
    """A program that counts a packet under its destination port."""
    with builder.program(name, section="xdp") as p:
        header(p, length)
        p.ldxh(R1, R3, 2)
        p.be16(R1)
        p.stxh(R10, -4, R1)
        count(p, map)
        endings(p)


with builder.program("entry", section="xdp") as p:
    p.mov(R6, R1)
    p.ldxw(R7, R6, "xdp_md.data")
    p.ldxw(R8, R6, "xdp_md.data_end")
    p.mov32(R0, DROP)
    p.mov32(R9, ETHERNET)
    p.mov(R1, R7)
    p.add(R1, R9)
    p.jgt(R1, R8, "out")
    p.ldxh(R3, R7, 12)
    p.be16(R3)
    p.jeq32(R3, 0x8100, "vlan")
    p.jne32(R3, 0x88A8, "ip")
    p.label("vlan")
    p.add32(R9, VLAN_TAG)
    p.add(R1, VLAN_TAG)
    p.jgt(R1, R8, "out")
    p.ldxh(R3, R1, -2)
    p.be16(R3)
    p.label("ip")
    p.mov32(R0, PASS)
    p.jeq32(R3, IPV4, "counted")
    p.jne32(R3, IPV6, "out")  # ARP and all that is no IP
    p.label("counted")
    p.mov(R8, R3)
    p.mov(R1, R6)
    p.mov(R2, -4)
    p.call("bpf_xdp_adjust_meta")
    p.mov32(R1, R0)
    p.mov32(R0, ABORTED)
    p.jne32(R1, 0, "out")
    p.ldxw(R1, R6, "xdp_md.data_meta")
    p.ldxw(R2, R6, "xdp_md.data")
    p.mov(R3, R1)
    p.add(R3, 4)
    p.jgt(R3, R2, "out")
    p.stxw(R1, 0, R9)
    p.jeq32(R8, IPV4, "ipv4_next")
    tail(p, TAIL_IPV6)
    p.label("ipv4_next")
    tail(p, TAIL_IPV4)
    p.label("out")
    p.exit()

internet("ipv4", 20, 9)
internet("ipv6", 40, 6)
transport("tcp", 20, "tcp_stats")
transport("udp", 8, "udp_stats")

spec = builder.build()
