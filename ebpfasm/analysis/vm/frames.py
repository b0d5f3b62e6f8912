"""Ethernet frames for tests, with right lengths and checksums, from a few words each.

>>> frame = udp("10.0.0.1", "10.0.0.2", dport=53, payload=b"hello")
>>> len(frame), frame[12:14].hex()
(47, '0800')
>>> tcp("fd00::1", "fd00::2", flags="SA", vlan=7)[12:18].hex()
'8100000786dd'
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from ebpfasm.errors import VmError, error

__all__ = ["arp", "checksum", "ethernet", "icmp", "ipv4", "ipv6", "tcp", "udp"]

SOURCE, DESTINATION = "02:00:00:00:00:02", "02:00:00:00:00:01"
IPV4, IPV6, ARP, VLAN = 0x0800, 0x86DD, 0x0806, 0x8100  # EtherTypes
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58  # IP protocols
_FLAGS = "FSRPAUEC"  # of TCP, from the lowest bit


def checksum(content: bytes) -> int:
    """The internet checksum (RFC 1071) of bytes."""
    padded = content + bytes(len(content) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def ethernet(
    payload: bytes = b"",
    ethertype: int = IPV4,
    *,
    src: str = SOURCE,
    dst: str = DESTINATION,
    vlan: int | None = None,
) -> bytes:
    """A frame of any EtherType. Raises VmError for addresses that are none, as all here do."""
    tag = b"" if vlan is None else struct.pack("!HH", VLAN, _fit(vlan, 16, "vlan"))
    head = _mac(dst) + _mac(src) + tag + struct.pack("!H", _fit(ethertype, 16, "ethertype"))
    return head + payload


def ipv4(
    src: str, dst: str, payload: bytes = b"", *, protocol: int = UDP, ttl: int = 64,
    vlan: int | None = None,
) -> bytes:  # fmt: skip
    """A frame with an IPv4 packet (RFC 791) without options."""
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, _fit(20 + len(payload), 16, "the packet's length"), 1, 0,
        _fit(ttl, 8, "ttl"), _fit(protocol, 8, "protocol"), 0, _ip(src, 4), _ip(dst, 4),
    )  # fmt: skip
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return ethernet(head + payload, IPV4, vlan=vlan)


def ipv6(
    src: str, dst: str, payload: bytes = b"", *, protocol: int = UDP, ttl: int = 64,
    vlan: int | None = None,
) -> bytes:  # fmt: skip
    """A frame with an IPv6 packet (RFC 8200) without extensions; `ttl` is the hop limit."""
    head = struct.pack(
        "!IHBB16s16s", 6 << 28, _fit(len(payload), 16, "the packet's length"),
        _fit(protocol, 8, "protocol"), _fit(ttl, 8, "ttl"), _ip(src, 6), _ip(dst, 6),
    )  # fmt: skip
    return ethernet(head + payload, IPV6, vlan=vlan)


def udp(
    src: str = "10.0.0.2", dst: str = "10.0.0.1", *, sport: int = 4000, dport: int = 4001,
    payload: bytes = b"", ttl: int = 64, vlan: int | None = None,
) -> bytes:  # fmt: skip
    """A frame with a UDP datagram (RFC 768), over IPv4 or IPv6 as the addresses are."""
    length = _fit(8 + len(payload), 16, "the datagram's length")
    head = struct.pack("!HHH", _fit(sport, 16, "sport"), _fit(dport, 16, "dport"), length)
    # A checksum of 0 would say that there is none.
    total = checksum(_pseudo(src, dst, UDP, length) + head + payload) or 0xFFFF
    content = head + struct.pack("!H", total) + payload
    return _over_ip(src, dst, content, UDP, ttl, vlan)


def tcp(
    src: str = "10.0.0.2", dst: str = "10.0.0.1", *, sport: int = 4000, dport: int = 4001,
    flags: str = "S", seq: int = 0, ack: int = 0, window: int = 8192, payload: bytes = b"",
    ttl: int = 64, vlan: int | None = None,
) -> bytes:  # fmt: skip
    """A frame with a TCP segment (RFC 9293) without options; `flags` are letters: "SA".

    Raises VmError (vm-input) for other letters, and numbers that do not fit their fields.
    """
    unknown = set(flags) - set(_FLAGS)
    if unknown:
        raise VmError(error("vm-input", f"TCP has no flags {flags!r}: write letters of {_FLAGS}"))
    bits = sum(1 << _FLAGS.index(each) for each in set(flags))
    head = struct.pack(
        "!HHIIBBH", _fit(sport, 16, "sport"), _fit(dport, 16, "dport"), _fit(seq, 32, "seq"),
        _fit(ack, 32, "ack"), 5 << 4, bits, _fit(window, 16, "window"),
    )  # fmt: skip
    length = 20 + len(payload)
    total = checksum(_pseudo(src, dst, TCP, length) + head + bytes(4) + payload)
    content = head + struct.pack("!HH", total, 0) + payload
    return _over_ip(src, dst, content, TCP, ttl, vlan)


def icmp(
    src: str = "10.0.0.2", dst: str = "10.0.0.1", *, type: int | None = None, code: int = 0,
    id: int = 1, seq: int = 1, payload: bytes = b"", ttl: int = 64, vlan: int | None = None,
) -> bytes:  # fmt: skip
    """A frame with an ICMP message (RFC 792, RFC 4443): an echo request if no type is given."""
    version = _version(src)
    number = type if type is not None else {4: 8, 6: 128}[version]
    kind = struct.pack("!BB", _fit(number, 8, "type"), _fit(code, 8, "code"))
    rest = struct.pack("!HH", _fit(id, 16, "id"), _fit(seq, 16, "seq")) + payload
    protocol = ICMP if version == 4 else ICMPV6
    before = _pseudo(src, dst, ICMPV6, 4 + len(rest)) if version == 6 else b""
    total = struct.pack("!H", checksum(before + kind + bytes(2) + rest))
    return _over_ip(src, dst, kind + total + rest, protocol, ttl, vlan)


def arp(src: str = "10.0.0.2", dst: str = "10.0.0.1", *, vlan: int | None = None) -> bytes:
    """A frame that asks everyone who has `dst` (RFC 826)."""
    content = struct.pack("!HHBBH", 1, IPV4, 6, 4, 1) + _mac(SOURCE) + _ip(src, 4)
    everyone = "ff:ff:ff:ff:ff:ff"
    return ethernet(content + bytes(6) + _ip(dst, 4), ARP, dst=everyone, vlan=vlan)


def _over_ip(
    src: str, dst: str, content: bytes, protocol: int, ttl: int, vlan: int | None
) -> bytes:
    packet = ipv4 if _version(src) == 4 else ipv6
    return packet(src, dst, content, protocol=protocol, ttl=ttl, vlan=vlan)


def _pseudo(src: str, dst: str, protocol: int, length: int) -> bytes:
    """What checksums cover besides the content (RFC 9293 3.1, RFC 8200 8.1)."""
    version = _version(src)
    shape = "!xBH" if version == 4 else "!I3xB"
    numbers = (protocol, length) if version == 4 else (length, protocol)
    return _ip(src, version) + _ip(dst, version) + struct.pack(shape, *numbers)


def _version(text: str) -> int:
    return _parsed(text).version


def _ip(text: str, version: int) -> bytes:
    address = _parsed(text)
    if address.version != version:
        raise VmError(error("vm-input", f"{text!r} is no IPv{version} address"))
    return address.packed


def _parsed(text: str) -> IPv4Address | IPv6Address:
    try:
        return ip_address(text)
    except ValueError:
        raise VmError(error("vm-input", f"{text!r} is no IP address")) from None


def _mac(text: str) -> bytes:
    try:
        content = bytes.fromhex(text.replace(":", ""))
    except ValueError:
        content = b""
    if len(content) != 6:
        raise VmError(error("vm-input", f"{text!r} is no Ethernet address"))
    return content


def _fit(number: int, bits: int, what: str) -> int:
    if not 0 <= number < 1 << bits:
        raise VmError(error("vm-input", f"{what} is {number}; it has {bits} bits"))
    return number
