"""Programs that call helpers. Each runs in the kernel and in both engines, with one outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

IPV4 = bytes.fromhex(
    "020000000001 020000000002 0800"
    "4500002e 00010000 40112b3b 0a000002 0a000001"
    "0fa00fa1 001a1234 00112233445566778899aabbccddeeff0011"
)


@dataclass(frozen=True)
class Case:
    """A program's text, the packet it gets, and what its maps hold at first."""

    name: str
    text: str
    data: bytes = IPV4
    type: str = "xdp"
    maps: dict[str, dict[Any, Any]] = field(default_factory=dict)
    ctx: dict[str, int] | None = None


def xdp(name: str, body: str, **more: Any) -> Case:
    """An XDP program with r6 = context, r7 = data, r8 = data_end."""
    head = "r6 = r1; r7 = *(u32 *)(r1 + 0); r8 = *(u32 *)(r1 + 4)"
    return Case(name, f'.license "GPL"\n{{maps}}\n.section xdp\nmain:\n{head}\n{body}', **more)


def tc(name: str, body: str, **more: Any) -> Case:
    """A classifier with r6 = context."""
    text = f'.license "GPL"\n{{maps}}\n.section tc\nmain:\nr6 = r1\n{body}'
    return Case(name, text, type="sched_cls", **more)


def socket(name: str, body: str) -> Case:
    """A socket filter with r6 = context."""
    text = f'.license "GPL"\n.section socket\nmain:\nr6 = r1\n{body}'
    return Case(name, text, type="socket_filter")


_HASH = ".map h, hash, key=u32, value=u64, max_entries=2"
_ARRAY = ".map a, array, key=u32, value=u64, max_entries=4"


def with_maps(case: Case, *maps: str) -> Case:
    """The case with map definitions."""
    text = case.text.replace("{maps}", "\n".join(maps))
    return Case(case.name, text, case.data, case.type, case.maps, case.ctx)


def _update(flags: int, key: int, value: int, name: str = "h") -> str:
    return f"""
    *(u32 *)(r10 - 4) = {key}
    *(u64 *)(r10 - 16) = {value}
    r1 = {name} ll; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = {flags}
    call bpf_map_update_elem
    """


def _delete(key: int) -> str:
    return f"*(u32 *)(r10 - 4) = {key}; r1 = h ll; r2 = r10; r2 += -4; call bpf_map_delete_elem\n"


_RETURN_R9 = "r0 = r9; exit"

CASES = [
    with_maps(xdp("update any", _update(0, 1, 7) + "exit"), _HASH),
    with_maps(xdp("update no such", _update(2, 1, 7) + "exit"), _HASH),
    with_maps(xdp("update there", _update(1, 1, 7) + "exit", maps={"h": {1: 3}}), _HASH),
    with_maps(xdp("update full", _update(0, 9, 7) + "exit", maps={"h": {1: 3, 2: 4}}), _HASH),
    with_maps(xdp("update bad flags", _update(7, 9, 7) + "exit"), _HASH),
    with_maps(xdp("delete", _delete(1) + "exit", maps={"h": {1: 3, 2: 4}}), _HASH),
    with_maps(xdp("delete none", _delete(5) + "exit", maps={"h": {1: 3}}), _HASH),
    with_maps(xdp("array update", _update(0, 1, 7, "a") + "exit"), _ARRAY),
    with_maps(xdp("array past its end", _update(0, 4, 7, "a") + "exit"), _ARRAY),
    with_maps(xdp("array noexist", _update(1, 3, 7, "a") + "exit"), _ARRAY),
    with_maps(
        xdp(
            "queue",
            """
            *(u64 *)(r10 - 8) = 5
            r1 = q ll; r2 = r10; r2 += -8; r3 = 0
            call bpf_map_push_elem
            r9 = r0
            *(u64 *)(r10 - 8) = 6
            r1 = q ll; r2 = r10; r2 += -8; r3 = 0
            call bpf_map_push_elem
            *(u64 *)(r10 - 8) = 7
            r1 = q ll; r2 = r10; r2 += -8; r3 = 0
            call bpf_map_push_elem
            r9 -= r0
            r1 = q ll; r2 = r10; r2 += -8
            call bpf_map_pop_elem
            r1 = *(u64 *)(r10 - 8)
            r9 *= 100; r9 += r1
            r1 = q ll; r2 = r10; r2 += -8
            call bpf_map_peek_elem
            r1 = *(u64 *)(r10 - 8)
            r9 *= 100; r9 += r1
            """
            + _RETURN_R9,
        ),
        ".map q, queue, key_size=0, value=u64, max_entries=2",
    ),
    with_maps(
        xdp(
            "longest prefix",
            """
            *(u32 *)(r10 - 8) = 32
            *(u32 *)(r10 - 4) = 0x0102000a
            r1 = t ll; r2 = r10; r2 += -8
            call bpf_map_lookup_elem
            if r0 == 0 goto none
            r0 = *(u64 *)(r0 + 0)
            none: exit
            """,
            maps={
                "t": {
                    bytes.fromhex("080000000a000000"): 8,
                    bytes.fromhex("100000000a000000"): 16,
                    bytes.fromhex("180000000a000200"): 24,
                    bytes.fromhex("200000000a000202"): 32,
                }
            },
        ),
        ".map t, lpm_trie, key_size=8, value=u64, max_entries=8, flags=1",
    ),
    with_maps(
        xdp(
            "loop over callback",
            """
            *(u64 *)(r10 - 8) = 0
            r1 = 10; r2 = each ll; r3 = r10; r3 += -8; r4 = 0
            call bpf_loop
            r9 = r0; r9 *= 1000
            r1 = *(u64 *)(r10 - 8); r9 += r1
            r0 = r9
            exit
            .text
            each:
            r3 = *(u64 *)(r2 + 0); r3 += r1; *(u64 *)(r2 + 0) = r3
            r0 = 0
            if r1 != 6 goto on
            r0 = 1
            on: exit
            """,
        )
    ),
    with_maps(
        xdp(
            "for each element",
            """
            *(u64 *)(r10 - 8) = 0
            r1 = a ll; r2 = each ll; r3 = r10; r3 += -8; r4 = 0
            call bpf_for_each_map_elem
            r9 = r0; r9 *= 1000
            r1 = *(u64 *)(r10 - 8); r9 += r1
            r0 = r9
            exit
            .text
            each:
            r5 = *(u64 *)(r3 + 0); r1 = *(u64 *)(r4 + 0); r1 += r5; *(u64 *)(r4 + 0) = r1
            r0 = 0
            exit
            """,
            maps={"a": {0: 3, 2: 9}},
        ),
        _ARRAY,
    ),
    xdp("adjust head out", "r1 = r6; r2 = -14; call bpf_xdp_adjust_head; exit"),
    xdp("adjust head in", "r1 = r6; r2 = 20; call bpf_xdp_adjust_head; exit"),
    xdp("adjust head too far out", "r1 = r6; r2 = -250; call bpf_xdp_adjust_head; exit"),
    xdp("adjust head too far in", "r1 = r6; r2 = 60; call bpf_xdp_adjust_head; exit"),
    xdp("adjust tail shorter", "r1 = r6; r2 = -20; call bpf_xdp_adjust_tail; exit"),
    xdp("adjust tail longer", "r1 = r6; r2 = 300; call bpf_xdp_adjust_tail; exit"),
    xdp("adjust tail too long", "r1 = r6; r2 = 3500; call bpf_xdp_adjust_tail; exit"),
    xdp("adjust tail too short", "r1 = r6; r2 = -50; call bpf_xdp_adjust_tail; exit"),
    xdp("adjust meta", "r1 = r6; r2 = -8; call bpf_xdp_adjust_meta; exit"),
    xdp("adjust meta by 3", "r1 = r6; r2 = -3; call bpf_xdp_adjust_meta; exit"),
    xdp("length", "r1 = r6; call bpf_xdp_get_buff_len; exit"),
    xdp(
        "load and store bytes",
        """
        *(u64 *)(r10 - 8) = 0
        r1 = r6; r2 = 14; r3 = r10; r3 += -8; r4 = 8
        call bpf_xdp_load_bytes
        r9 = r0
        r1 = r6; r2 = 40; r3 = r10; r3 += -8; r4 = 8
        call bpf_xdp_store_bytes
        r9 += r0
        r1 = r6; r2 = 58; r3 = r10; r3 += -8; r4 = 8
        call bpf_xdp_load_bytes
        r9 += r0
        """
        + _RETURN_R9,
    ),
    xdp("redirect", "r1 = 5; r2 = 0; call bpf_redirect; exit"),
    xdp("redirect with flags", "r1 = 5; r2 = 1; call bpf_redirect; exit"),
    xdp(
        "checksum difference",
        """
        *(u64 *)(r10 - 8) = 0x12345678
        *(u64 *)(r10 - 16) = 0x77775555
        r1 = r10; r1 += -8; r2 = 8; r3 = r10; r3 += -16; r4 = 8; r5 = 0x1234
        call bpf_csum_diff
        exit
        """,
    ),
    xdp(
        "checksum of new bytes",
        """
        *(u64 *)(r10 - 8) = 0x7fffffff
        r1 = 0; r2 = 0; r3 = r10; r3 += -8; r4 = 4; r5 = 0xffff
        call bpf_csum_diff
        exit
        """,
    ),
    xdp(
        "string to number",
        """
        r1 = 0x0030302d20 ll; *(u64 *)(r10 - 16) = r1
        *(u64 *)(r10 - 8) = 0
        r1 = r10; r1 += -16; r2 = 6; r3 = 10; r4 = r10; r4 += -8
        call bpf_strtol
        r9 = r0
        r1 = 0x007a66317830 ll; *(u64 *)(r10 - 16) = r1
        r1 = r10; r1 += -16; r2 = 6; r3 = 0; r4 = r10; r4 += -8
        call bpf_strtoul
        r9 *= 100; r9 += r0
        r1 = *(u64 *)(r10 - 8); r9 *= 1000; r9 += r1
        """
        + _RETURN_R9,
    ),
    tc(
        "skb load and store",
        """
        *(u64 *)(r10 - 8) = 0
        r1 = r6; r2 = 14; r3 = r10; r3 += -8; r4 = 8
        call bpf_skb_load_bytes
        r9 = r0
        r1 = r6; r2 = 40; r3 = r10; r3 += -8; r4 = 8; r5 = 0
        call bpf_skb_store_bytes
        r9 += r0
        r1 = r6; r2 = 70; r3 = r10; r3 += -8; r4 = 8
        call bpf_skb_load_bytes
        r9 += r0
        r1 = *(u64 *)(r10 - 8); r9 += r1
        """
        + _RETURN_R9,
    ),
    tc("change tail shorter", "r1 = r6; r2 = 40; r3 = 0; call bpf_skb_change_tail; exit"),
    tc("change tail longer", "r1 = r6; r2 = 900; r3 = 0; call bpf_skb_change_tail; exit"),
    tc("change tail too short", "r1 = r6; r2 = 10; r3 = 0; call bpf_skb_change_tail; exit"),
    tc("change head", "r1 = r6; r2 = 16; r3 = 0; call bpf_skb_change_head; exit"),
    tc("adjust room grow", "r1 = r6; r2 = 20; r3 = 1; r4 = 0; call bpf_skb_adjust_room; exit"),
    tc("adjust room net", "r1 = r6; r2 = 8; r3 = 0; r4 = 0; call bpf_skb_adjust_room; exit"),
    tc("adjust room shrink", "r1 = r6; r2 = -8; r3 = 1; r4 = 0; call bpf_skb_adjust_room; exit"),
    tc("adjust room too far", "r1 = r6; r2 = -60; r3 = 1; r4 = 0; call bpf_skb_adjust_room; exit"),
    tc(
        "adjust room of ARP",
        "r1 = r6; r2 = 4; r3 = 0; r4 = 0; call bpf_skb_adjust_room; exit",
        data=bytes(12) + b"\x08\x06" + bytes(46),
    ),
    tc("update checksum", "r1 = r6; r2 = 5; call bpf_csum_update; exit"),
    tc("checksum level", "r1 = r6; r2 = 0; call bpf_csum_level; exit"),
    tc("pull", "r1 = r6; r2 = 90; call bpf_skb_pull_data; exit"),
    tc("pull all", "r1 = r6; r2 = 0; call bpf_skb_pull_data; exit"),
    tc("change type", "r1 = r6; r2 = 3; call bpf_skb_change_type; exit"),
    tc("change type badly", "r1 = r6; r2 = 9; call bpf_skb_change_type; exit"),
    tc("change head too far", "r1 = r6; r2 = 70000; r3 = 0; call bpf_skb_change_head; exit"),
    tc(
        "vlan pop",
        """
        r1 = r6; call bpf_skb_vlan_pop
        r1 = *(u32 *)(r6 + 0); r0 += r1; r1 = *(u32 *)(r6 + 16); r0 += r1
        exit
        """,
        data=bytes(12) + bytes.fromhex("8100 0005 0800 4500") + bytes(60),
    ),
    tc(
        "bytes from the network header",
        """
        *(u64 *)(r10 - 8) = 0
        r1 = r6; r2 = 9; r3 = r10; r3 += -8; r4 = 1; r5 = 1
        call bpf_skb_load_bytes_relative
        r9 = r0
        r1 = r6; r2 = 12; r3 = r10; r3 += -6; r4 = 2; r5 = 0
        call bpf_skb_load_bytes_relative
        r9 += r0; r1 = *(u64 *)(r10 - 8); r9 += r1
        """
        + _RETURN_R9,
    ),
    with_maps(
        tc(
            "values for each processor",
            """
            *(u32 *)(r10 - 4) = 1; *(u64 *)(r10 - 16) = 7
            r1 = p ll; r2 = r10; r2 += -4; r3 = r10; r3 += -16; r4 = 0
            call bpf_map_update_elem
            r9 = r0
            r1 = p ll; r2 = r10; r2 += -4
            call bpf_map_lookup_elem
            if r0 == 0 goto none
            r1 = *(u64 *)(r0 + 0); r9 += r1
            none:
            """
            + _RETURN_R9,
        ),
        ".map p, percpu_array, key=u32, value=u64, max_entries=2",
    ),
    with_maps(
        tc(
            "filter",
            """
            *(u64 *)(r10 - 8) = 5
            r1 = b ll; r2 = r10; r2 += -8; r3 = 0; call bpf_map_push_elem
            r9 = r0
            r1 = b ll; r2 = r10; r2 += -8; call bpf_map_peek_elem
            r9 *= 100; r9 += r0
            *(u64 *)(r10 - 8) = 6
            r1 = b ll; r2 = r10; r2 += -8; call bpf_map_peek_elem
            r9 *= 100; r9 += r0
            """
            + _RETURN_R9,
        ),
        ".map b, bloom_filter, key_size=0, value=u64, max_entries=100",
    ),
    with_maps(
        tc(
            "empty stack",
            """
            *(u64 *)(r10 - 8) = 5
            r1 = s ll; r2 = r10; r2 += -8; call bpf_map_pop_elem
            r9 = r0; r9 *= 100; r1 = *(u64 *)(r10 - 8); r9 += r1
            """
            + _RETURN_R9,
        ),
        ".map s, stack, key_size=0, value=u64, max_entries=2",
    ),
    tc(
        "probe what is not there",
        """
        *(u64 *)(r10 - 8) = -1
        r1 = r10; r1 += -8; r2 = 4; r3 = 0; call bpf_probe_read_kernel
        r9 = r0; r1 = *(u64 *)(r10 - 8); r9 ^= r1
        """
        + _RETURN_R9,
    ),
    tc(
        "comparing strings",
        """
        r1 = 0x0063626100636261 ll; *(u64 *)(r10 - 8) = r1
        r1 = r10; r1 += -8; r2 = 4; r3 = fixed ll; call bpf_strncmp
        exit
        .section .rodata
        fixed: .asciz "abd"
        """,
    ),
    tc(
        "vlan push",
        "r1 = r6; r2 = 0x81; r3 = 5; call bpf_skb_vlan_push; r0 = *(u32 *)(r6 + 24); exit",
    ),
    tc(
        "vlan push twice",
        """
        r1 = r6; r2 = 0x81; r3 = 5; call bpf_skb_vlan_push
        r1 = r6; r2 = 0x81; r3 = 6; call bpf_skb_vlan_push
        r0 = *(u32 *)(r6 + 0)
        exit
        """,
    ),
    tc(
        "fix checksums",
        """
        r1 = r6; r2 = 24; r3 = 0x0100; r4 = 0x0203; r5 = 2
        call bpf_l3_csum_replace
        r9 = r0
        r1 = r6; r2 = 40; r3 = 0x01020304; r4 = 0x0a0b0c0d; r5 = 0x14
        call bpf_l4_csum_replace
        r9 += r0
        """
        + _RETURN_R9,
    ),
    tc("context fields", "r0 = *(u32 *)(r6 + 0); r1 = *(u32 *)(r6 + 16); r0 *= r1; exit"),
    tc(
        "write the context",
        "r1 = 7; *(u32 *)(r6 + 8) = r1; *(u32 *)(r6 + 48) = r1; r0 = 0; exit",
        ctx={"mark": 1},
    ),
    tc("interface", "r0 = *(u32 *)(r6 + 40); r1 = *(u32 *)(r6 + 36); r0 *= 10; r0 += r1; exit"),
    tc("packet loads", "r0 = *(u16 *)skb[12]; r9 = r0; r0 = *(u32 *)skb[26]; r0 += r9; exit"),
    tc("packet load outside", "r0 = *(u32 *)skb[58]; r0 = 5; exit"),
    tc("packet load behind", "r7 = 30; r0 = *(u8 *)skb[r7 + 4]; exit"),
    socket("socket filter", "r0 = *(u8 *)skb[9]; r1 = *(u32 *)(r6 + 0); r0 *= r1; exit"),
    socket("network header", "r0 = *(u8 *)skb[-0x100000]; exit"),
    socket("link header", "r0 = *(u16 *)skb[-0x1ffff4]; exit"),
    xdp("context fields of xdp", "r0 = *(u32 *)(r6 + 12); r1 = *(u32 *)(r6 + 16); r0 += r1; exit"),
]  # fmt: skip
