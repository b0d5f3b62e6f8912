"""`ebpfasm run`: one program, one input or a capture full of them, and what comes out."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import click

import ebpfasm
from ebpfasm.cli.files import (
    choose,
    file_argument,
    json_option,
    open_file,
    program_option,
    type_option,
    write_output,
)
from ebpfasm.errors import EbpfError, error
from ebpfasm.sources import read_bytes

Engine = Literal["auto", "kernel", "vm", "reference"]


@click.command("run")
@file_argument
@program_option
@type_option
@click.option("--data", metavar="HEX|@FILE", default="", help="The packet; 64 zero bytes if none.")
@click.option("--ctx", metavar="NAME=N", multiple=True, help="A field of the context.")
@click.option("--repeat", metavar="N", type=click.IntRange(1), default=1, show_default=True)
@click.option("--engine", type=click.Choice(["auto", "kernel", "vm", "reference"]), default="auto")
@click.option("--trace", is_flag=True, help="Print every instruction as the VM runs it.")
@click.option("--write", "out", metavar="FILE", type=click.Path(path_type=Path),
              help="Write the packets as the program left them to a capture.")  # fmt: skip
@json_option
def run_command(
    file: Path,
    prog: str | None,
    program_type: str | None,
    data: str,
    ctx: tuple[str, ...],
    repeat: int,
    engine: Engine,
    trace: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run a program of FILE on a packet, without attaching it.

    Prints what it returned, how long it took, the packet as it left it, and its maps. With a
    capture (--data @FILE.pcap) it runs on each packet and prints how often it said what. The
    engine is the kernel where it may be used, else the virtual machine (vm).
    """
    from ebpfasm.analysis.vm import pcap

    program = choose(open_file(file), prog, program_type)
    content = packet(data)
    if data.startswith("@") and pcap.is_capture(content):
        if trace or ctx or repeat > 1:
            message = "--trace, --ctx and --repeat are for one packet, not for a capture"
            raise EbpfError(error("cli-usage", message))
        _run_capture(program, content, data[1:], engine, out, as_json)
        return
    if trace and engine == "kernel":
        hint = "leave --engine out, or say --engine vm"
        message = "--trace shows what the virtual machine does; the kernel tells no steps"
        raise EbpfError(error("cli-usage", message, hint=hint))
    fields = _fields(ctx)
    result = ebpfasm.run(
        program, content, ctx=fields or None, repeat=repeat, engine=engine, trace=trace
    )
    if out is not None:
        write_output(pcap.write([result.data_out]), out)
    _say_fallback(result.fallback)
    if as_json:
        click.echo(json.dumps(_as_json(result), indent=2))
        return
    for step in result.trace:
        click.echo(str(step))
    _show(program, result, repeat)


def _say_fallback(why: str) -> None:
    if why:
        click.echo(f"ran in the virtual machine: {why}", err=True)


def _show(program: ebpfasm.ProgramSpec, result: ebpfasm.RunResult, repeat: int) -> None:
    action = action_name(program.type, result.retval)
    click.echo(f"returned {result.retval}{f' ({action})' if action else ''}")
    times = f", mean of {repeat} runs" if repeat > 1 else ""
    count = "" if result.instructions is None else f", {result.instructions} instructions"
    click.echo(f"took {result.duration_ns} ns in the {result.engine}{times}{count}")
    if result.data_out:
        click.echo(f"packet {result.data_out.hex()}")
    _show_maps(result.maps)
    for line in result.printk or ():
        click.echo(f"printk {line}")
    for event in result.events or ():
        through = f" through {event.map}" if event.map else ""
        click.echo(f"{event.kind}{through}: key {event.key}, {event.data.hex() or 'no data'}")


def _show_maps(maps: dict[str, dict[Any, Any]]) -> None:
    for name, contents in maps.items():
        shown = {key: value for key, value in contents.items() if value_is_set(value)}
        click.echo(f"map {name}: {shown or 'all zero'}")


def _run_capture(
    program: ebpfasm.ProgramSpec,
    content: bytes,
    name: str,
    engine: Engine,
    out: Path | None,
    as_json: bool,
) -> None:
    from ebpfasm.analysis.vm import pcap
    from ebpfasm.runtime.running.packets import run_packets

    packets = list(pcap.read(content, name)) if out is not None else content
    result = run_packets(program, packets, engine=engine, packets_out=out is not None)
    _say_fallback(result.fallback)
    if out is not None:
        write_output(pcap.write(result.packets_out), out)
    if as_json:
        click.echo(json.dumps({
            "verdicts": list(result.verdicts),
            "duration_ns": result.duration_ns,
            "engine": result.engine,
            "instructions": result.instructions,
            "maps": _maps_as_json(result.maps),
        }, indent=2))  # fmt: skip
        return
    click.echo(f"{len(result.verdicts)} packets in the {result.engine}")
    for verdict, count in sorted(Counter(result.verdicts).items()):
        action = action_name(program.type, verdict)
        click.echo(f"  returned {verdict}{f' ({action})' if action else ''}: {count}")
    _show_maps(result.maps)


def _fields(words: tuple[str, ...]) -> dict[str, int]:
    """What --ctx NAME=N gives."""
    found: dict[str, int] = {}
    for word in words:
        name, mark, number = word.partition("=")
        try:
            found[name] = int(number, 0)
        except ValueError:
            mark = ""
        if not mark:
            hint = "write it as in --ctx ingress_ifindex=3"
            message = f"--ctx {word!r} is no field and number"
            raise EbpfError(error("cli-usage", message, hint=hint))
    return found


def packet(text: str) -> bytes:
    """The bytes that --data gives: hexadecimal digits, or the content of @FILE."""
    if text.startswith("@"):
        return read_bytes(Path(text[1:]))
    if not text:
        return bytes(64)
    try:
        return bytes.fromhex(text)
    except ValueError:
        hint = "give pairs of hexadecimal digits, or @FILE"
        message = f"--data {text[:40]!r} is not hexadecimal"
        raise EbpfError(error("cli-usage", message, hint=hint)) from None


def action_name(program_type: str, retval: int) -> str:
    """The name of what the program decided, empty where the type has no such names."""
    prefix = {"xdp": "XDP_", "sched_cls": "TC_ACT_", "sched_act": "TC_ACT_"}.get(program_type)
    if prefix is None:
        return ""
    from ebpfasm.isa.constants import CONSTANTS

    number = retval - (1 << 32) if retval >= 1 << 31 else retval
    names = (name for name, value in CONSTANTS.items() if name.startswith(prefix))
    return next((name for name in names if CONSTANTS[name] == number), "")


def value_is_set(value: Any) -> bool:
    """Whether a map's value is anything but zeros."""
    if isinstance(value, list | tuple):
        return any(map(value_is_set, value))
    return any(value) if isinstance(value, bytes) else bool(value)


def _as_json(result: ebpfasm.RunResult) -> dict[str, Any]:
    found: dict[str, Any] = {
        "retval": result.retval,
        "duration_ns": result.duration_ns,
        "engine": result.engine,
        "data_out": result.data_out.hex(),
        "maps": _maps_as_json(result.maps),
    }
    if result.engine != "kernel":
        found |= {"instructions": result.instructions, "printk": list(result.printk or ())}
    if result.events is not None:
        found["events"] = [
            {"kind": each.kind, "map": each.map, "key": each.key, "data": each.data.hex()}
            for each in result.events
        ]
    if result.trace:
        found["trace"] = [step.as_dict() for step in result.trace]
    return found


def _maps_as_json(maps: dict[str, dict[Any, Any]]) -> dict[str, Any]:
    return {
        name: {as_key(key): as_value(value) for key, value in contents.items()}
        for name, contents in maps.items()
    }


def as_key(key: Any) -> str:
    """A map's key as JSON can have it."""
    return key.hex() if isinstance(key, bytes) else str(key)


def as_value(value: Any) -> Any:
    """A map's value as JSON can have it."""
    if isinstance(value, dict):
        return {as_key(key): as_value(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [as_value(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value
