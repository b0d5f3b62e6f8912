"""Count the packets that an interface receives, with a program from assembly text."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ebpfasm
from ebpfasm.emit.listing import listing
from ebpfasm.ir import link
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.packets import run_packets
from examples import stage

PROGRAM = Path(__file__).with_name("xdp_stats.s")
ACTIONS = ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT")


def main() -> None:
    """Assemble, load, attach and watch."""
    parser = stage.parser(__doc__ or "")
    parser.add_argument("--listing", action="store_true", help="print the program first")
    options = parser.parse_args()
    count_packets(ebpfasm.open(PROGRAM), options)


def count_packets(spec: ebpfasm.CollectionSpec, options: argparse.Namespace) -> None:
    """Attach the collection's program `xdp_stats` and show its map until it is time to stop."""
    if options.listing:
        print("\n".join(listing(link(spec.programs["xdp_stats"]))), end="\n\n")
    try:
        _count_live(spec, options)
    except ebpfasm.EbpfError as problem:
        if not stage.lacks_kernel(problem, options):
            raise
        _count_capture(spec, options, problem.diagnostics[0].message)


def _count_capture(spec: ebpfasm.CollectionSpec, options: argparse.Namespace, why: str) -> None:
    """Run the program in the virtual machine on packets that are shipped with the examples."""
    ran = run_packets(spec.programs["xdp_stats"], stage.CAPTURE.read_bytes(), engine="vm")
    counts, packets = by_action(ran.maps["xdp_stats_map"]), len(ran.verdicts)
    name = f"examples/{stage.CAPTURE.name}"
    stage.say(
        options,
        f"the kernel may not be used here: {why}\n"
        f"ran in the virtual machine on {name}\n{counts}\n"
        f"counted {sum(counts.values()):,} packets of {packets:,}",
        engine=ran.engine,
        fallback=why,
        capture=name,
        counted=counts,
        sent=packets,
    )


def _count_live(spec: ebpfasm.CollectionSpec, options: argparse.Namespace) -> None:
    with stage.stage(options) as here, ebpfasm.load(spec) as collection:
        stats = collection.maps["xdp_stats_map"]
        with collection.programs["xdp_stats"].attach_xdp(here.interface) as link_:
            stage.say(
                options, f"attached to {here.interface}", attached=here.interface, mode=link_.kind
            )
            here.play()
            with screen(options) as show:
                for seconds in here.seconds():
                    show(by_action(stats), seconds)
                here.finish(lambda: stats[CONSTANTS["XDP_PASS"]])
        counts = by_action(stats)
    total = sum(counts.values())
    sent = f" of {here.sent:,} sent" if here.sent is not None else ""
    stage.say(options, f"detached; counted {total:,} packets{sent}", counted=counts, sent=here.sent)


def by_action(stats: Mapping[int, int]) -> dict[str, int]:
    """The map's entries by the names of their keys."""
    return {name: stats[CONSTANTS[name]] for name in ACTIONS}


@contextmanager
def screen(options: argparse.Namespace) -> Iterator[Any]:
    """How counts are shown: a live table on a terminal, a line each second elsewhere."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if options.json or not console.is_terminal:
        yield lambda counts, seconds: stage.say(
            options, f"{seconds:4.0f} s  {counts}", seconds=round(seconds, 3), packets=counts
        )
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda counts, seconds: live.update(table(counts, seconds), refresh=True)


def table(counts: dict[str, int], seconds: float) -> Any:
    """A table of packets per XDP action."""
    from rich.table import Table

    made = Table("action", "packets", "a second", title=f"xdp_stats, {seconds:.0f} s")
    for name, packets in counts.items():
        made.add_row(name, f"{packets:,}", f"{packets / seconds:,.0f}")
    return made


if __name__ == "__main__":
    stage.guarded(main)
