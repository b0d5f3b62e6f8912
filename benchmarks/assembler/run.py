"""Assembling 100,000 and 1,000,000 generated lines, beside llvm-mc on the same text, and back.

Whole processes, both writing a file; then in process: text to encoded program. Disassembling is
beside llvm-objdump, on the same code.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import ebpfasm
from benchmarks.pairs import compare, process
from tests.support import find_tool


def program(lines: int, seed: int = 1) -> str:
    """A program of so many lines: a label, eight instructions of a dozen kinds, and so on."""
    return "\n".join(_lines(lines, random.Random(seed).randrange)) + "\n"


def _lines(lines: int, r: type[int] | object) -> Iterator[str]:
    assert callable(r)
    yield from (".section xdp", "prog:")
    blocks = (lines - 4) // 9
    for block in range(blocks):
        yield f".L{block}:"
        for _ in range(8):
            a, b, kind = r(10), r(10), r(12)
            yield (
                "    "
                + (
                    f"r{a} = {r(-1000, 1000)}",
                    f"r{a} += r{b}",
                    f"w{a} ^= {r(1000)}",
                    f"r{a} = *(u32 *)(r{b} + {r(500)})",
                    f"*(u64 *)(r10 - {8 * r(1, 60)}) = r{a}",
                    f"if r{a} s> {r(100)} goto .L{block + 1}",
                    f"if w{a} == w{b} goto .L{block}",
                    f"r{a} = {r(1 << 40)} ll",
                    f"lock *(u64 *)(r{a} + {r(64)}) += r{b}",
                    f"call {r(1, 100)}",
                    f"r{a} <<= {r(64)}",
                    f"r{a} = be16 r{a}",
                )[kind]
            )
    yield f".L{blocks}:"
    yield "    exit"


def main() -> None:
    """Print a line for each size and way, and the memory of the largest run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, nargs="*", default=[100_000, 1_000_000])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for lines in options.lines:
            _measure(lines, Path(folder))
    used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    print(f"largest process, ours or llvm-mc: {used} MiB")


def _measure(lines: int, folder: Path) -> None:
    text = program(lines)
    source, ours, theirs = folder / "x.s", folder / "x.bin", folder / "x.o"
    source.write_text(text)
    llvm = [find_tool("llvm-mc"), "-triple=bpfel", "-mcpu=v4", "-filetype=obj", "-o", str(theirs)]
    asm = [sys.executable, "-m", "ebpfasm", "asm", str(source), "-o", str(ours)]
    runs = 9 if lines <= 100_000 else 5
    compare(
        f"asm, {lines:,} lines, whole process",
        process(asm),
        process([*llvm, str(source)]),
        peer_name="llvm-mc",
        runs=runs,
    )
    objcopy = [find_tool("llvm-objcopy"), "--dump-section", f"xdp={folder / 'x.code'}"]
    subprocess.run([*objcopy, str(theirs)], check=True)
    assert (folder / "x.code").read_bytes() == ours.read_bytes(), "the bytes differ"
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        ebpfasm.encode(ebpfasm.assemble(text).programs["prog"])
        times.append(time.perf_counter() - begin)
    median = statistics.median(times)
    each = median / lines * 1e9
    print(f"asm, {lines:,} lines, in process: {median * 1e3:.1f} ms, {each:.0f} ns a line")
    _measure_back(lines, folder, runs)


def _measure_back(lines: int, folder: Path, runs: int) -> None:
    code, text = folder / "x.bin", folder / "back.s"
    # The section has no flags, and -d passes over sections that are not code.
    llvm = [find_tool("llvm-objdump"), "-D", "-j", "xdp", "--mcpu=v4", str(folder / "x.o")]
    compare(
        f"disasm, {lines:,} lines, whole process",
        process([sys.executable, "-m", "ebpfasm", "disasm", str(code), "-o", str(text)]),
        process(llvm),
        peer_name="llvm-objdump",
        runs=runs,
    )
    again = ebpfasm.encode(ebpfasm.assemble(text.read_text()).programs["main"])
    assert again == code.read_bytes(), "what was disassembled assembles to other bytes"
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        ebpfasm.disassemble(again)
        times.append(time.perf_counter() - begin)
    print(f"disasm, {lines:,} lines, in process: {statistics.median(times) * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
