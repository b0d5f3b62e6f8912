"""Frames for tests: scapy reads them, and finds right lengths and checksums."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest

from ebpfasm.analysis.vm import frames
from ebpfasm.errors import VmError


def rebuilt(frame: bytes) -> bytes:
    """The frame that scapy writes of what it reads, when it computes sums and lengths itself."""
    read = import_module("scapy.layers.all").Ether(frame)
    layer = read
    while layer:
        for name in {"chksum", "cksum", "len", "plen"} & set(layer.fields):
            layer.delfieldval(name)
        layer = layer.payload
    return bytes(read)


@pytest.mark.parametrize(
    "frame",
    [
        frames.udp(),
        frames.udp("10.1.2.3", "192.0.2.1", sport=1, dport=65535, payload=b"odd"),
        frames.udp("fd00::1", "fd00::2", payload=b"six", vlan=5),
        frames.tcp(flags="SA", seq=7, ack=9, payload=b"hello"),
        frames.tcp("fd00::1", "fd00::2", flags="FPUEC", ttl=1),
        frames.icmp(payload=bytes(range(56))),
        frames.icmp("fd00::1", "fd00::2", payload=b"ping"),
        frames.ipv4("10.0.0.1", "10.0.0.2", b"raw", protocol=253),
        frames.ipv6("fd00::1", "fd00::2", b"raw", protocol=253, vlan=4095),
        frames.arp(),
    ],
)
def test_scapy_computes_the_same_sums_and_lengths(frame: bytes) -> None:
    assert rebuilt(frame) == frame


def test_scapy_reads_what_was_asked_for() -> None:
    layers = import_module("scapy.layers.all")
    frame = layers.Ether(frames.tcp("10.9.8.7", "1.2.3.4", sport=22, dport=23, flags="SA", vlan=9))
    assert (frame["Dot1Q"].vlan, frame["IP"].src, frame["IP"].dst) == (9, "10.9.8.7", "1.2.3.4")
    assert (frame["TCP"].sport, frame["TCP"].dport, str(frame["TCP"].flags)) == (22, 23, "SA")
    asked = layers.Ether(frames.arp("10.0.0.5", "10.0.0.6"))["ARP"]
    assert (asked.op, asked.psrc, asked.pdst) == (1, "10.0.0.5", "10.0.0.6")


def test_a_sum_of_zero_is_written_as_ones() -> None:
    sums = {
        bytes(frames.udp(payload=number.to_bytes(2, "big"))[40:42]) for number in range(1 << 16)
    }
    assert bytes(2) not in sums
    assert b"\xff\xff" in sums


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: frames.udp("10.0.0.256"), "'10.0.0.256' is no IP address"),
        (lambda: frames.udp("10.0.0.1", "fd00::1"), "'fd00::1' is no IPv4 address"),
        (lambda: frames.udp(dport=65536), "dport is 65536; it has 16 bits"),
        (lambda: frames.tcp(flags="SX"), "TCP has no flags 'SX': write letters of FSRPAUEC"),
        (lambda: frames.ethernet(src="02:00"), "'02:00' is no Ethernet address"),
        (
            lambda: frames.udp(payload=bytes(65530)),
            "the datagram's length is 65538; it has 16 bits",
        ),
    ],
)
def test_what_does_not_fit_is_told(make: Any, message: str) -> None:
    with pytest.raises(VmError) as raised:
        make()
    assert str(raised.value) == f"error[vm-input]: {message}"
