"""perf_event_open(2) for an event that programs write to (PERF_COUNT_SW_BPF_OUTPUT)."""

from __future__ import annotations

import errno
import fcntl
import os
import struct

from ebpfasm.runtime.events.source import core

# struct perf_event_attr up to sig_data's (size 112, Linux 4.1 and later take it): type, size,
# config, sample_period, sample_type, read_format, flags, wakeup_events or wakeup_watermark
_ATTR = struct.Struct("=IIQQQQQI60x")
_SOFTWARE, _BPF_OUTPUT, _SAMPLE_RAW = 1, 10, 1 << 10
_FORMAT_LOST = 1 << 4  # since Linux 6.0
_WATERMARK, _WRITE_BACKWARD = 1 << 14, 1 << 27
_CLOEXEC = 8

_ENABLE, _DISABLE, _PAUSE_OUTPUT = 0x2400, 0x2401, 0x40042409
_COUNTS = struct.Struct("=QQ")  # the count, records lost


def open_output(cpu: int, *, wakeup: int, watermark: bool, overwrite: bool) -> tuple[int, bool]:
    """Open the event of one CPU; whether it counts lost records. Raises OSError.

    The reader is woken after so many records, or with `watermark` bytes.
    """
    flags = (_WATERMARK if watermark else 0) | (_WRITE_BACKWARD if overwrite else 0)
    for read_format in (_FORMAT_LOST, 0):
        attributes = _ATTR.pack(
            _SOFTWARE, _ATTR.size, _BPF_OUTPUT, 1, _SAMPLE_RAW, read_format, flags, wakeup
        )
        native = core()
        fd = native.lib.ebpfasm_perf_event_open(
            native.ffi.from_buffer(attributes), -1, cpu, -1, _CLOEXEC
        )
        if fd >= 0:
            return int(fd), bool(read_format)
        if fd != -errno.EINVAL:
            break
    raise OSError(-fd, os.strerror(-fd))


def enable(fd: int) -> None:
    """Let the event take records."""
    fcntl.ioctl(fd, _ENABLE, 0)


def disable(fd: int) -> None:
    """Let it take none."""
    fcntl.ioctl(fd, _DISABLE, 0)


def pause_output(fd: int, pause: bool) -> None:
    """Hold an overwritable ring still, or let it go on. Records meanwhile are lost."""
    fcntl.ioctl(fd, _PAUSE_OUTPUT, int(pause))


def lost(fd: int) -> int:
    """How many records an event had no room for since it was opened."""
    return int(_COUNTS.unpack(os.read(fd, _COUNTS.size))[1])
