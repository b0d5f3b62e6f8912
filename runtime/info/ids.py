"""Kernel objects by their ids: walking all that the system has, and opening one."""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

from ebpfasm.errors import LoadError, error
from ebpfasm.runtime import syscall
from ebpfasm.runtime.refusals import refused

# Opening by id and walking ids are for CAP_SYS_ADMIN alone (kernel/bpf/syscall.c).
ADMIN = ("CAP_SYS_ADMIN",)

_IDS = struct.Struct("=III")  # id, or where to start; next id; open flags


def walk_ids(command: int, what: str) -> Iterator[int]:
    """The ids that exist, rising; `command` is one of BPF_*_GET_NEXT_ID. Raises LoadError.

    What comes or goes meanwhile may be among them or not.
    """
    number = 0
    while True:
        attributes = bytearray(_IDS.pack(number, 0, 0))
        try:
            syscall.bpf(command, attributes)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return
            code = refusal.errno or 0
            raise refused("load-failed", f"list the {what}", code, needs=ADMIN) from None
        number = _IDS.unpack(attributes)[1]
        yield number


def open_by_id(command: int, number: int, what: str) -> int:
    """A descriptor of the object with an id; `command` is one of BPF_*_GET_FD_BY_ID.

    Raises LoadError; its errno is ENOENT where there is none.
    """
    if not 0 < number < 1 << 32:
        message = f"there is no {what}: ids are numbers from 1 on"
        raise LoadError(error("load-failed", message), errno=errno.ENOENT)
    try:
        return syscall.bpf(command, bytearray(_IDS.pack(number, 0, 0)))
    except OSError as refusal:
        if refusal.errno == errno.ENOENT:
            message = f"there is no {what} in the kernel"
            raise LoadError(error("load-failed", message), errno=errno.ENOENT) from None
        raise refused("load-failed", f"open {what}", refusal.errno or 0, needs=ADMIN) from None
