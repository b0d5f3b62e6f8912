"""`ebpfasm btf`: types that are in the kernel or in a file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ebpfasm.cli.files import json_option
from ebpfasm.cli.selectors import take, usage, words_argument
from ebpfasm.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from ebpfasm.btf.types import BtfType, Types

_FOLDER = Path("/sys/kernel/btf")


@click.group("btf")
def btf_command() -> None:
    """List and dump BTF, the types of programs, maps and the kernel."""


@btf_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all BTF that is in the kernel, and the programs and maps that came with it."""
    from ebpfasm.runtime import system

    programs, maps = _users()
    rows = [
        {
            "id": each.id,
            "name": each.name,
            "size": each.size,
            "kernel": each.kernel,
            "prog_ids": programs.get(each.id, []),
            "map_ids": maps.get(each.id, []),
        }
        for each in system.btfs()
    ]
    if as_json:
        print_json(rows)
        return
    columns = "id", "name", "size", "kernel", "prog_ids", "map_ids"
    print_table(columns, ([row[name] for name in columns] for row in rows), "there is no BTF")


def _users() -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    from ebpfasm.runtime import system

    programs: dict[int, list[int]] = {}
    for program in system.programs():
        programs.setdefault(program.btf_id, []).append(program.id)
    maps: dict[int, list[int]] = {}
    for map in system.maps():
        maps.setdefault(map.btf_id, []).append(map.id)
    return programs, maps


@btf_command.command("dump")
@words_argument("BTF")
@click.option("--type", "name", metavar="NAME", help="Only the types of this name.")
@json_option
def dump_command(words: tuple[str, ...], name: str | None, as_json: bool) -> None:
    """Print types. BTF is id N, the name of a module or vmlinux, or a FILE of BTF."""
    found, types = _types(words)
    rows = [
        {"id": number, **_fields(each)}
        for number in range(found, len(types) + 1)
        if (each := types.get(number)) is not None
        and (name is None or getattr(each, "name", None) == name)
    ]
    if name is not None and not rows:
        raise usage(f"there is no type {name!r}")
    if as_json:
        print_json({"types": rows})
        return
    for row in rows:
        _print(row)


def _types(words: tuple[str, ...]) -> tuple[int, Types]:
    """The first id of a BTF's own types, and the types."""
    from ebpfasm.btf.index import BtfIndex
    from ebpfasm.runtime import kernel_btf, syscall
    from ebpfasm.runtime.ids import open_by_id
    from ebpfasm.runtime.loaded_btf import read_btf

    if words and words[0] != "id" and not words[0].isdigit():
        if len(words) > 1:
            raise usage(f"what is {words[1]!r} for?")
        if words[0] == "vmlinux":
            return 1, kernel_btf.vmlinux()
        if words[0] in kernel_btf.modules():
            module = kernel_btf.module(words[0])
            return module.first_id, module
        return 1, BtfIndex.of(words[0])
    selector, rest = take(words, "BTF")
    if rest:
        raise usage(f"what is {rest[0]!r} for?")
    import os

    fd = open_by_id(syscall.BTF_GET_FD_BY_ID, int(selector.word), f"BTF {selector.word}")
    try:
        return 1, BtfIndex(read_btf(fd))
    finally:
        os.close(fd)


def _fields(each: BtfType) -> dict[str, Any]:
    fields = dataclasses.asdict(each)
    kind = type(each).__name__
    return {
        "kind": "".join(f"_{c}" if c.isupper() else c for c in kind).strip("_").upper()
    } | fields


def _print(row: dict[str, Any]) -> None:
    inner = [key for key, value in row.items() if isinstance(value, tuple | list)]
    head = " ".join(
        f"{key}={value}" for key, value in row.items() if key not in ("id", "kind", "name", *inner)
    )
    click.echo(f"[{row['id']}] {row['kind']} {row.get('name') or '(unnamed)'!s} {head}".rstrip())
    for key in inner:
        for each in row[key]:
            click.echo("    " + " ".join(f"{name}={value}" for name, value in each.items()))
