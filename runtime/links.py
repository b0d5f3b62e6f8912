"""Attachments: a Link is the fact that a program is attached, and ends it.

A link lasts until it is detached or the process ends, whether or not a name is kept on it. A
forked child that leaves the `with` block only gives its own copy of the descriptor back.
"""

from __future__ import annotations

import atexit
import errno
import os
import struct
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from ebpfasm.isa.kinds import LINK_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.objects import object_info
from ebpfasm.runtime.refusals import NETWORK, refused

Mode = Literal["auto", "native", "generic", "offload"]
Via = Literal["auto", "link", "netlink"]

_INFO = struct.Struct("=III4xI4x")  # type, id, prog_id, and for XDP the interface's index
_open: set[Link] = set()  # nothing detaches because a name was dropped


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """What the kernel says of an attachment. `id` is 0 where it is no kernel object (netlink).

    `ifindex` is 0 when the interface is gone.
    """

    id: int
    type: str
    program_id: int
    ifindex: int


class Link(ABC):
    """An attached program; leaving the `with` block detaches it.

    `kind` says how it is attached: "xdp" for a BPF link, "xdp-netlink" without one.
    """

    kind: str

    def __init__(self) -> None:
        self._process = os.getpid()
        self._open = True
        _open.add(self)

    @property
    def id(self) -> int:
        """The kernel's number for the link, 0 where it is no kernel object."""
        return self.info().id

    @abstractmethod
    def info(self) -> LinkInfo:
        """Ask the kernel about the attachment. Raises LoadError, ValueError after detach()."""

    @abstractmethod
    def _release(self, *, detach: bool) -> None:
        """Give up what is held; with `detach` the program must be off the hook afterwards."""

    @property
    def closed(self) -> bool:
        """Whether detach() or close() was called."""
        return not self._open

    def detach(self) -> None:
        """Take the program off its hook. Nothing happens the second time, or in a forked child."""
        self._end(detach=True)

    def close(self) -> None:
        """Give the descriptor back. Where nobody else holds the link, this detaches the program."""
        self._end(detach=False)

    def _end(self, *, detach: bool) -> None:
        if not self._open:
            return
        self._open = False
        try:
            self._release(detach=detach and self._process == os.getpid())
        finally:
            _open.discard(self)

    def _check_open(self) -> None:
        if not self._open:
            raise ValueError("the link is detached")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.detach()

    def __repr__(self) -> str:
        return f"<Link {self.kind}, {'attached' if self._open else 'detached'}>"


class BpfLink(Link):
    """A BPF link: the kernel detaches it with its last descriptor, however the process ends."""

    def __init__(self, kind: str, fd: int) -> None:
        self.kind = kind
        self._fd = fd
        super().__init__()

    @property
    def fd(self) -> int:
        """The link's descriptor. Raises ValueError after detach()."""
        self._check_open()
        return self._fd

    def info(self) -> LinkInfo:
        """Ask the kernel about the link. Raises LoadError, ValueError after detach()."""
        raw = bytearray(_INFO.size)
        try:
            object_info(self.fd, raw)
        except OSError as refusal:
            raise refused("attach-failed", "ask about a link", refusal.errno or 0) from None
        kind, number, program, ifindex = _INFO.unpack(raw)
        return LinkInfo(number, LINK_TYPES.name_of(kind), program, ifindex)

    def _release(self, *, detach: bool) -> None:
        try:
            if detach:
                # Closing is not enough where a forked child holds the descriptor too.
                force_detach(self._fd)
        finally:
            os.close(self._fd)


def force_detach(fd: int) -> None:
    """Take a link's program off its hook though others hold the link (BPF_LINK_DETACH, 5.9).

    Where the kernel cannot, closing the last descriptor has to do. Raises LoadError.
    """
    try:
        syscall.bpf(syscall.LINK_DETACH, bytearray(struct.pack("=I", fd)))
    except OSError as refusal:
        if refusal.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENODEV):
            raise refused(
                "attach-failed", "detach the program", refusal.errno or 0, needs=NETWORK
            ) from None


def create(program_fd: int, target: int, attach_type: int, flags: int) -> int:
    """Call BPF_LINK_CREATE and return the link's descriptor. Raises OSError."""
    attributes = bytearray(struct.pack("=IIII", program_fd, target, attach_type, flags))
    return syscall.bpf(syscall.LINK_CREATE, attributes)


@atexit.register
def _detach_all() -> None:
    for link in list(_open):
        link.detach()
