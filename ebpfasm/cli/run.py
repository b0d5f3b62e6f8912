"""`ebpfasm run`: one program, one input, and what comes out."""

from __future__ import annotations

import json
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
)
from ebpfasm.errors import EbpfError, error
from ebpfasm.sources import read_bytes

Engine = Literal["auto", "kernel", "vm"]


@click.command("run")
@file_argument
@program_option
@type_option
@click.option("--data", metavar="HEX|@FILE", default="", help="The packet; 64 zero bytes if none.")
@click.option("--repeat", metavar="N", type=click.IntRange(1), default=1, show_default=True)
@click.option("--engine", type=click.Choice(["auto", "kernel", "vm"]), default="auto")
@json_option
def run_command(
    file: Path,
    prog: str | None,
    program_type: str | None,
    data: str,
    repeat: int,
    engine: Engine,
    as_json: bool,
) -> None:
    """Run a program of FILE on a packet, without attaching it.

    Prints what it returned, how long it took, the packet as it left it, and its maps.
    """
    program = choose(open_file(file), prog, program_type)
    result = ebpfasm.run(program, packet(data), repeat=repeat, engine=engine)
    if as_json:
        click.echo(json.dumps(_as_json(result), indent=2))
        return
    action = action_name(program.type, result.retval)
    click.echo(f"returned {result.retval}{f' ({action})' if action else ''}")
    times = f", mean of {repeat} runs" if repeat > 1 else ""
    click.echo(f"took {result.duration_ns} ns in the {result.engine}{times}")
    if result.data_out:
        click.echo(f"packet {result.data_out.hex()}")
    for name, contents in result.maps.items():
        shown = {key: value for key, value in contents.items() if value_is_set(value)}
        click.echo(f"map {name}: {shown or 'all zero'}")


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
    return {
        "retval": result.retval,
        "duration_ns": result.duration_ns,
        "engine": result.engine,
        "data_out": result.data_out.hex(),
        "maps": {
            name: {as_key(key): as_value(value) for key, value in contents.items()}
            for name, contents in result.maps.items()
        },
    }


def as_key(key: Any) -> str:
    """A map's key as JSON can have it."""
    return key.hex() if isinstance(key, bytes) else str(key)


def as_value(value: Any) -> Any:
    """A map's value as JSON can have it."""
    if isinstance(value, list | tuple):
        return [as_value(each) for each in value]
    return value.hex() if isinstance(value, bytes) else value
