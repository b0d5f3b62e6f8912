"""`ebpfasm attach`: load a file, attach a program, and watch a map until told to stop."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click

import ebpfasm
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.cli.files import choose, file_argument, json_option, open_file, program_option
from ebpfasm.cli.run import as_key, as_value, value_is_set
from ebpfasm.errors import EbpfError, error
from ebpfasm.ir import CollectionSpec

Mode = Literal["auto", "native", "generic", "offload"]


@click.command("attach")
@file_argument
@program_option
@click.option("--xdp", "interface", metavar="IFACE", required=True, help="Attach to its XDP hook.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "native", "generic", "offload"]),
    default="auto",
    show_default=True,
)
@click.option("--watch", metavar="MAP", help="Show this map's entries while attached.")
@click.option("--interval", metavar="SECONDS", type=click.FloatRange(0.05), default=1.0)
@click.option("--duration", metavar="SECONDS", type=click.FloatRange(0), help="Then stop.")
@json_option
def attach_command(
    file: Path,
    prog: str | None,
    interface: str,
    mode: Mode,
    watch: str | None,
    interval: float,
    duration: float | None,
    as_json: bool,
) -> None:
    """Load FILE and attach a program until Ctrl-C, SIGTERM or --duration ends it.

    The program is detached on every way out.
    """
    spec = open_file(file)
    name = choose(spec, prog).name
    if watch is not None:
        _check_map(spec, watch)
    with stop_on_signals() as stop, ebpfasm.load(spec) as collection:
        with collection.programs[name].attach_xdp(interface, mode=mode) as link:
            if not as_json:
                click.echo(f"{name} is attached to {interface} ({link.kind}); Ctrl-C detaches it")
            watched = collection.maps[watch] if watch is not None else None
            _watch(watched, stop, interval, duration, as_json)
        if not as_json:
            click.echo(f"{name} is detached from {interface}")


def _check_map(spec: CollectionSpec, name: str) -> None:
    if name not in spec.maps:
        hint = did_you_mean(name, spec.maps) or f"it has {', '.join(spec.maps) or 'none'}"
        raise EbpfError(error("cli-usage", f"the file has no map {name}", hint=hint))


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, instead of ending the process at once."""
    stop = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {each: signal.signal(each, request) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _watch(
    watched: ebpfasm.Map | None,
    stop: threading.Event,
    interval: float,
    duration: float | None,
    as_json: bool,
) -> None:
    """Show the map at every interval until stopped, and once more at the end."""
    if watched is None:
        stop.wait(duration)
        return
    end = None if duration is None else time.monotonic() + duration
    before: dict[Any, Any] = {}
    since = time.monotonic()
    with _screen(as_json) as show:
        while True:
            left = interval if end is None else min(interval, end - time.monotonic())
            stopping = stop.wait(max(left, 0)) or (end is not None and time.monotonic() >= end)
            now, entries = time.monotonic(), watched.snapshot()
            show(watched.name, entries, before, max(now - since, 1e-9))
            before, since = entries, now
            if stopping:
                return


@contextmanager
def _screen(as_json: bool) -> Iterator[Any]:
    """How a map is shown: a live table on a terminal, lines elsewhere, JSON if asked for."""
    if as_json:
        yield lambda name, entries, before, seconds: click.echo(
            json.dumps({name: {as_key(key): as_value(value) for key, value in entries.items()}})
        )
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not console.is_terminal:
        yield lambda name, entries, before, seconds: click.echo(f"{name}: {_set_only(entries)}")
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda *state: live.update(_table(*state), refresh=True)


def _set_only(entries: dict[Any, Any]) -> dict[Any, Any]:
    return {key: value for key, value in entries.items() if value_is_set(value)}


def _table(name: str, entries: dict[Any, Any], before: dict[Any, Any], seconds: float) -> Any:
    from rich.table import Table

    table = Table("key", "value", "a second", title=name)
    for key, value in list(entries.items())[:40]:
        total, earlier = _total(value), _total(before.get(key, 0))
        rate = "" if total is None or earlier is None else f"{(total - earlier) / seconds:,.0f}"
        shown = f"{total:,}" if total is not None else as_value(value)
        table.add_row(as_key(key), str(shown), rate)
    if len(entries) > 40:
        table.caption = f"{len(entries) - 40} more"
    return table


def _total(value: Any) -> int | None:
    """A number, or the sum over CPUs of a per-CPU value; None for anything else."""
    if isinstance(value, int):
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, int) for each in value):
        return sum(value)
    return None
