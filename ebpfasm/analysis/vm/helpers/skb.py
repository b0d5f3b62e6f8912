"""Helpers on socket buffers."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.context import LINK_LAYER
from ebpfasm.analysis.vm.helpers.packets import owner, skb_view
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.packet import ETHERNET, HEADROOM
from ebpfasm.analysis.vm.world import Event

_OFFSET_MOST = 0x7FFFFFFF
_VLAN = 4  # bytes of a tag
_8021Q, _8021AD = 0x8100, 0x88A8
_HASH = 68  # where __sk_buff.hash is


@helper("skb_load_bytes")
def skb_load_bytes(machine: Machine, skb: int, offset: int, to: int, length: int) -> int:
    """Copy bytes out of the packet; where it is too short, write zeros and say EFAULT."""
    length &= U32
    view = machine.memory.view(to, length, write=True)
    found = skb_view(machine, skb, offset & U32, length)
    if found is None:
        view[:] = bytes(length)
        return -errno.EFAULT
    view[:] = found
    return 0


@helper("skb_load_bytes_relative")
def skb_load_bytes_relative(
    machine: Machine, skb: int, offset: int, to: int, length: int, header: int
) -> int:
    """Copy bytes, counted from the link (0) or network (1) header."""
    owner(machine, skb, "__sk_buff")
    length &= U32
    view = machine.memory.view(to, length, write=True)
    packet = machine.packet
    start = {0: packet.link, 1: packet.link + ETHERNET}.get(header & U32)
    if start is None or start + (offset & U32) + length > packet.data_end:
        view[:] = bytes(length)
        return -errno.EFAULT
    start += offset & U32
    view[:] = packet.buffer[start : start + length]
    return 0


@helper("skb_store_bytes")
def skb_store_bytes(
    machine: Machine, skb: int, offset: int, source: int, length: int, flags: int
) -> int:
    """Copy bytes into the packet."""
    content = machine.memory.read(source, length & U32)
    if flags & ~3:
        return -errno.EINVAL
    found = skb_view(machine, skb, offset & U32, len(content))
    if found is None:
        return -errno.EFAULT
    found[:] = content
    machine.packet.moved()
    return 0


@helper("skb_pull_data")
def skb_pull_data(machine: Machine, skb: int, length: int) -> int:
    """All of the packet can be reached already; older pointers become stale all the same."""
    owner(machine, skb, "__sk_buff")
    result = -errno.ENOMEM if (length & U32) > machine.packet.length else 0
    machine.packet.moved()
    return result


@helper("skb_change_tail")
def skb_change_tail(machine: Machine, skb: int, length: int, flags: int) -> int:
    """Cut the packet, or add zeros."""
    owner(machine, skb, "__sk_buff")
    packet, length = machine.packet, length & U32
    least = ETHERNET if machine.linked.type in LINK_LAYER else 0
    if flags or not least <= length <= 0xFFFF:
        return -errno.EINVAL
    make_room(machine, 0, packet.data + length - packet.hard_end)
    packet.moved(end=packet.data + length)
    machine.set_length()
    return 0


@helper("skb_change_head")
def skb_change_head(machine: Machine, skb: int, length: int, flags: int) -> int:
    """Add zeros in front of the packet."""
    owner(machine, skb, "__sk_buff")
    packet, length = machine.packet, length & U32
    if flags or packet.length + length > 0xFFFF:
        return -errno.EINVAL
    make_room(machine, length - packet.data, 0)
    packet.buffer[packet.data - length : packet.data] = bytes(length)
    move_front(machine, -length)
    return 0


@helper("skb_adjust_room")
def skb_adjust_room(machine: Machine, skb: int, difference: int, mode: int, flags: int) -> int:
    """Grow or shrink the room behind the network header (0) or the Ethernet header (1)."""
    owner(machine, skb, "__sk_buff")
    packet, difference = machine.packet, signed32(difference)
    if abs(difference) > 0xFFF or (mode & U32) > 1 or packet.length < ETHERNET:
        return -errno.EINVAL
    front = ETHERNET
    if mode & U32 == 0:
        front += _network_header(machine)
        if front == ETHERNET:
            return -errno.ENOTSUPP
    if difference < 0 and front - difference > packet.length:
        return -errno.ENOTSUPP
    head = bytes(packet.buffer[packet.data : packet.data + front])
    make_room(machine, difference - packet.data, 0)
    start = packet.data - difference
    packet.buffer[start : start + front] = head
    if difference > 0:
        packet.buffer[start + front : start + front + difference] = bytes(difference)
    move_front(machine, -difference)
    return 0


def _network_header(machine: Machine) -> int:
    """Length of the network header that room is made behind; 0 for other protocols."""
    protocol = bytes(machine.ctx.host[16:18])
    return {b"\x08\x00": 20, b"\x86\xdd": 40}.get(protocol, 0)


@helper("skb_vlan_push")
def skb_vlan_push(machine: Machine, skb: int, protocol: int, tag: int) -> int:
    """Remember a VLAN tag beside the packet; a second one goes into it."""
    owner(machine, skb, "__sk_buff")
    host = machine.ctx.host
    number = int.from_bytes((protocol & 0xFFFF).to_bytes(2, _ORDER), "big")
    if number not in (_8021Q, _8021AD):
        number = _8021Q
    if int.from_bytes(host[20:24], _ORDER):
        _insert_tag(machine, bytes(host[28:30]), int.from_bytes(host[24:28], _ORDER))
    host[20:24] = (1).to_bytes(4, _ORDER)
    host[24:28] = (tag & 0xFFFF).to_bytes(4, _ORDER)
    host[28:32] = number.to_bytes(2, "big") + bytes(2)
    machine.packet.moved()
    return 0


def _insert_tag(machine: Machine, protocol: bytes, tag: int) -> None:
    packet = machine.packet
    make_room(machine, _VLAN - packet.data, 0)
    addresses = bytes(packet.buffer[packet.data : packet.data + 12])
    start = packet.data - _VLAN
    packet.buffer[start : start + 16] = addresses + protocol + tag.to_bytes(2, "big")
    machine.ctx.host[16:18] = protocol
    move_front(machine, -_VLAN)


@helper("skb_vlan_pop")
def skb_vlan_pop(machine: Machine, skb: int) -> int:
    """Forget the VLAN tag; without one beside the packet, take the one in it."""
    owner(machine, skb, "__sk_buff")
    packet, host = machine.packet, machine.ctx.host
    if int.from_bytes(host[20:24], _ORDER):
        host[20:32] = bytes(12)
        packet.moved()
        return 0
    kind = int.from_bytes(packet.buffer[packet.data + 12 : packet.data + 14], "big")
    if packet.length >= 18 and kind in (_8021Q, _8021AD):
        addresses = bytes(packet.buffer[packet.data : packet.data + 12])
        packet.buffer[packet.data + _VLAN : packet.data + 16] = addresses
        move_front(machine, _VLAN)
        host[16:18] = packet.buffer[packet.data + 12 : packet.data + 14]
    return 0


@helper("skb_change_type")
def skb_change_type(machine: Machine, skb: int, kind: int) -> int:
    """Change who the packet is for, among the types that reach programs."""
    owner(machine, skb, "__sk_buff")
    kind &= U32
    if kind > 3 or machine.ctx.host[4] > 3:
        return -errno.EINVAL
    machine.ctx.host[4] = kind
    return 0


@helper("clone_redirect")
def clone_redirect(machine: Machine, skb: int, ifindex: int, flags: int) -> int:
    """Record a copy of the packet and where it goes: an interface of the world's network."""
    owner(machine, skb, "__sk_buff")
    if flags & ~1 or ifindex & U32 not in machine.world.network.interfaces:
        return -errno.EINVAL
    content = machine.packet.bytes()
    machine.world.events.append(Event("clone", data=content, key=ifindex & U32, flags=flags))
    machine.packet.moved()
    return 0


@helper("get_hash_recalc")
def get_hash_recalc(machine: Machine, skb: int) -> int:
    """The hash that the context holds; nothing computes one."""
    owner(machine, skb, "__sk_buff")
    return int.from_bytes(machine.ctx.host[_HASH : _HASH + 4], _ORDER)


@helper("set_hash")
def set_hash(machine: Machine, skb: int, value: int) -> int:
    """Set the context's hash."""
    owner(machine, skb, "__sk_buff")
    machine.ctx.host[_HASH : _HASH + 4] = (value & U32).to_bytes(4, _ORDER)
    return 0


@helper("set_hash_invalid")
def set_hash_invalid(machine: Machine, skb: int) -> int:
    """Forget the context's hash."""
    return set_hash(machine, skb, 0)


@helper("get_route_realm")
def get_route_realm(machine: Machine, skb: int) -> int:
    """Test-run packets took no route."""
    owner(machine, skb, "__sk_buff")
    return 0


def move_front(machine: Machine, distance: int) -> None:
    """Let the packet begin somewhere else, and tell the context."""
    machine.packet.meta = machine.packet.data + distance
    machine.packet.moved(data=machine.packet.data + distance)
    machine.set_length()


def make_room(machine: Machine, head: int, tail: int) -> None:
    """Grow the buffer where that many bytes are missing in front or behind."""
    if head > 0 or tail > 0:
        machine.packet.grow(head + HEADROOM if head > 0 else 0, max(tail, 0))
