"""perf_event_open(2): the call, and `struct perf_event_attr` as far as attaching needs it."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import struct
import sys
from functools import cache
from pathlib import Path

from ebpfasm.frozen import dataclass

# enum perf_type_id
HARDWARE, SOFTWARE, TRACEPOINT = 0, 1, 2
BREAKPOINT = 5

# enum perf_hw_id and perf_sw_ids, by perf's own names
EVENTS: dict[str, tuple[int, int]] = {
    "cpu-cycles": (HARDWARE, 0),
    "instructions": (HARDWARE, 1),
    "cache-references": (HARDWARE, 2),
    "cache-misses": (HARDWARE, 3),
    "branch-instructions": (HARDWARE, 4),
    "branch-misses": (HARDWARE, 5),
    "bus-cycles": (HARDWARE, 6),
    "stalled-cycles-frontend": (HARDWARE, 7),
    "stalled-cycles-backend": (HARDWARE, 8),
    "ref-cycles": (HARDWARE, 9),
    "cpu-clock": (SOFTWARE, 0),
    "task-clock": (SOFTWARE, 1),
    "page-faults": (SOFTWARE, 2),
    "context-switches": (SOFTWARE, 3),
    "cpu-migrations": (SOFTWARE, 4),
    "minor-faults": (SOFTWARE, 5),
    "major-faults": (SOFTWARE, 6),
    "alignment-faults": (SOFTWARE, 7),
    "emulation-faults": (SOFTWARE, 8),
    "dummy": (SOFTWARE, 9),
    "bpf-output": (SOFTWARE, 10),
    "cgroup-switches": (SOFTWARE, 11),
}

_NUMBERS = {
    "x86_64": 298, "i386": 336, "i686": 336, "armv6l": 364, "armv7l": 364, "ppc64": 319,
    "ppc64le": 319, "s390x": 331, "sparc64": 327,
}  # fmt: skip
_GENERIC_NUMBER = 241

# type, size, config, period or frequency, sample_type, read_format, flags, wakeup, bp_type,
# config1, config2; what is behind it is zero (PERF_ATTR_SIZE_VER1)
_ATTR = struct.Struct("=IIQQQQQIIQQ")
_DISABLED, _FREQUENCY, _WATERMARK, _WRITE_BACKWARD = 0, 10, 14, 27  # bits of the flags
_CLOEXEC = 8  # PERF_FLAG_FD_CLOEXEC

_PMUS = Path("/sys/bus/event_source/devices")


@dataclass(frozen=True, slots=True)
class PerfEvent:
    """What to count or probe. `period` counts events, or samples a second with `frequency`.

    An event with a ring: what a record holds (PERF_SAMPLE_*), what reading the descriptor says
    (PERF_FORMAT_*), after how many records, or bytes with `watermark`, its reader is woken, and
    whether the kernel fills it backwards, over what is oldest.

    A breakpoint (type 5) stands at the address `config1`, `config2` bytes long, and stops those
    who read (1), write (2) or execute (4) there: `breakpoint` (HW_BREAKPOINT_*).
    """

    type: int
    config: int
    config1: int = 0
    config2: int = 0
    period: int = 0
    frequency: bool = False
    sample_type: int = 0
    read_format: int = 0
    wakeup: int = 0
    watermark: bool = False
    write_backward: bool = False
    breakpoint: int = 0

    def packed(self) -> bytearray:
        """The bytes of struct perf_event_attr; the event starts disabled."""
        bits = {
            _DISABLED: True, _FREQUENCY: self.frequency, _WATERMARK: self.watermark,
            _WRITE_BACKWARD: self.write_backward,
        }  # fmt: skip
        flags = sum(_flag(bit) for bit, is_set in bits.items() if is_set)
        return bytearray(_ATTR.pack(
            self.type, _ATTR.size, self.config, self.period, self.sample_type, self.read_format,
            flags, self.wakeup, self.breakpoint, self.config1, self.config2,
        ))  # fmt: skip


def open_event(event: PerfEvent, *, pid: int = -1, cpu: int = 0) -> int:
    """Open an event for a process (-1: any) on a CPU (-1: any) and return its descriptor.

    Raises OSError, ValueError where a number of the event does not fit its field.
    """
    try:
        attributes = event.packed()
    except struct.error as problem:
        raise ValueError(f"{event} has a number that does not fit: {problem}") from None
    buffer = (ctypes.c_char * len(attributes)).from_buffer(attributes)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    number = ctypes.c_long(_NUMBERS.get(platform.machine(), _GENERIC_NUMBER))
    words = (pid, cpu, -1)
    fd = call(number, buffer, *map(ctypes.c_int, words), ctypes.c_ulong(_CLOEXEC))
    if fd < 0:
        failure = ctypes.get_errno()
        raise OSError(failure, os.strerror(failure))
    return int(fd)


def set_program(event_fd: int, program_fd: int) -> None:
    """Have an event run a program (PERF_EVENT_IOC_SET_BPF). Raises OSError."""
    fcntl.ioctl(event_fd, _writing() | 4 << 16 | ord("$") << 8 | 8, program_fd)


def enable(event_fd: int) -> None:
    """Let an event happen. Raises OSError."""
    fcntl.ioctl(event_fd, _plain() | ord("$") << 8, 0)


def disable(event_fd: int) -> None:
    """Keep an event from happening, whoever else holds it. Raises OSError."""
    fcntl.ioctl(event_fd, _plain() | ord("$") << 8 | 1, 0)


def pause_output(event_fd: int, pause: bool) -> None:
    """Hold an event's ring still, or let it go on (PERF_EVENT_IOC_PAUSE_OUTPUT). Raises OSError."""
    fcntl.ioctl(event_fd, _writing() | 4 << 16 | ord("$") << 8 | 9, int(pause))


def pmu_type(name: str) -> int | None:
    """The number of a source of events such as "kprobe"; None where the kernel has none."""
    try:
        return int((_PMUS / name / "type").read_text(encoding="ascii"))
    except OSError:
        return None


def pmu_shift(name: str, field: str) -> int:
    """At which bit of `config` a source of events has a field. Raises OSError without it."""
    text = (_PMUS / name / "format" / field).read_text(encoding="ascii")  # such as config:32-63
    return int(text.partition(":")[2].partition("-")[0])


def _flag(bit: int) -> int:
    # Bit fields begin at the top where bytes do.
    return 1 << (bit if sys.byteorder == "little" else 63 - bit)


@cache
def _other_ioctls() -> bool:
    """Whether this architecture's ioctl numbers have the direction in three bits, not two."""
    return platform.machine().startswith(("ppc", "mips", "sparc", "alpha"))


def _writing() -> int:
    return 0x8000_0000 if _other_ioctls() else 0x4000_0000


def _plain() -> int:
    return 0x2000_0000 if _other_ioctls() else 0
