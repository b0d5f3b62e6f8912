"""Log every program that is started, from a ring buffer, with asyncio."""

from __future__ import annotations

import argparse
import asyncio
import signal
import threading
from pathlib import Path

import ebpfasm
from ebpfasm import RingBuffer
from examples import forms, stage

HERE = Path(__file__).parent
EVENT = "=II16s64s"  # pid, uid, the starting program's name, the file that it starts


def main() -> None:
    """Attach to the tracepoint and print a line for each program."""
    parser = stage.bare_parser(__doc__)
    stage.add_duration(parser)
    parser.add_argument(
        "--start", metavar="N", type=stage.whole(0), default=3, help="programs to start itself (3)"
    )
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    with (
        stage.clock(options) as here,
        ebpfasm.load(forms.spec_of(HERE, options.form)) as collection,
    ):
        with collection.programs["log_execve"].attach() as link:
            stage.say(options, f"attached ({link.kind})", attached=link.kind)
            stage.start_programs(options.start)  # their records wait in the ring
            with RingBuffer(collection.maps["events"], EVENT) as events:
                asyncio.run(log(events, options, here.stop))
        lost = collection.variables["lost"].value
        stage.say(options, f"{lost} lost for want of room", lost=lost)


async def log(events: RingBuffer, options: argparse.Namespace, stop: threading.Event) -> None:
    """Print events until the time is over, or Ctrl-C, which may have come before the loop began."""
    loop = asyncio.get_running_loop()
    reading = loop.create_task(show(events, options))
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, reading.cancel)
    if stop.is_set():
        reading.cancel()
    await asyncio.wait([reading], timeout=options.duration)
    if not reading.cancel() and not reading.cancelled():
        reading.result()  # it ended by itself: what went wrong is raised here


async def show(events: RingBuffer, options: argparse.Namespace) -> None:
    """Print a line for each event as it comes."""
    async for pid, uid, comm, filename in events:
        name, file = (each.split(b"\0")[0].decode("utf-8", "replace") for each in (comm, filename))
        stage.say(
            options, f"{pid:>8} {uid:>6} {name:<16} {file}", pid=pid, uid=uid, comm=name, file=file
        )


if __name__ == "__main__":
    stage.guarded(main)
