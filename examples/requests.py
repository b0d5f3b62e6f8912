"""Traffic for the AF_XDP examples, and a loop over what arrives until it is time to stop."""

from __future__ import annotations

import argparse
import re
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address

from ebpfasm.errors import EbpfError, error
from ebpfasm.runtime.xsk import Frame, XskMultiSocket, XskSocket
from examples import stage

ADDRESS = "10.11.0.1"
_ASKER = bytes.fromhex("02000000aa02")


def sender_parser(description: str) -> argparse.ArgumentParser:
    """The options of AF_XDP examples that only send: no XDP program is needed for that."""
    made = stage.bare_parser(description)
    made.add_argument("--iface", metavar="NAME", help="open here instead of on a scratch pair")
    stage.add_duration(made)
    return made


def parser(description: str) -> argparse.ArgumentParser:
    """The options of AF_XDP examples that receive."""
    made = sender_parser(description)
    made.add_argument(
        "--mode", choices=("auto", "native", "generic"), default="auto", help="the XDP mode"
    )
    return made


def address_of(text: str) -> bytes:
    """An IPv4 address's bytes. Raises EbpfError for what is none."""
    try:
        return IPv4Address(text).packed
    except ValueError as problem:
        hint = "write it as in 10.11.0.1"
        raise EbpfError(error("cli-usage", str(problem).lower(), hint=hint)) from None


def mac(text: str) -> bytes:
    """A hardware address's six bytes, from an option."""
    if not re.fullmatch(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}", text, re.IGNORECASE):
        raise argparse.ArgumentTypeError(f"{text} is no hardware address: write 02:00:00:00:aa:02")
    return bytes.fromhex(text.replace(":", ""))


def arp(ip: bytes) -> bytes:
    """A request for an address, from 10.11.0.2."""
    asker = _ASKER + bytes([10, 11, 0, 2])
    body = bytes.fromhex("0001080006040001") + asker + bytes(6) + ip
    return b"\xff" * 6 + _ASKER + b"\x08\x06" + body + bytes(18)


def ping(mac: bytes, ip: bytes, host: int = 2, size: int = 33) -> bytes:
    """An echo request from 10.11.0.`host`, with `size` bytes of data."""
    icmp = struct.pack(">BBHHH", 8, 0, 0, 7, 1) + bytes(i & 255 for i in range(size))
    icmp = icmp[:2] + _checksum(icmp) + icmp[4:]
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
    head += bytes([10, 11, 0, host]) + ip
    return mac + _ASKER + b"\x08\x00" + head[:10] + _checksum(head) + head[12:] + icmp


def _checksum(data: bytes) -> bytes:
    words = int.from_bytes(data + b"\0" * (len(data) % 2), "big") % 0xFFFF
    return (0xFFFF - words).to_bytes(2, "big")


def until_over(here: stage.Stage, xsk: XskSocket | XskMultiSocket) -> Iterator[Frame]:
    """Lend frame after frame until the stage's time is over."""
    is_over = here.deadline()
    while not is_over():
        for frame in xsk.frames(0.05):
            yield frame
            if is_over():
                break


def frames(here: stage.Stage, xsk: XskSocket | XskMultiSocket) -> Iterator[Frame]:
    """The same, and then what is still on the wire."""
    yield from until_over(here, xsk)
    here.finish(lambda: 1 << 62)
    yield from xsk.frames(0.2)
