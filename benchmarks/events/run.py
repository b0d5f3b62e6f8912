"""Reading ring and perf buffers from Python, beside libbpf's callbacks in C on the same records."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

import ebpfasm
from ebpfasm import PerfBuffer, Program, RingBuffer
from ebpfasm.btf import types as t
from ebpfasm.btf.types import Btf

RUNS, ROUNDS = 7, 20
# A record is a number of 64 bits and two of 32. The ring holds all of a round; a CPU's perf ring of
# 64 pages has room for fewer.
IN_RING, IN_PERF, PAGES = 10_000, 5_000, 64
SEND = """
.license "GPL"
.map ring, ringbuf, max_entries=1048576
.map perf, perf_event_array, key=u32, value=u32
.section xdp
to_ring:
    r1 = 1234567890123 ll
    *(u64 *)(r10 - 16) = r1
    *(u32 *)(r10 - 8) = 7
    *(u32 *)(r10 - 4) = -3
    r1 = ring ll
    r2 = r10
    r2 += -16
    r3 = 16
    r4 = 0
    call bpf_ringbuf_output
    r0 = 0
    exit
.section xdp
varied:
    call bpf_get_prandom_u32
    r0 <<= 8
    *(u64 *)(r10 - 16) = r0
    call bpf_get_prandom_u32
    *(u32 *)(r10 - 8) = r0
    call bpf_get_prandom_u32
    *(u32 *)(r10 - 4) = r0
    r1 = ring ll
    r2 = r10
    r2 += -16
    r3 = 16
    r4 = 0
    call bpf_ringbuf_output
    r0 = 0
    exit
.section xdp
to_perf:
    r2 = 1234567890123 ll
    *(u64 *)(r10 - 16) = r2
    *(u32 *)(r10 - 8) = 7
    *(u32 *)(r10 - 4) = -3
    r2 = perf ll
    r3 = 0xffffffff ll
    r4 = r10
    r4 += -16
    r5 = 16
    call bpf_perf_event_output
    r0 = 0
    exit
"""


@dataclass(slots=True)
class Event:
    """The record as a dataclass."""

    number: Annotated[int, "u64"]
    small: Annotated[int, "u32"]
    signed: Annotated[int, "s32"]


class Named(NamedTuple):
    """The record as a named tuple."""

    number: Annotated[int, "u64"]
    small: Annotated[int, "u32"]
    signed: Annotated[int, "s32"]


TYPES = Btf((
    t.Int("u64", 8, 64), t.Int("u32", 4, 32), t.Int("s32", 4, 32, 1),
    t.Struct("event", 16, (
        t.Member("number", 1, 0), t.Member("small", 2, 64), t.Member("signed", 3, 96),
    )),
))  # fmt: skip


def ring_loop(reader: Any) -> None:
    """The loop of a user, with nothing in its body."""
    for _ in reader.events(0):
        pass


def main() -> None:
    """Compile the peer and print a line for each way of reading."""
    with tempfile.TemporaryDirectory() as folder, ebpfasm.load(ebpfasm.assemble(SEND)) as loaded:
        peer = Path(folder) / "peer"
        source = Path(__file__).with_name("peer.c")
        subprocess.run(["cc", "-O2", "-o", peer, source, "-lbpf"], check=True)
        ring, perf = loaded.maps["ring"], loaded.maps["perf"]
        to_ring, to_perf = loaded.programs["to_ring"], loaded.programs["to_perf"]

        def c_ring() -> float:
            return c_time(peer, "ring", to_ring, ring.id, IN_RING)

        def c_perf() -> float:
            return c_time(peer, "perf", to_perf, perf.id, IN_PERF)

        with RingBuffer(ring, "=QIi") as reader:
            room = np.empty(IN_RING, reader.read_array().dtype)
            compare("ring: read_array", ours(reader, to_ring, IN_RING, bulk), c_ring)
            compare(
                "ring: read_array(out=...)",
                ours(reader, to_ring, IN_RING, lambda each: each.read_array(out=room)),
                c_ring,
            )
            with busy_thread():
                compare("  with a busy thread", ours(reader, to_ring, IN_RING, bulk), c_ring)
        kinds: dict[str, Any] = {
            "bytes": None, "tuples": "=QIi", "dicts (BTF)": (TYPES, "event"), "dataclass": Event,
            "named tuples": Named,
        }  # fmt: skip
        for name, kind in kinds.items():
            with RingBuffer(ring, kind) as reader:
                compare(f"ring: loop, {name}", ours(reader, to_ring, IN_RING, ring_loop), c_ring)
        for name in ("dicts (BTF)", "dataclass"):
            with RingBuffer(ring, kinds[name]) as reader:
                run = ours(reader, loaded.programs["varied"], IN_RING, ring_loop)
                compare(f"  {name}, random numbers", run, c_ring)

        for name, make in MADE.items():
            print(f"{name:<28} {alone(make):8.1f} ns")

        def perf_time(read: Callable[[Any], None]) -> Callable[[], float]:
            def once() -> float:  # the map's elements are whose buffer was opened last
                with PerfBuffer(perf, "=QIi", pages=PAGES) as buffer:
                    return ours(buffer, to_perf, IN_PERF, read)()

            return once

        compare("perf: read_array", perf_time(bulk), c_perf)
        compare("perf: loop, tuples", perf_time(ring_loop), c_perf)


# What Python takes to make such objects of three numbers, with no ring at all.
MADE: dict[str, Callable[[list[tuple[int, int, int]]], list[Any]]] = {
    "  Python alone: dict": lambda rows: [
        {"number": a, "small": b, "signed": c} for a, b, c in rows
    ],
    "  Python alone: dataclass": lambda rows: [Event(a, b, c) for a, b, c in rows],
}


def alone(make: Callable[[list[tuple[int, int, int]]], list[Any]]) -> float:
    """Nanoseconds an object, in the best of so many rounds."""
    rows = [(1234567890123 + n, 7, -3) for n in range(IN_RING)]
    best = float("inf")
    for _ in range(RUNS * ROUNDS):
        begin = time.perf_counter_ns()
        make(rows)
        best = min(best, (time.perf_counter_ns() - begin) / len(rows))
    return best


def bulk(reader: Any) -> None:
    """All that is there as one array."""
    reader.read_array()


def ours(
    reader: Any, program: Program, records: int, read: Callable[[Any], None]
) -> Callable[[], float]:
    """Nanoseconds a record of the best of so many rounds."""

    def once() -> float:
        best = float("inf")
        for _ in range(ROUNDS):
            program.test_run(bytes(64), repeat=records)
            begin = time.perf_counter_ns()
            read(reader)
            best = min(best, (time.perf_counter_ns() - begin) / records)
            if reader.available:
                raise RuntimeError(f"{reader.available} bytes were left")
        program.test_run(bytes(64), repeat=records)
        if len(reader.read_bytes()) != records:
            raise RuntimeError("the ring does not take a round's records")
        return best

    return once


def c_time(peer: Path, kind: str, program: Program, map: int, records: int) -> float:
    """The same in C."""
    command = [str(peer), kind, *map_to_words(program.id, map, records, ROUNDS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def map_to_words(*numbers: int) -> list[str]:
    """Numbers as a command's words."""
    return [str(number) for number in numbers]


@contextmanager
def busy_thread() -> Iterator[None]:
    """Another Python thread that never waits."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            sum(range(1000))

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def compare(what: str, mine: Callable[[], float], theirs: Callable[[], float]) -> None:
    """Run both in turn and print nanoseconds a record."""
    mine(), theirs()
    pairs = [(mine(), theirs()) for _ in range(RUNS)]
    ratio = statistics.median(a / b for a, b in pairs)
    here, there = (statistics.median(column) for column in zip(*pairs, strict=True))
    print(f"{what:<28} {here:8.1f} ns   libbpf in C {there:6.1f} ns   ratio {ratio:6.2f}")


if __name__ == "__main__":
    main()
