"""Count the packets that an interface receives, with a program from assembly text."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from examples import counting, stage

PROGRAM = Path(__file__).with_name("xdp_stats.s")


def main() -> None:
    """Assemble, load, attach and watch."""
    options = counting.parser(__doc__ or "").parse_args()
    spec = ebpfasm.open(PROGRAM)
    with (
        counting.anywhere(spec, options),
        stage.stage(options) as here,
        ebpfasm.load(spec) as collection,
    ):
        stats = collection.maps["xdp_stats_map"]
        with stage.attach(options, collection.programs["xdp_stats"], here):
            here.play()
            with counting.screen(options) as show:
                for seconds in here.seconds():
                    show(stats, seconds)
            here.finish(lambda: stats[counting.PASS])
        counting.say_total(options, stats, here)


if __name__ == "__main__":
    stage.guarded(main)
