"""Timing in pairs: ours and the peer's in turn, so that a machine whose speed drifts is fair."""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Sequence


def process(command: Sequence[str]) -> Callable[[], float]:
    """Seconds of wall time that a whole process takes."""

    def once() -> float:
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - begin

    return once


def compare(
    what: str,
    ours: Callable[[], float],
    peer: Callable[[], float],
    *,
    peer_name: str,
    runs: int = 15,
) -> None:
    """Print a line: both medians in milliseconds, and the median of the ratios."""
    ours(), peer()  # warm the caches
    pairs = [(ours(), peer()) for _ in range(runs)]
    mine, theirs = (statistics.median(times) * 1e3 for times in zip(*pairs, strict=True))
    ratio = statistics.median(a / b for a, b in pairs)
    print(f"{what:<44} {mine:10.3f} ms   {peer_name:<12} {theirs:10.3f} ms   ratio {ratio:6.2f}")
