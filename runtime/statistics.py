"""Run-time statistics: how often programs run and for how long, while somebody wants to know.

with run_statistics():
    ...
    program.info().run_count
"""

from __future__ import annotations

import errno
import struct

from ebpfasm.closing import Closing
from ebpfasm.errors import LoadError
from ebpfasm.runtime import syscall
from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.info.ids import ADMIN
from ebpfasm.runtime.refusals import refused

_RUN_TIME = 0  # BPF_STATS_RUN_TIME
_SYSCTL = "/proc/sys/kernel/bpf_stats_enabled"


def run_statistics() -> Closing:
    """Switch the counting on until the result is closed, for every program of the system.

    Counting costs each run some 20 ns. Others who want it as well do not stand in the way: it
    ends with the last of them. Raises LoadError without CAP_SYS_ADMIN.
    """
    try:
        attributes = bytearray(struct.pack("=I", _RUN_TIME))
        return Descriptor(syscall.bpf(syscall.ENABLE_STATS, attributes))
    except OSError as refusal:
        if refusal.errno == errno.EINVAL:  # before Linux 5.8
            return _Sysctl()
        raise _cannot(refusal) from None


class _Sysctl(Closing):
    """The same for the whole system by a setting, which knows no users."""

    def __init__(self) -> None:
        try:
            with open(_SYSCTL, "r+", encoding="ascii") as file:
                self._before: str | None = file.read().strip()
                file.write("1\n")
        except OSError as refusal:
            raise _cannot(refusal) from None

    def close(self) -> None:
        """Put the setting back."""
        before, self._before = self._before, None
        if before is not None:
            with open(_SYSCTL, "w", encoding="ascii") as file:
                file.write(f"{before}\n")


def _cannot(refusal: OSError) -> LoadError:
    what = "switch run-time statistics on"
    number = refusal.errno or 0
    return refused(
        "load-failed", what, errno.EPERM if number == errno.EACCES else number, needs=ADMIN
    )
