"""Which CPUs there are, as the kernel lists them in sysfs."""

from __future__ import annotations

from functools import cache

_CPUS = "/sys/devices/system/cpu"


@cache
def possible_cpus() -> int:
    """Count the CPUs that could ever come online: what the kernel sizes per-CPU values by.

    Raises OSError where sysfs is not mounted.
    """
    return len(_listed("possible"))


def online_cpus() -> list[int]:
    """The CPUs that are online, rising. Raises OSError where sysfs is not mounted."""
    return _listed("online")


def _listed(name: str) -> list[int]:
    with open(f"{_CPUS}/{name}", encoding="ascii") as file:
        return parse_cpus(file.read())


def parse_cpus(text: str) -> list[int]:
    """Read a kernel CPU list.

    >>> parse_cpus("0-3,8")
    [0, 1, 2, 3, 8]
    """
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found
