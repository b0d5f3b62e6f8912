"""Answers to ARP and ICMP echo requests, in place: what makes an address without a stack alive."""

from __future__ import annotations

import fcntl
import socket
import struct
from typing import Literal

from ebpfasm.runtime.attach.interfaces import interface

Answered = Literal["arp", "icmp"]

_ETHERNET, _IPV4, _ARP = 14, b"\x08\x00", b"\x08\x06"
_BROADCAST = b"\xff" * 6
_ARP_REQUEST = bytes.fromhex("0001 0800 06 04 0001")  # Ethernet, IPv4, their lengths, request
_ICMP, _ECHO = 1, b"\x08\x00"  # protocol; type and code
_SOURCE_ROUTES = frozenset({131, 137})  # options that an answer would have to turn round
_SIOCGIFHWADDR = 0x8927


def hardware_address(iface: str | int) -> bytes:
    """The interface's MAC address. Raises LoadError where there is no such interface."""
    _, name = interface(iface)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        answer = fcntl.ioctl(asking, _SIOCGIFHWADDR, struct.pack("40s", name.encode()))
    return answer[18:24]


def answer(data: memoryview, mac: bytes, ip: bytes) -> Answered | None:
    """Turn a request for an address into its answer; None, and nothing changed, for all else.

    ARP requests for `ip` and ICMP echo requests to it are answered: whole ones with right
    checksums, of any length, with or without IP options. Other ICMP types, fragments, source
    routes, and frames for other hardware addresses are not.
    """
    if len(data) < _ETHERNET + 28 or data[6] & 1:
        return None
    kind, to = bytes(data[12:14]), bytes(data[:6])
    if kind == _ARP and to in (mac, _BROADCAST):
        return _answer_arp(data, mac, ip)
    if kind == _IPV4 and to == mac:
        return _answer_echo(data, mac, ip)
    return None


def _answer_arp(data: memoryview, mac: bytes, ip: bytes) -> Answered | None:
    if data[14:22] != _ARP_REQUEST or data[38:42] != ip:
        return None
    asker = bytes(data[22:32])
    data[:12] = asker[:6] + mac
    data[20:42] = b"\0\2" + mac + ip + asker
    return "arp"


def _answer_echo(data: memoryview, mac: bytes, ip: bytes) -> Answered | None:
    header = (data[14] & 15) * 4
    total = int.from_bytes(data[16:18], "big")
    icmp, end = _ETHERNET + header, _ETHERNET + total
    if data[14] >> 4 != 4 or header < 20 or total < header + 8 or end > len(data):
        return None
    is_fragment = (data[20] & 0x3F) | data[21]
    if is_fragment or data[23] != _ICMP or data[30:34] != ip or data[icmp : icmp + 2] != _ECHO:
        return None
    if _has_source_route(data[34:icmp]) or _sum(data[14:icmp]) or _sum(data[icmp:end]):
        return None
    data[:12] = bytes(data[6:12]) + mac
    data[26:34] = ip + bytes(data[26:30])  # the header's sum stays what it was
    data[icmp] = 0
    # RFC 1624: the new sum without a look at the data, odd lengths included. Never 0, which would
    # be wrong for a message of zeros, where 0xffff is right for all.
    added = int.from_bytes(data[icmp + 2 : icmp + 4], "big") + 0x0800
    data[icmp + 2 : icmp + 4] = ((added & 0xFFFF) + (added >> 16)).to_bytes(2, "big")
    return "icmp"


def _has_source_route(options: memoryview) -> bool:
    at = 0
    while at < len(options):
        kind = options[at]
        if kind in _SOURCE_ROUTES:
            return True
        if kind == 0:
            return False
        if kind == 1:
            at += 1
        elif at + 1 < len(options) and options[at + 1] >= 2:
            at += options[at + 1]
        else:
            return True  # damaged: no answer either
    return False


def _sum(part: memoryview) -> int:
    """The Internet checksum of bytes that include theirs: 0 where it is right."""
    words = bytes(part) + b"\0" * (len(part) % 2)
    # The sum of 16-bit words with end-around carry is the number they make, modulo 65535.
    return int.from_bytes(words, "big") % 0xFFFF
