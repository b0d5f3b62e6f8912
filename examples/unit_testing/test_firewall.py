"""Unit tests of firewall.s: each runs in the virtual machine, and in the kernel where it may."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest

from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.running.anywhere import AnyCollection

DROP, PASS = CONSTANTS["XDP_DROP"], CONSTANTS["XDP_PASS"]


@pytest.fixture
def firewall(ebpf_collection: Callable[..., AnyCollection]) -> AnyCollection:
    """The program, with port 23 blocked."""
    opened = ebpf_collection("firewall.s")
    opened.maps["blocked"][23] = 0
    return opened


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_a_blocked_port_is_dropped_and_counted(
    firewall: AnyCollection, ebpf_packets: ModuleType, protocol: str
) -> None:
    frame = getattr(ebpf_packets, protocol)(dport=23)
    result = firewall.run("firewall", frame)
    assert (result.retval, result.changes) == (DROP, {"blocked": {23: 1}})
    firewall.run("firewall", frame)
    assert firewall.maps["blocked"][23] == 2


def test_other_ports_pass_as_they_came(firewall: AnyCollection, ebpf_packets: ModuleType) -> None:
    frame = ebpf_packets.tcp(dport=443, payload=b"hello")
    result = firewall.run("firewall", frame)
    assert (result.retval, result.data_out, result.changes) == (PASS, frame, {})


def test_only_ports_over_ipv4_are_looked_at(
    firewall: AnyCollection, ebpf_packets: ModuleType
) -> None:
    frames = [
        ebpf_packets.tcp("fd00::1", "fd00::2", dport=23),
        ebpf_packets.icmp(payload=bytes(20)),
        ebpf_packets.arp(),
    ]
    assert firewall.programs["firewall"].verdicts(frames) == [PASS, PASS, PASS]
    assert firewall.maps["blocked"].snapshot() == {23: 0}
