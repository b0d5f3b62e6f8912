"""`ebpfasm link`: attachments that are kernel objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from ebpfasm.cli.files import json_option
from ebpfasm.cli.groups import Group
from ebpfasm.cli.selectors import only, open_link, take, usage, words_argument
from ebpfasm.cli.tables import print_fields, print_json, print_table

if TYPE_CHECKING:
    from ebpfasm.runtime.info.link import LinkInfo


@click.group("link", cls=Group)
def link_command() -> None:
    """List, show, detach and pin links.

    LINK is id N or pinned PATH; a number alone is an id, a word with a slash a path.
    """


@link_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all links."""
    from ebpfasm.runtime import system

    rows = [_fields(each) for each in system.links()]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("id", "type", "prog_id", "attached to"),
        ((row["id"], row["type"], row["prog_id"], _rest(row)) for row in rows),
        "there is no link",
    )


@link_command.command("show")
@words_argument("LINK")
@json_option
def show_command(words: tuple[str, ...], as_json: bool) -> None:
    """Show what the kernel says of a link."""
    link = open_link(only(words, "link"))
    try:
        fields = _fields(link.info())
    finally:
        link.close()
    print_json(fields) if as_json else print_fields(fields)


def _fields(info: LinkInfo) -> dict[str, Any]:
    fields: dict[str, Any] = {"id": info.id, "type": info.type, "prog_id": info.program_id}
    fields |= info.details
    if info.ifindex:
        fields["devname"] = _interface(info.ifindex)
    return fields


def _interface(index: int) -> str:
    import socket

    try:
        return socket.if_indextoname(index)
    except OSError:
        return ""  # it is in another network namespace, or gone


def _rest(row: dict[str, Any]) -> dict[str, Any]:
    known = {"id", "type", "prog_id"}
    return {name: value for name, value in row.items() if name not in known and value != ""}


@link_command.command("detach")
@words_argument("LINK")
def detach_command(words: tuple[str, ...]) -> None:
    """Take a link's program off its hook, whoever holds the link."""
    open_link(only(words, "link")).detach()


@link_command.command("pin")
@words_argument("LINK PATH")
def pin_command(words: tuple[str, ...]) -> None:
    """Give a link a name in a BPF file system, which keeps the program attached."""
    selector, rest = take(words, "link")
    if len(rest) != 1:
        raise usage("where is it to be pinned?", "give LINK and PATH")
    link = open_link(selector)
    try:
        link.pin(rest[0])
    finally:
        link.close()
