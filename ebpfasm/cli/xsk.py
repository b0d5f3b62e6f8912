"""`ebpfasm xsk`: receive an interface's frames on AF_XDP sockets, and show how fast."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click

from ebpfasm.cli.attach import stop_on_signals
from ebpfasm.cli.files import json_option
from ebpfasm.errors import EbpfError, error
from ebpfasm.runtime.xsk import XskMultiSocket, XskSocket

Work = Callable[[XskSocket, Callable[[], bool]], object]


@click.command("xsk")
@click.argument("interface", metavar="IFACE")
@click.option("--queue", metavar="N|all", default="all", show_default=True)
@click.option("--capture", metavar="FILE", type=click.Path(path_type=Path), help="Write a pcap.")
@click.option("--echo", "address", metavar="IP", help="Answer ARP and ping for this address.")
@click.option("--drop", is_flag=True, help="Receive and drop; this is the default.")
@click.option(
    "--mode", type=click.Choice(["auto", "native", "generic"]), default="auto", show_default=True
)
@click.option("--interval", metavar="SECONDS", type=click.FloatRange(0.05), default=1.0)
@click.option("--duration", metavar="SECONDS", type=click.FloatRange(0), help="Then stop.")
@json_option
def xsk_command(
    interface: str,
    queue: str,
    capture: Path | None,
    address: str | None,
    drop: bool,
    mode: Literal["auto", "native", "generic"],
    interval: float,
    duration: float | None,
    as_json: bool,
) -> None:
    """Take IFACE's frames past the kernel's stack until Ctrl-C, SIGTERM or --duration ends it.

    With several queues --capture writes a file for each: FILE.0, FILE.1 and so on. The program
    that redirects the frames is detached on every way out.
    """
    if sum((drop, capture is not None, address is not None)) > 1:
        raise EbpfError(error("cli-usage", "choose one of --capture, --echo and --drop"))
    queues = None if queue == "all" else [_number(queue)]
    ip = None if address is None else _address(address)
    with (
        stop_on_signals() as stop,
        XskMultiSocket.open(interface, queues, mode=mode, tx=ip is not None) as multi,
    ):
        work = _work(multi, capture, ip)
        if not as_json:
            click.echo(f"{_queues(multi)} of {interface}; Ctrl-C ends it")
        _watch(multi, work, stop, interval, duration, as_json)


def _queues(multi: XskMultiSocket) -> str:
    count = len(multi.sockets)
    return f"queue {multi.sockets[0].queue}" if count == 1 else f"{count} queues"


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise EbpfError(error("cli-usage", f"--queue is a number or all, not {text!r}"))
    return int(text)


def _address(text: str) -> bytes:
    import ipaddress

    try:
        return ipaddress.IPv4Address(text).packed
    except ValueError:
        raise EbpfError(error("cli-usage", f"--echo {text!r} is no IPv4 address")) from None


def _work(multi: XskMultiSocket, capture: Path | None, ip: bytes | None) -> Work:
    """What each socket's thread does until it is told to stop."""
    if capture is not None:
        several = len(multi.sockets) > 1
        return lambda each, over: each.capture(
            f"{capture}.{each.queue}" if several else capture, stop=over
        )
    if ip is None:
        return lambda each, over: each.drop(stop=over)
    from ebpfasm.runtime.xsk.answers import answer, hardware_address

    mac = hardware_address(multi.sockets[0].interface)

    def reply(each: XskSocket, over: Callable[[], bool]) -> None:
        while not over():
            for frame in each.frames(0.05):
                if answer(frame.data, mac, ip) is not None:
                    frame.send(kick=False)
                if over():
                    break

    return reply


def _watch(
    multi: XskMultiSocket,
    work: Work,
    stop: threading.Event,
    interval: float,
    duration: float | None,
    as_json: bool,
) -> None:
    """Run the work in a thread a queue and show the rates meanwhile."""
    failures: list[BaseException] = []

    def run() -> None:
        try:
            multi.in_threads(lambda each: work(each, stop.is_set))
        except BaseException as failure:
            failures.append(failure)
        stop.set()

    runner = threading.Thread(target=run, name="xsk")
    begin = time.monotonic()
    end = None if duration is None else begin + duration
    rates = _Rates(multi)
    with _screen(as_json) as show:
        runner.start()
        while not stop.is_set():
            left = interval if end is None else min(interval, end - time.monotonic())
            if left <= 0 or stop.wait(left):
                break
            show(rates.next(), time.monotonic() - begin)
        stop.set()
        runner.join()
        if failures:
            raise failures[0]
        show(rates.next(), time.monotonic() - begin)


class _Rates:
    """What each queue did since the last look."""

    def __init__(self, multi: XskMultiSocket) -> None:
        self._multi = multi
        self._before = [(0, 0, 0)] * len(multi.sockets)
        self._since = time.monotonic()

    def next(self) -> list[dict[str, int]]:
        """A row a queue: totals, and rates a second."""
        now = time.monotonic()
        seconds, self._since = max(now - self._since, 1e-9), now
        rows = []
        for at, each in enumerate(self._multi.sockets):
            counters, dropped = each.counters(), each.statistics().dropped
            totals = counters.received, counters.received_bytes, counters.sent
            packets, size, sent = (
                (new - old) / seconds for new, old in zip(totals, self._before[at], strict=True)
            )
            self._before[at] = totals
            rows.append({
                "queue": each.queue, "received": totals[0], "bytes": totals[1], "sent": totals[2],
                "dropped": dropped, "packets_per_second": round(packets),
                "bits_per_second": round(8 * size), "sent_per_second": round(sent),
            })  # fmt: skip
        return rows


@contextmanager
def _screen(as_json: bool) -> Iterator[Any]:
    """A live table on a terminal, a line an interval elsewhere, JSON if asked for."""
    if as_json:
        yield lambda rows, seconds: click.echo(
            json.dumps({"seconds": round(seconds, 3), "queues": rows})
        )
        return
    from rich.console import Console
    from rich.live import Live

    console = Console()
    if not console.is_terminal:
        yield lambda rows, seconds: click.echo(_line(rows, seconds))
        return
    with Live(console=console, auto_refresh=False) as live:
        yield lambda rows, seconds: live.update(_table(rows, seconds), refresh=True)


def _line(rows: list[dict[str, int]], seconds: float) -> str:
    total = {name: sum(row[name] for row in rows) for name in rows[0]}
    return (
        f"{seconds:5.1f} s  received {total['received']:,} "
        f"({total['packets_per_second']:,}/s, {total['bits_per_second'] / 1e6:,.1f} Mbit/s), "
        f"sent {total['sent']:,}, dropped {total['dropped']:,}"
    )


def _table(rows: list[dict[str, int]], seconds: float) -> Any:
    from rich.table import Table

    columns = ("queue", "received", "packets/s", "Mbit/s", "sent", "dropped")
    made = Table(*columns, title=f"{seconds:.0f} s")
    for row in rows:
        made.add_row(
            str(row["queue"]), f"{row['received']:,}", f"{row['packets_per_second']:,}",
            f"{row['bits_per_second'] / 1e6:,.1f}", f"{row['sent']:,}", f"{row['dropped']:,}",
        )  # fmt: skip
    return made
