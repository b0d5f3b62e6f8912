"""Bytes to values: the native core and Python give the same, and classes what they would make."""

from __future__ import annotations

import dataclasses
import gc
import operator
import struct
import sys
import tracemalloc
import weakref
from collections import namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm.ir.decoding import Decoder, FrozenFields, decoder
from ebpfasm.ir.making import Making, making_of
from ebpfasm.ir.shapes import Field, Number, Octets, Record, Row, Shape, Text
from ebpfasm.ir.written_decoding import WrittenDecoder
from ebpfasm.native import native_objects
from tests.support import required

if not required("native"):
    pytest.importorskip("ebpfasm._native", reason="no C compiler built the native core")


def native() -> Any:
    found = native_objects()
    if found is None:
        pytest.skip("this run is without the native core")
    return found


def both(shape: Shape, making: Making | None = None, *, frozen: bool = False) -> list[Decoder]:
    """The decoder that is used, and the one in Python."""
    return [decoder(shape, making, frozen=frozen), WrittenDecoder(shape, making, frozen=frozen)]


# ---- the same whatever the shape

numbers = st.one_of(
    st.builds(Number, st.sampled_from([1, 2, 4, 8]), st.booleans()),
    st.builds(Number, st.sampled_from([4, 8]), kind=st.just("float")),
    st.builds(Number, st.sampled_from([1, 2, 4, 8]), kind=st.sampled_from(["bool", "pointer"])),
)
leaves = st.one_of(
    numbers,
    st.integers(0, 9).map(Text),
    st.integers(0, 9).map(Octets),
    st.tuples(numbers, st.integers(0, 50)).map(lambda row: Row(*row)),
)


@st.composite
def structs(draw: st.DrawFn, inner: st.SearchStrategy[Shape]) -> Shape:
    """Fields one behind the other, with gaps, given in any order."""
    fields, at = [], 0
    for number, shape in enumerate(draw(st.lists(inner, max_size=9))):
        at += draw(st.integers(0, 3))
        fields.append(Field(f"m{number}", shape, 8 * at))
        at += shape.size
    return Record("made", at + draw(st.integers(0, 3)), tuple(draw(st.permutations(fields))))


@st.composite
def unions(draw: st.DrawFn, inner: st.SearchStrategy[Shape]) -> Shape:
    """Fields above each other, and bit-fields at any bit."""
    fields, end = [], 8
    for number, shape in enumerate(draw(st.lists(inner, min_size=1, max_size=4))):
        at = draw(st.integers(0, 9))
        fields.append(Field(f"m{number}", shape, 8 * at))
        end = max(end, at + shape.size)
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.builds(Number, st.just(8), st.booleans(), st.sampled_from(["int", "bool"])))
        bits = draw(st.integers(1, 64))
        fields.append(Field(f"b{number}", kind, draw(st.integers(0, 8 * end - bits)), bits))
    return Record("either", end, tuple(fields), overlaps=True)


shapes = st.recursive(
    leaves,
    lambda inner: st.one_of(
        structs(inner),
        unions(inner),
        st.tuples(inner, st.integers(0, 4)).map(lambda row: Row(*row)),
    ),
    max_leaves=14,
)


@st.composite
def makings(draw: st.DrawFn, shape: Shape) -> Making | None:
    """Something that can be made of a shape's values, or nothing."""
    if draw(st.booleans()) and not isinstance(shape, Record | Row):
        return draw(st.sampled_from([None, Making(repr, "value"), Making(lambda x: [x], "value")]))
    if isinstance(shape, Row):
        kind = draw(st.sampled_from([list, tuple]))
        return Making(kind, "row", element=draw(makings(shape.element)))
    if not isinstance(shape, Record) or not draw(st.booleans()):
        return None
    names = tuple(draw(st.permutations([each.name for each in shape.fields])))
    inner = {each.name: draw(makings(each.shape)) for each in shape.fields}
    fields = {name: each for name, each in inner.items() if each is not None}
    kind = draw(st.sampled_from([dict, namedtuple, *OPTIONS]))
    if kind is dict:
        return Making(dict, "call", names, fields)
    if kind is namedtuple:
        return making_of(namedtuple("Made", names), names, fields)
    return making_of(dataclasses.make_dataclass("Made", names, **OPTIONS[kind]), names, fields)


OPTIONS: dict[Any, dict[str, Any]] = {
    "plain": {}, "slots": {"slots": True}, "frozen": {"slots": True, "frozen": True},
    "keywords": {"frozen": True, "kw_only": True},
}  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Whether values are alike, in their types too. NaN is like itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if dataclasses.is_dataclass(one):
        names = [each.name for each in dataclasses.fields(one)]
        return all(same(getattr(one, name), getattr(other, name)) for name in names)
    return bool(one == other) or (one != one and other != other)


@settings(max_examples=150, deadline=None)
@given(st.data(), shapes, st.booleans())
def test_any_shape_reads_the_same_in_c_and_python(
    data: st.DataObject, shape: Shape, frozen: bool
) -> None:
    making = data.draw(makings(shape))
    count, gap = data.draw(st.integers(0, 3)), data.draw(st.integers(0, 9))
    stride = shape.size + gap
    length = max(count * stride, shape.size)
    raw = data.draw(st.binary(min_size=length, max_size=length))
    quick, plain = both(shape, making, frozen=frozen)
    assert quick.size == plain.size == shape.size
    if not gap or not shape.size:
        stride = shape.size
    expected = plain.many(raw, count, stride)
    assert same(quick.many(raw, count, stride), expected)
    assert same(list(quick.each(bytearray(raw), count, stride)), expected)
    assert same(list(plain.each(memoryview(raw), count, stride)), expected)
    assert same(quick.one(raw), plain.one(raw))
    if frozen and making is None:
        assert hash(quick.one(raw)) == hash(plain.one(raw))


# ---- classes

PAIR = Record("pair", 8, (Field("a", Number(4), 0), Field("b", Number(4, True), 32)))
RAW = struct.pack("=Ii", 7, -8)


def made(given: Any, *, how: str | None = None) -> list[Any]:
    """One of a class, made by both decoders."""
    making = making_of(given, ("a", "b"), {})
    if how is not None:
        assert making.how == how
    found = [each.one(RAW) for each in both(PAIR, making)]
    assert all(type(each) is given for each in found)
    return found


class Named(NamedTuple):
    a: int
    b: int = 3


class Checked(Named):
    __slots__ = ()

    def __new__(cls, a: int, b: int) -> Checked:
        return super().__new__(cls, a + 1, b + 1)


@dataclass(slots=True)
class Plain:
    a: int
    b: int = 5
    made: list[str] = field(default_factory=list, init=False, repr=False, compare=False)


@dataclass
class Simple:
    a: int
    b: int = 5


@dataclass(frozen=True, slots=True)
class Frozen:
    a: int
    b: int


@dataclass
class Own:
    a: int
    b: int

    def __init__(self, a: int, b: int) -> None:
        self.a, self.b = b, a


@dataclass
class After:
    a: int
    b: int

    def __post_init__(self) -> None:
        self.a += 100


@dataclass
class Kept:
    a: int
    b: int

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value * 2)


@dataclass(slots=True)
class Ending:
    a: int
    b: int

    ended = 0

    def __del__(self) -> None:
        Ending.ended += 1


@dataclass
class Watched(Simple):
    def __init_subclass__(cls) -> None:
        raise AssertionError


class Property:
    @property
    def a(self) -> int:
        return self.hidden

    @a.setter
    def a(self, value: int) -> None:
        self.hidden = value + 1


@dataclass
class WithProperty(Property):
    b: int
    a: int


def test_named_tuples_are_made_as_they_make_themselves() -> None:
    assert made(Named, how="tuple") == [Named(7, -8)] * 2
    assert made(Checked, how="call") == [Checked(7, -8)] * 2
    assert tuple(made(Checked)[0]) == (8, -7)


@pytest.mark.parametrize("kind", [Simple, Frozen, Ending, Watched])
def test_a_plain_data_class_is_made_without_a_call_and_is_equal(kind: Any) -> None:
    assert made(kind, how="plain") == [kind(7, -8)] * 2


@pytest.mark.parametrize("kind", [Plain, Own, After, Kept])
def test_a_data_class_that_does_more_is_called(kind: Any) -> None:
    assert made(kind, how="call") == [kind(7, -8)] * 2


def test_attributes_go_through_a_property_as_in_the_class() -> None:
    assert [each.a for each in made(WithProperty)] == [WithProperty(-8, 7).a] * 2 == [8, 8]


def test_an_object_that_is_made_to_look_is_not_noticed() -> None:
    Ending.ended = 0
    found = made(Ending)
    assert Ending.ended == 0
    del found
    gc.collect()
    assert Ending.ended == 2


def test_what_a_class_raises_comes_out_and_the_rest_is_still_there() -> None:
    @dataclass
    class Choosy:
        a: int

        def __post_init__(self) -> None:
            if self.a == 2:
                raise LookupError("two")

    shape = Record("r", 1, (Field("a", Number(1), 0),))
    quick = decoder(shape, making_of(Choosy, ("a",), {}))
    if native_objects() is not None:
        rest = quick.each(bytes([1, 2, 3]), 3, 1)
        assert isinstance(next(rest), Choosy)
        with pytest.raises(LookupError, match="two"):
            next(rest)
        assert [each.a for each in rest] == [3]
    with pytest.raises(LookupError, match="two"):
        quick.many(bytes([1, 2, 3]), 3, 1)


# ---- memory


def test_garbage_that_hangs_on_decoded_values_is_found() -> None:
    @dataclass
    class Node:
        a: int
        b: Any

    shape = Record("n", 8, (Field("a", Number(4), 0), Field("b", Row(PAIR, 0), 32)))
    nodes = decoder(shape, making_of(Node, ("a", "b"), {})).many(bytes(80), 10, 8)
    watched = [weakref.ref(each) for each in nodes]
    for each in nodes:
        each.b.append(each)
        each.b.append({"again": each.b})
    assert all(gc.is_tracked(each.b) for each in nodes)
    del nodes, each
    gc.collect()
    assert [ref() for ref in watched] == [None] * 10


MANY = Record(
    "many", 64,
    (
        Field("n", Number(8), 0), Field("name", Text(8), 64), Field("row", Row(Number(4), 3), 128),
        Field("pair", PAIR, 256), Field("pairs", Row(PAIR, 2), 320), Field("x", Number(8), 448),
    ),
)  # fmt: skip
FLAT = Record("flat", 64, tuple(Field(f"f{n}", Number(8), 64 * n) for n in range(8)))


@pytest.mark.parametrize(
    ("shape", "kind", "frozen"),
    [
        (MANY, None, False), (MANY, None, True), (FLAT, None, False), (PAIR, None, True),
        (MANY, "named", False), (FLAT, "slots", False), (MANY, "dict", False),
        (PAIR, "frozen", True), (FLAT, "call", False),
    ],
)  # fmt: skip
def test_twenty_thousand_records_leave_nothing_behind(
    shape: Record, kind: str | None, frozen: bool
) -> None:
    native()
    names = tuple(each.name for each in shape.fields)
    makers: dict[str | None, Any] = {
        "named": lambda: namedtuple("Made", names),
        "slots": lambda: dataclasses.make_dataclass("Made", names, slots=True),
        "dict": lambda: dataclasses.make_dataclass("Made", names),
        "frozen": lambda: dataclasses.make_dataclass("Made", names, slots=True, frozen=True),
    }
    making = None if kind is None else Making(dict, "call", names)
    if kind in makers:
        making = making_of(makers[kind](), names, {})
    each = decoder(shape, making, frozen=frozen)
    raw = bytes(range(1, 251)) * 10
    count = len(raw) // shape.size

    def run(times: int) -> None:
        for _ in range(times):
            for _ in each.each(raw, count, shape.size):
                pass
            each.many(raw, count, shape.size)
            each.one(raw)
            for _ in zip(each.each(raw, count, shape.size), range(3), strict=False):
                pass

    run(3)
    gc.collect()
    tracemalloc.start()
    size, held = tracemalloc.get_traced_memory()[0], sys.getrefcount(raw)
    run(20_000 // count // 2)
    gc.collect()
    grown = tracemalloc.get_traced_memory()[0] - size
    tracemalloc.stop()
    assert sys.getrefcount(raw) == held
    assert grown < 100_000  # an object a record is more


def test_decoders_and_what_reads_with_them_can_be_collected() -> None:
    native()

    class Made(dict[str, Any]):
        reader: Any

    making = Making(Made, "call", ("a", "b"))
    each = decoder(PAIR, making)
    Made.reader, watched = each.each(RAW, 1, 8), weakref.ref(Made)
    del Made, making, each
    gc.collect()
    assert watched() is None


# ---- what is refused


def test_values_are_never_read_past_the_end() -> None:
    make = native().Decoder
    pair = make("record", 8, (("a", 0, make("I")), ("b", 4, make("i"))), "D", None)
    calls: list[Callable[[], object]] = [
        lambda: pair.one(bytes(7)), lambda: pair.many(bytes(15), 2, 8),
        lambda: pair.each(bytes(15), 2, 8), lambda: pair.many(bytes(8), -1, 8),
        lambda: pair.many(bytes(8), 1, -8), lambda: pair.each(bytes(8), 1 << 62, 8),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(ValueError, match="fewer bytes"):
            call()
    with pytest.raises(TypeError):
        pair.one(7)
    assert pair.many(b"", 0, 8) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (), ("x",), ("",), ("II",), (7,), ("s", -1), ("bits", 1, 0, 9, 0, 0),
        ("bits", 9, 8, 64, 0, 0), ("bits", 10, 0, 1, 0, 0), ("row", "I", 1, 1, 0),
        ("record", 4, (("a", 4, 0),), "D", None), ("record", 4, (), "Z", None),
        ("record", 4, (), "T", dict), ("record", 4, (), "O", Named), ("record", 4, [], "D", None),
        ("record", 4, (("a",),), "D", None), ("call", repr, 7),
    ],
)  # fmt: skip
def test_a_decoder_that_makes_no_sense_is_refused(arguments: tuple[Any, ...]) -> None:
    make = native().Decoder
    with pytest.raises((TypeError, ValueError)):
        make(*arguments)


def test_a_part_that_leaves_its_record_is_refused() -> None:
    make = native().Decoder
    for offset in (-1, 5, 1 << 60):
        with pytest.raises((ValueError, OverflowError)):
            make("record", 8, (("a", offset, make("I")),), "D", None)
    with pytest.raises(ValueError, match="no row"):
        make("row", make("I"), 3, 3, False)
    with pytest.raises(ValueError, match="no row"):
        make("row", make("I"), 1 << 62, 8, False)


# ---- pairs


def pairs(key: Shape, value: Shape, keys: bytes, values: bytes, count: int) -> Iterator[Any]:
    objects = native()
    read = decoder(key, frozen=True), decoder(value)
    found: Iterator[Any] = objects.pairs(*read, keys, values, count, key.size, value.size)
    return found


def test_pairs_are_used_again_only_where_nobody_has_them() -> None:
    keys, values = struct.pack("=4I", *range(4)), struct.pack("=4Q", *range(10, 14))
    kept = list(pairs(Number(4), Number(8), keys, values, 4))
    assert kept == [(0, 10), (1, 11), (2, 12), (3, 13)]
    reading = pairs(Number(4), Number(8), keys, values, 4)
    first = next(reading)
    assert [*reading] == kept[1:]
    assert first == (0, 10)
    assert dict(pairs(Number(4), Number(8), keys, values, 4)) == dict(kept)
    assert operator.length_hint(pairs(Number(4), Number(8), keys, values, 4)) == 4
    with pytest.raises(ValueError, match="fewer bytes"):
        pairs(Number(4), Number(8), keys, values, 5)


def test_pairs_of_objects_are_looked_at_by_the_collector() -> None:
    keys, values = bytes(range(200)), bytes(8 * 200)
    watched = []
    for key, value in pairs(Number(1), PAIR, keys, values, 200):
        if key % 20 == 0:
            gc.collect()  # forgets a tuple that holds atoms
        watched.append((key, value))
        assert type(value) is dict
    assert [key for key, _ in watched] == list(range(200))
    *_, last = pairs(Number(1), PAIR, keys, values, 200)
    last[1]["self"] = last
    assert gc.is_tracked(last)


def test_frozen_records_can_be_keys() -> None:
    found = dict(pairs(PAIR, Number(1), RAW * 2, b"\1\2", 2))
    assert found == {FrozenFields(a=7, b=-8): 2}
    assert type(next(iter(found))) is FrozenFields


@pytest.mark.parametrize("more", [0, 6], ids=["small", "large"])
def test_dicts_are_used_again_only_where_nobody_has_them_and_as_they_were_made(more: int) -> None:
    rest = {f"c{each}": each for each in range(more)}
    fields = [Field(each, Number(4, signed=True), 32 * at) for at, each in enumerate("ab")]
    fields += [Field(each, Number(4), 32 * at) for at, each in enumerate(rest, 2)]
    size = 4 * len(fields)
    each = decoder(Record("r", size, tuple(fields)))
    raw = b"".join(struct.pack(f"={len(fields)}i", n, -n, *rest.values()) for n in range(40))
    expected = [{"a": n, "b": -n, **rest} for n in range(40)]
    assert list(each.each(raw, 40, size)) == expected
    seen, kept = [], []
    for number, found in enumerate(each.each(raw, 40, size)):
        seen.append((dict(found), list(found)))
        match number % 8:
            case 0:
                kept.append((number, found))
            case 1:
                found["more"] = number
            case 2:
                found["a"] = [found]  # a circle, which only the collector ends
            case 3:
                found["a"] = found.pop("a")  # now behind the others
            case 4:
                del found["b"]
                found["other"] = 1
            case 5:
                found.clear()
            case _:
                gc.collect()
    assert [values for values, _ in seen] == expected
    assert all(names == ["a", "b", *rest] for _, names in seen)
    assert [found for _, found in kept] == [expected[number] for number, _ in kept]


def test_of_two_fields_of_one_name_the_last_counts() -> None:
    names = [*"aabcdefg"]
    fields = tuple(Field(each, Number(1), 8 * at) for at, each in enumerate(names))
    found = decoder(Record("r", 8, fields)).many(bytes(range(16)), 2, 8)
    assert found == [dict(zip(names, range(at, at + 8), strict=True)) for at in (0, 8)]


def test_what_goes_with_a_dict_may_ask_for_the_next_one() -> None:
    class Asking:
        def __del__(self) -> None:
            asked.extend(dict(each) for each in islice(reading, 3))

    raw = b"".join(struct.pack("=Ii", n, -n) for n in range(40))
    asked: list[dict[str, int]] = []
    reading, seen = decoder(PAIR).each(raw, 40, 8), []
    for found in reading:
        seen.append((found["a"], found["b"]))
        if found["a"] % 5 == 0:
            found["a"] = Asking()
    del found
    got = seen + [(each["a"], each["b"]) for each in asked]
    assert sorted(got) == [(n, -n) for n in range(40)]


@dataclass(slots=True)
class Slotted:
    a: Any
    b: Any


class Bare(NamedTuple):
    a: Any
    b: Any


class More(Bare):
    """Has a dict beside what a record fills."""


@pytest.mark.parametrize("made", [Bare, More, Slotted])
def test_objects_are_used_again_only_where_nobody_has_them(made: type[Any]) -> None:
    making = making_of(made, ("a", "b"), {})
    raw = b"".join(struct.pack("=Ii", n, -n) for n in range(40))
    expected = [made(n, -n) for n in range(40)]
    assert list(decoder(PAIR, making).each(raw, 40, 8)) == expected
    seen, kept, hashes = [], [], []
    for number, found in enumerate(decoder(PAIR, making).each(raw, 40, 8)):
        seen.append((found.a, found.b))
        hashes.append(isinstance(found, tuple) and hash(found))
        match number % 6:
            case 0:
                kept.append((number, found))
            case 1 if made is Slotted:
                found.a = [found]  # a circle, which only the collector ends
            case 2 if made is Slotted:
                del found.b
            case 3 if made is More:
                assert not vars(found)
                found.more = number
            case _:
                gc.collect()
    assert seen == [(n, -n) for n in range(40)]
    assert [found for _, found in kept] == [expected[number] for number, _ in kept]
    if made is not Slotted:
        assert hashes == [hash((n, -n)) for n in range(40)]
