"""The network around a program, as the test supplies it: what helpers ask about it.

Nothing is looked up on the machine that runs the test. An empty network has the loopback
interface, as the kernel's test run has.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from ebpfasm.analysis.vm.objects import (
    AF_INET,
    AF_INET6,
    CLOSE,
    ESTABLISHED,
    LISTEN,
    Socket,
    packed_address,
)
from ebpfasm.errors import VmError, error

RouteType = Literal["unicast", "local", "blackhole", "unreachable", "prohibit"]

MAIN_TABLE = 254


@dataclass(slots=True)
class Interface:
    """A network interface; `header` is the length of its link header."""

    mtu: int = 1500
    mac: bytes = bytes(6)
    forwarding: bool = True
    header: int = 14
    up: bool = True


@dataclass(slots=True)
class Route:
    """A route to `prefix` ("10.0.0.0/8") out of an interface, through `gateway` if there is one.

    `source` is the address that packets of this machine would have; `mtu` is the interface's
    unless it is given.
    """

    prefix: str
    interface: int = 0
    gateway: str = ""
    type: RouteType = "unicast"
    metric: int = 0
    table: int = MAIN_TABLE
    source: str = ""
    mtu: int = 0
    encapsulated: bool = False

    @property
    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        """The prefix as a value. Raises VmError where the text is none."""
        try:
            return ipaddress.ip_network(self.prefix)
        except ValueError:
            raise VmError(error("vm-input", f"{self.prefix!r} is no prefix of a network")) from None


@dataclass(slots=True)
class Tunnel:
    """What a packet came through, or leaves by: fields of bpf_tunnel_key, and the options.

    `flags` are the tunnel flags that the kernel keeps (TUNNEL_KEY and so on, host order).
    """

    id: int = 0
    tos: int = 0
    ttl: int = 0
    label: int = 0
    local: str = "0.0.0.0"
    remote: str = "0.0.0.0"
    flags: int = 0
    options: bytes = b""
    sending: bool = False


@dataclass(slots=True)
class Transform:
    """An IPsec state that a packet came through (bpf_xfrm_state)."""

    reqid: int = 0
    spi: int = 0
    remote: str = "0.0.0.0"


@dataclass(slots=True)
class Network:
    """Interfaces by index, routes, neighbours' link addresses, and sockets.

    `neighbours` maps (interface, address) to 6 bytes. `syncookies` is net.ipv4.tcp_syncookies,
    `flooded` whether listeners were flooded lately; both `secrets` have 16 bytes.
    """

    interfaces: dict[int, Interface] = field(
        default_factory=lambda: {1: Interface(mtu=65536, forwarding=False)}
    )
    routes: list[Route] = field(default_factory=list)
    neighbours: dict[tuple[int, str], bytes] = field(default_factory=dict)
    sockets: list[Socket] = field(default_factory=list)
    namespaces: dict[int, list[Socket]] = field(default_factory=dict)
    tunnel: Tunnel | None = None
    transforms: tuple[Transform, ...] = ()
    syncookies: int = 1
    flooded: bool = True
    secrets: tuple[bytes, bytes] = (bytes(16), bytes(range(16)))
    header_room: int = 40  # bytes left for TCP options

    def route(self, address: bytes, table: int) -> Route | None:
        """The route of the longest prefix, and the least metric, that an address matches."""
        place = ipaddress.ip_address(address)
        found = [
            each
            for each in self.routes
            if each.table == table and each.network.version == place.version
            and place in each.network
        ]  # fmt: skip
        return min(found, key=lambda each: (-each.network.prefixlen, each.metric), default=None)

    def neighbour(self, interface: int, address: bytes) -> bytes | None:
        """A neighbour's link address, None where it is not known."""
        for (index, text), mac in self.neighbours.items():
            if index == interface and packed_address(text) == address:
                return mac
        return None


def find_socket(
    sockets: Iterable[Socket],
    protocol: int,
    source: tuple[bytes, int],
    destination: tuple[bytes, int],
    interface: int,
) -> Socket | None:
    """The socket that a packet with these addresses and ports (numbers) would go to.

    A connected one first, else the one that is bound most closely, as the kernel scores them.
    """
    best, most = None, -1
    for each in sockets:
        score = _score(each, protocol, source, destination, interface)
        if score > most:
            best, most = each, score
    return best


def _score(
    each: Socket,
    protocol: int,
    source: tuple[bytes, int],
    destination: tuple[bytes, int],
    interface: int,
) -> int:
    family = AF_INET if len(destination[0]) == 4 else AF_INET6
    both = each.family == AF_INET6 and family == AF_INET and not each.only_ipv6 and not each.src_ip
    if each.protocol != protocol or each.src_port != destination[1]:
        return -1
    if each.family != family and not both:
        return -1
    if each.bound_dev_if not in (0, interface):
        return -1
    score = (each.family == family) + 2 * bool(each.bound_dev_if)
    if _set(each.src_ip):
        if packed_address(each.src_ip) != destination[0]:
            return -1
        score += 4
    if each.dst_port or _set(each.dst_ip):
        if (packed_address(each.dst_ip or "0.0.0.0"), each.dst_port) != source:
            return -1
        return score + 8
    listens = each.state == LISTEN or protocol != 6
    return score if listens and each.state != ESTABLISHED else -1


def _set(text: str) -> bool:
    return bool(text) and any(packed_address(text))


def packet_socket(ethertype: int, network: bytes) -> Socket:
    """The socket of the kernel's test run: closed, with the addresses of the packet."""
    socket = Socket(family=0, type=0, protocol=0, state=CLOSE)
    if ethertype == 0x0800:
        socket.family = AF_INET
        if len(network) >= 20:
            socket.src_ip = str(ipaddress.ip_address(network[12:16]))
            socket.dst_ip = str(ipaddress.ip_address(network[16:20]))
    elif ethertype == 0x86DD:
        socket.family = AF_INET6
        if len(network) >= 40:
            socket.src_ip = str(ipaddress.ip_address(network[8:24]))
            socket.dst_ip = str(ipaddress.ip_address(network[24:40]))
    return socket
