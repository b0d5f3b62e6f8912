"""Frames for examples to send: Ethernet, VLAN, IPv4, IPv6, UDP, TCP, ICMP."""

from __future__ import annotations

import ipaddress
import struct

IPV4, ARP, IPV6, VLAN = 0x0800, 0x0806, 0x86DD, 0x8100
ICMP, TCP, UDP = 1, 6, 17

_MACS = bytes.fromhex("020000000001 020000000002")


def ethernet(kind: int, payload: bytes, *, vlan: int | None = None) -> bytes:
    """A frame with an EtherType, behind a VLAN tag where one is given."""
    tag = struct.pack("!HH", VLAN, vlan) if vlan is not None else b""
    return _MACS + tag + struct.pack("!H", kind) + payload


def ipv4(protocol: int, payload: bytes, src: str = "10.0.0.2", dst: str = "10.0.0.1") -> bytes:
    """An IPv4 packet without options."""
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, protocol, 0,
        ipaddress.IPv4Address(src).packed, ipaddress.IPv4Address(dst).packed,
    )  # fmt: skip
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ipv6(protocol: int, payload: bytes, src: str = "fd00::2", dst: str = "fd00::1") -> bytes:
    """An IPv6 packet without extension headers."""
    addresses = ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + addresses + payload


def udp(port: int, payload: bytes = b"0123456789") -> bytes:
    """A UDP datagram; its checksum is left out, as IPv4 allows."""
    return struct.pack("!HHHH", 40000, port, 8 + len(payload), 0) + payload


def tcp(port: int, payload: bytes = b"") -> bytes:
    """A TCP segment that asks for a connection."""
    return struct.pack("!HHIIBBHHH", 40000, port, 1, 0, 5 << 4, 2, 65535, 0, 0) + payload


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    data += b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
