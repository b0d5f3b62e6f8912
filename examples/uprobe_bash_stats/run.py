"""Count the lines that people type into bash, by a uprobe on its function readline."""

from __future__ import annotations

import argparse
from pathlib import Path

import ebpfasm
from examples import forms, stage

HERE = Path(__file__).parent


def main() -> None:
    """Attach by the function's name, and print the count once a second, ten times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--binary", metavar="FILE", default="/bin/bash")
    parser.add_argument("--symbol", metavar="NAME", default="readline")
    parser.add_argument("--pid", type=int, help="only in this process")
    parser.add_argument("--duration", metavar="SECONDS", type=float, default=10.0)
    parser.add_argument("--interval", metavar="SECONDS", type=float, default=1.0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    with ebpfasm.load(forms.spec_of(HERE, options.form)) as collection:
        program = collection.programs["on_call"]
        # The name leads to the function's first instruction. A number of one's own may lead
        # between two bytes of one, and the process would not survive that.
        link = program.attach_uprobe(options.binary, options.symbol, pid=options.pid)
        with link, stage.clock(options) as here:
            where = f"{options.symbol} in {options.binary}"
            stage.say(options, f"counting calls of {where}", attached=where)
            for seconds in here.seconds():
                count = collection.maps["calls"][0]
                stage.say(options, f"{seconds:4.0f} s  {count:,} calls", calls=count)


if __name__ == "__main__":
    stage.guarded(main)
