"""Helpers on routes and interfaces: what the test's Network says."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.network import MAIN_TABLE, Interface, Network, Route
from ebpfasm.analysis.vm.objects import AF_INET, AF_INET6, packed_address
from ebpfasm.isa import contexts
from ebpfasm.isa.constants import CONSTANTS

_DIRECT, _OUTPUT = CONSTANTS["BPF_FIB_LOOKUP_DIRECT"], CONSTANTS["BPF_FIB_LOOKUP_OUTPUT"]
_SKIP_NEIGH, _TABLE = CONSTANTS["BPF_FIB_LOOKUP_SKIP_NEIGH"], CONSTANTS["BPF_FIB_LOOKUP_TBID"]
_SOURCE, _MARK = CONSTANTS["BPF_FIB_LOOKUP_SRC"], CONSTANTS["BPF_FIB_LOOKUP_MARK"]
_FLAGS = _DIRECT | _OUTPUT | _SKIP_NEIGH | _TABLE | _SOURCE | _MARK


def _answer(name: str) -> int:
    return CONSTANTS[f"BPF_FIB_LKUP_RET_{name}"]


_NOT_UNICAST = {
    "local": _answer("NOT_FWDED"), "blackhole": _answer("BLACKHOLE"),
    "unreachable": _answer("UNREACHABLE"), "prohibit": _answer("PROHIBIT"),
}  # fmt: skip
_SUCCESS, _FRAGMENT = _answer("SUCCESS"), _answer("FRAG_NEEDED")
_MTU_SEGMENTS, _MTU_TOO_LONG = (
    CONSTANTS["BPF_MTU_CHK_SEGS"],
    CONSTANTS["BPF_MTU_CHK_RET_FRAG_NEEDED"],
)


class _Params:
    """A struct bpf_fib_lookup in the program's memory."""

    def __init__(self, view: memoryview) -> None:
        self.view = view
        self.family = view[0]
        self.width = 4 if self.family == AF_INET else 16

    def _field(self, name: str) -> contexts.ContextField:
        found = contexts.field(f"bpf_fib_lookup.{name}")
        assert found is not None
        return found

    def number(self, name: str) -> int:
        field = self._field(name)
        return int.from_bytes(self.view[field.offset : field.offset + field.size], _ORDER)

    def put(self, name: str, value: int | bytes) -> None:
        field = self._field(name)
        raw = value if isinstance(value, bytes) else value.to_bytes(field.size, _ORDER)
        self.view[field.offset : field.offset + len(raw)] = raw

    def address(self, side: str) -> bytes:
        field = self._field(f"ipv6_{side}")
        return bytes(self.view[field.offset : field.offset + self.width])


@helper("fib_lookup")
def fib_lookup(machine: Machine, ctx: int, params: int, size: int, flags: int) -> int:
    """Where a packet with these addresses is sent, by the routes of the test's network."""
    skb = machine.shape.struct == "__sk_buff"
    owner(machine, ctx, "__sk_buff" if skb else "xdp_md")
    size, flags = signed32(size), flags & U32
    view = machine.memory.view(params, max(size, 0), write=True)
    if size < 64 or flags & ~_FLAGS:
        return -errno.EINVAL
    asked = _Params(view)
    if asked.family not in (AF_INET, AF_INET6):
        return -errno.EAFNOSUPPORT
    check = not skb or asked.number("tot_len") > 0
    network = machine.world.network
    result = _look_up(network, asked, flags, check=check)
    if skb and result == _SUCCESS and not check:
        device = network.interfaces.get(asked.number("ifindex"), Interface())
        if not device.up or machine.packet.length > device.mtu + device.header + 4:
            result = _FRAGMENT
        asked.put("mtu_result", device.mtu & 0xFFFF)
    return result


def _look_up(network: Network, asked: _Params, flags: int, *, check: bool) -> int:
    source, destination = asked.address("src"), asked.address("dst")
    if asked.family == AF_INET6 and (_strict(source) or _strict(destination)):
        return _answer("NOT_FWDED")
    device = network.interfaces.get(asked.number("ifindex"))
    if device is None:
        return -errno.ENODEV
    if not device.forwarding:
        return _answer("FWD_DISABLED")
    table = MAIN_TABLE
    if flags & _DIRECT and flags & _TABLE:
        table = asked.number("tbid")
        asked.put("tbid", 0)
    route = network.route(destination, table)
    if route is None:
        return _answer("NOT_FWDED")
    if route.type != "unicast":
        return _NOT_UNICAST[route.type]
    mtu = route.mtu or network.interfaces.get(route.interface, Interface()).mtu
    if check and asked.number("tot_len") > mtu:
        asked.put("mtu_result", mtu & 0xFFFF)
        return _FRAGMENT
    if route.encapsulated:
        return _answer("UNSUPP_LWT")
    return _forward(network, asked, route, flags, mtu if check else 0)


def _strict(address: bytes) -> bool:
    """Whether an IPv6 address is local to a link, or of a group."""
    return address[0] == 0xFF or (address[0] == 0xFE and address[1] & 0xC0 == 0x80)


def _forward(network: Network, asked: _Params, route: Route, flags: int, mtu: int) -> int:
    asked.put("rt_metric", route.metric)
    asked.put("ifindex", route.interface)
    if flags & _SOURCE:
        if not route.source:
            return _answer("NO_SRC_ADDR")
        asked.put("ipv6_src", packed_address(route.source))
    if route.gateway:
        gateway = packed_address(route.gateway)
        if asked.family == AF_INET and len(gateway) == 16:
            asked.put("family", AF_INET6)
            asked.width = 16
        asked.put("ipv6_dst", gateway)
    if not flags & _SKIP_NEIGH:
        neighbour = network.neighbour(route.interface, asked.address("dst"))
        if neighbour is None:
            return _answer("NO_NEIGH")
        asked.put("dmac", neighbour)
        device = network.interfaces.get(route.interface, Interface())
        asked.put("smac", device.mac)
    asked.put("h_vlan_TCI", 0)
    asked.put("h_vlan_proto", 0)
    if mtu:
        asked.put("mtu_result", mtu & 0xFFFF)
    return _SUCCESS


@helper("check_mtu")
def check_mtu(
    machine: Machine, ctx: int, ifindex: int, length: int, difference: int, flags: int
) -> int:
    """Whether the packet, after a change of length, fits an interface."""
    skb = machine.shape.struct == "__sk_buff"
    owner(machine, ctx, "__sk_buff" if skb else "xdp_md")
    view = machine.memory.view(length, 4, write=True)
    asked, difference = int.from_bytes(view, _ORDER), signed32(difference)
    if flags & ~(_MTU_SEGMENTS if skb else 0):
        return -errno.EINVAL
    if flags and (difference or asked):
        return -errno.EINVAL
    device = machine.world.network.interfaces.get(ifindex & U32 or _arrival(machine))
    if device is None:
        return -errno.ENODEV
    total = (asked + device.header if asked else machine.packet.length) + difference
    view[:] = device.mtu.to_bytes(4, _ORDER)
    return 0 if total <= device.mtu + device.header else _MTU_TOO_LONG


def _arrival(machine: Machine) -> int:
    name = "__sk_buff.ifindex" if machine.shape.struct == "__sk_buff" else "xdp_md.ingress_ifindex"
    field = contexts.field(name)
    assert field is not None
    return int.from_bytes(machine.ctx.host[field.offset : field.offset + 4], _ORDER)
