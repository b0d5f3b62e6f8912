"""Attachments: a Link is the fact that a program is attached, and ends it.

There is one rule. What `attach` made stays attached until `detach()`, the end of the link's `with`
block, or the end of the process. Dropping the last name on a link changes nothing, for the link is
kept here; what is still attached when the interpreter ends is detached then, with a
ResourceWarning that names it. A pinned link and one that was found (`Link.open`, `Link.from_id`)
are not the process's own: there the end of the block gives the descriptor back, and only
`detach()` ends the attachment. A forked child gives back its copies and detaches nothing.

A process that a signal ends without a handler (SIGKILL, and SIGTERM where Python has none) runs
none of this. BPF links go with their descriptors all the same; what is no object of the kernel
(netlink, clsact, PROG_ATTACH, routes) stays. A program that uses those and is ended by SIGTERM
says `signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))`; `ebpfasm attach` does so.
"""

from __future__ import annotations

import atexit
import errno
import os
import struct
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Literal, NoReturn, Self

from ebpfasm.errors import LoadError, error, unsupported
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime import pins, syscall
from ebpfasm.runtime.info.ids import open_by_id, walk_ids
from ebpfasm.runtime.info.link import LinkInfo, read_link_info
from ebpfasm.runtime.refusals import NETWORK, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

__all__ = ["Attachment", "BpfLink", "Link", "LinkInfo", "Links", "Mode", "Via"]

Mode = Literal["auto", "native", "generic", "offload"]
Via = Literal["auto", "link", "netlink"]

_UPDATE = struct.Struct("=IIII")  # link, new program, flags, old program
_open: set[Link] = set()  # nothing detaches because a name was dropped


class Link(ABC):
    """An attached program; leaving the `with` block detaches it.

    `kind` says how it is attached: the type of the BPF link ("xdp", "tcx", "perf_event"), or the
    way without one ("xdp-netlink", "clsact", "cgroup-attach"). `where` says to what.
    """

    kind: str
    where: str = ""

    def __init__(self, *, found: bool = False) -> None:
        self._process = os.getpid()
        self._open = True
        self._stays = found  # the end of the block leaves it attached
        _open.add(self)

    @staticmethod
    def open(path: str | os.PathLike[str]) -> BpfLink:
        """Open a pinned link; its `with` block leaves it attached. Raises LoadError."""
        return _found(pins.open_pin(path, "link"), pin=os.fspath(path))

    @staticmethod
    def from_id(number: int) -> BpfLink:
        """Open the link with an id; its `with` block leaves it attached. Raises LoadError.

        Takes CAP_SYS_ADMIN. Its errno is ENOENT where there is no such link.
        """
        return _found(open_by_id(syscall.LINK_GET_FD_BY_ID, number, f"link {number}"))

    @staticmethod
    def ids() -> Iterator[int]:
        """The ids of all links in the system, rising. Raises LoadError."""
        return walk_ids(syscall.LINK_GET_NEXT_ID, "links")

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

    def update(self, program: Attachable, *, expected: Attachable | None = None) -> None:
        """Put another program in place, without a moment between; the link stays.

        With `expected` only where that program is the one in place. Raises LoadError, and
        NotSupported for attachments that cannot change their program.
        """
        del program, expected
        self._cannot("changing the program of")

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the link a name in a BPF file system, which keeps the program attached.

        From then on the end of the `with` block, or of the process, leaves it attached; `unpin`
        takes that back. Raises LoadError, NotSupported where there is no BPF link.
        """
        del path
        self._cannot("pinning")

    def unpin(self) -> None:
        """Remove the name that pin() gave. Raises LoadError, NotSupported without a BPF link."""
        self._cannot("pinning")

    def _cannot(self, what: str) -> NoReturn:
        raise unsupported(f"{what} an attachment of kind {self.kind}")

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
        self._leave()

    def _leave(self) -> None:
        if self._stays:
            self.close()
        else:
            self.detach()

    def __repr__(self) -> str:
        place = f" on {self.where}" if self.where else ""
        state = "pinned" if self._open and self._stays else "attached"
        return f"<Link {self.kind}{place}, {state if self._open else 'detached'}>"


class BpfLink(Link):
    """A BPF link: the kernel detaches it with its last descriptor, however the process ends."""

    def __init__(
        self, kind: str, fd: int, where: str = "", *, found: bool = False, pin: str = ""
    ) -> None:
        self.kind = kind
        self.where = where
        self._fd = fd
        self._pin = pin
        super().__init__(found=found)

    @property
    def fd(self) -> int:
        """The link's descriptor. Raises ValueError after detach()."""
        self._check_open()
        return self._fd

    def fileno(self) -> int:
        """The same, so that select() and poll() take the link itself."""
        return self.fd

    def info(self) -> LinkInfo:
        """Ask the kernel about the link. Raises LoadError, ValueError after detach()."""
        fd = self.fd
        try:
            return read_link_info(fd)
        except OSError as refusal:
            raise refused("attach-failed", "ask about a link", refusal.errno or 0) from None

    def update(self, program: Attachable, *, expected: Attachable | None = None) -> None:
        """Put another program in place of the link's. Raises as Link.update does."""
        flags = 0 if expected is None else CONSTANTS["BPF_F_REPLACE"]
        old = 0 if expected is None else expected.fd
        try:
            syscall.bpf(
                syscall.LINK_UPDATE, bytearray(_UPDATE.pack(self.fd, program.fd, flags, old))
            )
        except OSError as refusal:
            number = refusal.errno or 0
            if number in (errno.EOPNOTSUPP, errno.EINVAL) and self.kind not in _CHANGEABLE:
                self._cannot("changing the program of")
            what = f"put {program.name!r} in place of the link's program"
            if expected is not None and number in _OTHER:
                why = "the program in place is another one"
                raise refused("attach-failed", what, number, why=why) from None
            why = "it is of another type, or was loaded for another hook"
            why = why if number == errno.EINVAL else ""
            raise refused("attach-failed", what, number, why=why, needs=NETWORK) from None

    def pin(self, path: str | os.PathLike[str]) -> None:
        """Give the link a name in a BPF file system. See Link.pin. Raises LoadError."""
        if self._pin and os.path.lexists(self._pin):
            message = f"cannot pin {self!r}: it is pinned to {self._pin!r} already"
            raise LoadError(
                error("pin-failed", message, hint="unpin() it first"), errno=errno.EEXIST
            )
        pins.pin(self.fd, path, repr(self))
        self._pin = os.fspath(path)
        self._stays = True

    def unpin(self) -> None:
        """Remove the name that pin() gave, or the one it was opened by. Raises LoadError."""
        self._check_open()
        if not self._pin:
            raise LoadError(error("pin-failed", "cannot unpin the link: it is not pinned"))
        pins.unpin(self._pin)
        self._pin, self._stays = "", False

    def _release(self, *, detach: bool) -> None:
        try:
            if detach:
                if self._pin and os.path.lexists(self._pin):
                    pins.unpin(self._pin)
                # Closing is not enough where a forked child holds the descriptor too.
                force_detach(self._fd)
        finally:
            os.close(self._fd)


class Attachment(Link):
    """An attachment that is no object of the kernel's: it stays until it is taken off.

    A process that is killed cannot do that; a BPF link is better where the kernel has it.
    """

    def close(self) -> None:
        """Detach: giving it up and leaving it attached would be a leak."""
        self._end(detach=True)


class Links(Link):
    """Several links that were made by one call and end together, as one for each CPU."""

    def __init__(self, kind: str, links: list[Link], where: str = "") -> None:
        self.kind = kind
        self.where = where
        self.links = links
        super().__init__()
        _open.difference_update(links)

    def info(self) -> LinkInfo:
        """Ask about the first of the links. Raises LoadError, ValueError after detach()."""
        self._check_open()
        return self.links[0].info()

    def update(self, program: Attachable, *, expected: Attachable | None = None) -> None:
        """Put another program in place in each of the links. Raises as Link.update does."""
        self._check_open()
        for each in self.links:
            each.update(program, expected=expected)

    def _release(self, *, detach: bool) -> None:
        failure: BaseException | None = None
        for each in reversed(self.links):
            try:
                each._end(detach=detach)
            except LoadError as problem:
                failure = failure or problem
        if failure is not None:
            raise failure


# Types of links whose program can be changed; and what the kernel answers for another program.
_CHANGEABLE = frozenset({"xdp", "cgroup", "netns", "tcx", "netkit", "sockmap", "netfilter"})
_OTHER = (errno.EPERM, errno.ESTALE, errno.EINVAL, errno.ENOENT)


def _found(fd: int, *, pin: str = "") -> BpfLink:
    try:
        kind = read_link_info(fd).type
    except BaseException:
        os.close(fd)
        raise
    return BpfLink(kind, fd, found=True, pin=pin)


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


def create(
    program_fd: int, target: int, attach_type: int, flags: int = 0, details: bytes = b""
) -> int:
    """Call BPF_LINK_CREATE and return the link's descriptor. Raises OSError.

    `details` is what the attach type has of its own: the union that begins with target_btf_id.
    """
    head = struct.pack("=IIII", program_fd, target, attach_type, flags)
    return syscall.bpf(syscall.LINK_CREATE, bytearray(head + details))


@atexit.register
def _end_all() -> None:
    """End what is still attached; one failure does not spare the others."""
    for link in list(_open):
        try:
            if not link._stays and link._process == os.getpid():
                warnings.warn(f"{link!r} at the end of the process", ResourceWarning, stacklevel=1)
        except ResourceWarning as warning:  # where warnings are errors
            _say(warning)
        try:
            link._leave()
        except LoadError as refusal:
            _say(refusal)


def _say(problem: BaseException) -> None:
    import sys

    print(f"ebpfasm: {problem}", file=sys.stderr)
