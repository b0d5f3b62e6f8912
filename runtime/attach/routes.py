"""Lightweight tunnels: routes that run a program on their packets, made by netlink."""

from __future__ import annotations

import errno
import ipaddress
from typing import TYPE_CHECKING, Any

from ebpfasm.runtime.attach.failures import check_type, failed, impossible
from ebpfasm.runtime.attach.held import Held
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.attach.numbers import check_number
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.links import Attachment, Link
from ebpfasm.runtime.refusals import NETWORK, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_TYPES = ("lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local")


class RouteLink(Attachment):
    """A route that runs a program: it stays until it is taken off, or its interface goes."""

    kind = "route"

    def __init__(
        self, program: Attachable, ifindex: int, where: str, route: dict[str, Any]
    ) -> None:
        self.where = where
        self._held = Held(program)
        self._ifindex = ifindex
        self._route = route
        self._set = False
        super().__init__()

    def set(self, encapsulation: dict[str, Any]) -> None:
        """Add the route. Raises OSError."""
        self._netlink("add", encap=encapsulation)
        self._set = True

    def info(self) -> LinkInfo:
        """What is known of the attachment; the kernel has no link for it."""
        self._check_open()
        details = {"destination": self._route["dst"]}
        return LinkInfo(0, "route", self._held.program_id, self._ifindex, details)

    def _netlink(self, command: str, **more: Any) -> None:
        from ebpfasm.runtime.network.netlink import with_netlink

        with_netlink(
            lambda netlink: netlink.route(command, **self._route, **more),
            namespace=self._held.namespace,
        )

    def _release(self, *, detach: bool) -> None:
        try:
            if detach and self._set:
                self._netlink("del")
        except OSError as refusal:
            number = refusal.errno or 0
            if number not in (errno.ESRCH, errno.ENODEV):  # it is gone already
                what = f"remove the {self.where}"
                raise refused("attach-failed", what, number, needs=NETWORK) from None
        finally:
            self._held.close()


_MOST_HEADROOM = 256  # LWT_BPF_MAX_HEADROOM


def attach_route(
    program: Attachable,
    destination: str,
    iface: str | int,
    *,
    gateway: str | None,
    table: int | None,
    headroom: int,
) -> Link:
    """Make a route that runs a program; `Program.attach_route` tells how."""
    check_type(program, *_TYPES)
    try:
        network = ipaddress.ip_network(destination)
    except ValueError as problem:
        raise impossible(program, f"{destination!r} is no network: {problem}") from None
    if program.type == "lwt_seg6local" and network.version != 6:
        raise impossible(program, "segment routing is for IPv6 destinations")
    if gateway is not None:
        try:
            ipaddress.ip_address(gateway)
        except ValueError as problem:
            raise impossible(program, f"{gateway!r} is no gateway: {problem}") from None
    check_number("table", 0 if table is None else table, 0, 0xFFFF_FFFF)
    check_number("headroom", headroom, 0, _MOST_HEADROOM)
    ifindex, name = interface(iface)
    route: dict[str, Any] = {"dst": str(network), "oif": ifindex}
    route |= {"gateway": gateway} if gateway is not None else {}
    route |= {"table": table} if table is not None else {}
    where = f"route to {network} by {name}"
    link = RouteLink(program, ifindex, where, route)
    try:
        link.set(_encapsulation(program, headroom))
    except OSError as refusal:
        link.detach()
        number = refusal.errno or 0
        why = "there is such a route already" if number == errno.EEXIST else ""
        if number == errno.EOPNOTSUPP:
            why = "the kernel has no lightweight tunnels of this kind (CONFIG_LWTUNNEL_BPF)"
        raise failed(program, where, number, why=why, needs=NETWORK) from None
    except BaseException:
        link._set = True  # perhaps it is there
        link.detach()
        raise
    return link


def _encapsulation(program: Attachable, headroom: int) -> dict[str, Any]:
    code: dict[str, Any] = {"fd": program.fd, "name": program.name}
    if program.type == "lwt_seg6local":
        return {"type": "seg6local", "action": "End.BPF", "bpf": code}
    hook = program.type.removeprefix("lwt_")
    if headroom:
        code["headroom"] = headroom
    return {"type": "bpf", hook: code}
