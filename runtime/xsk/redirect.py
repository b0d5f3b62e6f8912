"""The program that hands a queue's frames to its socket, attached once an interface."""

from __future__ import annotations

import errno
import os
import struct
import threading
from typing import TYPE_CHECKING

from ebpfasm.closing import Closing
from ebpfasm.errors import LoadError, error
from ebpfasm.ir.specs import CollectionSpec
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.maps import NOEXIST, Map
from ebpfasm.runtime.xsk.options import XdpMode
from ebpfasm.runtime.xsk.queues import channels

if TYPE_CHECKING:
    from ebpfasm.runtime.xsk.socket import XskSocket

PROGRAM, MAP = "xsk_redirect", "xsks_map"

_attached: dict[tuple[int, int], Redirect] = {}  # by network namespace and interface
_lock = threading.Lock()


def redirect_program(entries: int = 64, *, multi_buffer: bool = False) -> CollectionSpec:
    """The program and its XSKMAP of so many queues: frames without a socket pass.

    >>> import ebpfasm
    >>> print(ebpfasm.disassemble(redirect_program(4)))
    .map xsks_map, xskmap, key=u32, value=u32, max_entries=4
    .section xdp
    .globl xsk_redirect
    xsk_redirect:
        w2 = *(u32 *)(r1 + 0x10)
        r1 = xsks_map ll
        r3 = 0x2
        call bpf_redirect_map
        exit
    <BLANKLINE>
    """
    from ebpfasm.dsl import R1, R2, R3, Builder

    b = Builder(license="")
    sockets = b.map(MAP, "xskmap", key="u32", value="u32", max_entries=entries)
    with b.program(PROGRAM, section="xdp.frags" if multi_buffer else "xdp") as p:
        p.ldxw(R2, R1, "xdp_md.rx_queue_index")
        p.lddw_map(R1, sockets)
        p.mov(R3, CONSTANTS["XDP_PASS"])  # what becomes of a frame whose queue has no socket
        p.call("bpf_redirect_map")
        p.exit()
    return b.build()


class Redirect(Closing):
    """The built-in program on an interface. Sockets of this process share it; so do processes
    that are forked from this one: give it to XskSocket.open there.

    `map` is its XSKMAP. The program is detached when the last user closes. Raises LoadError:
    xsk-program where another program is attached, interface-missing, permission.
    """

    def __init__(
        self, iface: str | int, *, mode: XdpMode = "auto", multi_buffer: bool = False
    ) -> None:
        ifindex, self.name = interface(iface)
        self.key = namespace(), ifindex
        self.mode, self.multi_buffer = mode, multi_buffer
        self._users = 1
        entries = max(channels(ifindex).receive, 1)
        self._collection = load(redirect_program(entries, multi_buffer=multi_buffer))
        self.map: Map = self._collection.maps[MAP]
        self.program = self._collection.programs[PROGRAM]
        try:
            self.link = self.program.attach_xdp(ifindex, mode=mode)
        except BaseException as refusal:
            self._collection.close()
            if isinstance(refusal, LoadError) and refusal.errno in (errno.EBUSY, errno.EEXIST):
                raise _taken(self.name, refusal) from None
            raise

    @classmethod
    def shared(cls, iface: str | int, mode: XdpMode, multi_buffer: bool) -> Redirect:
        """The one that this process has on the interface, or a new one; close() it as often."""
        with _lock:
            key = namespace(), interface(iface)[0]
            found = _attached.get(key)
            if found is None:
                found = _attached[key] = cls(iface, mode=mode, multi_buffer=multi_buffer)
            elif (mode not in ("auto", found.mode)) or (multi_buffer and not found.multi_buffer):
                raise LoadError(
                    error(
                        "xsk-program",
                        f"the redirect program is on {found.name} already, in mode {found.mode!r}"
                        f"{'' if found.multi_buffer else ' without multi_buffer'}",
                        hint="open all sockets of an interface with the same mode",
                    ),
                    errno=errno.EBUSY,
                )
            else:
                found._users += 1
            return found

    def close(self) -> None:
        """Give up one use of it; with the last one the program is detached."""
        with _lock:
            self._users -= 1
            if self._users:
                return
            if _attached.get(self.key) is self:
                del _attached[self.key]
        self.link.detach()
        self._collection.close()

    def __repr__(self) -> str:
        return f"<Redirect on {self.name}, {'attached' if self._users > 0 else 'detached'}>"


def insert(sockets: Map, key: int, socket: XskSocket, *, only_new: bool) -> None:
    """Make frames for a key of an XSKMAP go to a socket. Raises LoadError."""
    if sockets.type != "xskmap":
        message = f"map {sockets.name!r} is of type {sockets.type}, not xskmap"
        raise LoadError(error("xsk-program", message), errno=errno.EINVAL)
    try:
        sockets.update_bytes(
            struct.pack("=I", key), struct.pack("=I", socket.fd), NOEXIST if only_new else 0
        )
    except LoadError as refusal:
        if refusal.errno != errno.EEXIST:
            raise
        message = f"key {key} of map {sockets.name!r} has another socket already"
        hint = "two sockets on one queue need a program of your own that tells their frames apart"
        raise LoadError(error("xsk-program", message, hint=hint), errno=errno.EEXIST) from None


def remove(sockets: Map, key: int) -> None:
    """Take a socket out of an XSKMAP, if the map is still open."""
    if not sockets.closed:
        sockets.delete_bytes(struct.pack("=I", key))


def _taken(name: str, refusal: LoadError) -> LoadError:
    told = refusal.diagnostics[0]
    message = f"cannot attach the redirect program to {name}: another XDP program is there already"
    hint = f"give its XSKMAP, xskmap=collection.maps[...], or {told.hint or 'detach it'}"
    return LoadError(error("xsk-program", message, hint=hint), errno=refusal.errno)


def namespace() -> int:
    """A number for the calling thread's network namespace."""
    return os.stat("/proc/thread-self/ns/net").st_ino
