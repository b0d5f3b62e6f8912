"""The firewall's program, generated from its rules.

Ports become instructions, a compare each: changing them makes a new program. Networks are entries
of two tries, and come and go while the program runs.
"""

from __future__ import annotations

from collections.abc import Iterable

from ebpfasm.dsl import R0, R1, R2, R3, R6, R7, R8, R9, R10, Builder, Code
from ebpfasm.ir import CollectionSpec, MapSpec
from ebpfasm.isa.constants import CONSTANTS
from examples.frames import IPV4, IPV6, TCP, UDP

PASS, DROP = CONSTANTS["XDP_PASS"], CONSTANTS["XDP_DROP"]
VERDICTS = ("passed", "by network", "by port")  # keys of the map `verdicts`
PROTOCOLS = {"tcp": TCP, "udp": UDP}

Port = tuple[str, int]  # "tcp" or "udp", and a number

_ETHERNET, _IPV4, _IPV6 = 14, 20, 40
_SOURCE4, _PROTOCOL4, _SOURCE6, _PROTOCOL6 = 12, 9, 8, 6  # offsets in the IP headers


def build(ports: Iterable[Port] = ()) -> CollectionSpec:
    """Drop what comes from a network in the tries or goes to one of the ports; count verdicts."""
    b = Builder(license="GPL")
    tries = {
        IPV4: b.map("networks4", "lpm_trie", key="u8[8]", value="u32", max_entries=4096,
                    flags=CONSTANTS["BPF_F_NO_PREALLOC"]),
        IPV6: b.map("networks6", "lpm_trie", key="u8[20]", value="u32", max_entries=4096,
                    flags=CONSTANTS["BPF_F_NO_PREALLOC"]),
    }  # fmt: skip
    verdicts = b.map("verdicts", "percpu_array", key="u32", value="u64", max_entries=3)
    with b.program("firewall", section="xdp") as p:
        p.ldxw(R6, R1, "xdp_md.data")
        p.ldxw(R7, R1, "xdp_md.data_end")
        _bounded(p, _ETHERNET)
        p.ldxh(R8, R6, 12)
        p.be16(R8)
        p.jeq(R8, IPV4, "ipv4")
        p.jne(R8, IPV6, "pass")
        _address(p, tries[IPV6], _ETHERNET, _IPV6, _SOURCE6, 16)
        p.ldxb(R8, R6, _ETHERNET + _PROTOCOL6)
        p.mov(R9, _ETHERNET + _IPV6)
        p.ja("ports")
        p.label("ipv4")
        _address(p, tries[IPV4], _ETHERNET, _IPV4, _SOURCE4, 4)
        p.ldxb(R8, R6, _ETHERNET + _PROTOCOL4)
        p.ldxb(R9, R6, _ETHERNET)  # version and length in words
        p.and_(R9, 15)
        p.lsh(R9, 2)
        p.add(R9, _ETHERNET)
        p.label("ports")
        _ports(p, ports)
        for number, (label, action) in enumerate(
            (("pass", PASS), ("network", DROP), ("port", DROP))
        ):
            p.label(label)
            p.mov(R8, number)
            p.mov(R9, action)
            p.ja("count")
        p.label("count")
        p.stxw(R10, -4, R8)
        p.mov(R2, R10)
        p.add(R2, -4)
        p.lddw_map(R1, verdicts)
        p.call("bpf_map_lookup_elem")
        p.jeq(R0, 0, "out")
        p.ldxdw(R1, R0, 0)
        p.add(R1, 1)
        p.stxdw(R0, 0, R1)
        p.label("out")
        p.mov(R0, R9)
        p.exit()
    return b.build()


def _bounded(p: Code, length: int) -> None:
    """Pass what is shorter than that."""
    p.mov(R2, R6)
    p.add(R2, length)
    p.jgt(R2, R7, "pass")


def _address(p: Code, trie: MapSpec, at: int, length: int, source: int, size: int) -> None:
    """Look the source address up: a prefix length in host order, then the address as it came."""
    _bounded(p, at + length)
    key = -4 - size
    p.stw(R10, key, 8 * size)
    for word in range(0, size, 4):
        p.ldxw(R1, R6, at + source + word)
        p.stxw(R10, key + 4 + word, R1)
    p.mov(R2, R10)
    p.add(R2, key)
    p.lddw_map(R1, trie)
    p.call("bpf_map_lookup_elem")
    p.jne(R0, 0, "network")


def _ports(p: Code, ports: Iterable[Port]) -> None:
    """Compare the destination port with each that is blocked; R9 is where the header begins."""
    blocked = sorted({(PROTOCOLS[protocol], number) for protocol, number in ports})
    if not blocked:
        p.ja("pass")
        return
    p.mov(R3, R6)
    p.add(R3, R9)
    p.mov(R2, R3)
    p.add(R2, 4)
    p.jgt(R2, R7, "pass")
    p.ldxh(R1, R3, 2)
    p.be16(R1)
    for protocol, number in blocked:
        after = f"after_{protocol}_{number}"
        p.jne(R8, protocol, after)
        p.jeq(R1, number, "port")
        p.label(after)
    p.ja("pass")


spec = build([("udp", 4001), ("tcp", 23)])
