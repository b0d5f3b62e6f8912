"""Numbers that callers give, held against what the kernel's fields take: none is cut to fit."""

from __future__ import annotations

import struct
from collections.abc import Iterable

_MOST_PROCESSES = 1 << 22  # PID_MAX_LIMIT


def check_number(what: str, number: int, least: int, most: int) -> None:
    """Raise ValueError for a number outside of its range, TypeError for what is none."""
    if isinstance(number, bool) or not isinstance(number, int):
        raise TypeError(f"{what} is a number, not {number!r}")
    if not least <= number <= most:
        raise ValueError(f"{what} is a number from {least} to {most}, not {number}")


def check_cookie(cookie: int) -> None:
    """See that a cookie has 64 bits, without a sign. Raises ValueError, TypeError."""
    check_number("cookie", cookie, 0, (1 << 64) - 1)


def check_pid(pid: int | None) -> None:
    """See that a number can be a process's. Raises ValueError, TypeError."""
    if pid is not None:
        check_number("pid", pid, 1, _MOST_PROCESSES)


def packed_cookies(cookies: Iterable[int]) -> bytearray:
    """An array of cookies. Raises ValueError, TypeError."""
    found = list(cookies)
    for each in found:
        check_cookie(each)
    return bytearray(struct.pack(f"={len(found)}Q", *found))
