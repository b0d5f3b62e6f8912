"""Counters per protocol and port: what bpf_to_bpf and tailcall show."""

from __future__ import annotations

import argparse
import struct
from collections.abc import Mapping
from typing import Any

from ebpfasm import Program
from examples import stage
from examples.frames import ICMP, IPV4, IPV6, TCP, UDP, ethernet, ipv4, ipv6, tcp, udp

MAPS = {"ip_proto_stats": "protocol", "udp_stats": "UDP port", "tcp_stats": "TCP port"}

# Each round of traffic: 5 datagrams of 10 bytes to UDP 5353, 3 over IPv6 to 6000, one in a VLAN,
# two TCP connections to 80, an ICMP message and an ARP request.
TRAFFIC = (
    *[ethernet(IPV4, ipv4(UDP, udp(5353)))] * 5,
    *[ethernet(IPV6, ipv6(UDP, udp(6000)))] * 3,
    ethernet(IPV4, ipv4(UDP, udp(7000)), vlan=5),
    *[ethernet(IPV4, ipv4(TCP, tcp(80)))] * 2,
    ethernet(IPV4, ipv4(ICMP, bytes(8))),
    ethernet(0x0806, bytes(28)),
)


def totals(map: Mapping[int, Any]) -> dict[int, tuple[int, int]]:
    """Packets and bytes by key, summed over the CPUs."""
    found = {}
    for key, each in sorted(map.items()):
        pairs = [pair(one) for one in each]
        found[key] = (sum(pkts for pkts, _ in pairs), sum(size for _, size in pairs))
    return found


def _counted(maps: Mapping[str, Mapping[int, Any]]) -> int:
    return sum(pkts for pkts, _ in totals(maps["ip_proto_stats"]).values())


def pair(value: Any) -> tuple[int, int]:
    """A counter's packets and bytes: a struct from C, and bytes where nothing tells the type."""
    if isinstance(value, bytes):
        value = struct.unpack("=QQ", value)
    pkts, size = value.values() if isinstance(value, dict) else value
    return pkts, size


def lines(maps: Mapping[str, Mapping[int, Any]]) -> list[str]:
    """One line for each protocol and port."""
    return [
        f"  {what} {key}: pkts {pkts:,}, bytes {size:,}"
        for name, what in MAPS.items()
        for key, (pkts, size) in totals(maps[name]).items()
    ]


def as_json(maps: Mapping[str, Mapping[int, Any]]) -> dict[str, dict[int, tuple[int, int]]]:
    """The same by the maps' names."""
    return {name: totals(maps[name]) for name in MAPS}


def watch(
    options: argparse.Namespace, program: Program, maps: Mapping[str, Mapping[int, Any]]
) -> None:
    """Attach the program, send the traffic, and show the counters until it is time to stop."""
    with stage.attached(options, program) as here:
        here.play(*TRAFFIC)
        for seconds in here.seconds():
            shown = "\n".join((f"{seconds:4.0f} s", *lines(maps)))
            stage.say(options, shown, **as_json(maps))
        # All but the ARP request of each round are counted.
        here.finish(lambda: _counted(maps) * len(TRAFFIC) // (len(TRAFFIC) - 1))
    stage.say(options, "\n".join(lines(maps)), sent=here.sent, **as_json(maps))
