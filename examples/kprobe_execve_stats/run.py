"""Count how often programs are started, by a kprobe on the system call's function."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ebpfasm
from ebpfasm import Link, NotSupported
from ebpfasm.runtime.collection import Collection
from examples import forms, stage

HERE = Path(__file__).parent


def main() -> None:
    """Attach, and print the count once a second, ten times."""
    parser = stage.bare_parser(__doc__)
    parser.add_argument("--tracepoint", action="store_true", help="where there are no kprobes")
    stage.add_duration(parser, default=10.0)
    parser.add_argument(
        "--start", metavar="N", type=stage.whole(0), default=5, help="programs to start itself (5)"
    )
    stage.add_interval(parser)
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    name = "on_tracepoint" if options.tracepoint else "on_function"
    with (
        ebpfasm.load(forms.spec_of(HERE, options.form), programs=[name]) as collection,
        attached(collection, name) as link,
        stage.clock(options) as here,
    ):
        stage.say(options, f"counting by {link.kind}", kind=link.kind)
        stage.start_programs(options.start)
        for seconds in here.seconds():
            count = collection.maps["execs"][0]
            stage.say(options, f"{seconds:4.0f} s  {count:,} programs started", execs=count)


def attached(collection: Collection, name: str) -> Link:
    """Attach as the program's section says; where that cannot be, say what can."""
    try:
        return collection.programs[name].attach()
    except NotSupported as lacking:
        (first, *rest) = lacking.diagnostics
        raise NotSupported(
            replace(first, hint="--tracepoint counts on every kernel"), *rest
        ) from None


if __name__ == "__main__":
    stage.guarded(main)
