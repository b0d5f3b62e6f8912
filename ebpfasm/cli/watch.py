"""Showing a map again and again while a program is attached."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

import ebpfasm
from ebpfasm.cli.run import as_key, as_value, value_is_set

_MOST = 40  # rows of a table


def watch_map(
    watched: ebpfasm.Map,
    stop: threading.Event,
    interval: float,
    duration: float | None,
    as_json: bool,
) -> None:
    """Show the map at every interval until stopped, and once more at the end."""
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


EVENTS = ("ringbuf", "perf_event_array")
_BEAT = 0.2  # seconds after which a wait looks at whether it is to stop


def watch_events(
    watched: ebpfasm.Map, stop: threading.Event, duration: float | None, as_json: bool
) -> None:
    """Print a map's events, a line each, as they come, until stopped."""
    reader = ebpfasm.RingBuffer if watched.type == "ringbuf" else ebpfasm.PerfBuffer
    end = None if duration is None else time.monotonic() + duration
    with reader(watched) as events:
        while True:
            stopping = stop.is_set() or (end is not None and time.monotonic() >= end)
            left = _BEAT if end is None else min(_BEAT, max(end - time.monotonic(), 0))
            for event in events.read(0 if stopping else left):
                text = json.dumps({watched.name: as_value(event)}) if as_json else as_value(event)
                click.echo(text if as_json else f"{watched.name}: {text}")
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
    for key, value in list(entries.items())[:_MOST]:
        total, earlier = _total(value), _total(before.get(key, 0))
        rate = "" if total is None or earlier is None else f"{(total - earlier) / seconds:,.0f}"
        shown = f"{total:,}" if total is not None else as_value(value)
        table.add_row(as_key(key), str(shown), rate)
    if len(entries) > _MOST:
        table.caption = f"{len(entries) - _MOST} more"
    return table


def _total(value: Any) -> int | None:
    """A number, or the sum over CPUs of a per-CPU value; None for anything else."""
    if isinstance(value, int):
        return value
    if isinstance(value, list | tuple) and all(isinstance(each, int) for each in value):
        return sum(value)
    return None
