"""`ebpfasm btf`: types that are in the kernel or in a file."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import click

from ebpfasm.cli.files import json_option
from ebpfasm.cli.groups import Group
from ebpfasm.cli.selectors import take, usage, words_argument
from ebpfasm.cli.tables import print_json, print_table

if TYPE_CHECKING:
    from ebpfasm.btf.index import BtfIndex
    from ebpfasm.btf.types import BtfType


@click.group("btf", cls=Group)
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
@click.option("--c", "as_c", is_flag=True, help="C declarations, with all that they need.")
@json_option
def dump_command(words: tuple[str, ...], name: str | None, as_c: bool, as_json: bool) -> None:
    """Print types. BTF is id N, the name of a module or vmlinux, or a FILE of BTF."""
    if as_c and as_json:
        raise usage("--c and --json are two outputs: give one")
    types = _types(words)
    ids = range(types.first_id, len(types) + 1) if name is None else _named(types, name)
    if as_c:
        from ebpfasm.btf.c import print_types

        click.echo(print_types(types, None if name is None else ids, pointer=types.pointer_size))
        return
    rows = [{"id": each, **_fields(found)} for each in ids if (found := types.get(each))]
    if as_json:
        print_json({"types": rows})
        return
    for row in rows:
        _print(row)


def _named(types: BtfIndex, name: str) -> list[int]:
    found = [
        each for each in types.candidates((), name) if getattr(types.get(each), "name", "") == name
    ]
    if not found:
        raise usage(f"there is no type {name!r}")
    return found


def _types(words: tuple[str, ...]) -> BtfIndex:
    from ebpfasm.btf.index import BtfIndex
    from ebpfasm.runtime import kernel_btf, syscall
    from ebpfasm.runtime.info.btf import read_btf
    from ebpfasm.runtime.info.ids import open_by_id

    if words and words[0] != "id" and not words[0].isdigit():
        if len(words) > 1:
            raise usage(f"what is {words[1]!r} for?")
        if words[0] == "vmlinux":
            return kernel_btf.vmlinux()
        if words[0] in kernel_btf.modules():
            return kernel_btf.module(words[0])
        return BtfIndex.of(words[0])
    selector, rest = take(words, "BTF")
    if rest:
        raise usage(f"what is {rest[0]!r} for?")
    fd = open_by_id(syscall.BTF_GET_FD_BY_ID, int(selector.word), f"BTF {selector.word}")
    try:
        return BtfIndex(read_btf(fd))
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
