"""Packets from and to capture files: the classic pcap format, of tcpdump and every other tool.

https://datatracker.ietf.org/doc/draft-ietf-opsawg-pcap/ describes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator

from ebpfasm.errors import VmError, error

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": "<",
    b"\x4d\x3c\xb2\xa1": "<",  # times in nanoseconds
    b"\xa1\xb2\xc3\xd4": ">",
    b"\xa1\xb2\x3c\x4d": ">",
}
_NEW_GENERATION = b"\x0a\x0d\x0d\x0a"
ETHERNET = 1  # LINKTYPE_ETHERNET
_HEADER, _RECORD = 24, 16


def is_capture(content: bytes) -> bool:
    """Whether bytes begin like a capture file."""
    return content[:4] in _MAGICS or content[:4] == _NEW_GENERATION


def read(content: bytes, name: str = "<bytes>") -> Iterator[bytes]:
    """The packets of a capture, as far as they were captured. Raises VmError."""
    order = _MAGICS.get(content[:4])
    if order is None or len(content) < _HEADER:
        hint = "convert it: editcap -F pcap IN OUT"
        raise VmError(error("vm-input", f"{name} is no pcap file", hint=hint))
    at, length_at = _HEADER, struct.Struct(f"{order}I")
    while at < len(content):
        if len(content) - at >= _RECORD:
            (length,) = length_at.unpack_from(content, at + 8)
            end = at + _RECORD + length
            if end <= len(content):
                yield content[at + _RECORD : end]
                at = end
                continue
        raise VmError(error("vm-input", f"{name} ends inside a packet, at byte {at}"))


def write(packets: Iterable[bytes]) -> bytes:
    """A capture of Ethernet frames, all at time 0."""
    parts = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, ETHERNET)]
    for each in packets:
        parts += struct.pack("<IIII", 0, 0, len(each), len(each)), each
    return b"".join(parts)
