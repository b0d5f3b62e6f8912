"""Where among the programs on a hook a new one goes: tcx, netkit and cgroups have an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.links import BpfLink, Link

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

# "all" is before or behind all others, None leaves it to the kernel, which puts it last.
Neighbour: TypeAlias = "Attachable | Link | Literal['all'] | None"


def placing(before: Neighbour, after: Neighbour) -> tuple[int, int]:
    """The flags and the neighbour's descriptor that a place in the order is told by.

    Raises ValueError for two places, and for a neighbour that has none.
    """
    if before is not None and after is not None:
        raise ValueError("give before or after, not both")
    if before is None and after is None:
        return 0, 0
    flags = CONSTANTS["BPF_F_BEFORE" if before is not None else "BPF_F_AFTER"]
    match before if before is not None else after:
        case None | "all":
            return flags, 0
        case BpfLink() as link:
            return flags | CONSTANTS["BPF_F_LINK"], link.fd
        case Link() as other:
            raise ValueError(f"{other!r} has no place in an order: it is no BPF link")
        case neighbour:
            return flags, neighbour.fd
