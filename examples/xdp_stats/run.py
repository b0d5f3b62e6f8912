"""Count the packets that an interface receives, with a program that clang compiled."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from examples import forms, stage
from examples.xdp_stats_assembly.run import count_packets

HERE = Path(__file__).parent


def main() -> None:
    """Read the object file, load it, attach and watch."""
    parser = stage.parser(__doc__ or "")
    parser.add_argument("--listing", action="store_true", help="print the program first")
    parser.add_argument("--object", metavar="FILE", type=Path, help="an object of your own")
    options = parser.parse_args()
    spec = ebpfasm.open(options.object) if options.object else forms.spec_of(HERE, "c")
    count_packets(spec, options)


if __name__ == "__main__":
    stage.guarded(main)
