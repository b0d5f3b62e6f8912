"""How the packet counters show what they count: xdp_stats, and its forms in text and in Python."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import ebpfasm
from ebpfasm.emit.listing import listing
from ebpfasm.ir import link
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.running.packets import run_packets
from examples import stage

ACTIONS = ("XDP_ABORTED", "XDP_DROP", "XDP_PASS", "XDP_TX", "XDP_REDIRECT")
PASS = CONSTANTS["XDP_PASS"]


def parser(description: str) -> argparse.ArgumentParser:
    """The options of a packet counter."""
    made = stage.parser(description)
    made.add_argument("--listing", action="store_true", help="print the program first")
    return made


@contextmanager
def anywhere(spec: ebpfasm.CollectionSpec, options: argparse.Namespace) -> Iterator[None]:
    """Print the listing if it is wanted; where the block may not use the kernel, run the program
    in the virtual machine, on packets that are shipped with the examples.
    """
    if options.listing:
        print("\n".join(listing(link(spec.programs["xdp_stats"]))), end="\n\n")
    try:
        yield
    except ebpfasm.EbpfError as problem:
        if not stage.lacks_kernel(problem, options):
            raise
        _count_capture(spec, options, problem.diagnostics[0].message)


def _count_capture(spec: ebpfasm.CollectionSpec, options: argparse.Namespace, why: str) -> None:
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


def by_action(stats: Mapping[int, int]) -> dict[str, int]:
    """The map's entries by the names of their keys."""
    return {name: stats[CONSTANTS[name]] for name in ACTIONS}


@contextmanager
def screen(options: argparse.Namespace) -> Iterator[Any]:
    """How the map is shown: a live table on a terminal, a line each second elsewhere."""
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if options.json or not console.is_terminal:
        yield lambda stats, seconds: stage.say(
            options, f"{seconds:4.0f} s  {by_action(stats)}",
            seconds=round(seconds, 3), packets=by_action(stats),
        )  # fmt: skip
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda stats, seconds: live.update(table(by_action(stats), seconds), refresh=True)


def table(counts: dict[str, int], seconds: float) -> Any:
    """A table of packets per XDP action."""
    from rich.table import Table

    made = Table("action", "packets", "a second", title=f"xdp_stats, {seconds:.0f} s")
    for name, packets in counts.items():
        made.add_row(name, f"{packets:,}", f"{packets / seconds:,.0f}")
    return made


def say_total(options: argparse.Namespace, stats: Mapping[int, int], here: stage.Stage) -> None:
    """The last line: what was counted, and what was sent."""
    counts = by_action(stats)
    plain = f"detached; counted {sum(counts.values()):,} packets{here.of_sent}"
    stage.say(options, plain, counted=counts, sent=here.sent)
