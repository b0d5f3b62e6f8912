"""AF_XDP from Python beside C on libxdp: the same veth pair, in the same run, turn by turn.

Live frames of BPF_PROG_TEST_RUN cross the pair as fast as the kernel makes them, on one processor;
what receives has another one. Each line is a way to handle them, at bursts of 64: packets a second,
the median of its ratios to C, and processor time a packet, the kernel's included.

Both sides wait and wake alike, and may send as many packets in a call. On a machine that does other
things too, `chrt -f 1` before the command keeps those away from both.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import Redirect, XskSocket

BURST, LENGTH = 64, 60
PACKET = b"\2" * LENGTH
_ADDRESSES = struct.Struct("6s6s")

Way = Callable[[XskSocket, float], int]


def bursts(seconds: float) -> Iterator[int]:
    """So long as it is not over: the clock is read every 16 bursts, as the peer does."""
    return chain.from_iterable(_sixteen(seconds))


def _sixteen(seconds: float) -> Iterator[range]:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        yield range(16)


def drop_in_c(xsk: XskSocket, seconds: float) -> int:
    """The whole loop in the C core."""
    return xsk.drop(timeout=seconds)


def drop_batches(xsk: XskSocket, seconds: float) -> int:
    """Arrays; no Python object a frame."""
    count = 0
    for _ in bursts(seconds):
        batch = xsk.recv_batch(BURST, 0.05)
        count += len(batch)
        batch.release()
    return count


def drop_views(xsk: XskSocket, seconds: float) -> int:
    """A memoryview a frame."""
    count = 0
    for _ in bursts(seconds):
        batch = xsk.recv_batch(BURST, 0.05)
        for _view in batch:
            count += 1
        batch.release()
    return count


def drop_leases(xsk: XskSocket, seconds: float) -> int:
    """A lease a frame."""
    count, end = 0, time.monotonic() + seconds
    for frame in xsk.frames(0.05, BURST):
        frame.data  # noqa: B018 - makes the view
        count += 1
        if not count % BURST and time.monotonic() > end:
            break
    return count


def echo_in_c(xsk: XskSocket, seconds: float) -> int:
    """The whole loop in the C core."""
    return xsk.echo(timeout=seconds)


def echo_batches(xsk: XskSocket, seconds: float) -> int:
    """Addresses of all frames of a burst are exchanged in one call."""
    count = 0
    for _ in bursts(seconds):
        batch = xsk.recv_batch(BURST, 0.05)
        batch.swap(0, 6, 6)
        count += batch.send()
    return count


def echo_views(xsk: XskSocket, seconds: float) -> int:
    """Python code on each frame: a memoryview, its addresses read and written."""
    count = 0
    read, write = _ADDRESSES.unpack_from, _ADDRESSES.pack_into
    for _ in bursts(seconds):
        batch = xsk.recv_batch(BURST, 0.05)
        for view in batch:
            to, source = read(view)
            write(view, 0, source, to)
        count += batch.send()
    return count


def echo_headers(xsk: XskSocket, seconds: float) -> int:
    """Python code on each frame: a list of its addresses, read and written."""
    count = 0
    for _ in bursts(seconds):
        batch = xsk.recv_batch(BURST, 0.05)
        for head in batch.headers("6s6s"):
            head[1], head[0] = head
        count += batch.send()
    return count


def echo_tuples(xsk: XskSocket, seconds: float) -> int:
    """Python code on each frame: a tuple of its addresses, read and written."""
    count = 0
    for _ in bursts(seconds):
        batch = xsk.recv_batch(BURST, 0.05)
        batch.pack("6s6s", [(source, to) for to, source in batch.unpack("6s6s")])
        count += batch.send()
    return count


def echo_leases(xsk: XskSocket, seconds: float) -> int:
    """A lease a frame, sent singly."""
    count, end = 0, time.monotonic() + seconds
    read, write = _ADDRESSES.unpack_from, _ADDRESSES.pack_into
    for frame in xsk.frames(0.05, BURST):
        to, source = read(frame.data)
        write(frame.data, 0, source, to)
        frame.send(kick=False)
        count += 1
        if not count % BURST and time.monotonic() > end:
            break
    return count


def send_in_c(xsk: XskSocket, seconds: float) -> int:
    """The whole loop in the C core."""
    return xsk.replay([PACKET] * BURST, 1 << 40, seconds)


def send_batches(xsk: XskSocket, seconds: float) -> int:
    """An array, a row a packet, copied into the frames of a burst."""
    import numpy as np

    rows = np.frombuffer(PACKET * BURST, np.uint8).reshape(BURST, LENGTH)
    count = 0
    for _ in bursts(seconds):
        count += xsk.send_all(rows)
    return count


def send_frames(xsk: XskSocket, seconds: float) -> int:
    """The frames of a burst taken, a row of bytes written to all of them, and sent."""
    count = 0
    for _ in bursts(seconds):
        batch = xsk.alloc_batch(BURST, length=LENGTH)
        batch.write(0, PACKET)
        count += batch.send()
    return count


def send_bytes(xsk: XskSocket, seconds: float) -> int:
    """A bytes object a packet."""
    count = 0
    for _ in bursts(seconds):
        count += xsk.send_all([PACKET for _ in range(BURST)])
    return count


WAYS: dict[str, dict[str, Way]] = {
    "drop": {
        "C core": drop_in_c, "numpy batches": drop_batches,
        "a memoryview a frame": drop_views, "a lease a frame": drop_leases,
    },
    "send": {"C core": send_in_c, "numpy batches": send_batches, "a batch of frames": send_frames,
             "bytes": send_bytes},
    "echo": {
        "C core": echo_in_c, "numpy batches": echo_batches,
        "Python on each header": echo_headers, "Python on each tuple": echo_tuples,
        "Python on each memoryview": echo_views,
        "a lease a frame": echo_leases,
    },
}  # fmt: skip


@contextmanager
def pinned(which: int) -> Iterator[None]:
    """On one of the processors meanwhile, and what is started there: traffic has another one."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[which]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Bench:
    """A veth pair and the peer."""

    def __init__(self, peer: Path, pair: VethPair, seconds: float, hosts: int = 1) -> None:
        self._peer, self._pair, self._seconds, self._hosts = peer, pair, seconds, hosts
        with pair.far.entered():
            self._far = socket.if_nametoindex(pair.far_name)

    @contextmanager
    def traffic(self, kind: str) -> Iterator[None]:
        """Frames from the far end meanwhile, unless it is to receive them."""
        if kind == "send":
            yield
            return
        words = ("traffic", self._far, LENGTH, self._hosts)
        command = [str(self._peer), *map(str, words)]
        with self._pair.far.entered(), pinned(0):
            sender = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert sender.stdout is not None
        try:
            sender.stdout.readline()
            yield
        finally:
            sender.kill()
            sender.communicate()

    def once(self, kind: str, way: Way | None) -> tuple[float, float]:
        """Packets a second of one of ours, or of the peer, and microseconds of the processor's."""
        with (
            self._pair.near.entered(),
            Redirect(self._pair.near_name, mode="native") as redirect,
            self.traffic(kind),
            pinned(-1),
        ):
            time.sleep(0.1)  # the kernel gives a queue free some time after its socket was closed
            if way is None:
                words = (kind, self._pair.near_name, redirect.map.id, self._seconds)
                command = [str(self._peer), *map(str, words)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                rate, each = done.stdout.split()
                return float(rate), float(each)
            with XskSocket.open(self._pair.near_name, attach=redirect) as xsk:
                begin, used = time.monotonic(), time.process_time()
                count = way(xsk, self._seconds)
                used = time.process_time() - used
                return count / (time.monotonic() - begin), used / max(count, 1) * 1e6

    def compare(self, kind: str, runs: int) -> None:
        """Print a line for each way, behind C's."""
        ways: dict[str, Way | None] = {"C on libxdp": None, **WAYS[kind]}
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, way in ways.items():
                found[name].append(self.once(kind, way))
        for name, ours in found.items():
            pairs = zip(ours, found["C on libxdp"], strict=True)
            ratio = statistics.median(a / b for (a, _), (b, _) in pairs)
            rate = statistics.median(rate for rate, _ in ours) / 1e6
            used = statistics.median(used for _, used in ours)
            print(
                f"{kind:<5} {name:<26} {rate:7.3f} M/s   ratio {ratio:5.2f}   {used:6.3f} us",
                flush=True,
            )


def main() -> None:
    """Compile the peer and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.7, help="of each measurement")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--hosts", type=int, default=1, help="source addresses: 1 or 256")
    parser.add_argument("kinds", nargs="*", default=list(WAYS))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, VethPair() as pair:
        peer = Path(folder) / "peer"
        source = Path(__file__).with_name("peer.c")
        subprocess.run(["cc", "-O2", "-o", peer, source, "-lxdp", "-lbpf"], check=True)
        bench = Bench(peer, pair, options.seconds, options.hosts)
        for kind in options.kinds:
            bench.compare(kind, options.runs)


if __name__ == "__main__":
    main()
