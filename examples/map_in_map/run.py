"""Swap the map that a program counts in while it counts: a map of maps."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from ebpfasm import Map, MapSpec
from ebpfasm.isa.constants import CONSTANTS
from examples import forms, stage

HERE = Path(__file__).parent
PASS = CONSTANTS["XDP_PASS"]
INNER = MapSpec("counters", "array", 4, 8, 5)


def main() -> None:
    """Attach, and let the two inner maps change places once a second."""
    parser = stage.parser(__doc__ or "")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    spec = forms.spec_of(HERE, options.form)
    with ebpfasm.load(spec) as collection, Map.create(INNER) as a, Map.create(INNER) as b:
        outer = collection.maps["outer"]
        outer[0], outer[1] = a, b
        with stage.attached(options, collection.programs["count"]) as here:
            here.play(stage.UDP_FRAME)
            first, second = a, b
            for seconds in here.seconds():
                first, second = second, first
                outer[0], outer[1] = first, second  # the program goes on in the other one
                stage.say(
                    options, f"{seconds:4.0f} s  a {a[PASS]:,}  b {b[PASS]:,}", a=a[PASS], b=b[PASS]
                )
            here.finish(lambda: int(a[PASS] + b[PASS]))
        total = a[PASS] + b[PASS]
        stage.say(
            options, f"counted {a[PASS]:,} in a and {b[PASS]:,} in b{here.of_sent}",
            a=a[PASS], b=b[PASS], total=total, sent=here.sent,
        )  # fmt: skip


if __name__ == "__main__":
    stage.guarded(main)
