"""How many CPUs the kernel keeps values for; keys and values themselves are ebpfasm.ir.values."""

from __future__ import annotations

from functools import cache

from ebpfasm.ir.values import STRIDE, PerCpu, Plain, plain

__all__ = ["STRIDE", "PerCpu", "Plain", "count_cpus", "plain", "possible_cpus"]


@cache
def possible_cpus() -> int:
    """Count the CPUs that could ever come online: what the kernel sizes per-CPU values by.

    Raises OSError where sysfs is not mounted.
    """
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return count_cpus(file.read())


def count_cpus(text: str) -> int:
    """Count a kernel CPU list.

    >>> count_cpus("0-3,8")
    5
    """
    ranges = [part.partition("-") for part in text.strip().split(",")]
    return sum(int(last or first) - int(first) + 1 for first, _, last in ranges)
