"""Keys and values of maps on the command line, read and written.

A number (5, -3, 0x1f), `hex:` and bytes (hex:0a0b), JSON for what has members ({"a": 1}, [1, 2]),
`id:N` or a path for a program or map in a map of them; anything else is text: a network for an LPM
trie, else bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ebpfasm.cli.selectors import Selector, open_map, open_program, usage
from ebpfasm.errors import EbpfError

Opener = Callable[[Selector], Any]

# What map types with descriptors as values hold, and how one is opened.
_HELD: dict[str, Opener] = {
    "prog_array": open_program,
    "array_of_maps": open_map,
    "hash_of_maps": open_map,
}


def parse(word: str) -> Any:
    """What a word on the command line stands for. Raises EbpfError.

    >>> parse("-3"), parse("0x1f"), parse("hex:0a0b"), parse('{"a": [1, "x"]}'), parse("10.0.0.0/8")
    (-3, 31, b'\\n\\x0b', {'a': [1, b'x']}, '10.0.0.0/8')
    """
    if word.startswith("hex:"):
        try:
            return bytes.fromhex(word[4:].replace(":", ""))
        except ValueError:
            raise usage(f"{word!r} is not hexadecimal", "write hex:0a0b0c") from None
    try:
        return int(word, 0)
    except ValueError:
        pass
    if word[:1] in ("{", "[") or word in ("true", "false"):
        try:
            return _with_bytes(json.loads(word))
        except ValueError as problem:
            raise usage(f"{word!r} is no JSON: {problem}") from None
    return word


def _with_bytes(value: Any) -> Any:
    """JSON's texts as the bytes that maps hold."""
    match value:
        case dict():
            return {name: _with_bytes(each) for name, each in value.items()}
        case list():
            return [_with_bytes(each) for each in value]
        case str():
            return parse(value) if value.startswith("hex:") else value.encode()
        case _:
            return value


def as_given(word: str, give: Callable[[Any], Any]) -> Any:
    """Do something with what a word stands for: text is tried as it is, then as bytes."""
    value = parse(word)
    if not isinstance(value, str):
        return give(value)
    try:
        return give(value)
    except EbpfError as refusal:
        if refusal.diagnostics[0].code != "map-value":
            raise
    return give(value.encode())


def put(map_type: str, word: str, give: Callable[[Any], Any]) -> None:
    """Give a value to a map: of a map of programs or maps, the open object."""
    opener = _HELD.get(map_type)
    if opener is None:
        as_given(word, give)
        return
    if not word.startswith("id:") and "/" not in word:
        raise usage(f"{word!r} names no object", "write id:N, or the path of a pin")
    way = Selector("id", word[3:]) if word.startswith("id:") else Selector("pinned", word)
    if way.way == "id" and not (way.word.isascii() and way.word.isdigit()):
        raise usage(f"{word!r} is no id", "write id:N")
    with opener(way) as held:
        give(held)


def shown(value: Any) -> Any:
    """A key or value as JSON can have it: bytes are text where they are printable, else hex."""
    match value:
        case bytes() | bytearray():
            try:
                text = value.decode("ascii")
            except UnicodeDecodeError:
                text = ""
            return text if text.isprintable() and (text or not value) else f"hex:{value.hex()}"
        case dict():
            return {str(name): shown(each) for name, each in value.items()}
        case list() | tuple():
            return [shown(each) for each in value]
        case bool() | int() | float() | None:
            return value
        case _:
            return str(value)


def text_of(value: Any) -> str:
    """The same as a word: what `parse` takes back."""
    found = shown(value)
    return found if isinstance(found, str) else json.dumps(found)
