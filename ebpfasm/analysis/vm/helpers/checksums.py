"""Helpers on Internet checksums (RFC 1071), as include/net/checksum.h computes them.

A sum of 16-bit words does not care for byte order, so words are read as the host has them.
"""

from __future__ import annotations

import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.packets import skb_view
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine

_SIZE_MASK, _PSEUDO, _MANGLED_0, _ENFORCE, _IPV6 = 0xF, 0x10, 0x20, 0x40, 0x80


def partial(content: bytes, seed: int = 0) -> int:
    """The 32-bit sum of 32-bit words and a seed, carries added back in."""
    padded = content + bytes(-len(content) % 4)
    total = seed + sum(
        int.from_bytes(padded[at : at + 4], sys.byteorder) for at in range(0, len(padded), 4)
    )
    while total > U32:
        total = (total & U32) + (total >> 32)
    return total


def fold(total: int) -> int:
    """A 32-bit sum as 16 bits, not inverted."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@helper("csum_diff")
def csum_diff(machine: Machine, old: int, old_size: int, new: int, new_size: int, seed: int) -> int:
    """The checksum's change from `old` to `new`, folded to 16 bits (since Linux 6.13)."""
    old_size, new_size, seed = old_size & U32, new_size & U32, seed & U32
    if (old_size | new_size) % 4:
        return -errno.EINVAL
    before = machine.memory.read(old, old_size) if old_size else b""
    after = machine.memory.read(new, new_size) if new_size else b""
    if not before and not after:
        return fold(seed)
    if not before:
        return fold(partial(after, seed))
    gone = ~partial(before) & U32
    return fold(partial(b"", partial(after, seed) + gone))


@helper("l3_csum_replace")
def l3_csum_replace(machine: Machine, skb: int, offset: int, old: int, new: int, flags: int) -> int:
    """Fix a header checksum after a field of 2 or 4 bytes changed, or by a difference (0)."""
    if flags & ~_SIZE_MASK:
        return -errno.EINVAL
    view = _checksum(machine, skb, offset)
    if isinstance(view, int):
        return view
    return _replace(view, old, new, flags & _SIZE_MASK)


@helper("l4_csum_replace")
def l4_csum_replace(machine: Machine, skb: int, offset: int, old: int, new: int, flags: int) -> int:
    """The same for TCP, UDP and ICMP; with MARK_MANGLED_0 a UDP checksum of 0 stays 0."""
    if flags & ~(_SIZE_MASK | _PSEUDO | _MANGLED_0 | _ENFORCE | _IPV6):
        return -errno.EINVAL
    view = _checksum(machine, skb, offset)
    if isinstance(view, int):
        return view
    mangled = bool(flags & _MANGLED_0)
    if mangled and not flags & _ENFORCE and not any(view):
        return 0
    result = _replace(view, old, new, flags & _SIZE_MASK)
    if mangled and not any(view):
        view[:] = b"\xff\xff"
    return result


def _checksum(machine: Machine, skb: int, offset: int) -> memoryview | int:
    offset &= U32
    if offset > 0xFFFF or offset & 1:
        return -errno.EFAULT
    view = skb_view(machine, skb, offset, 2)
    return view if view is not None else -errno.EFAULT


def _replace(view: memoryview, old: int, new: int, size: int) -> int:
    if size == 0:
        if old:
            return -errno.EINVAL
        before, after = 0, new & U32
    elif size in (2, 4):
        mask = (1 << 8 * size) - 1
        before, after = ~(old & mask) & U32, new & mask
    else:
        return -errno.EINVAL
    inverted = ~int.from_bytes(view, sys.byteorder) & 0xFFFF
    total = fold(inverted + fold(before) + fold(after)) if size else fold(inverted + fold(after))
    view[:] = (~total & 0xFFFF).to_bytes(2, sys.byteorder)
    return 0


@helper("csum_update")
def csum_update(machine: Machine, skb: int, csum: int) -> int:
    """Test-run packets carry no checksum of the whole."""
    return -errno.ENOTSUPP


@helper("csum_level")
def csum_level(machine: Machine, skb: int, level: int) -> int:
    """Test-run packets carry no checksum of the whole."""
    return -errno.EACCES if level == 0 else 0
