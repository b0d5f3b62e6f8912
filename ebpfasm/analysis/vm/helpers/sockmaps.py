"""Helpers on maps of sockets, and redirects through them, which are recorded."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.sockets import acquire, context_socket, socket_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.maps.map import VmMap
from ebpfasm.analysis.vm.maps.objects import SocketsMap
from ebpfasm.analysis.vm.objects import ESTABLISHED, TCP, Socket
from ebpfasm.analysis.vm.world import Event
from ebpfasm.isa.constants import CONSTANTS

_INGRESS = CONSTANTS["BPF_F_INGRESS"]
DROP, PASS = CONSTANTS["SK_DROP"], CONSTANTS["SK_PASS"]


def sockets_at(machine: Machine, address: int, *kinds: str) -> SocketsMap:
    """The map of sockets that a program means. Raises Fault where it is none of these types."""
    found = machine.world.map_at(address)
    if not isinstance(found, SocketsMap) or found.type not in kinds:
        wanted = " or ".join(kinds)
        raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as {wanted}")
    return found


def lookup(machine: Machine, found: SocketsMap, key: bytes) -> int:
    """A socket of the map, which must be given back."""
    return acquire(machine, found.find(key))


def update(machine: Machine, found: SocketsMap, key: bytes, value: int, flags: int) -> int:
    """Put the socket at an address into the map."""
    socket = socket_at(machine, value)
    return found.store(key, socket, flags) if socket is not None else -errno.EINVAL


@helper("sock_map_update")
def sock_map_update(machine: Machine, ctx: int, map: int, key: int, flags: int) -> int:
    """Put the context's socket into a sockmap."""
    return _update_from_context(machine, ctx, sockets_at(machine, map, "sockmap"), key, flags)


@helper("sock_hash_update")
def sock_hash_update(machine: Machine, ctx: int, map: int, key: int, flags: int) -> int:
    """Put the context's socket into a sockhash."""
    return _update_from_context(machine, ctx, sockets_at(machine, map, "sockhash"), key, flags)


def _update_from_context(
    machine: Machine, ctx: int, found: SocketsMap, key: int, flags: int
) -> int:
    socket = context_socket(machine, ctx)
    content = machine.memory.read(key, found.key_size)
    if socket is None or socket.protocol != TCP:
        return -errno.EOPNOTSUPP
    return found.store(content, socket, flags)


# ---- redirects: the program returns what these say


def _redirect(machine: Machine, kind: str, found: VmMap, socket: Socket | None, flags: int) -> int:
    if flags & ~_INGRESS or socket is None:
        return DROP
    if not flags & _INGRESS and socket.protocol == TCP and socket.state != ESTABLISHED:
        return DROP
    cookie = machine.world.objects.cookie(socket)
    machine.world.events.append(Event(kind, found.name, key=cookie, flags=flags))
    return PASS


@helper("sk_redirect_map")
def sk_redirect_map(machine: Machine, skb: int, map: int, key: int, flags: int) -> int:
    """Record the socket of a sockmap that the packet goes to."""
    owner(machine, skb, "__sk_buff")
    found = sockets_at(machine, map, "sockmap")
    return _redirect(machine, "sk_redirect", found, found.find(_index(key)), flags)


@helper("sk_redirect_hash")
def sk_redirect_hash(machine: Machine, skb: int, map: int, key: int, flags: int) -> int:
    """Record the socket of a sockhash that the packet goes to."""
    owner(machine, skb, "__sk_buff")
    found = sockets_at(machine, map, "sockhash")
    content = machine.memory.read(key, found.key_size)
    return _redirect(machine, "sk_redirect", found, found.find(content), flags)


@helper("msg_redirect_map")
def msg_redirect_map(machine: Machine, msg: int, map: int, key: int, flags: int) -> int:
    """Record the socket of a sockmap that the message goes to."""
    owner(machine, msg, "sk_msg_md")
    found = sockets_at(machine, map, "sockmap")
    return _redirect(machine, "msg_redirect", found, found.find(_index(key)), flags)


@helper("msg_redirect_hash")
def msg_redirect_hash(machine: Machine, msg: int, map: int, key: int, flags: int) -> int:
    """Record the socket of a sockhash that the message goes to."""
    owner(machine, msg, "sk_msg_md")
    found = sockets_at(machine, map, "sockhash")
    content = machine.memory.read(key, found.key_size)
    return _redirect(machine, "msg_redirect", found, found.find(content), flags)


def _index(key: int) -> bytes:
    return (key & U32).to_bytes(4, _ORDER)


@helper("sk_select_reuseport")
def sk_select_reuseport(machine: Machine, ctx: int, map: int, key: int, flags: int) -> int:
    """Record the socket of a group that gets the packet."""
    owner(machine, ctx, "sk_reuseport_md")
    found = sockets_at(machine, map, "reuseport_sockarray", "sockmap", "sockhash")
    socket = found.find(machine.memory.read(key, found.key_size))
    if flags:
        return -errno.EINVAL
    if socket is None:
        return -errno.ENOENT
    if found.type != "reuseport_sockarray" and not socket.reuseport:
        return -errno.EINVAL
    cookie = machine.world.objects.cookie(socket)
    machine.world.events.append(Event("sk_select_reuseport", found.name, key=cookie))
    return 0
