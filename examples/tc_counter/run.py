"""Count what enters and what leaves an interface, at the traffic control hooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ebpfasm
from examples import forms, stage
from examples.bpf_to_bpf.statistics import pair
from examples.frames import ARP, ethernet

HERE = Path(__file__).parent
DIRECTIONS = ("in", "out")

# Who has 10.0.0.1? The near end answers, so that something leaves too.
QUESTION = ethernet(
    ARP,
    bytes.fromhex("0001 0800 0604 0001 020000000002 0a000002 000000000000 0a000001"),
)
QUESTION = b"\xff" * 6 + QUESTION[6:]


def main() -> None:
    """Attach both programs and show both counters once a second."""
    parser = stage.parser(__doc__ or "")
    forms.add_option(parser, HERE)
    options = parser.parse_args()
    spec = forms.spec_of(HERE, options.form)
    with ebpfasm.load(spec) as collection, stage.stage(options, "10.0.0.1/24") as here:
        programs, traffic = collection.programs, collection.maps["traffic"]
        with (
            programs["count_in"].attach_tc(here.interface, "ingress") as first,
            programs["count_out"].attach_tc(here.interface, "egress"),
        ):
            stage.say(
                options, f"attached to {here.interface} ({first.kind})",
                attached=here.interface, kind=first.kind,
            )  # fmt: skip
            here.play(stage.UDP_FRAME, QUESTION)
            for seconds in here.seconds():
                counts = counters(traffic)
                shown = ", ".join(f"{each} {pkts:,} ({size:,} bytes)"
                                  for each, (pkts, size) in counts.items())  # fmt: skip
                stage.say(options, f"{seconds:4.0f} s  {shown}", **counts)
            here.finish(lambda: counters(traffic)["in"][0])
        counts = counters(traffic)
        stage.say(
            options, f"detached; counted {counts['in'][0]:,} packets{here.of_sent}",
            sent=here.sent, **counts,
        )  # fmt: skip


def counters(traffic: Any) -> dict[str, tuple[int, int]]:
    """Packets and bytes by direction."""
    return {each: pair(traffic[key]) for key, each in enumerate(DIRECTIONS)}


if __name__ == "__main__":
    stage.guarded(main)
