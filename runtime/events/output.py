"""The perf events that programs write to (PERF_COUNT_SW_BPF_OUTPUT)."""

from __future__ import annotations

import errno
import os
import struct

from ebpfasm.runtime.perf_event import EVENTS, PerfEvent, open_event

_SAMPLE_RAW = 1 << 10
_FORMAT_LOST = 1 << 4  # since Linux 6.0
_COUNTS = struct.Struct("=QQ")  # the count, records lost


def open_output(cpu: int, *, wakeup: int, watermark: bool, overwrite: bool) -> tuple[int, bool]:
    """Open the event of one CPU; whether it counts lost records. Raises OSError.

    The reader is woken after so many records, or with `watermark` bytes.
    """
    for read_format in (_FORMAT_LOST, 0):
        event = PerfEvent(
            *EVENTS["bpf-output"], period=1, sample_type=_SAMPLE_RAW, read_format=read_format,
            wakeup=wakeup, watermark=watermark, write_backward=overwrite,
        )  # fmt: skip
        try:
            return open_event(event, cpu=cpu), bool(read_format)
        except OSError as refusal:
            if refusal.errno != errno.EINVAL or not read_format:
                raise
    raise AssertionError("one of the two is returned or raised")


def lost(fd: int) -> int:
    """How many records an event had no room for since it was opened."""
    return int(_COUNTS.unpack(os.read(fd, _COUNTS.size))[1])
