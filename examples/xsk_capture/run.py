"""Write what a queue receives to a capture file: the whole loop runs in C."""

from __future__ import annotations

import time
from pathlib import Path

from ebpfasm.runtime.xsk import XskSocket
from examples import requests, stage


def main() -> None:
    """Capture until the duration is over, or Ctrl-C."""
    parser = requests.parser(__doc__ or "")
    parser.add_argument("--write", metavar="FILE", type=Path, default=Path("capture.pcap"))
    parser.add_argument(
        "--snap", type=stage.whole(1), default=262144, help="bytes of each packet at most"
    )
    parser.add_argument("--count", type=stage.whole(1), help="packets; then stop")
    options = parser.parse_args()
    with (
        stage.stage(options) as here,
        XskSocket.open(here.interface, tx=False, mode=options.mode) as xsk,
    ):
        stage.say(options, f"capturing on {here.interface}", attached=here.interface)
        here.play()
        begin = time.monotonic()

        def is_over() -> bool:
            if here.duration is not None and time.monotonic() - begin >= here.duration:
                here.stop.set()  # the traffic ends, and what is on the wire is still written
            silent = here.stop.is_set() and not here.is_playing
            return silent and xsk.counters().received >= (here.sent or 0)

        count = xsk.capture(options.write, options.count, snap=options.snap, stop=is_over)
        took = time.monotonic() - begin
        dropped = xsk.statistics().dropped
        stage.say(
            options,
            f"{count:,} packets in {options.write} ({count / took:,.0f} a second), "
            f"{dropped:,} dropped{here.of_sent}",
            captured=count,
            dropped=dropped,
            sent=here.sent,
            file=str(options.write),
        )


if __name__ == "__main__":
    stage.guarded(main)
