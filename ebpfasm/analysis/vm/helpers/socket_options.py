"""Helpers that set up sockets: options, addresses, callbacks, and TCP header options."""

from __future__ import annotations

import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.helpers.sockets import context_socket, socket_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.objects import AF_INET, AF_INET6, TCP, Socket
from ebpfasm.analysis.vm.world import Event
from ebpfasm.isa import contexts
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.socket_options import SOL_IP, SOL_IPV6, SOL_TCP, SocketOption, find

_SAVED = ("TCP_SAVED_SYN", "TCP_BPF_SYN", "TCP_BPF_SYN_IP", "TCP_BPF_SYN_MAC")
_ALL_CALLBACKS = CONSTANTS["BPF_SOCK_OPS_ALL_CB_FLAGS"]
_LENGTH_CALLBACK = CONSTANTS["BPF_SOCK_OPS_HDR_OPT_LEN_CB"]
_WRITE_CALLBACK = CONSTANTS["BPF_SOCK_OPS_WRITE_HDR_OPT_CB"]
_FROM_SYN = CONSTANTS["BPF_LOAD_HDR_OPT_TCP_SYN"]
_END, _NOTHING, _EXPERIMENTS = 0, 1, (253, 254)  # kinds of TCP options
_TCP_HEADER = 20


@helper("setsockopt")
def setsockopt(machine: Machine, ctx: int, level: int, name: int, value: int, length: int) -> int:
    """Set an option of the context's socket, which keeps the bytes."""
    socket, length = context_socket(machine, ctx), signed32(length)
    content = machine.memory.read(value, max(length, 0))
    option = _option(socket, level, name)
    if socket is None or option is None or not option.settable:
        return -errno.EINVAL
    if option.size:
        number = int.from_bytes(content, sys.byteorder, signed=True)
        if length != option.size or not option.low <= number <= option.high:
            return -errno.EINVAL
        if option.field:
            setattr(socket, option.field, number & U32)
            machine.world.objects.refresh()
    socket.options[option.level, option.number] = content
    return 0


@helper("getsockopt")
def getsockopt(machine: Machine, ctx: int, level: int, name: int, value: int, length: int) -> int:
    """Read an option; of those that were not set, the test's Socket has the value."""
    socket, length = context_socket(machine, ctx), signed32(length)
    view = machine.memory.view(value, max(length, 0), write=True)
    option = _option(socket, level, name)
    if option is not None and option.name.startswith("TCP_BPF_SYN") and socket is not None:
        return _syn_option(view, socket.saved_syn)
    content = _value(socket, option, len(view)) if socket is not None and option else None
    if content is None:
        view[:] = bytes(len(view))
        return -errno.EINVAL
    view[:] = content.ljust(len(view), b"\0")
    return 0


def _option(socket: Socket | None, level: int, name: int) -> SocketOption | None:
    level, name = signed32(level), signed32(name)
    if socket is None or not socket.full:
        return None
    wanted = {SOL_IP: AF_INET, SOL_IPV6: AF_INET6}.get(level)
    if wanted is not None and socket.family != wanted:
        return None
    if level == SOL_TCP and socket.protocol != TCP:
        return None
    return find(level, name)


def _value(socket: Socket, option: SocketOption, length: int) -> bytes | None:
    if not option.gettable or (option.size and length != option.size):
        return None
    if option.name == "TCP_SAVED_SYN":
        kept = socket.saved_syn
        return kept[:length] if kept and 0 < length <= len(kept) else None
    if option.field:
        return int(getattr(socket, option.field)).to_bytes(4, sys.byteorder)
    if option.name == "TCP_BPF_SOCK_OPS_CB_FLAGS":
        return socket.callbacks.to_bytes(4, sys.byteorder)
    content = socket.options.get((option.level, option.number))
    if content is None:
        return bytes(option.size) if option.size else None
    if option.size:
        return content
    return content[: length - 1] if length > 1 else None


def _syn_option(view: memoryview, syn: bytes) -> int:
    """The headers of a SYN that was kept; cut where the buffer is short."""
    view[:] = bytes(len(view))
    if not syn:
        return -errno.ENOENT
    kept = syn[: len(view)]
    view[: len(kept)] = kept
    return len(syn) if len(kept) == len(syn) else -errno.ENOSPC


@helper("bind")
def bind(machine: Machine, ctx: int, address: int, length: int) -> int:
    """Record the address that the socket is bound to before it connects."""
    length = signed32(length)
    content = machine.memory.read(address, max(length, 0))
    if length < 2:
        return -errno.EINVAL
    family = int.from_bytes(content[:2], sys.byteorder)
    least = {AF_INET: 16, AF_INET6: 24}.get(family)
    if least is None:
        return -errno.EAFNOSUPPORT
    if length < least:
        return -errno.EINVAL
    machine.world.events.append(Event("bind", data=content, key=family))
    return 0


@helper("sock_ops_cb_flags_set")
def sock_ops_cb_flags_set(machine: Machine, ctx: int, flags: int) -> int:
    """Choose further callbacks; return the bits that no kernel knows."""
    socket = context_socket(machine, ctx)
    if socket is None or not socket.full:
        return -errno.EINVAL
    socket.callbacks = flags & _ALL_CALLBACKS
    _set(machine, "bpf_sock_ops_cb_flags", socket.callbacks)
    return signed32(flags) & ~_ALL_CALLBACKS


def _set(machine: Machine, name: str, value: int) -> None:
    field = contexts.field(f"bpf_sock_ops.{name}")
    assert field is not None
    machine.ctx.host[field.offset : field.offset + 4] = value.to_bytes(4, sys.byteorder)


@helper("tcp_send_ack")
def tcp_send_ack(machine: Machine, socket: int, sequence: int) -> int:
    """Record an acknowledgement that is sent."""
    socket_at(machine, socket)
    machine.world.events.append(Event("tcp_send_ack", key=sequence & U32))
    return 0


# ---- options in TCP headers, of sock_ops programs


def _search(options: bytes, kind: int, magic: bytes) -> tuple[int, bool]:
    """The place of an option, or a negative errno; and whether the list was ended."""
    place = 0
    while place < len(options):
        here = options[place]
        if here == _END:
            return -errno.ENOMSG, True
        if here == _NOTHING:
            place += 1
            continue
        left = len(options) - place
        if left < 2 or not 2 <= options[place + 1] <= left:
            return -errno.EFAULT, False
        length = options[place + 1]
        if here == kind:
            if len(magic) > length - 2 and magic:
                return -errno.ENOMSG, False
            if options[place + 2 : place + 2 + len(magic)] == magic:
                return place, False
        place += length
    return -errno.ENOMSG, False


def _operation(machine: Machine) -> int:
    return int.from_bytes(machine.ctx.host[0:4], sys.byteorder)


@helper("load_hdr_opt")
def load_hdr_opt(machine: Machine, ctx: int, searched: int, length: int, flags: int) -> int:
    """Find an option in the TCP header at hand, or in the SYN that was kept."""
    view = machine.memory.view(searched, length & U32, write=True)
    if len(view) < 2 or flags & ~_FROM_SYN:
        return -errno.EINVAL
    kind, size = view[0], view[1]
    if size > len(view) or kind in (_NOTHING, _END):
        return -errno.EINVAL
    experiment = kind in _EXPERIMENTS
    if size not in ((4, 6) if experiment else (0,)):
        return -errno.EINVAL
    magic = bytes(view[2:size]) if experiment else b""
    header = _header(machine, flags)
    if isinstance(header, int):
        return header
    place, _ = _search(header[_TCP_HEADER:], kind, magic)
    if place < 0:
        return place
    found = header[_TCP_HEADER + place :][: header[_TCP_HEADER + place + 1]]
    kept = found[: len(view)]
    view[: len(kept)] = kept
    return len(found) if len(kept) == len(found) else -errno.ENOSPC


def _header(machine: Machine, flags: int) -> bytes | int:
    if flags & _FROM_SYN:
        socket = context_socket(machine, machine.ctx.address)
        return socket.saved_syn if socket is not None and socket.saved_syn else -errno.ENOENT
    if not machine.packet.length or _operation(machine) == _LENGTH_CALLBACK:
        return -errno.EPERM
    return machine.packet.bytes()


@helper("store_hdr_opt")
def store_hdr_opt(machine: Machine, ctx: int, source: int, length: int, flags: int) -> int:
    """Write an option behind the others of the header, into the room that was reserved."""
    content = machine.memory.read(source, length & U32)
    if _operation(machine) != _WRITE_CALLBACK:
        return -errno.EPERM
    if len(content) < 2 or flags:
        return -errno.EINVAL
    kind, size = content[0], content[1]
    if size > len(content) or kind in (_NOTHING, _END):
        return -errno.EINVAL
    if size > machine.header_room:
        return -errno.ENOSPC
    if kind in _EXPERIMENTS and size < 4:
        return -errno.EINVAL
    magic = content[2:4] if kind in _EXPERIMENTS else b""
    packet = machine.packet
    place, ended = _search(packet.bytes()[_TCP_HEADER:], kind, magic)
    if place >= 0:
        return -errno.EEXIST
    if place != -errno.ENOMSG:
        return place
    if ended:
        return -errno.ENOSPC
    end = packet.data_end
    packet.moved(end=end + size)
    packet.buffer[end : end + size] = content[:size]
    machine.header_room -= size
    return 0


@helper("reserve_hdr_opt")
def reserve_hdr_opt(machine: Machine, ctx: int, length: int, flags: int) -> int:
    """Ask for room in the header that is about to be made."""
    if _operation(machine) != _LENGTH_CALLBACK:
        return -errno.EPERM
    if flags or length & U32 < 2:
        return -errno.EINVAL
    if length & U32 > machine.header_room:
        return -errno.ENOSPC
    machine.header_room -= length & U32
    return 0
