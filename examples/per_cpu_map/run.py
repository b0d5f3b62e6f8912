"""Count packets per CPU, without atomic instructions, and sum in Python."""

from __future__ import annotations

from pathlib import Path

import ebpfasm
from examples import forms, stage

HERE = Path(__file__).parent
COUNT, COPY = 0, 1  # keys: the program's, and one to write whole vectors to


def main() -> None:
    """Load, attach, and print a number for each possible CPU once a second."""
    parser = stage.parser(__doc__ or "")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    with ebpfasm.load(forms.spec_of(HERE, options.form)) as collection:
        packets = collection.maps["packets"]
        with stage.attached(options, collection.programs["count"]) as here:
            here.play(stage.UDP_FRAME)
            for turn, seconds in enumerate(here.seconds(), 1):
                each = packets[COUNT]
                stage.say(options, f"{seconds:4.0f} s  {list(each)}", packets=each)
                if turn % 10 == 0:
                    packets[COPY] = each  # a value for each CPU goes in as it comes out
                    stage.say(options, f"        copied {list(packets[COPY])}", copy=packets[COPY])
            here.finish(lambda: sum(packets[COUNT]))
        total = sum(packets[COUNT])
        stage.say(options, f"counted {total:,} packets{here.of_sent}", total=total, sent=here.sent)


if __name__ == "__main__":
    stage.guarded(main)
