"""Helpers on XDP frames, and redirects."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.packet import ETHERNET, FRAME_HEADER
from ebpfasm.analysis.vm.world import Event

XDP_ABORTED, XDP_REDIRECT = 0, 4
TC_ACT_REDIRECT, TC_ACT_SHOT = 7, 2
META_MOST = 252  # bytes
_REDIRECTS = ("devmap", "devmap_hash", "cpumap", "xskmap")


def owner(machine: Machine, address: int, struct: str) -> None:
    """Make sure that a helper got the context it works on. Raises Fault."""
    if address != machine.ctx.address:
        where = describe(machine.memory, address)
        raise Fault("vm-helper", f"gives {where} where the context belongs")
    if machine.shape.struct != struct:
        raise Fault("vm-helper", f"calls a helper of struct {struct} on another context")


def skb_view(machine: Machine, skb: int, offset: int, length: int) -> memoryview | None:
    """Bytes of an skb's packet, None where they are not in it."""
    owner(machine, skb, "__sk_buff")
    packet = machine.packet
    if offset + length > packet.length:
        return None
    start = packet.data + offset
    return memoryview(packet.buffer)[start : start + length]


@helper("xdp_adjust_head")
def xdp_adjust_head(machine: Machine, ctx: int, delta: int) -> int:
    """Move the front of the frame; metadata moves along."""
    owner(machine, ctx, "xdp_md")
    packet, delta = machine.packet, signed32(delta)
    data, length = packet.data + delta, packet.data - packet.meta
    if data < FRAME_HEADER + length or data > packet.data_end - ETHERNET:
        return -errno.EINVAL
    meta = bytes(packet.buffer[packet.meta : packet.data])
    packet.buffer[data - length : data] = meta
    packet.meta = data - length
    packet.moved(data=data)
    return 0


@helper("xdp_adjust_tail")
def xdp_adjust_tail(machine: Machine, ctx: int, delta: int) -> int:
    """Cut the frame, or add zeros."""
    owner(machine, ctx, "xdp_md")
    packet = machine.packet
    end = packet.data_end + signed32(delta)
    if end > packet.hard_end or end < packet.data + ETHERNET:
        return -errno.EINVAL
    packet.moved(end=end)
    return 0


@helper("xdp_adjust_meta")
def xdp_adjust_meta(machine: Machine, ctx: int, delta: int) -> int:
    """Make room for metadata in front of the frame."""
    owner(machine, ctx, "xdp_md")
    packet = machine.packet
    meta = packet.meta + signed32(delta)
    if meta < FRAME_HEADER or meta > packet.data:
        return -errno.EINVAL
    if (packet.data - meta) % 4 or packet.data - meta > META_MOST:
        return -errno.EACCES
    packet.meta = meta
    packet.moved()
    return 0


@helper("xdp_get_buff_len")
def xdp_get_buff_len(machine: Machine, ctx: int) -> int:
    """The frame's length."""
    owner(machine, ctx, "xdp_md")
    return machine.packet.length


@helper("xdp_load_bytes")
def xdp_load_bytes(machine: Machine, ctx: int, offset: int, to: int, length: int) -> int:
    """Copy bytes out of the frame."""
    owner(machine, ctx, "xdp_md")
    return _copy(machine, offset & U32, to, length & U32, store=False)


@helper("xdp_store_bytes")
def xdp_store_bytes(machine: Machine, ctx: int, offset: int, source: int, length: int) -> int:
    """Copy bytes into the frame."""
    owner(machine, ctx, "xdp_md")
    return _copy(machine, offset & U32, source, length & U32, store=True)


def _copy(machine: Machine, offset: int, other: int, length: int, *, store: bool) -> int:
    view = machine.memory.view(other, length, write=not store)
    packet = machine.packet
    if offset > 0xFFFF or length > 0xFFFF or offset + length > packet.length:
        return -errno.EINVAL
    start = packet.data + offset
    if store:
        packet.buffer[start : start + length] = bytes(view)
    else:
        view[:] = packet.buffer[start : start + length]
    return 0


@helper("redirect_peer")
def redirect_peer(machine: Machine, ifindex: int, flags: int) -> int:
    """Record that the packet goes to the other end of an interface."""
    if flags:
        return TC_ACT_SHOT
    machine.world.events.append(Event("redirect_peer", key=ifindex & U32))
    return TC_ACT_REDIRECT


@helper("redirect")
def redirect(machine: Machine, ifindex: int, flags: int) -> int:
    """Record where the packet goes."""
    xdp = machine.shape.struct == "xdp_md"
    if flags & (~0 if xdp else ~1):
        return XDP_ABORTED if xdp else TC_ACT_SHOT
    machine.world.events.append(Event("redirect", key=ifindex & U32, flags=flags))
    return XDP_REDIRECT if xdp else TC_ACT_REDIRECT


@helper("redirect_neigh")
def redirect_neigh(machine: Machine, ifindex: int, params: int, size: int, flags: int) -> int:
    """Record where the packet goes; the neighbour's address is for the kernel to find."""
    if flags or (size & U32) not in (0, 20):
        return TC_ACT_SHOT
    machine.world.events.append(Event("redirect", key=ifindex & U32))
    return TC_ACT_REDIRECT


@helper("redirect_map")
def redirect_map(machine: Machine, map: int, key: int, flags: int) -> int:
    """Record where the packet goes, if the map has such a key; else return the flags' low bits."""
    found = machine.world.map_at(map)
    if found.type not in _REDIRECTS:
        raise Fault("vm-map", f"redirects through map {found.name!r}, of type {found.type}")
    index = key & U32
    if flags & ~0x1B:
        return XDP_ABORTED
    if not flags & 8 and found.read(index.to_bytes(4, _ORDER)) is None:
        return flags & 3
    machine.world.events.append(Event("redirect", found.name, key=index, flags=flags))
    return XDP_REDIRECT
