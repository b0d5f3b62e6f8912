"""Maps from Python beside the same work in C on libbpf, on the same maps and in turn.

The second table is with another Python thread that computes all the time: what a call costs that
gives the interpreter's lock away.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from ebpfasm import Map, MapSpec
from ebpfasm.btf import types as t
from ebpfasm.btf.types import Btf
from ebpfasm.ir.specs import MapTypes
from ebpfasm.isa.constants import CONSTANTS

ENTRIES = 20_000
RUNS = 9
ROUNDS = 100  # over the shared memory
BUSY = 500  # elements with a busy thread


def main() -> None:
    """Compile the peer, fill the maps, and print a line for each operation."""
    hash = MapSpec("bench", "hash", 4, 8, ENTRIES, key="u32", value="u64")
    shared = MapSpec("shared", "array", 4, 8, ENTRIES, CONSTANTS["BPF_F_MMAPABLE"])
    with tempfile.TemporaryDirectory() as folder, Map.create(hash) as table:
        peer = Path(folder) / "peer"
        source = Path(__file__).with_name("peer.c")
        subprocess.run(["cc", "-O2", "-o", peer, source, "-lbpf"], check=True)
        table.update({key: key for key in range(ENTRIES)})
        with Map.create(shared) as array:
            compare(table, array, peer)
            one_element(array)
        structs()
        compare_busy(table)


def operations(table: Map, array: Map) -> dict[str, tuple[str, int, Callable[[], object]]]:
    """What is measured: the peer's operation, items, and ours."""
    keys, values = table.items_array()
    view, memory = array.array(), array.memory()
    numbers = range(ENTRIES)

    def update() -> None:
        for key in numbers:
            table[key] = key

    def delete() -> None:
        for key in numbers:
            del table[key]

    def walk() -> None:
        for _key, _value in table.items():
            pass

    return {
        "look up one: m[k]": ("lookup", ENTRIES, lambda: [table[key] for key in numbers]),
        "write one: m[k] = v": ("update", ENTRIES, update),
        "all: for k, v in m.items()": ("walk", ENTRIES, walk),
        "all: dict(m.items())": ("walk", ENTRIES, lambda: dict(table.items())),
        "all into arrays: items_array()": ("lookup_batch", ENTRIES, table.items_array),
        "write arrays: update_batch()": (
            "update_batch", ENTRIES, lambda: table.update_batch(keys, values),
        ),
        "delete arrays: delete_batch()": (
            "delete_batch", ENTRIES, lambda: table.delete_batch(keys),
        ),
        "delete one: del m[k]": ("delete", ENTRIES, delete),
        "shared memory, summed by numpy": (
            "memory", ENTRIES * ROUNDS, lambda: [view.sum() for _ in range(ROUNDS)],
        ),
        "shared memory, an element of numpy": (
            "memory", ENTRIES, lambda: [view[key] for key in numbers],
        ),
        "shared memory, an element of memory()": (
            "memory", ENTRIES, lambda: [memory[key] for key in numbers],
        ),
    }  # fmt: skip


def compare(table: Map, array: Map, peer: Path) -> None:
    """Run both in turn and print nanoseconds an item, and how many times as fast as C we are."""
    todo = operations(table, array)
    ours: dict[str, list[float]] = {name: [] for name in todo}
    theirs: dict[str, list[float]] = {name: [] for name in todo}
    for _ in range(RUNS):
        command = [str(peer), str(table.id), str(array.id), str(ENTRIES)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        c = {name: float(ns) for name, ns in (line.split() for line in done.stdout.splitlines())}
        for name, (operation, items, run) in todo.items():
            if operation.endswith("batch"):
                table.items_array()  # as the peer does
            ours[name].append(timed(run, items))
            theirs[name].append(c[operation])
            if operation.startswith("delete"):
                table.update({key: key for key in range(ENTRIES)})
    print(f"{'':<40} {'ours':>9} {'C':>9}   C : ours")
    for name in todo:
        ratio = statistics.median(b / a for a, b in zip(ours[name], theirs[name], strict=True))
        mine, c_time = statistics.median(ours[name]), statistics.median(theirs[name])
        print(f"{name:<40} {mine:6.1f} ns {c_time:6.1f} ns   {ratio:8.2f}")


def one_element(array: Map) -> None:
    """Print nanoseconds for one element of shared memory, without the loop that asks for many."""
    names = {"memory": array.memory(), "view": array.array(), "number": 7}
    print()
    for what, statement in (
        ("memory()[number], by timeit", "memory[number]"), ("array()[number]", "view[number]"),
        ("timeit's own loop", "number"),
    ):  # fmt: skip
        took = min(timeit.repeat(statement, globals=names, number=100_000, repeat=RUNS))
        print(f"{what:<40} {took / 100_000 * 1e9:6.1f} ns")


@dataclass(slots=True)
class Flow:
    """A value of four numbers."""

    packets: int
    bytes: int
    first: int
    last: int


TYPES = Btf((
    t.Int("u32", 4, 32), t.Int("u64", 8, 64),
    t.Struct("flow", 32, tuple(
        t.Member(field.name, 2, 64 * index) for index, field in enumerate(fields(Flow))
    )),
))  # fmt: skip


def structs() -> None:
    """Print nanoseconds an element where values are structs of four numbers."""
    spec = MapSpec("flows", "hash", 4, 32, ENTRIES, types=MapTypes(TYPES, 1, 3))
    print()
    with Map.create(spec) as flows:
        flows.update_batch(*struct_columns(flows))
        for kind in (dict, Flow):
            flows.as_type(value=kind)
            reads: dict[str, Callable[[], object]] = {
                "m[k]": lambda: look_up(flows),
                "for k, v in m.items()": lambda: consume(flows),
            }
            for name, run in reads.items():
                took = statistics.median(timed(run, ENTRIES) for _ in range(RUNS))
                print(f"{f'structs as {kind.__name__}: {name}':<40} {took:6.0f} ns")


def struct_columns(flows: Map) -> tuple[Any, Any]:
    """Keys and values for every entry."""
    keys = np.arange(ENTRIES, dtype=flows.key_dtype)
    values = np.zeros(ENTRIES, flows.value_dtype)
    values["packets"], values["bytes"] = keys, keys.astype("u8") * 1500
    return keys, values


def look_up(flows: Map) -> None:
    """Read every element, with nothing else in the loop."""
    for key in range(ENTRIES):
        flows[key]


def consume(flows: Map) -> None:
    """Go through a map's items, with nothing in the loop's body."""
    for _key, _value in flows.items():
        pass


def compare_busy(table: Map) -> None:
    """Print nanoseconds an element alone and beside a thread that computes."""
    numbers = range(BUSY)
    keys, values = table.items_array()

    def update() -> None:
        for key in numbers:
            table[key] = key

    todo: dict[str, tuple[int, Callable[[], Any]]] = {
        "look up one: m[k]": (BUSY, lambda: [table[key] for key in numbers]),
        "write one: m[k] = v": (BUSY, update),
        "m.info(), which gives the lock away": (BUSY, lambda: [table.info() for _ in numbers]),
        "all into arrays: items_array()": (ENTRIES, table.items_array),
        "write arrays: update_batch()": (ENTRIES, lambda: table.update_batch(keys, values)),
    }
    print(f"\n{'':<40} {'alone':>9} {'beside a busy thread':>21}")
    for name, (items, run) in todo.items():
        alone = statistics.median(timed(run, items) for _ in range(5))
        with busy():
            beside = statistics.median(timed(run, items) for _ in range(5))
        print(f"{name:<40} {alone:6.0f} ns {beside:18.0f} ns")


@contextmanager
def busy() -> Iterator[None]:
    """A thread that computes."""
    stop = threading.Event()

    def compute() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    thread = threading.Thread(target=compute)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def timed(run: Callable[[], object], items: int) -> float:
    """Nanoseconds an item."""
    begin = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - begin) / items


if __name__ == "__main__":
    main()
