"""Count the lines that people type into bash, by a uprobe on its function readline."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import ebpfasm
from examples import forms, stage

HERE = Path(__file__).parent
BASH = "/bin/bash"
TYPING = 30  # seconds that bash may take to read what is typed


def main() -> None:
    """Attach by the function's name, and print the count once a second, ten times."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--binary", metavar="FILE", default=BASH)
    parser.add_argument("--symbol", metavar="NAME", default="readline")
    parser.add_argument("--pid", type=stage.whole(1), help="only in this process")
    parser.add_argument(
        "--type", metavar="N", type=stage.whole(0, 20), default=3, dest="typed",
        help="lines to type itself, into a bash of its own (3; none with --symbol or --pid)",
    )  # fmt: skip
    stage.add_duration(parser, default=10.0)
    stage.add_interval(parser)
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
            if (options.binary, options.symbol, options.pid) == (BASH, "readline", None):
                type_into_bash(options.typed)
            for seconds in here.seconds():
                count = collection.maps["calls"][0]
                stage.say(options, f"{seconds:4.0f} s  {count:,} calls", calls=count)


def type_into_bash(number: int) -> None:
    """Type so many lines into a bash at a terminal of its own; the last one ends it."""
    if number == 0:
        return
    terminal, its_end = pty.openpty()
    command = [BASH, "--norc", "--noprofile", "-i"]
    environment = {**os.environ, "HISTFILE": ""}  # what is typed here is nobody's history
    with os.fdopen(terminal, "wb", buffering=0) as keyboard:
        try:
            bash = subprocess.Popen(
                command, stdin=its_end, stdout=its_end, stderr=its_end,
                env=environment, start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(its_end)
        try:
            keyboard.write(b"true\n" * (number - 1) + b"exit\n")
            bash.wait(TYPING)
        except subprocess.TimeoutExpired:
            bash.kill()
            bash.wait()


if __name__ == "__main__":
    stage.guarded(main)
