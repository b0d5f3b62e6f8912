"""What maps, programs and links have in common in the kernel: a name, an info."""

from __future__ import annotations

import re
import struct

from ebpfasm.ir.specs import NAME_BYTES
from ebpfasm.runtime import syscall

_ILLEGAL = re.compile("[^A-Za-z0-9_.]")


def kernel_name(name: str) -> bytes:
    """Cut a name to what the kernel keeps: 15 bytes of letters, digits, `_` and `.`.

    >>> kernel_name("per-packet_statistics")
    b'per_packet_stat'
    """
    kept = name[:NAME_BYTES]
    if not (kept.isascii() and kept.isidentifier()):
        kept = _ILLEGAL.sub("_", kept)
    return kept.encode("ascii")


def text_of(name: bytes) -> str:
    """Read a name from an info structure, where zero bytes fill it up."""
    return name.split(b"\0")[0].decode("ascii", "replace")


def object_info(fd: int, info: bytearray) -> None:
    """Fill a struct bpf_map_info, bpf_prog_info or bpf_link_info. Raises OSError.

    What the kernel does not know of the structure stays as it was.
    """
    attributes = bytearray(struct.pack("=IIQ", fd, len(info), syscall.address(info)))
    syscall.bpf(syscall.OBJ_GET_INFO_BY_FD, attributes)
