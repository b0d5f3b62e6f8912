"""Headers that a lightweight tunnel's program puts in front of its packet."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.skb import make_room, move_front
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.isa.constants import CONSTANTS

_IP = CONSTANTS["BPF_LWT_ENCAP_IP"]
_SEGMENTS = (CONSTANTS["BPF_LWT_ENCAP_SEG6"], CONSTANTS["BPF_LWT_ENCAP_SEG6_INLINE"])
_IPV4, _IPV6 = 20, 40  # bytes of the headers
_MOST = 256  # LWT_BPF_MAX_HEADROOM


@helper("lwt_push_encap")
def lwt_push_encap(machine: Machine, skb: int, kind: int, header: int, length: int) -> int:
    """Put an IP header in front of the packet (net/core/lwt_bpf.c, bpf_lwt_push_ip_encap)."""
    owner(machine, skb, "__sk_buff")
    content, kind = machine.memory.read(header, length & U32), kind & U32
    if kind in _SEGMENTS and machine.linked.type == "lwt_in":
        raise Fault("not-supported", "pushes a segment routing header, which needs a kernel")
    if kind != _IP or not _fits(content):
        return -errno.EINVAL
    packet = machine.packet
    make_room(machine, len(content) - packet.data, 0)
    packet.buffer[packet.data - len(content) : packet.data] = content
    move_front(machine, -len(content))
    ipv4 = content[0] >> 4 == 4
    machine.ctx.host[16:18] = b"\x08\x00" if ipv4 else b"\x86\xdd"
    if ipv4 and not any(content[10:12]):
        _fill_checksum(memoryview(packet.buffer)[packet.data : packet.data + len(content)])
    return 0


def _fits(content: bytes) -> bool:
    if not _IPV4 <= len(content) <= _MOST:
        return False
    match content[0] >> 4:
        case 4:
            return len(content) >= (content[0] & 0xF) * 4
        case 6:
            return len(content) >= _IPV6
        case _:
            return False


def _fill_checksum(head: memoryview) -> None:
    size = (head[0] & 0xF) * 4
    total = sum(int.from_bytes(head[at : at + 2], _ORDER) for at in range(0, size, 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    head[10:12] = (~total & 0xFFFF).to_bytes(2, _ORDER)
