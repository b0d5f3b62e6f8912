"""Struct_ops maps: a table of the kernel's functions, filled with programs."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from ebpfasm.errors import LoadError, error
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links, syscall
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.info.map import read_map_info
from ebpfasm.runtime.links import Attachment, BpfLink, Link
from ebpfasm.runtime.refusals import refused

if TYPE_CHECKING:
    from ebpfasm.runtime.maps import Map

_NEEDS = ("CAP_SYS_ADMIN", "CAP_NET_ADMIN")
_KEY = bytes(4)


def attach_struct_ops(map: Map, value: bytes) -> Link:
    """Register a struct_ops map; `value` is the table, `Collection.attach_struct_ops` has it.

    By a BPF link where the map was made for one (BPF_F_LINK, Linux 6.4), whose value the loader
    has put in place. Raises LoadError.
    """
    if map.type != "struct_ops":
        message = f"cannot attach map {map.name!r}: it is of type {map.type}, not struct_ops"
        raise LoadError(error("attach-failed", message), errno=errno.EINVAL)
    where = f"struct_ops {map.name}"
    if not map.spec.flags & CONSTANTS["BPF_F_LINK"]:
        return RegisteredTable(map, value, where)
    try:
        fd = links.create(map.fd, 0, ATTACH_TYPES.by_name["struct_ops"].id)
    except OSError as refusal:
        raise _refusal(map, refusal.errno or 0) from None
    return BpfLink("struct_ops", fd, where)


class RegisteredTable(Attachment):
    """A table that is in use because its map has a value, and until that is deleted."""

    kind = "struct_ops-map"

    def __init__(self, map: Map, value: bytes, where: str) -> None:
        self.where = where
        self._name = map.name
        try:
            map.update_bytes(_KEY, value)
        except LoadError as refusal:
            raise _refusal(map, refusal.errno) from None
        self._map = os.dup(map.fd)
        super().__init__()

    def info(self) -> LinkInfo:
        """What is known of it; the table is no link to the kernel, so its id is 0."""
        self._check_open()
        return LinkInfo(0, "struct_ops", 0, details={"map_id": read_map_info(self._map).id})

    def _release(self, *, detach: bool) -> None:
        key = bytearray(_KEY)
        attributes = bytearray(struct.pack("=IxxxxQQQ", self._map, syscall.address(key), 0, 0))
        try:
            if detach:
                syscall.bpf(syscall.MAP_DELETE_ELEM, attributes)
        except OSError as refusal:
            what, number = f"take map {self._name!r} out of use", refusal.errno or 0
            why = "somebody uses it still" if number == errno.EINPROGRESS else ""
            raise refused("attach-failed", what, number, why=why, needs=_NEEDS) from None
        finally:
            os.close(self._map)


def _refusal(map: Map, number: int) -> LoadError:
    why = {
        errno.EINVAL: "the kernel does not take the table, or it has no value yet",
        errno.EEXIST: "a table of that name is in use",
        errno.EBUSY: "it is in use",
    }.get(number, "")
    what = f"register map {map.name!r}"
    return refused("attach-failed", what, number, why=why, needs=_NEEDS)
