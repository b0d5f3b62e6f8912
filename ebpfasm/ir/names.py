"""Things by their names, which say which names there are where one is not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NoReturn, TypeVar

_Thing = TypeVar("_Thing")
_MOST = 10  # names in a message


class Named(dict[str, _Thing]):
    """A dict whose KeyError names what there is.

    >>> Named("map", {"hits": 1, "drops": 2})["hist"]
    Traceback (most recent call last):
    KeyError: "there is no map 'hist': there are hits, drops"
    """

    __slots__ = ("_what",)

    def __init__(
        self, what: str, things: Mapping[str, _Thing] | Iterable[tuple[str, _Thing]]
    ) -> None:
        super().__init__(things)
        self._what = what

    def __missing__(self, name: object) -> NoReturn:
        names = [*self][: _MOST + 1]
        shown = ", ".join(names[:_MOST]) + (", ..." if len(names) > _MOST else "")
        there = f"there are {shown}" if shown else "there are none"
        raise KeyError(f"there is no {self._what} {name!r}: {there}")
