"""Whether a requirement holds in a state."""

from __future__ import annotations

from typing import assert_never

from ebpfasm.analysis.requirements import (
    DivisorNotZero,
    FromTable,
    HelperAllowed,
    HelperExists,
    LicenseAllows,
    NotFramePointer,
    PacketLoadAllowed,
    Readable,
    Requirement,
    ShiftWithin,
    WithinStack,
)
from ebpfasm.analysis.values import FRAME_POINTER, STACK, Number, Pointer, State
from ebpfasm.isa import helpers

# license_is_gpl_compatible() in include/linux/license.h.
GPL_COMPATIBLE = frozenset(
    {
        "GPL",
        "GPL v2",
        "GPL and additional rights",
        "Dual BSD/GPL",
        "Dual MIT/GPL",
        "Dual MPL/GPL",
    }
)

# may_access_skb() in kernel/bpf/verifier.c.
PACKET_LOAD_TYPES = frozenset({"socket_filter", "sched_cls", "sched_act"})


def holds(requirement: Requirement, state: State) -> bool:
    """Whether the requirement holds; also true where that cannot be told."""
    match requirement:
        case Readable(register=register):
            return state[register] is not None
        case NotFramePointer(register=register):
            return register != FRAME_POINTER
        case WithinStack():
            return _is_within_stack(requirement, state)
        case DivisorNotZero(divisor=divisor):
            return divisor != 0
        case ShiftWithin(count=count, width=width):
            return 0 <= count < width
        case HelperExists(number=number):
            return helpers.find(number) is not None
        case HelperAllowed(name=name, program_type=program_type):
            return helpers.allowed(name, program_type) is not False
        case LicenseAllows(license=license):
            return license in GPL_COMPATIBLE
        case PacketLoadAllowed(program_type=program_type):
            return not program_type or program_type in PACKET_LOAD_TYPES
        case FromTable(register=register):
            return not isinstance(state[register], Number | Pointer)
        case _:
            assert_never(requirement)


def _is_within_stack(requirement: WithinStack, state: State) -> bool:
    match state[requirement.register]:
        case Pointer(kind="stack", offset=int(base)):
            start = base + requirement.offset
            return start >= -STACK and start + requirement.size <= 0
        case _:
            return True
