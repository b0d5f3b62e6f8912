"""Two network namespaces and a cable between them: real traffic with nothing else on the wire."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from ebpfasm.closing import Closing
from ebpfasm.runtime.network.netlink import with_netlink
from ebpfasm.runtime.network.netns import Namespace
from ebpfasm.runtime.refusals import refused

_PATIENCE = 10.0  # seconds for the carrier; it takes milliseconds
_RTMGRP_LINK = 1
# The kernel is slow to announce a carrier (a second) where both ends have the same index.
_NEAR_INDEX = 100
_ETH_P_ALL = 3
_IFA_F_NODAD = 2
_SYSCTL = "/proc/sys/net/ipv6/conf"


class VethPair(Closing):
    """A veth pair, `near_name` in namespace `near` and `far_name` in namespace `far`, both up.

    Addresses are given as "10.0.0.1/24" or "fd00::1/64". Without an IPv6 address IPv6 is off at
    both ends, so that no frame arrives that nobody sent; with one, neighbour discovery is quiet
    but the kernel still reports multicast groups. Each end has so many `queues` to send and to
    receive. Raises LoadError where a right is missing.
    """

    def __init__(
        self,
        near_name: str = "veth0",
        far_name: str = "veth1",
        *,
        near_addresses: Sequence[str] = (),
        far_addresses: Sequence[str] = (),
        queues: int = 1,
    ) -> None:
        self._queues = queues
        self.near_name = near_name
        self.far_name = far_name
        with ExitStack() as opened:
            self.near = opened.enter_context(Namespace())
            self.far = opened.enter_context(Namespace())
            try:
                self._build(near_addresses, far_addresses)
                self._sender = opened.enter_context(self.socket("far"))
            except OSError as refusal:
                number = refusal.errno or 0
                what = "make a veth pair"
                needs = ("CAP_NET_ADMIN", "CAP_NET_RAW")
                raise refused("attach-failed", what, number, needs=needs) from None
            self._opened = opened.pop_all()

    def send(self, frames: Iterable[bytes]) -> int:
        """Send whole Ethernet frames from the far end; return how many.

        Just these arrive at the near end's XDP hook, soon after. Raises OSError.
        """
        count = 0
        for frame in frames:
            self._send(frame)
            count += 1
        return count

    def _send(self, frame: bytes) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._sender.send(frame)
            except OSError as refusal:
                # The ring to the other end is full until its softirq runs.
                if refusal.errno != errno.ENOBUFS or time.monotonic() > deadline:
                    raise
                os.sched_yield()
            else:
                return

    def socket(self, end: str, *, receive: bool = False) -> socket.socket:
        """Open a raw packet socket on the end "near" or "far"; the caller closes it.

        Only with `receive` does it see frames: those that pass the XDP hook, and those sent.
        """
        namespace = {"near": self.near, "far": self.far}[end]
        name = self.near_name if end == "near" else self.far_name
        with namespace.entered():
            opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            opened.bind((name, _ETH_P_ALL if receive else 0))
        except BaseException:
            opened.close()
            raise
        return opened

    def close(self) -> None:
        """Close socket and namespaces; the kernel takes the interfaces away with them."""
        self._opened.close()

    def _build(self, near_addresses: Sequence[str], far_addresses: Sequence[str]) -> None:
        addresses = [*near_addresses, *far_addresses]
        ipv6 = any(ipaddress.ip_interface(each).version == 6 for each in addresses)
        for namespace in (self.near, self.far):
            with namespace.entered():
                _quiet(ipv6)
        count = {"num_tx_queues": self._queues, "num_rx_queues": self._queues}
        peer = {"ifname": self.far_name, "net_ns_fd": self.far.fd, **count}
        with_netlink(
            lambda netlink: netlink.link(
                "add", ifname=self.near_name, index=_NEAR_INDEX, kind="veth", peer=peer, **count
            ),
            namespace=self.near.fd,
        )
        _bring_up(self.near, self.near_name, near_addresses)
        _bring_up(self.far, self.far_name, far_addresses)
        # The end that came up first had no carrier then; until it has, it drops what it is to send.
        for namespace, name in ((self.near, self.near_name), (self.far, self.far_name)):
            _await_carrier(namespace, name)


def _quiet(ipv6: bool) -> None:
    """Set what new interfaces of the calling thread's namespace do by themselves: nothing."""
    if ipv6:
        wanted = {"accept_dad": "0", "router_solicitations": "0", "addr_gen_mode": "1"}
    else:
        wanted = {"disable_ipv6": "1"}
    for place in ("all", "default"):
        for name, value in wanted.items():
            try:
                with open(f"{_SYSCTL}/{place}/{name}", "w", encoding="ascii") as file:
                    file.write(value)
            except FileNotFoundError:
                pass  # a kernel without IPv6 is quiet enough


def _bring_up(namespace: Namespace, name: str, addresses: Sequence[str]) -> None:
    def task(netlink: Any) -> None:
        index = netlink.link_lookup(ifname=name)[0]
        for each in addresses:
            interface = ipaddress.ip_interface(each)
            flags = {"flags": _IFA_F_NODAD} if interface.version == 6 else {}
            netlink.addr(
                "add",
                index=index,
                address=str(interface.ip),
                prefixlen=interface.network.prefixlen,
                **flags,
            )
        netlink.link("set", index=index, state="up")

    with_netlink(task, namespace=namespace.fd)


def _await_carrier(namespace: Namespace, name: str) -> None:
    """Wait until the interface can send, woken by the kernel's own announcements."""
    deadline = time.monotonic() + _PATIENCE
    with namespace.entered():
        events = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    with events:
        events.bind((0, _RTMGRP_LINK))
        while not with_netlink(lambda netlink: _is_up(netlink, name), namespace=namespace.fd):
            left = deadline - time.monotonic()
            if left <= 0:
                raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            events.settimeout(left)
            try:
                events.recv(1 << 16)
            except TimeoutError:
                continue


def _is_up(netlink: Any, name: str) -> bool:
    return bool(netlink.get_links(ifname=name)[0].get_attr("IFLA_OPERSTATE") == "UP")
