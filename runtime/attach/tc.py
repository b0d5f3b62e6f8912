"""Traffic control: tcx and netkit links, and clsact filters by netlink before Linux 6.6."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import LoadError, unsupported
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_type,
    failed,
    has_link_type,
    no_links,
)
from ebpfasm.runtime.attach.held import Held
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.attach.numbers import check_number
from ebpfasm.runtime.attach.order import Neighbour, placing
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.links import Attachment, BpfLink, Link
from ebpfasm.runtime.refusals import NETWORK, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_PARENTS = {"ingress": 0xFFFF_FFF2, "egress": 0xFFFF_FFF3}  # TC_H_CLSACT and TC_H_MIN_*
_ETH_P_ALL = 3
_HANDLE = 1
_DETAILS = struct.Struct("=I4xQ")  # neighbour, expected revision


def attach_tc(
    program: Attachable,
    iface: str | int,
    direction: str,
    *,
    via: str,
    before: Neighbour,
    after: Neighbour,
    priority: int | None,
) -> Link:
    """Attach to packets of an interface; `Program.attach_tc` tells how. Raises ValueError."""
    check_type(program, "sched_cls")
    if direction not in _PARENTS:
        raise ValueError(f"direction is ingress or egress, not {direction!r}")
    if via not in ("auto", "tcx", "clsact"):
        raise ValueError(f"via is auto, tcx or clsact, not {via!r}")
    ordered = before is not None or after is not None
    if ordered and (via == "clsact" or priority is not None):
        raise ValueError("before and after are for tcx, a priority is for clsact")
    if priority is not None:
        check_number("priority", priority, 1, 0xFFFF)
    ifindex, name = interface(iface)
    if via != "clsact" and priority is None:
        made = _by_link(program, ifindex, name, f"tcx_{direction}", before, after)
        if made is not None:
            return made
        if via == "tcx" or ordered:
            raise no_links("tcx", "attaching by tcx", hint='use via="clsact"')
    return _by_filter(program, ifindex, name, direction, priority)


def attach_netkit(
    program: Attachable, iface: str | int, end: str, *, before: Neighbour, after: Neighbour
) -> Link:
    """Attach to a netkit device; `Program.attach_netkit` tells how. Raises ValueError."""
    check_type(program, "sched_cls")
    if end not in ("primary", "peer"):
        raise ValueError(f"end is primary or peer, not {end!r}")
    ifindex, name = interface(iface)
    made = _by_link(program, ifindex, name, f"netkit_{end}", before, after)
    if made is None:
        raise no_links("netkit", "attaching to netkit devices (CONFIG_NETKIT)")
    return made


def _by_link(
    program: Attachable, ifindex: int, name: str, kind: str, before: Neighbour, after: Neighbour
) -> Link | None:
    """A tcx or netkit link; None where the kernel has none of its kind."""
    type = kind.partition("_")[0]
    flags, neighbour = placing(before, after)
    where = f"{name} {kind.partition('_')[2]}"
    number = ATTACH_TYPES.by_name[kind].id
    try:
        fd = links.create(program.fd, ifindex, number, flags, _DETAILS.pack(neighbour, 0))
    except OSError as refusal:
        failure = refusal.errno or 0
    else:
        return BpfLink(type, fd, where)
    if failure in UNKNOWN and has_link_type(type) is not True:
        return None
    raise _refusal(program, where, kind, failure)


def _refusal(program: Attachable, where: str, kind: str, number: int) -> LoadError:
    why = ""
    match number:
        case errno.ENOENT | errno.ESTALE:
            why = "the program or link that it is to stand beside is not there"
        case errno.ENODEV:
            why = "the interface is gone"
        case errno.EINVAL | errno.ENXIO | errno.EACCES if kind.startswith("netkit"):
            why = "it is no netkit device, or the other end of one"
        case errno.EINVAL:
            why = f"it was loaded for {program.spec.attach_type or 'something else'}"
        case errno.ERANGE:
            why = "64 programs are there already"
        case _:
            pass
    return failed(program, where, number, why=why, needs=NETWORK)


# Without links -----------------------------------------------------------------------------------


class ClsactLink(Attachment):
    """A filter in the clsact qdisc, set by netlink: it stays until it is taken off.

    It is found again by its priority and handle, in the network namespace where it was made. The
    qdisc goes with it if it was made for it and nobody else uses it.
    """

    kind = "clsact"

    def __init__(self, program: Attachable, ifindex: int, where: str, parent: int) -> None:
        self.where = where
        self.priority = 0
        self._held = Held(program)
        self._ifindex = ifindex
        self._parent = parent
        self._made_qdisc = False
        super().__init__()

    def set(self, priority: int | None) -> None:
        """Add the filter, and the qdisc where there is none. Raises OSError."""
        self._netlink(lambda netlink: self._add_qdisc(netlink))
        if priority is not None:
            self._netlink(lambda netlink: self._add(netlink, priority))
            return
        taken = self._netlink(lambda netlink: _priorities(netlink, self._ifindex, self._parent))
        for number in range(1, 1 << 15):
            if number in taken:
                continue
            try:
                self._netlink(lambda netlink, number=number: self._add(netlink, number))
            except FileExistsError:
                continue  # somebody else was quicker
            return

    def update(self, program: Attachable, *, expected: Attachable | None = None) -> None:
        """Put another program in the filter. `expected` is not to be had here. Raises LoadError."""
        self._check_open()
        if expected is not None:
            raise unsupported("comparing the program in a clsact filter", "6.6")
        try:
            self._netlink(
                lambda netlink: self._filter(netlink, "replace-filter", self.priority, program.fd)
            )
        except OSError as refusal:
            what = f"put {program.name!r} in place on {self.where}"
            raise refused("attach-failed", what, refusal.errno or 0, needs=NETWORK) from None
        self._held.take(program)

    def info(self) -> LinkInfo:
        """What is known of the attachment; the kernel has no link for it."""
        self._check_open()
        direction = next(word for word, number in _PARENTS.items() if number == self._parent)
        details = {"direction": direction, "priority": self.priority, "handle": _HANDLE}
        return LinkInfo(0, "clsact", self._held.program_id, self._ifindex, details)

    def _netlink(self, task: Any) -> Any:
        from ebpfasm.runtime.network.netlink import with_netlink

        return with_netlink(task, namespace=self._held.namespace)

    def _add_qdisc(self, netlink: Any) -> None:
        from pyroute2.netlink.exceptions import NetlinkError  # type: ignore[import-untyped]

        try:
            netlink.tc("add", "clsact", self._ifindex)
        except NetlinkError as refusal:
            if refusal.code != errno.EEXIST:
                raise
        else:
            self._made_qdisc = True

    def _add(self, netlink: Any, priority: int) -> None:
        self.priority = priority
        try:
            self._filter(netlink, "add-filter", priority, self._held.program)
        except BaseException:
            self.priority = 0
            raise

    def _filter(self, netlink: Any, command: str, priority: int, fd: int) -> None:
        netlink.tc(
            command, "bpf", self._ifindex, _HANDLE, fd=fd, name=self._held.name,
            parent=self._parent, prio=priority, protocol=_ETH_P_ALL, direct_action=True,
        )  # fmt: skip

    def _release(self, *, detach: bool) -> None:
        try:
            if detach:
                self._netlink(self._remove)
        except OSError as refusal:
            number = refusal.errno or 0
            if number not in (errno.ENODEV, errno.ENOENT, errno.EINVAL):  # it went with the device
                what = f"detach the program from {self.where}"
                raise refused("attach-failed", what, number, needs=NETWORK) from None
        finally:
            self._held.close()

    def _remove(self, netlink: Any) -> None:
        if self.priority:
            netlink.tc(
                "del-filter", "bpf", self._ifindex, _HANDLE, parent=self._parent,
                prio=self.priority, protocol=_ETH_P_ALL,
            )  # fmt: skip
        used = any(_priorities(netlink, self._ifindex, each) for each in _PARENTS.values())
        if self._made_qdisc and not used:
            netlink.tc("del", "clsact", self._ifindex)


def _priorities(netlink: Any, ifindex: int, parent: int) -> set[int]:
    found = netlink.get_filters(index=ifindex, parent=parent)
    return {each["info"] >> 16 for each in found}


def _by_filter(
    program: Attachable, ifindex: int, name: str, direction: str, priority: int | None
) -> Link:
    where = f"{name} {direction}"
    link = ClsactLink(program, ifindex, where, _PARENTS[direction])
    try:
        link.set(priority)
    except OSError as refusal:
        link.detach()
        number = refusal.errno or 0
        why = f"there is a filter with the priority {priority}" if number == errno.EEXIST else ""
        raise failed(program, where, number, why=why, needs=NETWORK) from None
    except BaseException:
        link.detach()
        raise
    return link
