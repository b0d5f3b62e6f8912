"""Count the packets that an interface receives, with a program from builder calls.

The program is in program.py; what is done with it is what examples/xdp_stats_assembly does.
"""

from __future__ import annotations

from examples import stage
from examples.xdp_stats_assembly.run import count_packets
from examples.xdp_stats_instructions.program import spec


def main() -> None:
    """Load, attach and watch."""
    parser = stage.parser(__doc__ or "")
    parser.add_argument("--listing", action="store_true", help="print the program first")
    count_packets(spec, parser.parse_args())


if __name__ == "__main__":
    stage.guarded(main)
