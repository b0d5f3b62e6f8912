"""How long a map's operations take from Python: by system call, in batches, in shared memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from ebpfasm import Map, MapSpec
from ebpfasm.isa.constants import CONSTANTS
from examples import stage

ARRAY = MapSpec("plain", "array", 4, 8, 11, key="u32", value="u64")
SHARED = replace(ARRAY, name="shared", flags=CONSTANTS["BPF_F_MMAPABLE"])
HASH = MapSpec("hash", "hash", 4, 8, 10_000, key="u32", value="u64")


def main() -> None:
    """Read a million elements each way and print nanoseconds an element."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--count", metavar="N", type=stage.whole(1), default=1_000_000)
    options = parser.parse_args()
    with Map.create(ARRAY) as plain, Map.create(SHARED) as shared, Map.create(HASH) as many:
        many.update_batch(list(range(HASH.max_entries)), list(range(HASH.max_entries)))
        view = shared.memory()
        ways: dict[str, tuple[int, Callable[[int], object]]] = {
            "array by system call": (1, lambda n: [plain[5] for _ in range(n)]),
            "shared memory, one by one": (1, lambda n: [view[5] for _ in range(n)]),
            "shared memory, all at once": (11, lambda n: [view.tolist() for _ in range(n)]),
            "hash by system call": (1, lambda n: [many[5] for _ in range(n)]),
            "hash as items": (10_000, lambda n: [dict(many.items()) for _ in range(n)]),
            "hash as arrays": (10_000, lambda n: [many.items_array() for _ in range(n)]),
        }
        found = {}
        for name, (size, way) in ways.items():
            rounds = max(1, options.count // size)
            begin = time.perf_counter_ns()
            way(rounds)
            each = (time.perf_counter_ns() - begin) / (rounds * size)
            found[name] = each
            stage.say(options, f"{name:<28} {each:8.1f} ns", way=name, ns=round(each, 2))
        shared_ns = min(each for name, each in found.items() if name.startswith("shared"))
        times = found["array by system call"] / shared_ns
        stage.say(options, f"shared memory is {times:.0f} times as fast", times=round(times, 2))


if __name__ == "__main__":
    stage.guarded(main)
