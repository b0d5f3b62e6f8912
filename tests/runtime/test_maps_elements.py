"""One element at a time: the native core's short way does what the ordinary way does."""

from __future__ import annotations

import errno
import gc
import sys
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from ebpfasm.btf import types as t
from ebpfasm.btf.types import Btf
from ebpfasm.errors import EncodeError, LoadError
from ebpfasm.ir.specs import MapSpec, MapTypes
from ebpfasm.native import native_objects
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.maps.elements import PlainElements, elements_of

pytestmark = pytest.mark.kernel

TYPES = Btf((
    t.Int("u32", 4, 32), t.Int("s32", 4, 32, 1), t.Int("u64", 8, 64),
    t.Struct("pair", 8, (t.Member("a", 1, 0), t.Member("b", 2, 32))),
    t.Struct("wide", 400, tuple(t.Member(f"f{n}", 3, 64 * n) for n in range(50))),
))  # fmt: skip
U32, U64, PAIR, WIDE = 1, 3, 4, 5
INTEGERS = [(f"{sign}{8 * size}", size) for sign in "us" for size in (1, 2, 4, 8)]


def structs(key: int = U32, value: int = PAIR) -> MapSpec:
    sizes = {U32: 4, U64: 8, PAIR: 8, WIDE: 400}
    return MapSpec(
        "structs", "hash", sizes[key], sizes[value], 100, types=MapTypes(TYPES, key, value)
    )


def said(run: Any) -> tuple[str, str]:
    """What a call gives or raises, in words."""
    try:
        return "gives", repr(run())
    except (KeyError, EncodeError, LoadError, ValueError, TypeError) as problem:
        return type(problem).__name__, str(problem)


@contextmanager
def twins(spec: MapSpec) -> Iterator[tuple[Map, Map]]:
    """Two maps alike, of which the second has no short way."""
    with Map.create(spec) as one, Map.create(spec) as other:
        other._direct()
        yield one, other


class Indexed:
    """An integer that is none."""

    def __index__(self) -> int:
        return 3


EDGES = [
    bound + step
    for bits in (0, 7, 8, 15, 16, 31, 32, 63, 64)
    for bound in (1 << bits, -(1 << bits))
    for step in (-1, 0, 1)
]
OTHERS: list[Any] = [
    True, 3.0, "3", None, (3,), [3], Indexed(), b"\3", b"\3\0\0\0", bytearray(8), {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize(("name", "size"), INTEGERS)
def test_integers_of_every_size_go_in_and_out_or_are_refused_alike(name: str, size: int) -> None:
    with twins(MapSpec("ints", "hash", size, size, 300, key=name, value=name)) as (one, other):
        for number in [*EDGES, *OTHERS]:
            for each in (number, 5):
                done = [said(partial(m.__setitem__, each, number)) for m in (one, other)]
                assert done[0] == done[1]
                assert said(partial(one.__getitem__, each)) == said(
                    partial(other.__getitem__, each)
                )
        assert one.snapshot() == other.snapshot() != {}
        for number in [*EDGES, *OTHERS, 77]:
            done = [said(partial(m.__delitem__, number)) for m in (one, other)]
            assert done[0] == done[1]
        assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize("spec", [structs(), structs(PAIR, U64), structs(PAIR, WIDE)])
def test_structs_go_in_and_out_or_are_refused_alike(spec: MapSpec) -> None:
    pairs: list[Any] = [{"a": 1, "b": -2}, (7, 8), (7, 8, 9), {"a": 1}, b"12345678", 3, 5]
    whole = {f"f{n}": n << 40 for n in range(50)}
    values = [*pairs, whole, tuple(range(50)), bytes(400)]
    with twins(spec) as (one, other):
        for key in pairs:
            for value in values:
                done = [said(partial(m.__setitem__, key, value)) for m in (one, other)]
                assert done[0] == done[1]
                assert said(partial(one.__getitem__, key)) == said(partial(other.__getitem__, key))
        assert one.snapshot() == other.snapshot() != {}
        assert dict(one.items()) == {key: one[key] for key in one}
        for key in pairs:
            assert said(lambda k=key: one.__delitem__(k)) == said(
                lambda k=key: other.__delitem__(k)
            )


@pytest.mark.parametrize("type", ["percpu_hash", "percpu_array", "lru_hash", "lpm_trie", "array"])
def test_other_kinds_of_maps_read_the_same(type: str) -> None:
    key_size = 8 if type == "lpm_trie" else 4
    flags = 1 if type == "lpm_trie" else 0  # BPF_F_NO_PREALLOC
    with twins(MapSpec("kinds", type, key_size, 4, 8, flags)) as (one, other):
        key: Any = "10.0.0.0/8" if type == "lpm_trie" else 3
        value: Any = tuple(range(one.stored_size // 8)) if type.startswith("percpu") else 9
        for each in (one, other):
            each[key] = value
        assert one[key] == other[key] == value
        assert repr(one.snapshot()) == repr(other.snapshot())
        missing = "11.0.0.0/8" if type == "lpm_trie" else 100
        assert said(lambda: one[missing]) == said(lambda: other[missing])


def test_a_missing_key_is_in_the_error_as_it_was_given() -> None:
    with Map.create(structs(PAIR, U64)) as m:
        for key in ((1, 2), {"a": 1, "b": 2}):
            with pytest.raises(KeyError) as missing:
                m[key]
            assert missing.value.args == (key,)
            with pytest.raises(KeyError) as missing:
                del m[key]
            assert missing.value.args == (key,)


def test_classes_are_made_of_elements_and_taken_back() -> None:
    @dataclass(slots=True)
    class Pair:
        a: int
        b: int

    with Map.create(structs()) as m:
        m[1] = {"a": 1, "b": -1}
        m.as_type(value=Pair)
        assert m[1] == Pair(1, -1)
        m[2] = Pair(3, 4)
        assert dict(m.items()) == {1: Pair(1, -1), 2: Pair(3, 4)}
        m.as_type(value=dict)
        assert m[2] == {"a": 3, "b": 4}
        m.as_type(value=bytes)
        assert m[2] == b"\3\0\0\0\4\0\0\0" if sys.byteorder == "little" else m[2]


def test_a_map_may_be_closed_or_changed_by_what_packs_its_keys() -> None:
    class Closing(Indexed):
        def __index__(self) -> int:
            m.close()
            return 3

    class Changing(Indexed):
        def __index__(self) -> int:
            m.as_type(value=bytes)
            gc.collect()
            return 3

    spec = MapSpec("m", "hash", 4, 8, 4, key="u32", value="u64")
    with Map.create(spec) as m:
        m[3] = 1
        assert m[Changing()] in (1, (1).to_bytes(8, sys.byteorder))
    uses: list[Callable[[], object]] = [
        lambda: m[Closing()], lambda: m.__setitem__(Closing(), 1),
        lambda: m.__setitem__(3, Closing()), lambda: m.__delitem__(Closing()),
    ]  # fmt: skip
    for use in uses:
        m = Map.create(spec)
        m[3] = 1
        with pytest.raises(ValueError, match="closed"):
            use()


def test_a_closed_map_says_so_whatever_way() -> None:
    with Map.create(structs()) as m:
        m[1] = (1, 2)
    for use in (lambda: m[1], lambda: m.__setitem__(1, (1, 2)), lambda: m.__delitem__(1)):
        with pytest.raises(ValueError, match="closed"):
            use()


@pytest.mark.needs("taking out of hashes")
def test_elements_are_taken_out_by_c_and_python() -> None:
    with Map.create(MapSpec("m", "hash", 4, 8, 2)) as m:
        for each in (elements_of(m.fd, "hash", 4, 8), PlainElements(m.fd, 8)):
            each.update(bytes(4), b"12345678")
            assert each.take(bytes(4)) == b"12345678"
            assert each.take(bytes(4)) is None


def test_elements_in_c_and_python_say_the_same_and_check_sizes() -> None:
    with Map.create(MapSpec("m", "hash", 4, 8, 2)) as m:
        native = elements_of(m.fd, "hash", 4, 8)
        plain = PlainElements(m.fd, 8)
        for each in (native, plain):
            each.update(bytes(4), b"12345678")
            assert each.lookup(bytes(4)) == b"12345678"
            assert each.lookup(b"none") is None
            with pytest.raises(OSError, match="exists") as refused:
                each.update(bytes(4), bytes(8), 1)
            assert refused.value.errno == errno.EEXIST
            assert each.delete(bytes(4))
            assert not each.delete(bytes(4))
            each.update(bytearray(4), bytearray(8))
            assert each.delete(bytes(4))
            each.close()
            with pytest.raises(OSError, match="Bad file descriptor"):
                each.lookup(bytes(4))
        if native_objects() is None:
            return
        for wrong in (
            lambda: native.lookup(bytes(3)), lambda: native.update(bytes(4), bytes(7)),
            lambda: native.delete(b""), lambda: native.take(bytes(5)), lambda: native.holds(b"1"),
        ):  # fmt: skip
            with pytest.raises(ValueError, match="bytes, not"):
                wrong()


def test_elements_leave_nothing_behind() -> None:
    with Map.create(structs(U32, WIDE)) as wide, Map.create(structs(PAIR, U64)) as keyed:
        value, key = {f"f{n}": n << 40 for n in range(50)}, (1 << 31, 7)

        misses: list[Callable[[], object]] = [lambda: wide[50], lambda: keyed[7, 7]]

        def run(times: int) -> None:
            for n in range(times):
                wide[n % 9] = value
                keyed[key] = 1 << 40
                assert wide[n % 9] == value
                assert keyed[key] == 1 << 40
                for missing in misses:
                    with pytest.raises(KeyError):
                        missing()
                with pytest.raises(EncodeError):
                    wide[1 << 40] = value
                del keyed[key]
                del wide[n % 9]

        run(20)
        gc.collect()
        tracemalloc.start()
        size, held = tracemalloc.get_traced_memory()[0], sys.getrefcount(key)
        run(500)
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - size
        tracemalloc.stop()
        assert sys.getrefcount(key) == held
        assert grown < 40_000  # an int an element is more


def test_a_map_that_nobody_has_any_more_goes() -> None:
    m = Map.create(structs())
    m.extra = m  # type: ignore[attr-defined]
    watched = weakref.ref(m)
    m.close()
    del m
    gc.collect()
    assert watched() is None
