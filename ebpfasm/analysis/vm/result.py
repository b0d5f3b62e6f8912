"""What a run came to, the same for the virtual machine and for the kernel's test run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ebpfasm.analysis.vm.trace import TraceStep
from ebpfasm.analysis.vm.world import Event


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came out.

    `retval` is the low half of r0, unsigned, as the kernel has it; `r0` all of it. `duration_ns`
    is the mean of the repetitions. `maps` is a copy of each map after the run and `changes` what
    is different from before: new values by key, None for a key that is gone. `printk` are the
    lines of bpf_trace_printk and `events` what was sent to user space or redirected.

    A kernel tells neither `r0`, `instructions` (how many were run) nor `printk`, which are None
    then: its trace does not say which program wrote a line. Of events it tells the records of ring
    buffers and perf buffers, without the program's flags, and a perf record may have up to 7 bytes
    behind it that the kernel adds; None where the rings cannot be read. `trace` has a step for
    each instruction if one was asked for. `fallback` says why it was not the kernel, where that
    was to be used if it may.
    """

    retval: int
    data_out: bytes
    duration_ns: int
    engine: str
    maps: dict[str, dict[Any, Any]]
    ctx_out: bytes = b""
    changes: dict[str, dict[Any, Any]] = field(default_factory=dict)
    printk: tuple[str, ...] | None = ()
    events: tuple[Event, ...] | None = ()
    instructions: int | None = None
    r0: int | None = None
    trace: tuple[TraceStep, ...] = ()
    fallback: str = field(default="", compare=False)


def changes(
    before: dict[str, dict[Any, Any]], after: dict[str, dict[Any, Any]]
) -> dict[str, dict[Any, Any]]:
    """What is different in the maps after a run; maps without a difference are left out."""
    found: dict[str, dict[Any, Any]] = {}
    for name, now in after.items():
        then = before.get(name, {})
        new: dict[Any, Any] = {
            key: value for key, value in now.items() if key not in then or then[key] != value
        }
        new |= dict.fromkeys(key for key in then if key not in now)
        if new:
            found[name] = new
    return found
