"""How a run begins: the packet is put in, the context is filled, and what is missing is made up.

What is made up is what the kernel's test run makes up (net/bpf/test_run.c): the loopback
interface, a closed socket with the packet's addresses, the lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from sys import byteorder as _ORDER
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm import context
from ebpfasm.analysis.vm.maps.objects import StorageMap
from ebpfasm.analysis.vm.message import Message
from ebpfasm.analysis.vm.network import packet_socket
from ebpfasm.analysis.vm.objects import Socket, is_object
from ebpfasm.analysis.vm.packet import ETHERNET
from ebpfasm.errors import VmError, error
from ebpfasm.isa import contexts

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.machine import Machine

LOOPBACK = 1  # the interface that packets come from where the context says none
_WIRE_LENGTH = 160  # __sk_buff.wire_len
SKB_SOCKET, FLOW_KEYS = 168, 144  # __sk_buff.sk, __sk_buff.flow_keys
TIME_TYPE = 180  # __sk_buff.tstamp_type, which a test run does not give back
XDP_INTERFACE, SKB_INTERFACE = 12, 40  # xdp_md.ingress_ifindex, __sk_buff.ifindex

# Where a length that the context does not give is that of the data.
_LENGTHS = {
    "sk_msg_md": "size", "sk_reuseport_md": "len", "bpf_sockopt": "optlen",
    "bpf_sock_ops": "skb_len",
}  # fmt: skip
# Contexts that never come without a socket.
_WITH_SOCKET = frozenset(
    {"bpf_sock_addr", "bpf_sock_ops", "sk_msg_md", "bpf_sockopt", "sk_reuseport_md"}
)


def placed(machine: Machine, ctx: Any) -> Any:
    """The context with addresses for objects."""
    place = machine.world.objects.place
    if isinstance(ctx, tuple):
        return tuple(place(each) if is_object(each) or each is None else each for each in ctx)
    if isinstance(ctx, Mapping) and any(is_object(each) for each in ctx.values()):
        return {name: place(each) if is_object(each) else each for name, each in ctx.items()}
    return ctx


def fill_packet(machine: Machine, data: bytes, host: bytearray) -> None:
    """Put a packet in, and tell the context about it. Raises VmError for places that do not fit."""
    match machine.shape.struct:
        case "xdp_md":
            _fill_xdp(machine, data, host)
        case "__sk_buff":
            _fill_skb(machine, data, host)
        case name:
            machine.packet.fill(data)
            length = _LENGTHS.get(name)
            if length is not None:
                _default(host, _offset(name, length), len(data))
            machine.message = Message(machine.packet) if name == "sk_msg_md" else None
    if machine.shape.struct in _WITH_SOCKET:
        _fill_socket(machine, host)


def _fill_xdp(machine: Machine, data: bytes, host: bytearray) -> None:
    start = int.from_bytes(host[0:4], _ORDER)
    end = int.from_bytes(host[4:8], _ORDER)
    if (start or end) and not (start <= end == len(data) and start % 4 == 0):
        message = f"xdp_md.data is {start} and data_end {end} for {len(data)} bytes"
        hint = "they count from data_meta: data is the metadata's size, data_end all of it"
        raise VmError(error("vm-input", message, hint=hint))
    machine.packet.fill(data, start)
    _default(host, XDP_INTERFACE)


def _fill_skb(machine: Machine, data: bytes, host: bytearray) -> None:
    packet = machine.packet
    machine.skipped = min(machine.packet_skip, len(data))
    packet.fill(data, 0, machine.skipped)
    _default(host, SKB_INTERFACE)
    _default(host, _WIRE_LENGTH, packet.length)
    if host[16:20] == bytes(4) and len(data) >= ETHERNET:
        host[16:18] = data[12:14]
    machine.set_length()
    if machine.linked.type == "flow_dissector":
        machine.flow_keys.host[:] = flow_keys(data)
        _put(host, FLOW_KEYS, machine.flow_keys.address)
    elif machine.reads_socket and not any(host[SKB_SOCKET : SKB_SOCKET + 8]):
        _put(host, SKB_SOCKET, machine.world.objects.place(made_up_socket(machine, data)))


def forget_socket(machine: Machine) -> None:
    """Let the made up socket be a new one, as each of the kernel's test runs has its own."""
    for each in machine.world.all_maps:
        if isinstance(each, StorageMap):
            each.forget(machine.test_socket)
    machine.test_socket.options.clear()
    machine.test_socket.cookie = 0


def made_up_socket(machine: Machine, data: bytes) -> Socket:
    """The closed socket that the kernel's test run gives to a packet."""
    addresses = data[12:54]  # EtherType and network header: all that the socket is made of
    if addresses == machine.socket_of:
        return machine.test_socket
    machine.socket_of = addresses
    made = packet_socket(int.from_bytes(data[12:14], "big"), data[ETHERNET:])
    ours = machine.test_socket
    ours.family, ours.src_ip, ours.dst_ip = made.family, made.src_ip, made.dst_ip
    machine.world.objects.place(ours)
    machine.world.objects.refresh()
    return ours


def _fill_socket(machine: Machine, host: bytearray) -> None:
    name = machine.shape.struct
    place = _offset(name, "sk")
    if any(host[place : place + 8]):
        return
    made = machine.test_socket
    for field in ("family", "type", "protocol"):
        found = contexts.field(f"{name}.{field}")
        if found is not None:
            value = int.from_bytes(host[found.offset : found.offset + found.size], _ORDER)
            setattr(made, field, value)
    _put(host, place, machine.world.objects.place(made))
    machine.world.objects.refresh()


def flow_keys(data: bytes) -> bytes:
    """What a flow dissector finds filled in: where the network header is, and its protocol."""
    head = ETHERNET.to_bytes(2, _ORDER) * 2
    return (head + bytes(6) + data[12:14]).ljust(56, b"\0")


def flow_keys_out(raw: bytearray, length: int) -> bytes:
    """The flow keys as a test run gives them back: the offsets kept inside the packet."""
    for at in (0, 2):
        value = int.from_bytes(raw[at : at + 2], _ORDER)
        low = ETHERNET if at == 0 else int.from_bytes(raw[0:2], _ORDER)
        raw[at : at + 2] = min(max(value, low), length).to_bytes(2, _ORDER)
    return bytes(raw)


def _offset(struct: str, name: str) -> int:
    found = contexts.field(f"{struct}.{name}")
    assert found is not None
    return found.offset


def _put(host: bytearray, at: int, address: int) -> None:
    host[at : at + 8] = address.to_bytes(8, _ORDER)


def _default(host: bytearray, at: int, value: int = LOOPBACK) -> None:
    if host[at : at + 4] == bytes(4):
        host[at : at + 4] = (value & 0xFFFFFFFF).to_bytes(4, _ORDER)


def clear_pointers(shape: context.Layout, host: bytearray) -> None:
    """Take addresses out of a context that is handed to the user."""
    for at, pointer in shape.pointers.items():
        if pointer.width == 8:
            host[at : at + 8] = bytes(8)
