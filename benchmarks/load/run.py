"""From opening an object to its programs in the kernel, beside libbpf in C."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import ebpfasm
from benchmarks.load import sources
from benchmarks.pairs import compare
from ebpfasm.runtime import kernel_btf

RELOCATIONS = 50
INSTRUCTIONS = 50_000


def main() -> None:
    """Compile the objects and the peer, and print a line for each object."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = compiled(sources.TINY, folder / "tiny.o")
        text = sources.with_relocations(kernel_btf.vmlinux(), RELOCATIONS)
        core = compiled(text, folder / "core.o")
        long = compiled(sources.long_program(INSTRUCTIONS), folder / "long.o")
        peer = Peer(folder / "peer")
        compare("tiny object", loading(tiny), peer.loading(tiny), peer_name="libbpf")
        what = f"{RELOCATIONS} CO-RE relocations"
        compare(f"{what}, warm index", loading(core), peer.loading(core), peer_name="libbpf")
        compare(f"{what}, cold", cold(core), peer.loading(core), peer_name="libbpf")
        what = f"{INSTRUCTIONS} instructions"
        compare(what, loading(long), peer.loading(long), peer_name="libbpf")


def compiled(text: str, target: Path) -> Path:
    """Compile C for BPF."""
    command = ["clang-19", "-target", "bpf", "-g", "-O2", "-xc", "-", "-c", "-o", str(target)]
    subprocess.run(command, input=text, text=True, check=True)
    return target


class Peer:
    """A C program on libbpf that loads what it is told to."""

    def __init__(self, program: Path) -> None:
        source = Path(__file__).with_name("peer.c")
        subprocess.run(["cc", "-O2", "-o", program, source, "-lbpf"], check=True)
        self._process = subprocess.Popen(
            [program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def loading(self, path: Path) -> Callable[[], float]:
        """Seconds that it takes to load an object."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None

        def once() -> float:
            requests.write(f"{path}\n")
            requests.flush()
            nanoseconds = int(answers.readline())
            assert nanoseconds > 0, f"libbpf cannot load {path}"
            return nanoseconds / 1e9

        return once


def loading(path: Path) -> Callable[[], float]:
    """Seconds that we take."""

    def once() -> float:
        begin = time.perf_counter()
        loaded = ebpfasm.load(path)
        end = time.perf_counter()
        loaded.close()
        return end - begin

    return once


def cold(path: Path) -> Callable[[], float]:
    """The same where the kernel's types have not been looked at."""

    def once() -> float:
        kernel_btf.vmlinux.cache_clear()
        return loading(path)()

    return once


if __name__ == "__main__":
    main()
