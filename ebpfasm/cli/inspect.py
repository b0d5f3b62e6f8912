"""`ebpfasm inspect`: what is in an object, before anything of it is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from ebpfasm.cli.files import (
    choose,
    file_argument,
    given_btf,
    json_option,
    open_file,
    program_option,
)
from ebpfasm.cli.inspection import Inspection

_MOST = 60  # characters of a variable's value


@click.command("inspect")
@file_argument
@program_option
@json_option
def inspect_command(file: Path, prog: str | None, as_json: bool) -> None:
    """Show FILE's programs, maps, variables, relocations and CO-RE records.

    Each CO-RE record is tried: against the running kernel's types, or those of --btf.
    """
    spec = open_file(file)
    programs = [choose(spec, prog)] if prog else list(spec.programs.values())
    found = Inspection(spec, given_btf()).whole(programs)
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    # Names need not be UTF-8.
    click.echo("\n".join(_text(file, found)).encode("utf-8", "backslashreplace"))


def _text(file: Path, found: dict[str, Any]) -> Iterator[str]:
    facts = [f"license {found['license'] or 'none'}"]
    facts += [f"{found['byteorder']}-endian"] if found["byteorder"] else []
    facts += [f"{found['types']} types"] if found["types"] else []
    facts += [f"kernel version {found['version']:#x}"] if found["version"] else []
    yield f"{file}: {', '.join(facts)}"
    for title, rows, line in (
        ("programs", found["programs"], _program),
        ("maps", found["maps"], _map),
        ("variables", found["variables"], _variable),
        ("kernel configuration", found["kconfig"], _kconfig),
        ("relocations", found["relocations"], _relocation),
        ("CO-RE", found["core"], _core),
    ):
        if rows:
            yield f"\n{title}:"
            yield from _columns([line(row) for row in rows])
    if found["declarations"]:
        yield f"\ntypes:\n{found['declarations']}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {'  '.join(cells)}".rstrip()


def _program(row: dict[str, Any]) -> list[str]:
    kind = row["type"] or "unknown type"
    if row["attach_target"]:
        kind += f" of {row['attach_target']}"
    more = [] if row["autoload"] else ["optional"]
    more += [f"calls {', '.join(row['functions'])}"] if row["functions"] else []
    more += [f"uses {', '.join(row['maps'])}"] if row["maps"] else []
    return [row["name"], row["section"], kind, f"{row['slots_with_functions']} slots",
            "; ".join(more)]  # fmt: skip


def _map(row: dict[str, Any]) -> list[str]:
    sides = [
        f"{side} {row[side] or 'bytes'} ({row[f'{side}_size']})"
        for side in ("key", "value") if row[f"{side}_size"]
    ]  # fmt: skip
    more = [f"flags {row['flags']:#x}"] if row["flags"] else []
    more += ["pinned by name"] if row["pinning"] else []
    more += [f"node {row['numa_node']}"] if row["numa_node"] is not None else []
    more += [f"map_extra {row['map_extra']:#x}"] if row["map_extra"] else []
    more += ["frozen"] if row["frozen"] else []
    more += [f"of {row['inner']['type']}"] if row["inner"] else []
    more += [f"[{key}] = {name}" for key, name in row["initial"].items()]
    return [row["name"], str(row["type"]), ", ".join(sides), f"{row['max_entries']} entries",
            ", ".join(more)]  # fmt: skip


def _variable(row: dict[str, Any]) -> list[str]:
    value = json.dumps(row["value"])
    shown = value if len(value) <= _MOST else value[: _MOST - 3] + "..."
    place = f"{row['map']}+{row['offset']:#x}"
    return [row["name"], place, row["type"] or f"{row['size']} bytes", row["linkage"],
            f"= {shown}"]  # fmt: skip


def _kconfig(row: dict[str, Any]) -> list[str]:
    return [row["name"], row["kind"], "weak" if row["weak"] else "needed"]


def _relocation(row: dict[str, Any]) -> list[str]:
    return [f"{_at(row)}:", row["kind"], row["target"], row["place"]]


def _core(row: dict[str, Any]) -> list[str]:
    match row["resolves"]:
        case None:
            answer = row["why"]
        case True:
            answer = f"= {row['value']}"
        case _:
            answer = f"missing: {row['why']}"
    what = row["what"] or f"type {row['type_id']}, {row['access']}, kind {row['kind']}"
    return [f"{_at(row)}:", what, answer, row["place"]]


def _at(row: dict[str, Any]) -> str:
    inside = f" {row['function']}" if row["function"] != row["program"] else ""
    return f"{row['program']}{inside}+{row['slot']}"
