"""Helpers that change what kind of packet an skb is: protocol, congestion mark, time stamp."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.skb import make_room, move_front
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.packet import ETHERNET
from ebpfasm.isa.constants import CONSTANTS

_IPV4, _IPV6 = b"\x08\x00", b"\x86\xdd"
_TAGS = (b"\x81\x00", b"\x88\xa8")  # EtherTypes of VLAN tags
_DIFFERENCE = 20  # bytes between the headers of IPv4 and IPv6
_TIME, _TIME_TYPE = 152, 180  # __sk_buff.tstamp, __sk_buff.tstamp_type
_REALTIME = CONSTANTS["BPF_SKB_CLOCK_REALTIME"]
_CLOCKS = (_REALTIME, CONSTANTS["BPF_SKB_CLOCK_MONOTONIC"], CONSTANTS["BPF_SKB_CLOCK_TAI"])


def _protocol(machine: Machine) -> bytes:
    return bytes(machine.ctx.host[16:18])


@helper("skb_change_proto")
def skb_change_proto(machine: Machine, skb: int, protocol: int, flags: int) -> int:
    """Make room for an IPv6 header in place of an IPv4 one, or the other way round."""
    owner(machine, skb, "__sk_buff")
    if flags:
        return -errno.EINVAL
    change = _protocol(machine), (protocol & 0xFFFF).to_bytes(2, _ORDER)
    packet = machine.packet
    head = bytes(packet.buffer[packet.data : packet.data + ETHERNET])
    if change == (_IPV4, _IPV6):
        make_room(machine, _DIFFERENCE - packet.data, 0)
        start = packet.data - _DIFFERENCE
        packet.buffer[start : packet.data + ETHERNET] = head + bytes(_DIFFERENCE)
        move_front(machine, -_DIFFERENCE)
    elif change == (_IPV6, _IPV4):
        if packet.length < ETHERNET + _DIFFERENCE:
            packet.moved()
            return -errno.ENOMEM
        start = packet.data + _DIFFERENCE
        packet.buffer[start : start + ETHERNET] = head
        move_front(machine, _DIFFERENCE)
    else:
        packet.moved()
        return -errno.ENOTSUPP
    machine.ctx.host[16:18] = change[1]
    return 0


def _inner_protocol(machine: Machine) -> bytes:
    """The protocol behind VLAN tags that lie in the packet."""
    found, packet = _protocol(machine), machine.packet
    place = packet.link + ETHERNET
    while found in _TAGS and place + 4 <= packet.data_end:
        found = bytes(packet.buffer[place + 2 : place + 4])
        place += 4
    return found


@helper("skb_ecn_set_ce")
def skb_ecn_set_ce(machine: Machine, skb: int) -> int:
    """Mark congestion where the packet is able to carry the mark; 1 if it has it then."""
    owner(machine, skb, "__sk_buff")
    packet = machine.packet
    head = memoryview(packet.buffer)[packet.link + ETHERNET : packet.data_end]
    match _inner_protocol(machine):
        case b"\x08\x00" if len(head) >= 20 and packet.length >= 20:
            return _mark_ipv4(head)
        case b"\x86\xdd" if len(head) >= 40 and packet.length >= 40:
            return _mark_ipv6(head)
        case _:
            return 0


def _mark_ipv4(head: memoryview) -> int:
    """As IP_ECN_set_ce: the checksum is fixed along with the field (RFC 1624)."""
    after = head[1] + 1 & 3
    if not after & 2:
        return int(after == 0)
    check = int.from_bytes(head[10:12], "big") + 0xFFFB + after
    head[10:12] = (check + (check >= 0xFFFF) & 0xFFFF).to_bytes(2, "big")
    head[1] |= 3
    return 1


def _mark_ipv6(head: memoryview) -> int:
    if not head[1] & 0x30:
        return 0
    head[1] |= 0x30
    return 1


@helper("skb_set_tstamp")
def skb_set_tstamp(machine: Machine, skb: int, time: int, clock: int) -> int:
    """Set the packet's time stamp and its clock."""
    owner(machine, skb, "__sk_buff")
    clock &= U32
    if _protocol(machine) not in (_IPV4, _IPV6):
        return -errno.EOPNOTSUPP
    if clock not in _CLOCKS or (not time and clock != _REALTIME):
        return -errno.EINVAL
    machine.ctx.host[_TIME : _TIME + 8] = time.to_bytes(8, _ORDER)
    machine.ctx.host[_TIME_TYPE] = clock
    return 0
