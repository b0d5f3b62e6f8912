"""Iterators: programs that are called once for each object, and read like a file."""

from __future__ import annotations

import io
import os
import struct
from typing import TYPE_CHECKING

from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links, syscall
from ebpfasm.runtime.attach.failures import check_attach_type, check_type, failed
from ebpfasm.runtime.links import BpfLink
from ebpfasm.runtime.refusals import TRACING, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable
    from ebpfasm.runtime.maps import Map

_DETAILS = struct.Struct("=QI")  # where union bpf_iter_link_info is, and its size
_KIND = ATTACH_TYPES.by_name["trace_iter"].id

# enum bpf_cgroup_iter_order
_ORDERS = {"self": 1, "descendants": 2, "descendants-post": 3, "ancestors": 4, "children": 5}


class IterLink(BpfLink):
    """An iterator: each `open()` walks the objects anew. Nothing runs until it is read."""

    def __init__(self, fd: int, where: str) -> None:
        super().__init__("iter", fd, where)

    def open_file(self) -> io.BufferedReader:
        """Open a walk as a binary file; the caller closes it. Raises LoadError."""
        try:
            fd = syscall.bpf(syscall.ITER_CREATE, bytearray(struct.pack("=II", self.fd, 0)))
        except OSError as refusal:
            number = refusal.errno or 0
            raise refused("attach-failed", f"read {self.where}", number, needs=TRACING) from None
        return io.BufferedReader(io.FileIO(fd, "rb"), buffer_size=1 << 16)

    def read(self) -> bytes:
        """Walk all objects and return what the program wrote. Raises LoadError."""
        with self.open_file() as file:
            return file.read()


def attach_iter(
    program: Attachable,
    *,
    map: Map | None,
    cgroup: str | os.PathLike[str] | None,
    order: str,
    tid: int | None,
    pid: int | None,
) -> IterLink:
    """Make an iterator; `Program.attach_iter` tells how. Raises ValueError."""
    check_type(program, "tracing")
    check_attach_type(program, "trace_iter")
    if order not in _ORDERS:
        raise ValueError(f"order is one of {', '.join(_ORDERS)}, not {order!r}")
    where = f"iterator {program.spec.attach_target}".rstrip()
    held = -1
    try:
        info = bytearray()
        if map is not None:
            info = bytearray(struct.pack("=I", map.fd))
        elif cgroup is not None:
            held = os.open(cgroup, os.O_RDONLY | os.O_CLOEXEC)
            info = bytearray(struct.pack("=IIQ", _ORDERS[order], held, 0))
        elif tid is not None or pid is not None:
            info = bytearray(struct.pack("=III", tid or 0, pid or 0, 0))
        details = _DETAILS.pack(syscall.address(info), len(info))
        fd = links.create(program.fd, 0, _KIND, 0, details if info else b"")
    except OSError as refusal:
        raise failed(program, where, refusal.errno or 0, needs=TRACING) from None
    finally:
        if held >= 0:
            os.close(held)
    return IterLink(fd, where)
