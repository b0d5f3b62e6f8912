"""Netfilter hooks, by a link (Linux 6.4)."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import check_type, failed
from ebpfasm.runtime.attach.numbers import check_number
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.refusals import NETWORK

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_DETAILS = struct.Struct("=IIiI")  # family, hook, priority, flags
_FAMILIES = {"ipv4": 2, "ipv6": 10}  # NFPROTO_*
# enum nf_inet_hooks
_HOOKS = {"pre_routing": 0, "local_in": 1, "forward": 2, "local_out": 3, "post_routing": 4}


def attach_netfilter(
    program: Attachable, family: str, hook: str, *, priority: int, defragment: bool
) -> Link:
    """Attach to a netfilter hook; `Program.attach_netfilter` tells how. Raises ValueError."""
    check_type(program, "netfilter")
    if family not in _FAMILIES:
        raise ValueError(f"family is {' or '.join(_FAMILIES)}, not {family!r}")
    if hook not in _HOOKS:
        raise ValueError(f"hook is one of {', '.join(_HOOKS)}, not {hook!r}")
    flags = CONSTANTS["BPF_F_NETFILTER_IP_DEFRAG"] if defragment else 0
    check_number("priority", priority, -(1 << 31), (1 << 31) - 1)
    details = _DETAILS.pack(_FAMILIES[family], _HOOKS[hook], priority, flags)
    where = f"netfilter {family} {hook} at priority {priority}"
    try:
        fd = links.create(program.fd, 0, ATTACH_TYPES.by_name["netfilter"].id, 0, details)
    except OSError as refusal:
        number = refusal.errno or 0
        why, hint = "", None
        match number:
            case errno.EBUSY | errno.EEXIST:
                why = "another program has this priority there"
                hint = "give another priority"
            case errno.ERANGE:
                why = "the priority is out of range, or not above -400, where packets are whole"
            case errno.EINVAL | errno.EAFNOSUPPORT:
                why = "the kernel does not know this family or hook"
            case _:
                pass
        raise failed(program, where, number, why=why, hint=hint, needs=NETWORK) from None
    return BpfLink("netfilter", fd, where)
