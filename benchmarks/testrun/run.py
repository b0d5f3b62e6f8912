"""Test runs of one program from Python, beside the same loop in C on libbpf, in turn."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import ebpfasm
from benchmarks.pairs import compare

RUNS = 20_000
FRAME = bytes(64)


def main() -> None:
    """Compile the peer and print a line for each way."""
    source = ".section xdp\npass:\n r0 = 2\n exit\n"
    with tempfile.TemporaryDirectory() as folder, ebpfasm.load(ebpfasm.assemble(source)) as live:
        peer = Path(folder) / "peer"
        c = Path(__file__).with_name("peer.c")
        subprocess.run(["cc", "-O2", "-o", peer, c, "-lbpf"], check=True)
        program = live.programs["pass"]

        def theirs() -> float:
            command = [str(peer), str(program.id), str(RUNS)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            return float(done.stdout)

        def ours() -> float:
            begin = time.perf_counter()
            for _ in range(RUNS):
                program.test_run(FRAME)
            return time.perf_counter() - begin

        def each() -> float:
            frames = [FRAME] * RUNS
            begin = time.perf_counter()
            program.test_run_each(frames)
            return time.perf_counter() - begin

        compare(f"test_run, {RUNS} runs", ours, theirs, peer_name="libbpf")
        compare(f"test_run_each, {RUNS} frames", each, theirs, peer_name="libbpf")


if __name__ == "__main__":
    main()
