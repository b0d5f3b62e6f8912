"""The program in builder calls: the same instructions as lpm_trie.s, the address in a loop."""

from __future__ import annotations

from ebpfasm.dsl import R0, R1, R2, R3, R7, R8, R10, Builder, Code
from ebpfasm.isa.constants import CONSTANTS
from examples.frames import IPV4, IPV6

ETHERNET, HEADER4, HEADER6 = 14, 20, 40  # bytes of the headers
SOURCE4, SOURCE6 = ETHERNET + 12, ETHERNET + 8

builder = Builder(license="GPL")
prefixes4, prefixes6 = (
    builder.map(
        name, "lpm_trie", key=f"u8[{4 + size}]", value="u64", max_entries=1024,
        flags=CONSTANTS["BPF_F_NO_PREALLOC"],
    )
    for name, size in (("prefixes4", 4), ("prefixes6", 16))
)  # fmt: skip


def key(p: Code, source: int, size: int) -> None:
    """Put a key on the stack: a prefix length in host order, the address as it came."""
    for word in range(0, size, 4):
        p.ldxw(R1, R7, source + word)
        p.stxw(R10, word - size, R1)
    p.mov32(R1, 8 * size)
    p.stxw(R10, -size - 4, R1)
    p.mov(R2, R10)
    p.add(R2, -size - 4)


with builder.program("count", section="xdp") as p:
    p.ldxw(R7, R1, "xdp_md.data")
    p.ldxw(R8, R1, "xdp_md.data_end")
    p.mov(R2, R7)
    p.add(R2, ETHERNET + HEADER4)
    p.jgt(R2, R8, "out")
    p.ldxh(R3, R7, 12)
    p.be16(R3)
    p.jeq32(R3, IPV6, "ipv6")
    p.jne32(R3, IPV4, "out")
    key(p, SOURCE4, 4)
    p.lddw_map(R1, prefixes4)
    p.ja("search")
    p.label("ipv6")
    p.add(R2, HEADER6 - HEADER4)
    p.jgt(R2, R8, "out")
    key(p, SOURCE6, 16)
    p.lddw_map(R1, prefixes6)
    p.label("search")
    p.call("bpf_map_lookup_elem")
    p.jeq(R0, 0, "out")
    p.mov(R1, 1)
    p.atomic_add64(R0, 0, R1)
    p.label("out")
    p.mov32(R0, CONSTANTS["XDP_PASS"])
    p.exit()

spec = builder.build()
