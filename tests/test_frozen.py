"""Values made by ebpfasm.frozen behave as the standard library's frozen, slotted dataclasses."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field
from typing import Any

import pytest

from ebpfasm import frozen


def define(decorator: Any) -> type[Any]:
    @decorator(frozen=True, slots=True)
    class Sample:
        first: int
        second: str = "two"
        third: list[int] = field(default_factory=list)
        hidden: int = field(default=5, compare=False, repr=False)
        made: int = field(init=False)
        fixed: tuple[int, ...] = field(default=(), init=False)

        def __post_init__(self) -> None:
            object.__setattr__(self, "made", self.first * 2)

        def __hash__(self) -> int:
            return self.first

    return Sample


OURS, STANDARD = define(frozen.dataclass), define(dataclasses.dataclass)


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    a: int
    b: int = 2


@frozen.dataclass(frozen=True, slots=True)
class Ours:
    a: int
    b: int = 2


def test_signature_fields_and_repr_are_the_standard_ones() -> None:
    parameters = [list(inspect.signature(kind).parameters) for kind in (OURS, STANDARD)]
    assert parameters[0] == parameters[1] == ["first", "second", "third", "hidden"]
    names = [[each.name for each in dataclasses.fields(kind)] for kind in (OURS, STANDARD)]
    assert names[0] == names[1]
    assert repr(OURS(1, third=[3])) == repr(STANDARD(1, third=[3]))
    assert OURS.__match_args__ == STANDARD.__match_args__
    assert not hasattr(OURS(1), "__dict__")


def test_values_compare_and_hash_as_the_standard_ones() -> None:
    assert OURS(1) == OURS(1, hidden=9)
    assert OURS(1) != OURS(2)
    assert OURS(1) != STANDARD(1)
    assert hash(OURS(7)) == 7
    assert hash(Ours(1)) == hash(Standard(1))
    assert {Ours(1), Ours(1, 2)} == {Ours(1)}


def test_nothing_can_be_assigned_or_deleted() -> None:
    value = Ours(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'a'"):
        value.a = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'a'"):
        del value.a
    assert OURS(1).third is not OURS(1).third


def test_replace_copy_and_pickle_work() -> None:
    assert dataclasses.replace(Ours(1), b=5) == Ours(1, 5)
    assert copy.copy(Ours(1)) == copy.deepcopy(Ours(1)) == Ours(1)
    assert pickle.loads(pickle.dumps(Ours(3))) == Ours(3)


def test_wrong_arguments_are_refused_as_by_any_function() -> None:
    with pytest.raises(TypeError, match=r"Ours\.__init__\(\) missing 1 required positional"):
        Ours()  # type: ignore[call-arg]


def test_replace_makes_what_the_standard_one_makes() -> None:
    value = OURS(1, "a", [3], hidden=4)
    cases: tuple[dict[str, Any], ...] = {}, {"first": 2}, {"third": [], "hidden": 0}
    for changes in cases:
        made = frozen.replace(value, **changes)
        assert made == dataclasses.replace(value, **changes)
        assert (made.hidden, made.made) == (changes.get("hidden", 4), made.first * 2)
    assert frozen.replace(Ours(1), b=3) == Ours(1, 3)
    for name in ("made", "nothing"):
        with pytest.raises(TypeError):
            frozen.replace(value, **{name: 1})
