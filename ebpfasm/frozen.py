"""`dataclass` for frozen, slotted values, made in a third of the time.

A command of this project defines some sixty dataclasses before it does anything, and the
standard decorator compiles five functions for each, one by one. This one compiles them
together; what it makes behaves the same (tests/test_frozen.py holds it against the standard
one), `dataclasses.fields` and `replace` included. To a type checker it is the standard one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(cls=None, /, **options):
        """As `dataclasses.dataclass`; quicker for frozen=True, slots=True."""
        if cls is None:
            return lambda found: dataclass(found, **options)
        rest = {**options}
        if not (rest.pop("frozen", False) and rest.pop("slots", False)) or (
            rest.keys() - {"eq", "repr"}
        ):
            return dataclasses.dataclass(cls, **options)
        return _made(cls, eq=rest.get("eq", True), repr=rest.get("repr", True))


def _made(cls: type[Any], *, eq: bool, repr: bool) -> type[Any]:
    own = set(cls.__dict__)
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)
    fields = dataclasses.fields(made)
    for name, function in _functions(made, fields, eq, repr).items():
        if name not in own:
            setattr(made, name, function)
    params = made.__dataclass_params__
    params.init, params.repr, params.eq, params.frozen = True, repr, eq, True
    return made


def _functions(
    made: type[Any], fields: tuple[dataclasses.Field[Any], ...], eq: bool, repr: bool
) -> dict[str, Callable[..., Any]]:
    """The methods, by name."""
    given: dict[str, Any] = {"set_": object.__setattr__, "missing": dataclasses.MISSING}
    lines = list(_init(fields, given, hasattr(made, "__post_init__")))
    if eq:
        compared = "".join(f"self.{each.name}, " for each in fields if each.compare)
        other = compared.replace("self.", "other.")
        lines += [
            "def __eq__(self, other):",
            " if other.__class__ is not self.__class__: return NotImplemented",
            f" return ({compared}) == ({other})",
            f"def __hash__(self): return hash(({_hashed(fields)}))",
        ]
    if repr:
        shown = ", ".join(f"{each.name}={{self.{each.name}!r}}" for each in fields if each.repr)
        lines.append(f'def __repr__(self): return f"{{self.__class__.__qualname__}}({shown})"')
    functions: dict[str, Callable[..., Any]] = {}
    exec("\n".join(lines), given, functions)
    for name, function in functions.items():
        function.__qualname__ = f"{made.__qualname__}.{name}"
    return {
        **functions,
        "__setattr__": _refuse_set,
        "__delattr__": _refuse_delete,
        "__getstate__": _state,
        "__setstate__": _restore,
    }


def _hashed(fields: tuple[dataclasses.Field[Any], ...]) -> str:
    chosen = (each for each in fields if (each.compare if each.hash is None else each.hash))
    return "".join(f"self.{each.name}, " for each in chosen)


def _init(
    fields: tuple[dataclasses.Field[Any], ...], given: dict[str, Any], has_more: bool
) -> Iterator[str]:
    """`__init__`, which assigns past the refusing `__setattr__`."""
    parameters, body = ["self"], []
    keyword_only = False
    for each in fields:
        name, value = each.name, each.name
        if each.default_factory is not dataclasses.MISSING:
            given[f"make_{name}"] = each.default_factory
            value = f"make_{name}()"
            if each.init:
                parameters.append(f"{name}=missing")
                value = f"{value} if {name} is missing else {name}"
        elif each.default is not dataclasses.MISSING:
            given[f"default_{name}"] = each.default
            value = name if each.init else f"default_{name}"
            parameters += [f"{name}=default_{name}"] if each.init else []
        elif each.init:
            parameters.append(name)
        else:
            continue  # __post_init__ fills it
        if each.kw_only and not keyword_only:
            keyword_only = True
            parameters.insert(len(parameters) - 1, "*")
        body.append(f" set_(self, {name!r}, {value})")
    body += [" self.__post_init__()"] if has_more else []
    yield f"def __init__({', '.join(parameters)}):"
    yield from body or [" pass"]


def _refuse_set(self: object, name: str, value: object) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_delete(self: object, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
