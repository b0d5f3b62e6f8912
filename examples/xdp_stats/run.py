"""Count the packets that an interface receives, with a program that clang compiled."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from examples import counting, forms, stage

HERE = Path(__file__).parent


def main() -> None:
    """Read the object file, load it, attach and watch."""
    parser = counting.parser(__doc__ or "")
    parser.add_argument("--object", metavar="FILE", type=Path, help="an object of your own")
    options = parser.parse_args()
    spec = ebpfasm.open(options.object) if options.object else forms.spec_of(HERE, "c")
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
