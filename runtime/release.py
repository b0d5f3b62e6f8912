"""Which kernel runs: the version that programs see as LINUX_KERNEL_VERSION."""

from __future__ import annotations

import os
import re
from functools import cache

_THREE = r"(\d+)\.(\d+)\.(\d+)"


@cache
def kernel_version() -> int:
    """KERNEL_VERSION(a, b, c) of the running kernel, 0 where it cannot be told.

    Distributions count on in the release name; what the kernel itself compares with stands
    elsewhere then: in /proc/version_signature on Ubuntu, in uname's version on Debian.
    """
    return version_code(_signature(), os.uname().version, os.uname().release)


def version_code(signature: str, version: str, release: str) -> int:
    """The first version that one of the three texts tells.

    >>> hex(version_code("", "#1 SMP Debian 4.19.260-1 (2022-09-29)", "4.19.0-22-amd64"))
    '0x413ff'
    """
    found = (
        re.match(rf"\S+ \S+ {_THREE}", signature)
        or re.search(rf"Debian {_THREE}", version)
        or re.match(_THREE, release)
        or re.match(r"(\d+)\.(\d+)()", release)
    )
    if found is None:
        return 0
    major, minor, patch = (int(each or 0) for each in found.groups())
    # Since 4.19.256 the last part has outgrown its byte, and stays at the largest.
    return major << 16 | minor << 8 | min(patch, 255)


def _signature() -> str:
    try:
        with open("/proc/version_signature", encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def is_older_than(since: str) -> bool:
    """Whether the running kernel is older than a release such as "5.14"; False if not known."""
    major, _, minor = since.partition(".")
    return 0 < kernel_version() < (int(major) << 16 | int(minor) << 8)
