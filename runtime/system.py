"""Everything of a kind that is in the kernel, whoever put it there, as values.

What goes away between its listing and the question about it is left out. All of it is for
CAP_SYS_ADMIN; LoadError says so.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from ebpfasm.errors import LoadError
from ebpfasm.runtime import syscall
from ebpfasm.runtime.info.btf import BtfInfo, read_btf_info
from ebpfasm.runtime.info.ids import ADMIN, open_by_id, walk_ids
from ebpfasm.runtime.info.link import LinkInfo, read_link_info
from ebpfasm.runtime.info.map import MapInfo, read_map_info
from ebpfasm.runtime.info.program import ProgramInfo, read_program_info
from ebpfasm.runtime.refusals import refused

Info = TypeVar("Info")


def programs() -> Iterator[ProgramInfo]:
    """Every loaded program. Raises LoadError."""
    return _all(syscall.PROG_GET_NEXT_ID, syscall.PROG_GET_FD_BY_ID, "program", read_program_info)


def maps() -> Iterator[MapInfo]:
    """Every map. Raises LoadError."""
    return _all(syscall.MAP_GET_NEXT_ID, syscall.MAP_GET_FD_BY_ID, "map", read_map_info)


def links() -> Iterator[LinkInfo]:
    """Every BPF link. Raises LoadError."""
    return _all(syscall.LINK_GET_NEXT_ID, syscall.LINK_GET_FD_BY_ID, "link", read_link_info)


def btfs() -> Iterator[BtfInfo]:
    """All BTF: the kernel's own, its modules', and what came with programs. Raises LoadError."""
    return _all(syscall.BTF_GET_NEXT_ID, syscall.BTF_GET_FD_BY_ID, "BTF", read_btf_info)


def _all(walk: int, open: int, what: str, read: Callable[[int], Info]) -> Iterator[Info]:
    plural = what if what == "BTF" else f"{what}s"
    for number in walk_ids(walk, plural):
        try:
            fd = open_by_id(open, number, f"{what} {number}")
        except LoadError as refusal:
            if refusal.errno == errno.ENOENT:
                continue
            raise
        try:
            found = read(fd)
        except OSError as refusal:
            code = refusal.errno or 0
            raise refused("load-failed", f"ask about {what} {number}", code, needs=ADMIN) from None
        finally:
            os.close(fd)
        yield found
