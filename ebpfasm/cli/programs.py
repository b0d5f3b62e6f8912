"""`ebpfasm prog`: programs that are in the kernel."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebpfasm.cli.assemble import DIALECTS, output_option
from ebpfasm.cli.disassemble import live_text
from ebpfasm.cli.files import json_option, write_output
from ebpfasm.cli.groups import Group
from ebpfasm.cli.selectors import WORDS, only, open_program, take, usage, words_argument
from ebpfasm.cli.tables import print_fields, print_json, print_table

if TYPE_CHECKING:
    from ebpfasm.asm.reading.dialects import Dialect
    from ebpfasm.runtime.info.program import ProgramInfo

_PROGRAM = "PROGRAM"


@click.group("prog", cls=Group)
def prog_command() -> None:
    """List, show, dump and pin programs that are in the kernel.

    PROGRAM is id N, name NAME, tag TAG or pinned PATH; a number alone is an id, a word with a slash
    a path, any other word a name.
    """


@prog_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all programs."""
    from ebpfasm.runtime import system

    rows = [_fields(each) for each in system.programs()]
    if as_json:
        print_json(rows)
        return
    columns = "id", "type", "name", "tag", "bytes_xlated", "map_ids", "btf_id"
    print_table(columns, ([row[name] for name in columns] for row in rows), "no program is loaded")


@prog_command.command("show")
@words_argument(_PROGRAM)
@json_option
def show_command(words: tuple[str, ...], as_json: bool) -> None:
    """Show what the kernel says of a program."""
    with open_program(only(words, "program")) as program:
        fields = _fields(program.info())
    print_json(fields) if as_json else print_fields(fields)


def _fields(info: ProgramInfo) -> dict[str, Any]:
    """The names are bpftool's, where it has the same fact."""
    return {
        "id": info.id,
        "type": info.type,
        "name": info.name,
        "tag": info.tag,
        "gpl_compatible": info.gpl_compatible,
        "loaded_at": _loaded_at(info.load_time),
        "uid": info.uid,
        "bytes_xlated": info.xlated_length,
        "bytes_jited": info.jited_length,
        "jited": info.jited_length > 0,
        "verified_insns": info.verified_instructions,
        "map_ids": list(info.map_ids),
        "btf_id": info.btf_id,
        "run_time_ns": info.run_time_ns,
        "run_cnt": info.run_count,
        "recursion_misses": info.recursion_misses,
    }


def _loaded_at(since_boot: int) -> int:
    """Seconds since 1970 of a time in nanoseconds since boot."""
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return round(boot + since_boot / 1e9)


@prog_command.command("dump")
@words_argument(_PROGRAM)
@click.option("--jited", is_flag=True, help="The machine code, as bytes.")
@click.option("--raw", is_flag=True, help="The instructions as bytes.")
@click.option("--dialect", type=click.Choice(DIALECTS), default="llvm", show_default=True)
@click.option("--source", is_flag=True, help="Show lines of source above their instructions.")
@output_option
@json_option
def dump_command(
    words: tuple[str, ...],
    jited: bool,
    raw: bool,
    dialect: Dialect,
    source: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Write a program's instructions as the kernel runs them."""
    if jited + raw + as_json > 1:
        raise usage("--jited, --raw and --json are three outputs: give one")
    with open_program(only(words, "program")) as program:
        if jited or raw:
            content = program.jited() if jited else program.xlated()
            if not content:
                what = "machine code" if jited else "instructions"
                raise usage(f"the kernel shows no {what} of {program.called}")
        else:
            content = live_text(program, dialect, source, as_json).encode()
    write_output(content, output)


@prog_command.command("pin", context_settings=WORDS)
@words_argument("PROGRAM PATH")
def pin_command(words: tuple[str, ...]) -> None:
    """Give a program a name in a BPF file system, which keeps it loaded."""
    selector, rest = take(words, "program")
    if len(rest) != 1:
        raise usage("where is it to be pinned?", "give PROGRAM and PATH")
    with open_program(selector) as program:
        program.pin(rest[0])
