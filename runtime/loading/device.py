"""Programs that are loaded for one network interface: for its card, or for its driver."""

from __future__ import annotations

import errno

from ebpfasm.frozen import dataclass
from ebpfasm.ir.specs import MapSpec, ProgramSpec
from ebpfasm.isa.constants import CONSTANTS

# What drivers may take (bpf_prog_dev_bound_init, bpf_map_offload_map_alloc in the kernel).
_PROGRAMS = frozenset({"xdp", "sched_cls"})
_MAPS = frozenset({"array", "hash"})


@dataclass(frozen=True, slots=True)
class Device:
    """The interface `ifindex`. With `offload` its card runs the programs, and holds their maps.

    Else they run here, in the driver's hands: an XDP program may call its metadata functions.
    """

    ifindex: int
    offload: bool

    def of_program(self, spec: ProgramSpec) -> tuple[int, int]:
        """The interface that a program is bound to, 0 for none, and a flag that says how."""
        if not self.ifindex:
            return 0, 0
        if self.offload:
            return (self.ifindex if spec.type in _PROGRAMS else 0), 0
        if spec.type != "xdp" or spec.attach_type not in ("", "xdp"):
            return 0, 0
        return self.ifindex, CONSTANTS["BPF_F_XDP_DEV_BOUND_ONLY"]

    def refusal(self, spec: ProgramSpec, number: int) -> str:
        """What an errno means for a program that is bound to the interface; empty for others."""
        if not self.of_program(spec)[0] or number not in (errno.EINVAL, errno.EOPNOTSUPP):
            return ""
        if self.offload:
            return "the interface's card runs no such programs"
        return (
            "the interface's driver has no metadata for programs, or the kernel is older than 6.3"
        )

    def of_map(self, spec: MapSpec) -> int:
        """The interface whose card holds a map, 0 where it stays here."""
        return self.ifindex if self.offload and spec.type in _MAPS else 0


NO_DEVICE = Device(0, offload=False)


def bound_to(iface: str | int | None, *, offload: bool) -> Device:
    """The interface by name or index. Raises LoadError where it is not there, ValueError."""
    if iface is None:
        if offload:
            raise ValueError("offload needs a device: the interface whose card runs the programs")
        return NO_DEVICE
    from ebpfasm.runtime.attach.interfaces import interface

    return Device(interface(iface)[0], offload)
