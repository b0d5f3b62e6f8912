"""`ebpfasm attach`: load a file, attach its programs, and watch a map until told to stop."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import click

import ebpfasm
from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.cli.files import choose, file_argument, json_option, open_file, program_option
from ebpfasm.cli.watch import EVENTS, watch_events, watch_map
from ebpfasm.errors import EbpfError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir import CollectionSpec

Mode = Literal["auto", "native", "generic", "offload"]


@dataclass(frozen=True, slots=True)
class Place:
    """To what: the option that said so, its value, and what else was said."""

    option: str
    target: str
    mode: Mode
    pid: int | None


@click.command("attach")
@file_argument
@program_option
@click.option("--xdp", metavar="IFACE", help="Attach to an interface's XDP hook.")
@click.option(
    "--mode",
    type=click.Choice(["auto", "native", "generic", "offload"]),
    default="auto",
    show_default=True,
    help="Where XDP runs.",
)
@click.option("--tc", metavar="IFACE[:egress]", help="Attach to packets in traffic control.")
@click.option("--cgroup", metavar="DIR", help="Attach to a cgroup.")
@click.option("--tracepoint", metavar="CATEGORY/NAME", help="Attach to a tracepoint.")
@click.option("--raw-tracepoint", metavar="NAME", help="Attach to a tracepoint's raw arguments.")
@click.option("--kprobe", metavar="FUNCTION", help="Attach to a function of the kernel.")
@click.option("--uprobe", metavar="BINARY:FUNCTION", help="Attach to a function in user space.")
@click.option("--pid", type=click.IntRange(1), help="Probe this process only.")
@click.option("--pin", metavar="DIR", help="Pin links and maps there, and leave them attached.")
@click.option("--watch", metavar="MAP", help="Show this map's entries, or events, while attached.")
@click.option("--interval", metavar="SECONDS", type=click.FloatRange(0.05), default=1.0)
@click.option("--duration", metavar="SECONDS", type=click.FloatRange(0), help="Then stop.")
@json_option
def attach_command(
    file: Path,
    prog: str | None,
    mode: Mode,
    pid: int | None,
    pin: str | None,
    watch: str | None,
    interval: float,
    duration: float | None,
    as_json: bool,
    **places: str | None,
) -> None:
    """Load FILE and attach a program until Ctrl-C, SIGTERM or --duration ends it.

    Without an option that says where, all programs (or --prog) go where their sections say. They
    are detached on every way out, unless they are pinned: then the command ends at once, but for
    --watch and --duration.
    """
    spec = open_file(file)
    place = _place(places, mode, pid)
    alone = place is not None or prog is not None or len(spec.programs) < 2
    names = [choose(spec, prog).name] if alone else list(spec.programs)
    if watch is not None:
        _check_map(spec, watch)
    with stop_on_signals() as stop, ExitStack() as held:
        card = place.target if place is not None and mode == "offload" else None
        collection = held.enter_context(ebpfasm.load(spec, device=card, offload=card is not None))
        links = {
            name: held.enter_context(attach_one(collection.programs[name], place)) for name in names
        }
        if pin is not None:
            _pin(collection, links, Path(pin))
        _say_attached(links, pin, as_json, watching=watch is not None)
        if watch is not None and collection.maps[watch].type in EVENTS:
            watch_events(collection.maps[watch], stop, duration, as_json)
        elif watch is not None:
            watch_map(collection.maps[watch], stop, interval, duration, as_json)
        elif pin is None or duration is not None:
            stop.wait(duration)
        ended = {name: link.where for name, link in links.items()} if pin is None else {}
    if not as_json:
        for name, where in ended.items():
            click.echo(f"{name} is detached from {where}")


def _place(places: dict[str, str | None], mode: Mode, pid: int | None) -> Place | None:
    """Which of the options says where. Raises EbpfError where two do."""
    given = [(name, value) for name, value in places.items() if value is not None]
    if len(given) > 1:
        names = " and ".join(f"--{name.replace('_', '-')}" for name, _ in given)
        raise EbpfError(error("cli-usage", f"{names} cannot be given together"))
    if not given:
        return Place("", "", mode, pid) if pid is not None or mode != "auto" else None
    return Place(*given[0], mode, pid)


def attach_one(program: ebpfasm.Program, place: Place | None) -> ebpfasm.Link:
    """Attach a program where an option says, or its section. Raises LoadError, NotSupported."""
    if place is None:
        return program.attach()
    section = program.spec.section
    options = _options(program, place)
    match place.option:
        case "xdp":
            return program.attach_xdp(place.target, place.mode, **options)
        case "tc":
            iface, _, direction = place.target.partition(":")
            if direction not in ("", "ingress", "egress"):
                message = f"--tc {place.target}: the direction is ingress or egress"
                raise EbpfError(error("cli-usage", message))
            chosen: dict[str, Any] = {"direction": direction} if direction else {}
            if program.type != "sched_cls":
                return program.attach_tc(iface, **chosen)  # it knows what to say
            return program.attach(iface, **chosen, **options)
        case "cgroup":
            return program.attach_cgroup(place.target, **options)
        case "tracepoint":
            category, _, name = place.target.partition("/")
            return program.attach_tracepoint(category, name, **options)
        case "raw_tracepoint":
            return program.attach_raw_tracepoint(place.target, **options)
        case "kprobe" if not section.startswith(("kprobe", "kretprobe", "ksyscall", "kretsyscall")):
            return program.attach_kprobe(place.target, **options)
        case "uprobe" if not section.startswith(("uprobe", "uretprobe")):
            from ebpfasm.runtime.attach.uprobes import split_target

            parts = split_target(program, place.target, "/bin/bash:readline")
            return program.attach_uprobe(*parts, **options)
        case _:
            # The section knows whether it is the return, and many at once.
            return program.attach(place.target or None, **options)


def _options(program: ebpfasm.Program, place: Place) -> dict[str, Any]:
    """What --pid and --mode add. Raises EbpfError where the program has no use for them."""
    probed = place.option == "uprobe" or program.spec.section.startswith(("u", "perf_event"))
    if place.pid is not None and (not probed or program.type not in ("kprobe", "perf_event")):
        message = "--pid is for functions in user space (--uprobe) and perf events"
        raise EbpfError(error("cli-usage", message))
    if place.mode != "auto" and program.type != "xdp":
        raise EbpfError(error("cli-usage", "--mode is for XDP programs"))
    return {} if place.pid is None else {"pid": place.pid}


def _pin(collection: ebpfasm.Collection, links: dict[str, ebpfasm.Link], folder: Path) -> None:
    """Pin links and maps; where that fails, nothing of it stays. Raises LoadError, NotSupported."""
    from ebpfasm.runtime.pins import unpin

    made: list[Path] = []
    try:
        for kind, things in (("maps", collection.maps), ("links", links)):
            for name, each in things.items():
                path = folder / kind / name.replace(".", "_")
                each.pin(path)
                made.append(path)
    except BaseException:
        for link in links.values():
            with suppress(EbpfError):
                link.detach()
        for path in made:
            if os.path.lexists(path):
                unpin(path)
        raise


def _say_attached(
    links: dict[str, ebpfasm.Link], pin: str | None, as_json: bool, *, watching: bool
) -> None:
    if as_json and not watching:
        told = [
            {"program": name, "kind": link.kind, "where": link.where, "id": link.id}
            for name, link in links.items()
        ]
        click.echo(json.dumps({"attached": told}))
    if as_json:
        return
    for name, link in links.items():
        end = "Ctrl-C detaches it" if pin is None else f"it is pinned in {pin}"
        click.echo(f"{name} is attached to {link.where} ({link.kind}); {end}")


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
