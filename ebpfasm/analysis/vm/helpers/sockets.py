"""Helpers on sockets: finding them, giving them back, and what they say of themselves."""

from __future__ import annotations

import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.entry import SKB_SOCKET, made_up_socket
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.network import find_socket
from ebpfasm.analysis.vm.objects import (
    AF_INET,
    AF_INET6,
    CLOSE,
    ESTABLISHED,
    LISTEN,
    NEW_SYN_RECV,
    TCP,
    TIME_WAIT,
    UDP,
    Cgroup,
    File,
    Socket,
)
from ebpfasm.analysis.vm.world import Event
from ebpfasm.isa import contexts

_OVERFLOW_UID = 65534
_REPLACE, _NO_REUSEPORT = 1, 2  # flags of bpf_sk_assign in sk_lookup programs
_SMALL, _LARGE = 12, 36  # bytes of bpf_sock_tuple for IPv4 and IPv6


def socket_at(machine: Machine, address: int) -> Socket | None:
    """The socket that a program means, None for null. Raises Fault where it is none."""
    if not address:
        return None
    found = machine.world.objects.at(address)
    if isinstance(found, Socket):
        return found
    if address == machine.ctx.address and machine.shape.struct == "bpf_sock":
        return _own(machine)
    where = describe(machine.memory, address)
    raise Fault("vm-helper", f"gives {where} where a socket belongs")


def context_socket(machine: Machine, ctx: int) -> Socket | None:
    """The socket of the context, None for a packet that has none. Raises Fault."""
    if ctx != machine.ctx.address:
        return socket_at(machine, ctx)
    match machine.shape.struct:
        case "bpf_sock":
            return _own(machine)
        case "__sk_buff":
            return _of_packet(machine)
        case struct:
            field = contexts.field(f"{struct}.sk")
            if field is None:
                raise Fault("vm-helper", "asks a context for its socket, which it has not")
            return socket_at(machine, _pointer(machine, field.offset))


def _pointer(machine: Machine, offset: int) -> int:
    return int.from_bytes(machine.ctx.host[offset : offset + 8], sys.byteorder)


def _of_packet(machine: Machine) -> Socket | None:
    address = _pointer(machine, SKB_SOCKET)
    if address:
        return socket_at(machine, address)
    start = machine.packet.link
    return made_up_socket(machine, bytes(machine.packet.buffer[start : machine.packet.data_end]))


def _own(machine: Machine) -> Socket:
    """The socket that is the context itself, as its fields are now."""
    own, host = machine.test_socket, machine.ctx.host
    for name in ("family", "type", "protocol", "mark", "priority", "state", "bound_dev_if"):
        field = contexts.field(f"bpf_sock.{name}")
        assert field is not None
        setattr(own, name, int.from_bytes(host[field.offset : field.offset + 4], sys.byteorder))
    return own


# ---- lookup


@helper("sk_lookup_tcp")
def sk_lookup_tcp(
    machine: Machine, ctx: int, tuple_: int, size: int, netns: int, flags: int
) -> int:
    """The TCP socket that a packet with this tuple would go to; it must be given back."""
    return _full_only(machine, _lookup(machine, TCP, tuple_, size, netns, flags))


@helper("sk_lookup_udp")
def sk_lookup_udp(
    machine: Machine, ctx: int, tuple_: int, size: int, netns: int, flags: int
) -> int:
    """The UDP socket that a packet with this tuple would go to; it must be given back."""
    return _full_only(machine, _lookup(machine, UDP, tuple_, size, netns, flags))


@helper("skc_lookup_tcp")
def skc_lookup_tcp(
    machine: Machine, ctx: int, tuple_: int, size: int, netns: int, flags: int
) -> int:
    """The same as bpf_sk_lookup_tcp, requests and sockets in time-wait too."""
    return acquire(machine, _lookup(machine, TCP, tuple_, size, netns, flags))


def _lookup(
    machine: Machine, protocol: int, tuple_: int, size: int, netns: int, flags: int
) -> Socket | None:
    raw = machine.memory.read(tuple_, size & U32)
    width = {_SMALL: 4, _LARGE: 16}.get(len(raw))
    if width is None or flags:
        return None
    network = machine.world.network
    sockets = network.sockets
    if signed32(netns) >= 0:
        if netns > 0x7FFFFFFF or netns not in network.namespaces:
            return None
        sockets = network.namespaces[netns]
    source, destination = raw[:width], raw[width : 2 * width]
    ports = raw[2 * width :]
    return find_socket(
        sockets,
        protocol,
        (source, int.from_bytes(ports[:2], "big")),
        (destination, int.from_bytes(ports[2:4], "big")),
        _interface(machine),
    )


def _interface(machine: Machine) -> int:
    name = {"xdp_md": "ingress_ifindex", "__sk_buff": "ifindex"}.get(machine.shape.struct)
    if name is None:
        return 0
    field = contexts.field(f"{machine.shape.struct}.{name}")
    assert field is not None
    return int.from_bytes(machine.ctx.host[field.offset : field.offset + 4], sys.byteorder)


def _full_only(machine: Machine, socket: Socket | None) -> int:
    return acquire(machine, socket if socket is not None and socket.full else None)


def acquire(machine: Machine, socket: Socket | None) -> int:
    """Hand a socket to the program, which must give it back."""
    address = machine.world.objects.place(socket)
    if address:
        machine.sockets[address] = machine.sockets.get(address, 0) + 1
    return address


@helper("sk_release")
def sk_release(machine: Machine, socket: int) -> int:
    """Give a socket back. Raises Fault where it was not taken."""
    held = machine.sockets.get(socket, 0)
    if not held:
        where = describe(machine.memory, socket)
        raise Fault("vm-helper", f"gives back {where}, which was not taken")
    if held == 1:
        del machine.sockets[socket]
    else:
        machine.sockets[socket] = held - 1
    return 0


# ---- views


@helper("sk_fullsock")
def sk_fullsock(machine: Machine, socket: int) -> int:
    """The socket if it is a full one, else null."""
    found = socket_at(machine, socket)
    return socket if found is not None and found.full else 0


@helper("tcp_sock")
def tcp_sock(machine: Machine, socket: int) -> int:
    """The fields of a TCP socket, null for others."""
    found = socket_at(machine, socket)
    if found is None or not found.full or found.protocol != TCP:
        return 0
    return machine.world.objects.place(found, "bpf_tcp_sock")


@helper("get_listener_sock")
def get_listener_sock(machine: Machine, socket: int) -> int:
    """The socket if it listens, else null."""
    found = socket_at(machine, socket)
    return socket if found is not None and found.state == LISTEN else 0


def _cast(machine: Machine, socket: int, struct: str, *, fits: bool) -> int:
    found = socket_at(machine, socket)
    if found is None or not fits:
        return 0
    return machine.world.objects.place(found, struct)


def _socket(machine: Machine, socket: int) -> Socket:
    return socket_at(machine, socket) or Socket(family=0, protocol=0, state=CLOSE)


@helper("skc_to_tcp_sock")
def skc_to_tcp_sock(machine: Machine, socket: int) -> int:
    """The socket as the kernel's struct tcp_sock, whose bytes only the test could have."""
    found = _socket(machine, socket)
    return _cast(machine, socket, "tcp_sock", fits=found.full and found.protocol == TCP)


@helper("skc_to_tcp6_sock")
def skc_to_tcp6_sock(machine: Machine, socket: int) -> int:
    """The socket as struct tcp6_sock."""
    found = _socket(machine, socket)
    fits = found.full and found.protocol == TCP and found.family == AF_INET6
    return _cast(machine, socket, "tcp6_sock", fits=fits)


@helper("skc_to_tcp_timewait_sock")
def skc_to_tcp_timewait_sock(machine: Machine, socket: int) -> int:
    """The socket as struct tcp_timewait_sock."""
    found = _socket(machine, socket)
    return _cast(machine, socket, "tcp_timewait_sock", fits=found.state == TIME_WAIT)


@helper("skc_to_tcp_request_sock")
def skc_to_tcp_request_sock(machine: Machine, socket: int) -> int:
    """The socket as struct tcp_request_sock."""
    found = _socket(machine, socket)
    return _cast(machine, socket, "tcp_request_sock", fits=found.state == NEW_SYN_RECV)


@helper("skc_to_udp6_sock")
def skc_to_udp6_sock(machine: Machine, socket: int) -> int:
    """The socket as struct udp6_sock."""
    found = _socket(machine, socket)
    fits = found.full and found.protocol == UDP and found.family == AF_INET6
    return _cast(machine, socket, "udp6_sock", fits=fits)


@helper("skc_to_unix_sock")
def skc_to_unix_sock(machine: Machine, socket: int) -> int:
    """The socket as struct unix_sock."""
    found = _socket(machine, socket)
    return _cast(machine, socket, "unix_sock", fits=found.full and found.family == 1)


@helper("skc_to_mptcp_sock")
def skc_to_mptcp_sock(machine: Machine, socket: int) -> int:
    """No socket of the world is a subflow of Multipath TCP."""
    socket_at(machine, socket)
    return 0


@helper("sock_from_file")
def sock_from_file(machine: Machine, file: int) -> int:
    """The socket behind a file, null where there is none."""
    found = machine.world.objects.at(file)
    if not isinstance(found, File):
        where = describe(machine.memory, file)
        raise Fault("vm-helper", f"gives {where} where a file belongs")
    return machine.world.objects.place(found.socket, "socket") if found.socket else 0


# ---- what a socket says of itself


@helper("get_socket_cookie")
def get_socket_cookie(machine: Machine, ctx: int) -> int:
    """The cookie of the context's socket, 0 where there is none."""
    found = context_socket(machine, ctx)
    return machine.world.objects.cookie(found) if found is not None else 0


@helper("get_netns_cookie")
def get_netns_cookie(machine: Machine, ctx: int) -> int:
    """The cookie of the socket's namespace; for null the first one's."""
    if not ctx:
        return 1
    found = context_socket(machine, ctx)
    return found.netns if found is not None else 1


@helper("get_socket_uid")
def get_socket_uid(machine: Machine, skb: int) -> int:
    """Who owns the packet's socket."""
    found = context_socket(machine, skb)
    return found.uid if found is not None and found.full else _OVERFLOW_UID


def cgroup_of(socket: Socket | None) -> Cgroup | None:
    """The cgroup of a full socket."""
    return socket.cgroup if socket is not None and socket.full else None


@helper("skb_cgroup_id", "sk_cgroup_id")
def skb_cgroup_id(machine: Machine, ctx: int) -> int:
    """The cgroup of a packet's socket, or of a socket."""
    found = cgroup_of(context_socket(machine, ctx))
    return found.id if found is not None else 0


@helper("skb_ancestor_cgroup_id", "sk_ancestor_cgroup_id")
def skb_ancestor_cgroup_id(machine: Machine, ctx: int, level: int) -> int:
    """An ancestor of the cgroup of a packet's socket, or of a socket."""
    found = cgroup_of(context_socket(machine, ctx))
    return found.ancestor(signed32(level)) if found is not None else 0


# ---- choices


@helper("sk_assign")
def sk_assign(machine: Machine, ctx: int, socket: int, flags: int) -> int:
    """Choose the socket that gets the packet; it is recorded, and in sk_lookup in the context."""
    found = socket_at(machine, socket)
    if machine.shape.struct == "bpf_sk_lookup":
        return _assign_lookup(machine, found, flags)
    if found is None or flags:
        return -errno.EINVAL
    if machine.linked.type == "sched_act":
        return -errno.EOPNOTSUPP
    machine.ctx.host[SKB_SOCKET : SKB_SOCKET + 8] = socket.to_bytes(8, sys.byteorder)
    _record(machine, found, flags)
    return 0


def _assign_lookup(machine: Machine, socket: Socket | None, flags: int) -> int:
    if flags & ~(_REPLACE | _NO_REUSEPORT):
        return -errno.EINVAL
    wrong = _unfit(machine, socket) if socket is not None else 0
    if wrong:
        return -wrong
    if _pointer(machine, 0) and not flags & _REPLACE:
        return -errno.EEXIST
    address = machine.world.objects.place(socket)
    machine.ctx.host[0:8] = address.to_bytes(8, sys.byteorder)
    if socket is not None:
        _record(machine, socket, flags)
    return 0


def _unfit(machine: Machine, socket: Socket) -> int:
    host = machine.ctx.host
    family, protocol = (int.from_bytes(host[at : at + 4], sys.byteorder) for at in (8, 12))
    if socket.state == ESTABLISHED:
        return errno.ESOCKTNOSUPPORT
    if socket.protocol != protocol:
        return errno.EPROTOTYPE
    if socket.family != family and (socket.family == AF_INET or socket.only_ipv6):
        return errno.EAFNOSUPPORT
    return 0


def _record(machine: Machine, socket: Socket, flags: int) -> None:
    cookie = machine.world.objects.cookie(socket)
    machine.world.events.append(Event("sk_assign", key=cookie, flags=flags))
