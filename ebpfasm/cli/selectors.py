"""Objects in the kernel as they are named on the command line, and opened.

`id N`, `name NAME`, `pinned PATH` and `tag TAG`, as bpftool has them; or one word: a number is an
id, a word with a slash a path, any other a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, TypeVar

import click

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import EbpfError, error
from ebpfasm.frozen import dataclass

if TYPE_CHECKING:
    from ebpfasm.runtime.info.map import MapInfo
    from ebpfasm.runtime.info.program import ProgramInfo
    from ebpfasm.runtime.links import BpfLink
    from ebpfasm.runtime.maps import Map
    from ebpfasm.runtime.programs import Program

Way = Literal["id", "name", "pinned", "tag"]
_WAYS: tuple[Way, ...] = ("id", "name", "pinned", "tag")
_KEPT = 15  # bytes of a name that the kernel keeps

# Words that begin with a dash are numbers here, and never options.
WORDS = {"ignore_unknown_options": True}

Command = TypeVar("Command", bound=Callable[..., None])


@dataclass(frozen=True, slots=True)
class Selector:
    """How an object is chosen."""

    way: Way
    word: str

    def __str__(self) -> str:
        return f"{self.way} {self.word}"


def words_argument(metavar: str) -> Callable[[Command], Command]:
    """The argument that takes all words that are left."""
    return click.argument("words", metavar=metavar, nargs=-1, type=click.UNPROCESSED)


def take(words: Sequence[str], what: str) -> tuple[Selector, list[str]]:
    """The selector that words begin with, and those behind it. Raises EbpfError."""
    if not words:
        raise usage(f"which {what}?", "give id N, name NAME or pinned PATH")
    first, *rest = words
    way = next((each for each in _WAYS if each == first), None)
    if way is not None:
        if not rest:
            raise usage(f"{first!r} stands alone", f"give {first} and a word behind it")
        selector, rest = Selector(way, rest[0]), rest[1:]
    elif first.isascii() and first.isdigit():
        selector = Selector("id", first)
    else:
        selector = Selector("pinned" if "/" in first else "name", first)
    if selector.way == "id" and not (selector.word.isascii() and selector.word.isdigit()):
        raise usage(f"{selector.word!r} is no id", "an id is a number; for a name give name NAME")
    return selector, rest


def only(words: Sequence[str], what: str) -> Selector:
    """The selector that the words are. Raises EbpfError where there are more."""
    selector, rest = take(words, what)
    nothing_behind(rest)
    return selector


def nothing_behind(words: Sequence[str]) -> None:
    """Refuse words that are left over."""
    if words:
        raise usage(f"what is {words[0]!r} for?")


def open_program(selector: Selector) -> Program:
    """Open a program. Raises EbpfError."""
    from ebpfasm.runtime import existing

    match selector.way:
        case "id":
            return existing.program_by_id(int(selector.word))
        case "pinned":
            return existing.pinned_program(selector.word)
        case "name":
            return existing.find_program(name=selector.word)
        case "tag":
            return existing.find_program(tag=selector.word)


def open_map(selector: Selector) -> Map:
    """Open a map. Raises EbpfError."""
    from ebpfasm.runtime import existing, system

    match selector.way:
        case "id":
            return existing.map_by_id(int(selector.word))
        case "pinned":
            return existing.pinned_map(selector.word)
        case "name":
            return existing.map_by_id(_by_name(selector.word, "map", system.maps()).id)
        case "tag":
            raise usage("maps have no tags")


def open_link(selector: Selector) -> BpfLink:
    """Open a link. Raises EbpfError."""
    from ebpfasm.runtime.links import Link

    match selector.way:
        case "id":
            return Link.from_id(int(selector.word))
        case "pinned":
            return Link.open(selector.word)
        case way:
            raise usage(f"links have no {way}s", "give id N or pinned PATH")


Named = TypeVar("Named", "MapInfo", "ProgramInfo")


def _by_name(name: str, what: str, all: Iterable[Named]) -> Named:
    everything = list(all)
    kept = name.encode()[:_KEPT].decode(errors="replace")
    found = [each for each in everything if each.name == kept]
    if not found:
        hint = did_you_mean(name, [each.name for each in everything if each.name])
        raise EbpfError(error("cli-usage", f"there is no {what} {name!r} in the kernel", hint=hint))
    if len(found) > 1:
        numbers = ", ".join(str(each.id) for each in found)
        message = f"there are {len(found)} {what}s {name!r} in the kernel"
        raise EbpfError(error("cli-usage", message, hint=f"choose one by its id: {numbers}"))
    return found[0]


def usage(message: str, hint: str | None = None) -> EbpfError:
    """The error for words that do not fit together."""
    return EbpfError(error("cli-usage", message, hint=hint))
