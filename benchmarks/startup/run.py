"""Whole processes: importing the package beside bare Python, assembling beside llvm-mc."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.pairs import compare, process
from tests.support import find_tool

COUNTER = Path(__file__).parents[2] / "examples" / "xdp_stats_assembly" / "xdp_stats.s"
PLAIN = "r0 = 2\nexit\n"


def main() -> None:
    """Print both comparisons."""
    bare = process([sys.executable, "-c", "pass"])
    compare(
        "import ebpfasm",
        process([sys.executable, "-c", "import ebpfasm"]),
        bare,
        peer_name="python -c ''",
    )
    llvm = process(
        [find_tool("llvm-mc"), "-triple=bpfel", "-filetype=obj", "-o", "/dev/null", "/dev/null"]
    )
    ours = process([sys.executable, "-m", "ebpfasm", "asm", str(COUNTER)])
    compare("ebpfasm asm xdp_stats.s", ours, llvm, peer_name="llvm-mc")


if __name__ == "__main__":
    main()
