"""Helpers on tunnels, IPsec states and encapsulation: what a packet came through or leaves by."""

from __future__ import annotations

import ipaddress
from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.network import Tunnel
from ebpfasm.analysis.vm.objects import AF_INET, AF_INET6, packed_address
from ebpfasm.analysis.vm.world import Event
from ebpfasm.isa import contexts
from ebpfasm.isa.constants import CONSTANTS

_IPV6, _TELL_FLAGS = CONSTANTS["BPF_F_TUNINFO_IPV6"], CONSTANTS["BPF_F_TUNINFO_FLAGS"]
_ZERO_CSUM, _DONT_FRAGMENT = CONSTANTS["BPF_F_ZERO_CSUM_TX"], CONSTANTS["BPF_F_DONT_FRAGMENT"]
_SEQUENCE, _NO_KEY = CONSTANTS["BPF_F_SEQ_NUMBER"], CONSTANTS["BPF_F_NO_TUNNEL_KEY"]
# Flags that the kernel keeps for a tunnel (linux/if_tunnel.h), host order.
CSUM, KEY, SEQ, DONT_FRAGMENT, NOCACHE = 0x01, 0x04, 0x08, 0x0100, 0x2000
_LABEL_MASK = 0xFFFFF
_OPTIONS_MOST = 255


def _size(name: str = "") -> int:
    if not name:
        struct = contexts.struct("bpf_tunnel_key")
        assert struct is not None
        return struct.size
    field = contexts.field(f"bpf_tunnel_key.{name}")
    assert field is not None
    return field.offset


_WHOLE = _size()
# What older headers called the whole struct.
_OLDER = frozenset(
    {_size("local_ipv6"), _size("tunnel_label"), _size("tunnel_ext"), _size("remote_ipv6[1]")}
)


def _is_ipv6(tunnel: Tunnel) -> bool:
    return len(packed_address(tunnel.remote)) == 16


@helper("skb_get_tunnel_key")
def skb_get_tunnel_key(machine: Machine, skb: int, key: int, size: int, flags: int) -> int:
    """Tell the outer addresses and id; where there is no tunnel, write zeros."""
    owner(machine, skb, "__sk_buff")
    view = machine.memory.view(key, size & U32, write=True)
    raw = _key_of(machine.tunnel, len(view), flags)
    view[:] = raw[: len(view)] if isinstance(raw, bytes) else bytes(len(view))
    return 0 if isinstance(raw, bytes) else raw


def _key_of(tunnel: Tunnel | None, size: int, flags: int) -> bytes | int:
    if tunnel is None or flags & ~(_IPV6 | _TELL_FLAGS):
        return -errno.EINVAL
    if _is_ipv6(tunnel) != bool(flags & _IPV6):
        return -errno.EPROTO
    if size != _WHOLE and size not in _OLDER:
        return -errno.EINVAL
    if size == _size("remote_ipv6[1]") and flags & _IPV6:
        return -errno.EINVAL
    kept = tunnel.flags if flags & _TELL_FLAGS else 0
    parts = (
        tunnel.id.to_bytes(4, _ORDER),
        _address(tunnel.remote),
        bytes((tunnel.tos, tunnel.ttl)) + kept.to_bytes(2, "big"),
        (tunnel.label if flags & _IPV6 else 0).to_bytes(4, _ORDER),
        _address(tunnel.local),
    )
    return b"".join(parts)


def _address(text: str) -> bytes:
    """16 bytes: an IPv4 address is a number in host order here."""
    raw = packed_address(text)
    if len(raw) == 16:
        return raw
    return int.from_bytes(raw, "big").to_bytes(4, _ORDER) + bytes(12)


@helper("skb_set_tunnel_key")
def skb_set_tunnel_key(machine: Machine, skb: int, key: int, size: int, flags: int) -> int:
    """Say by which tunnel the packet leaves; it is recorded, and read back from then on."""
    owner(machine, skb, "__sk_buff")
    content = machine.memory.read(key, size & U32)
    known = _IPV6 | _ZERO_CSUM | _DONT_FRAGMENT | _SEQUENCE | _NO_KEY
    if flags & ~known or (len(content) != _WHOLE and len(content) not in _OLDER):
        return -errno.EINVAL
    raw = content.ljust(_WHOLE, b"\0")
    label = _number(raw, "tunnel_label")
    if (label and not flags & _IPV6) or any(raw[_size("tunnel_ext") :][:2]):
        return -errno.EINVAL
    machine.tunnel = _sent(raw, flags)
    machine.world.events.append(Event("set_tunnel_key", data=raw, flags=flags))
    return 0


def _number(raw: bytes, name: str) -> int:
    field = contexts.field(f"bpf_tunnel_key.{name}")
    assert field is not None
    return int.from_bytes(raw[field.offset : field.offset + field.size], _ORDER)


def _sent(raw: bytes, flags: int) -> Tunnel:
    """The tunnel as it is read back: what is remote to the sender is its packets' destination."""
    kept = KEY | CSUM | NOCACHE
    kept |= DONT_FRAGMENT if flags & _DONT_FRAGMENT else 0
    kept &= ~CSUM if flags & _ZERO_CSUM else -1
    kept |= SEQ if flags & _SEQUENCE else 0
    kept &= ~KEY if flags & _NO_KEY else -1
    local, remote = _text(raw, "local", flags), _text(raw, "remote", flags)
    ipv6 = bool(flags & _IPV6)
    return Tunnel(
        id=_number(raw, "tunnel_id"), tos=_number(raw, "tunnel_tos"),
        ttl=_number(raw, "tunnel_ttl"), local=remote, remote=local, flags=kept, sending=True,
        label=_number(raw, "tunnel_label") & _LABEL_MASK if ipv6 else 0,
    )  # fmt: skip


def _text(raw: bytes, side: str, flags: int) -> str:
    place = _size(f"{side}_ipv6")
    if flags & _IPV6:
        return str(ipaddress.ip_address(raw[place : place + 16]))
    return str(ipaddress.IPv4Address(_number(raw, f"{side}_ipv4")))


@helper("skb_get_tunnel_opt")
def skb_get_tunnel_opt(machine: Machine, skb: int, to: int, size: int) -> int:
    """Copy the tunnel's options; return their length."""
    owner(machine, skb, "__sk_buff")
    view = machine.memory.view(to, size & U32, write=True)
    tunnel = machine.tunnel
    options = tunnel.options if tunnel is not None else b""
    if not options or len(options) > len(view):
        view[:] = bytes(len(view))
        return -errno.ENOMEM if options else -errno.ENOENT
    view[:] = options.ljust(len(view), b"\0")
    return len(options)


@helper("skb_set_tunnel_opt")
def skb_set_tunnel_opt(machine: Machine, skb: int, source: int, size: int) -> int:
    """Set the options of the tunnel whose key was set."""
    owner(machine, skb, "__sk_buff")
    content = machine.memory.read(source, size & U32)
    tunnel = machine.tunnel
    if tunnel is None or not tunnel.sending or len(content) % 4:
        return -errno.EINVAL
    if len(content) > _OPTIONS_MOST:
        return -errno.ENOMEM
    tunnel.options = content
    machine.world.events.append(Event("set_tunnel_opt", data=content))
    return 0


@helper("skb_get_xfrm_state")
def skb_get_xfrm_state(
    machine: Machine, skb: int, index: int, state: int, size: int, flags: int
) -> int:
    """Tell one of the IPsec states that the packet came through."""
    owner(machine, skb, "__sk_buff")
    view = machine.memory.view(state, size & U32, write=True)
    states = machine.world.network.transforms
    index &= U32
    if index >= len(states) or flags or len(view) != 28:
        view[:] = bytes(len(view))
        return -errno.EINVAL
    found = states[index]
    remote = packed_address(found.remote)
    family = AF_INET6 if len(remote) == 16 else AF_INET
    head = found.reqid.to_bytes(4, _ORDER) + found.spi.to_bytes(4, "big")
    view[:] = (head + family.to_bytes(2, _ORDER) + bytes(2) + remote).ljust(28, b"\0")
    return 0
