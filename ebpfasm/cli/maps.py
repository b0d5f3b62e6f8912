"""`ebpfasm map`: maps that are in the kernel, and what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from ebpfasm.cli.files import json_option
from ebpfasm.cli.groups import Group
from ebpfasm.cli.selectors import WORDS, nothing_behind, only, open_map, take, usage, words_argument
from ebpfasm.cli.tables import print_fields, print_json, print_table
from ebpfasm.cli.values import as_given, put, shown, text_of

if TYPE_CHECKING:
    from ebpfasm.runtime.info.map import MapInfo
    from ebpfasm.runtime.maps import Map

_FLAGS = ("any", "noexist", "exist", "lock")
flags_option = click.option(
    "--flag", type=click.Choice(_FLAGS), default="any", show_default=True,
    help="noexist: only make the element; exist: only replace it; lock: under its spin lock.",
)  # fmt: skip


@click.group("map", cls=Group)
def map_command() -> None:
    """List, show, dump and change maps that are in the kernel.

    MAP is id N, name NAME or pinned PATH; a number alone is an id, a word with a slash a path,
    any other word a name.

    KEY and VALUE are of the map's types: a number, JSON for structs and arrays, hex:0a0b for bytes,
    10.0.0.0/8 for a trie of networks, text; id:N or a path for a program or map in a map of them.
    """


@map_command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """List all maps."""
    from ebpfasm.runtime import system

    rows = [_fields(each) for each in system.maps()]
    if as_json:
        print_json(rows)
        return
    columns = "id", "type", "name", "bytes_key", "bytes_value", "max_entries", "flags", "btf_id"
    print_table(columns, ([row[name] for name in columns] for row in rows), "there is no map")


@map_command.command("show")
@words_argument("MAP")
@json_option
def show_command(words: tuple[str, ...], as_json: bool) -> None:
    """Show what the kernel says of a map."""
    from ebpfasm.runtime.info.map import is_frozen

    with open_map(only(words, "map")) as found:
        fields = {**_fields(found.info()), "frozen": int(is_frozen(found.fd))}
    print_json(fields) if as_json else print_fields(fields)


def _fields(info: MapInfo) -> dict[str, Any]:
    """The names are bpftool's, where it has the same fact."""
    return {
        "id": info.id,
        "type": info.type,
        "name": info.name,
        "flags": info.flags,
        "bytes_key": info.key_size,
        "bytes_value": info.value_size,
        "max_entries": info.max_entries,
        "map_extra": info.map_extra,
        "ifindex": info.ifindex,
        "btf_id": info.btf_id,
    }


@map_command.command("dump")
@words_argument("MAP")
@json_option
def dump_command(words: tuple[str, ...], as_json: bool) -> None:
    """Print every element of a map. Of a queue or stack nothing is taken out."""
    with open_map(only(words, "map")) as found:
        elements = list(_elements(found))
    if as_json:
        print_json([{"key": shown(key), "value": shown(value)} for key, value in elements])
        return
    rows = ((text_of(key), text_of(value)) for key, value in elements)
    print_table(("key", "value"), rows, "the map is empty")


def _elements(found: Map) -> Iterator[tuple[Any, Any]]:
    ids = getattr(found, "ids", None)  # maps in maps: their ids are enough
    if callable(ids):
        yield from ids().items()
        return
    if found.key_size == 0:
        raise usage(f"a map of type {found.type} has no keys to walk", "try map peek")
    yield from found.pairs()


@map_command.command("get", context_settings=WORDS)
@words_argument("MAP KEY")
@json_option
def get_command(words: tuple[str, ...], as_json: bool) -> None:
    """Print the value under a key."""
    selector, rest = take(words, "map")
    if not rest:
        raise usage("which key?", "give MAP and KEY")
    nothing_behind(rest[1:])
    with open_map(selector) as found:
        try:
            value = as_given(rest[0], _reader(found))
        except KeyError:
            raise usage(f"map {found.name!r} has no key {rest[0]}") from None
    print_json(shown(value)) if as_json else click.echo(text_of(value))


def _reader(found: Map) -> Callable[[Any], Any]:
    ids = getattr(found, "ids", None)
    if callable(ids):
        return lambda key: ids()[key]
    return lambda key: found[key]


@map_command.command("set", context_settings=WORDS)
@words_argument("MAP KEY VALUE")
@flags_option
def set_command(words: tuple[str, ...], flag: str) -> None:
    """Write a value under a key."""
    selector, rest = take(words, "map")
    if len(rest) < 2:
        raise usage("which key and value?", "give MAP, KEY and VALUE")
    nothing_behind(rest[2:])
    key, value = rest[:2]
    with open_map(selector) as found:
        number = _flag(flag)
        put(
            found.type, value,
            lambda value: as_given(key, lambda key: found.put(key, value, number)),
        )  # fmt: skip


def _flag(word: str) -> int:
    from ebpfasm.ir import mapping

    return int(getattr(mapping, word.upper()))


@map_command.command("delete", context_settings=WORDS)
@words_argument("MAP KEY")
def delete_command(words: tuple[str, ...]) -> None:
    """Delete the element under a key."""
    selector, rest = take(words, "map")
    if not rest:
        raise usage("which key?", "give MAP and KEY")
    nothing_behind(rest[1:])
    with open_map(selector) as found:
        try:
            as_given(rest[0], found.__delitem__)
        except KeyError:
            raise usage(f"map {found.name!r} has no key {rest[0]}") from None


@map_command.command("push", context_settings=WORDS)
@words_argument("MAP VALUE")
def push_command(words: tuple[str, ...]) -> None:
    """Put a value into a queue, a stack or a Bloom filter."""
    selector, rest = take(words, "map")
    if not rest:
        raise usage("which value?", "give MAP and VALUE")
    nothing_behind(rest[1:])
    with open_map(selector) as found:
        as_given(rest[0], _method(found, "push"))


@map_command.command("pop")
@words_argument("MAP")
@json_option
def pop_command(words: tuple[str, ...], as_json: bool) -> None:
    """Take the next value out of a queue or stack, and print it."""
    _print_next(words, "pop", as_json)


@map_command.command("peek")
@words_argument("MAP")
@json_option
def peek_command(words: tuple[str, ...], as_json: bool) -> None:
    """Print the value that pop would take."""
    _print_next(words, "peek", as_json)


def _print_next(words: tuple[str, ...], name: str, as_json: bool) -> None:
    with open_map(only(words, "map")) as found:
        if found.key_size:
            raise usage(f"a map of type {found.type} cannot {name}", "queues and stacks can")
        try:
            value = _method(found, name)()
        except IndexError:
            raise usage(f"map {found.name!r} is empty") from None
    print_json(shown(value)) if as_json else click.echo(text_of(value))


def _method(found: Map, name: str) -> Callable[..., Any]:
    method = getattr(found, name, None)
    if method is None:
        raise usage(f"a map of type {found.type} cannot {name}", "queues and stacks can")
    return method  # type: ignore[no-any-return]


@map_command.command("pin")
@words_argument("MAP PATH")
def pin_command(words: tuple[str, ...]) -> None:
    """Give a map a name in a BPF file system, which keeps it."""
    selector, rest = take(words, "map")
    if len(rest) != 1:
        raise usage("where is it to be pinned?", "give MAP and PATH")
    with open_map(selector) as found:
        found.pin(rest[0])


@map_command.command("create")
@click.argument("path", metavar="PATH")
@click.option("--type", "map_type", metavar="TYPE", required=True, help="hash, array, ...")
@click.option("--key", "key", metavar="BYTES|TYPE", help="Size of keys, or a C type (u32).")
@click.option("--value", "value", metavar="BYTES|TYPE", help="Size of values, or a C type.")
@click.option("--entries", metavar="N", type=click.IntRange(0), default=0, help="Room for so many.")
@click.option("--name", metavar="NAME", help="Its name; the pin's if none is given.")
@click.option("--flags", metavar="N", default="0", help="The kernel's BPF_F_* flags.")
def create_command(
    path: str,
    map_type: str,
    key: str | None,
    value: str | None,
    entries: int,
    name: str | None,
    flags: str,
) -> None:
    """Create a map and pin it at PATH, which keeps it."""
    from ebpfasm.asm.spelling import did_you_mean
    from ebpfasm.ir import MapSpec
    from ebpfasm.isa.kinds import MAP_TYPES
    from ebpfasm.runtime.maps import Map

    row = MAP_TYPES.find(map_type)
    if row is None:
        hint = did_you_mean(map_type, MAP_TYPES.by_name)
        raise usage(f"there is no map type {map_type}", hint)
    key_size, key_type = _size("key", key, row.fixed_key)
    value_size, value_type = _size("value", value, row.fixed_value)
    try:
        number = int(flags, 0)
    except ValueError:
        raise usage(f"{flags!r} is no number") from None
    spec = MapSpec(
        name or path.rpartition("/")[2], row.name, key_size, value_size, entries, number,
        key_type, value_type,
    )  # fmt: skip
    with Map.create(spec) as made:
        made.pin(path)


def _size(what: str, word: str | None, fixed: int | None) -> tuple[int, str]:
    """A key's or value's size in bytes, and its C type if that was given."""
    if word is None:
        if fixed is None:
            raise usage(f"how large is a {what}?", f"give --{what}")
        return fixed, ""
    if word.isascii() and word.isdigit():
        return int(word), ""
    size = _integer_size(word)
    if size is None:
        raise usage(f"{word!r} is no size and no integer type", "u8 to u64 and s8 to s64 are types")
    return size, word


def _integer_size(c_type: str) -> int | None:
    from ebpfasm.errors import EncodeError
    from ebpfasm.ir.values import plain

    for size in (1, 2, 4, 8):
        try:
            return size if plain(c_type, size, c_type).integer else None
        except EncodeError:
            continue
    return None
