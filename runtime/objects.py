"""What maps, programs and links have in common in the kernel: a name, an info, a pin."""

from __future__ import annotations

import errno
import os
import struct

from ebpfasm.ir.specs import NAME_BYTES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.refusals import refused

_NO_BPFFS = "it is not in a BPF file system, such as /sys/fs/bpf"
_PIN_REASONS = {
    errno.EEXIST: "there is something already",
    errno.ENOENT: "its folder does not exist",
    errno.EPERM: _NO_BPFFS,
    errno.EINVAL: _NO_BPFFS,
}


def kernel_name(name: str) -> bytes:
    """Cut a name to what the kernel keeps: 15 bytes of letters, digits, `_` and `.`.

    >>> kernel_name("per-packet_statistics")
    b'per_packet_stat'
    """
    legal = (char if char.isascii() and (char.isalnum() or char in "_.") else "_" for char in name)
    return "".join(legal).encode("ascii")[:NAME_BYTES]


def text_of(name: bytes) -> str:
    """Read a name from an info structure, where zero bytes fill it up."""
    return name.split(b"\0")[0].decode("ascii", "replace")


def object_info(fd: int, info: bytearray) -> None:
    """Fill a struct bpf_map_info, bpf_prog_info or bpf_link_info. Raises OSError.

    What the kernel does not know of the structure stays as it was.
    """
    attributes = bytearray(struct.pack("=IIQ", fd, len(info), syscall.address(info)))
    syscall.bpf(syscall.OBJ_GET_INFO_BY_FD, attributes)


def pin(fd: int, path: str | os.PathLike[str], what: str) -> None:
    """Give an object a name in a BPF file system, which keeps it alive. Raises LoadError."""
    text = os.fspath(path)
    name = bytearray(os.fsencode(text) + b"\0")
    try:
        syscall.bpf(syscall.OBJ_PIN, bytearray(struct.pack("=QII", syscall.address(name), fd, 0)))
    except OSError as refusal:
        number = refusal.errno or 0
        why = _PIN_REASONS.get(number, "")
        raise refused("load-failed", f"pin {what} to {text!r}", number, why=why) from None
