"""A hash map's look-up, update and walk from Python, beside the same loops in C on libbpf."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from ebpfasm import Map, MapSpec

ENTRIES = 20_000
RUNS = 7


def main() -> None:
    """Compile the peer, fill a map, and print a line for each operation."""
    with tempfile.TemporaryDirectory() as folder:
        peer = Path(folder) / "peer"
        source = Path(__file__).with_name("peer.c")
        subprocess.run(["cc", "-O2", "-o", peer, source, "-lbpf"], check=True)
        spec = MapSpec("bench", "hash", 4, 8, ENTRIES, key="u32", value="u64")
        with Map.create(spec) as made:
            for key in range(ENTRIES):
                made[key] = key
            compare(made, peer)


def compare(made: Map, peer: Path) -> None:
    """Run both in turn and print nanoseconds an operation."""
    operations: dict[str, Callable[[], object]] = {
        "lookup": lambda: [made[key] for key in range(ENTRIES)],
        "update": lambda: [made.__setitem__(key, key) for key in range(ENTRIES)],
        "walk (items)": lambda: sum(1 for _ in made.items()),
    }
    ours: dict[str, list[float]] = {name: [] for name in operations}
    theirs: dict[str, list[float]] = {name: [] for name in operations}
    for _ in range(RUNS):
        command = [str(peer), str(made.id), str(ENTRIES)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        for name, nanoseconds in zip(operations, done.stdout.split(), strict=True):
            theirs[name].append(float(nanoseconds))
        for name, operation in operations.items():
            begin = time.perf_counter_ns()
            operation()
            ours[name].append((time.perf_counter_ns() - begin) / ENTRIES)
    for name in operations:
        ratio = statistics.median(a / b for a, b in zip(ours[name], theirs[name], strict=True))
        mine, c = statistics.median(ours[name]), statistics.median(theirs[name])
        print(f"{name:<14} {mine:8.0f} ns   libbpf in C {c:8.0f} ns   ratio {ratio:6.2f}")


if __name__ == "__main__":
    main()
