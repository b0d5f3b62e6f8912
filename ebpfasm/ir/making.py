"""What is made of decoded values where dicts and lists are not wanted: objects of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import field
from types import CodeType
from typing import Any, Literal

from ebpfasm.frozen import dataclass

# How one is made: by a call with the record's fields as keywords; as a named tuple of `names`; by
# setting attributes, of data classes that add nothing to it; as another kind of row; by a call
# with the value.
How = Literal["call", "tuple", "plain", "row", "value"]


@dataclass(frozen=True, slots=True)
class Making:
    """What is made of a value, and of what is in it: of a record's fields, a row's elements."""

    make: Callable[..., Any]
    how: How
    names: tuple[str, ...] = ()  # of a class of records, in the order of a call
    fields: Mapping[str, Making] = field(default_factory=dict)
    element: Making | None = None


def making_of(given: type[Any], names: tuple[str, ...], fields: Mapping[str, Making]) -> Making:
    """How records become objects of a class of data classes or named tuples."""
    how: How = "call"
    if issubclass(given, tuple):
        how = "tuple" if _is_plain_tuple(given) else "call"
    elif _is_plain(given):
        how = "plain"
    return Making(given, how, names, fields)


def _is_plain_tuple(given: type[Any]) -> bool:
    """Whether making one is what namedtuple() wrote, and no more."""
    maker = next(each for each in given.__mro__ if "__new__" in each.__dict__)
    return "_field_defaults" in maker.__dict__ and given.__init__ is object.__init__


def _is_plain(given: Any) -> bool:
    """Whether making one sets its fields and does nothing else."""
    params = given.__dict__.get("__dataclass_params__")
    fields = dataclasses.fields(given)
    if params is None or not params.init or hasattr(given, "__post_init__"):
        return False
    if not all(each.init for each in fields) or getattr(given, "__abstractmethods__", None):
        return False
    if given.__new__ is not object.__new__ or type(given).__call__ is not type.__call__:
        return False
    if not params.frozen and given.__setattr__ is not object.__setattr__:
        return False
    # A class may have an __init__ of its own, which dataclass() leaves alone.
    again = dataclasses.make_dataclass(
        "again", [(each.name, Any, _field(each)) for each in fields], frozen=params.frozen
    )
    return _same(getattr(given.__init__, "__code__", None), again.__init__.__code__)  # type: ignore[misc]


def _field(each: dataclasses.Field[Any]) -> Any:
    if each.default_factory is not dataclasses.MISSING:
        return field(default_factory=each.default_factory, kw_only=each.kw_only)
    return field(default=each.default, kw_only=each.kw_only)


def _same(one: CodeType | None, other: CodeType) -> bool:
    if one is None:
        return False
    return (one.co_code, one.co_names, one.co_varnames, one.co_consts) == (
        other.co_code, other.co_names, other.co_varnames, other.co_consts,
    )  # fmt: skip
