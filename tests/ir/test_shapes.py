"""Typed keys and values: ctypes and numpy, which lay structs out themselves, are the judges."""

from __future__ import annotations

import contextlib
import ctypes
import enum
import struct
import sys
from collections import namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.btf import types as t
from ebpfasm.errors import BtfError, EncodeError
from ebpfasm.ir.classes import adapted, shape_of_ctypes
from ebpfasm.ir.decoding import FrozenFields
from ebpfasm.ir.dtypes import dtype_of, shape_of_dtype
from ebpfasm.ir.encoding import Misfit, encode
from ebpfasm.ir.gather import UNUSUAL, packer
from ebpfasm.ir.shapes import (
    Field,
    Number,
    Octets,
    Record,
    Row,
    Shape,
    Text,
    difference,
    said,
    shape_of,
)
from ebpfasm.ir.typed import Typed
from ebpfasm.ir.values import PerCpu, Plain

U8, U16, U32, U64 = (Number(size) for size in (1, 2, 4, 8))
S32 = Number(4, signed=True)

PAIR = Record("pair", 16, (Field("a", U32, 0), Field("b", U64, 64)))


def typed(shape: Shape, *, frozen: bool = False) -> Typed:
    return Typed("value of map 'm'", shape, frozen)


def refusal(shape: Shape, value: object) -> str:
    with pytest.raises(EncodeError) as refused:
        typed(shape).pack(value)
    return str(refused.value).removeprefix("error[map-value]: the value of map 'm'")


# ---- against ctypes


class Inner(ctypes.Structure):
    _fields_ = [("port", ctypes.c_uint16), ("name", ctypes.c_char * 5)]


class Everything(ctypes.Structure):
    _fields_ = [
        ("byte", ctypes.c_uint8),
        ("long", ctypes.c_uint64),
        ("delta", ctypes.c_int32),
        ("up", ctypes.c_bool),
        ("inner", Inner * 2),
        ("low", ctypes.c_uint32, 3),
        ("high", ctypes.c_uint32, 29),
        ("ratio", ctypes.c_double),
        ("mac", ctypes.c_uint8 * 6),
        ("hist", ctypes.c_uint32 * 3),
    ]


INNER = Record("inner", 8, (Field("port", U16, 0), Field("name", Text(5), 16)))

EVERYTHING = Record("everything", 80, (
    Field("byte", U8, 0),
    Field("long", U64, 64),
    Field("delta", S32, 128),
    Field("up", Number(1, kind="bool"), 160),
    Field("inner", Row(INNER, 2), 176),
    Field("low", U32, 320, 3),
    Field("high", U32, 323, 29),
    Field("ratio", Number(8, kind="float"), 384),
    Field("mac", Octets(6), 448),
    Field("hist", Row(U32, 3), 512),
))  # fmt: skip

little = pytest.mark.skipif(sys.byteorder == "big", reason="bits are counted from the other end")


def everything(**more: Any) -> dict[str, Any]:
    return {
        "byte": 1, "long": 2**63, "delta": -7, "up": True,
        "inner": [{"port": 80, "name": b"http"}, {"port": 443, "name": b"https"}],
        "low": 5, "high": 0x1ABCDEF0, "ratio": 0.5, "mac": bytes(range(6)), "hist": [1, 2, 3],
    } | more  # fmt: skip


@little
def test_ctypes_sees_the_same_fields_in_the_bytes() -> None:
    assert ctypes.sizeof(Everything) == EVERYTHING.size
    raw = typed(EVERYTHING).pack(everything())
    seen = Everything.from_buffer_copy(raw)
    assert (seen.byte, seen.long, seen.delta, seen.up, seen.low, seen.high, seen.ratio) == (
        1, 2**63, -7, True, 5, 0x1ABCDEF0, 0.5,
    )  # fmt: skip
    assert [(each.port, each.name) for each in seen.inner] == [(80, b"http"), (443, b"https")]
    assert (bytes(seen.mac), list(seen.hist)) == (bytes(range(6)), [1, 2, 3])
    assert typed(EVERYTHING).unpack(bytes(seen)) == everything()
    assert typed(EVERYTHING).pack(seen) == raw


@little
def test_a_ctypes_class_has_the_shape_that_it_stands_for() -> None:
    kept = tuple(each for each in EVERYTHING.fields if each.name != "inner")
    texts = Record(EVERYTHING.name, EVERYTHING.size, kept)  # ctypes has no texts, only chars
    own = shape_of_ctypes(Everything)
    assert isinstance(own, Record)
    rest = Record("", own.size, tuple(each for each in own.fields if each.name != "inner"))
    assert difference(texts, rest) is None


@given(
    st.integers(0, 2**32 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.binary(max_size=5).map(lambda text: text.rstrip(b"\0")),
    st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3),
    st.integers(0, 7),
)
def test_what_goes_in_comes_out(
    number: int, long: int, delta: int, name: bytes, hist: list[int], low: int
) -> None:
    value = everything(byte=number & 255, long=long, delta=delta, hist=hist, low=low)
    value["inner"] = [{"port": number & 65535, "name": name}] * 2
    codec = typed(EVERYTHING)
    raw = codec.pack(value)
    assert codec.unpack(raw) == value
    assert codec.pack(codec.unpack(raw)) == raw
    assert codec.unpack_many(raw * 3, 3, len(raw)) == [value] * 3


@given(st.binary(min_size=80, max_size=80))
def test_any_bytes_become_a_value_that_becomes_the_same_bytes_again(raw: bytes) -> None:
    codec = typed(EVERYTHING)
    once = codec.pack(codec.unpack(raw))
    assert codec.pack(codec.unpack(once)) == once


# ---- against numpy


def test_numpy_sees_the_same_fields_in_the_bytes() -> None:
    import numpy as np

    dtype = dtype_of(EVERYTHING)
    assert dtype.itemsize == EVERYTHING.size
    seen = np.frombuffer(typed(EVERYTHING).pack(everything()), dtype)[0]
    assert (seen["byte"], seen["long"], seen["delta"], seen["up"]) == (1, 2**63, -7, True)
    assert seen["inner"].tolist() == [(80, b"http"), (443, b"https")]
    assert (seen["mac"].tobytes(), seen["hist"].tolist()) == (bytes(range(6)), [1, 2, 3])
    assert "low+high" in (dtype.names or ())


def test_the_shape_of_a_dtype_differs_in_nothing_from_what_it_was_made_of() -> None:
    shape = Record("r", 24, (
        Field("a", U32, 0), Field("b", Row(S32, 2), 32), Field("c", Octets(5), 96),
        Field("d", Number(4, kind="float"), 160),
    ))  # fmt: skip
    assert difference(shape, shape_of_dtype(dtype_of(shape))) is None


def test_numbers_of_numpy_and_ctypes_are_numbers() -> None:
    import numpy as np

    codec = typed(PAIR)
    plain = codec.pack({"a": 5, "b": 6})
    for five in (np.uint8(5), np.int64(5), np.array(5), ctypes.c_uint32(5), True + 4):
        assert codec.pack({"a": five, "b": 6}) == plain
    assert codec.pack(np.array([(5, 6)], codec.dtype())[0]) == plain
    assert refusal(PAIR, {"a": np.float32(5), "b": 6}).startswith(": field a is an integer")


# ---- what is taken


@dataclass
class Pair:
    a: int
    b: int


class PairTuple(NamedTuple):
    b: int
    a: int


def test_records_are_taken_in_many_guises() -> None:
    codec = typed(PAIR)
    expected = struct.pack("=I4xQ", 1, 2)

    class Structure(ctypes.Structure):
        _fields_ = [("a", ctypes.c_uint32), ("b", ctypes.c_uint64)]

    for value in (
        {"a": 1, "b": 2}, Pair(1, 2), PairTuple(2, 1), (1, 2), [1, 2], Structure(1, 2), expected,
        bytearray(expected), memoryview(expected), FrozenFields(a=1, b=2),
    ):  # fmt: skip
        assert codec.pack(value) == expected


def test_enumerators_are_taken_by_name_and_given_as_numbers() -> None:
    kind = Number(4, kind="enum", names={"TCP": 6, "UDP": 17})
    shape = Record("r", 4, (Field("kind", kind, 0),))

    class Kind(enum.Enum):
        TCP = 6

    for value in ("TCP", 6, Kind.TCP):
        assert typed(shape).unpack(typed(shape).pack({"kind": value})) == {"kind": 6}
    assert refusal(shape, {"kind": "ICMP"}) == ": field kind is one of TCP, UDP; 'ICMP' was given"


MISFITS = [
    ({"a": 1}, ": field b is missing"),
    (
        {"a": 1, "b": 2, "c": 3},
        ": field c does not exist; struct pair of 16 bytes has no such field",
    ),
    ({"a": -1, "b": 2}, ": field a is an integer from 0 to 4294967295; -1 was given"),
    ({"a": 1, "b": 2**64}, f": field b is an integer from 0 to {2**64 - 1}; {2**64} was given"),
    ({"a": 1.5, "b": 2}, ": field a is an integer from 0 to 4294967295; 1.5 was given"),
    ((1, 2, 3), " has 2 fields (a, b); 3 values were given"),
    (7, " is struct pair of 16 bytes; 7 was given"),
    (b"short", " is struct pair of 16 bytes; 5 bytes were given"),
]


@pytest.mark.parametrize(("value", "sentence"), MISFITS)
def test_a_misfit_names_the_field(value: object, sentence: str) -> None:
    assert refusal(PAIR, value) == sentence


def test_a_misfit_deep_inside_is_named_by_its_path() -> None:
    deep = everything()
    deep["inner"][1]["port"] = 65536
    assert refusal(EVERYTHING, deep) == (
        ": field inner[1].port is an integer from 0 to 65535; 65536 was given"
    )
    assert (
        refusal(EVERYTHING, everything(low=8))
        == ": field low is an integer from 0 to 7; 8 was given"
    )
    assert (
        refusal(EVERYTHING, everything(mac=b"abc")) == ": field mac is 6 bytes; 3 bytes were given"
    )
    assert refusal(EVERYTHING, everything(hist=[1])) == (
        ": field hist is an array of 3 (an unsigned integer of 4 bytes); 1 were given"
    )
    assert refusal(EVERYTHING, everything(up=2)) == ": field up is a bool; 2 was given"


def test_text_is_filled_up_and_comes_without_the_zeros() -> None:
    codec = typed(Text(8))
    assert codec.pack("abc") == b"abc\0\0\0\0\0" == codec.pack(b"abc")
    assert codec.unpack(b"abc\0x\0\0\0") == b"abc\0x"
    assert refusal(Text(2), "abc") == " is text of up to 2 bytes; 3 were given"


# ---- unions and keys

ADDRESS = Record("address", 20, (
    Field("family", U32, 0), Field("v4", U32, 32), Field("v6", Octets(16), 32),
), overlaps=True)  # fmt: skip


def test_of_a_union_one_member_is_enough_and_all_come_out() -> None:
    codec = typed(ADDRESS)
    raw = codec.pack({"family": 2, "v4": 1})
    assert raw == struct.pack("=II12x", 2, 1)
    seen = codec.unpack(raw)
    assert seen == {"family": 2, "v4": 1, "v6": raw[4:]}
    assert codec.pack(seen) == raw
    assert refusal(ADDRESS, {"family": 2}) == ": field v4 is missing"
    assert refusal(ADDRESS, {"family": 2, "v4": 2, "v6": raw[4:]}) == (
        ": field v6 lies where another field says otherwise; give one of them only"
    )


def test_keys_are_hashable_and_equal_to_dicts() -> None:
    shape = Record(
        "r",
        16,
        (Field("pair", Record("p", 8, (Field("x", Row(U32, 2), 0),)), 0), Field("b", U64, 64)),
    )
    codec = typed(shape, frozen=True)
    key = codec.unpack(codec.pack({"pair": {"x": [1, 2]}, "b": 3}))
    assert key == {"pair": {"x": (1, 2)}, "b": 3}
    assert {key: 1}[codec.unpack(codec.pack(key))] == 1
    with pytest.raises(TypeError, match="a key of a map cannot be changed"):
        key["b"] = 4


# ---- classes of the user's choice


def test_values_come_as_the_class_that_was_asked_for() -> None:
    import numpy as np

    codec = typed(PAIR)
    raw = codec.pack((1, 2))
    point = namedtuple("point", "a b")

    class Structure(ctypes.Structure):
        _fields_ = [("a", ctypes.c_uint32), ("b", ctypes.c_uint64)]

    assert adapted(codec, Pair).unpack(raw) == Pair(1, 2)
    assert adapted(codec, PairTuple).unpack(raw) == PairTuple(b=2, a=1)
    assert adapted(codec, point).unpack(raw) == point(1, 2)
    assert adapted(codec, bytes).unpack(raw) == raw
    assert adapted(codec, np.dtype(codec.dtype())).unpack(raw).tolist() == (1, 2)
    found = adapted(codec, Structure).unpack(raw)
    assert (found.a, found.b) == (1, 2)
    for wanted in (Pair, PairTuple, Structure, codec.dtype()):
        again = adapted(codec, wanted)
        assert again.pack(again.unpack(raw)) == raw
        assert again.unpack_many(raw * 2, 2, 16)[1] is not None


@dataclass
class Outer:
    inner: Pair
    kinds: list[Pair]


def test_dataclasses_inside_go_by_their_hints() -> None:
    shape = Record("o", 48, (Field("inner", PAIR, 0), Field("kinds", Row(PAIR, 2), 128)))
    codec = adapted(typed(shape), Outer)
    value = Outer(Pair(1, 2), [Pair(3, 4), Pair(5, 6)])
    assert codec.unpack(codec.pack(value)) == value


def test_addresses_and_enumerations_are_classes_too() -> None:
    from ipaddress import IPv4Address, IPv6Address

    class Kind(enum.IntEnum):
        TCP = 6

    for address in (IPv4Address("10.0.0.1"), IPv6Address("fe80::1")):
        codec = adapted(Plain("value", len(address.packed), integer=False), type(address))
        assert codec.pack(address) == address.packed
        assert codec.unpack(address.packed) == address
    number = adapted(Plain("value", 4, integer=True), Kind)
    assert number.unpack(number.pack(Kind.TCP)) is Kind.TCP


@dataclass
class Other:
    a: int
    c: int


def test_a_class_that_differs_is_refused_with_the_field() -> None:
    import numpy as np

    class Signed(ctypes.Structure):
        _fields_ = [("a", ctypes.c_uint32), ("b", ctypes.c_int64)]

    class Moved(ctypes.Structure):
        _pack_ = 1
        _fields_ = [("a", ctypes.c_uint32), ("b", ctypes.c_uint64), ("c", ctypes.c_uint32)]

    for wanted, sentence in (
        (Other, "a Other: the map has no field c"),
        (Signed, "b is an unsigned integer of 8 bytes and not a signed integer of 8 bytes"),
        (Moved, "a Moved: field b is at byte 8 and not at byte 4"),
        (np.dtype([("a", "u4"), ("x", "u4"), ("b", "u8")]), "there is no field x"),
        (np.uint32, "a uint32: it has 16 bytes and not 4"),
    ):  # fmt: skip
        with pytest.raises(EncodeError) as refused:
            adapted(typed(PAIR), wanted)
        assert str(refused.value).endswith(sentence)
    with pytest.raises(EncodeError, match="use a ctypes structure or a numpy dtype"):
        adapted(Plain("value", 16, integer=False), Pair)
    with pytest.raises(TypeError, match="object is no dataclass"):
        adapted(typed(PAIR), object)


def test_each_processor_s_value_is_of_the_class() -> None:
    codec = adapted(PerCpu(typed(PAIR), 2), Pair)
    assert codec.unpack(codec.pack([Pair(1, 2), Pair(3, 4)])) == (Pair(1, 2), Pair(3, 4))
    assert codec.unpack_many(codec.pack([Pair(1, 2), Pair(3, 4)]), 1, 32) == [
        (Pair(1, 2), Pair(3, 4))
    ]


# ---- from BTF


def test_btf_becomes_a_shape_without_typedefs_and_unnamed_members() -> None:
    btf = t.Btf((
        t.Int("unsigned int", 4, 32),
        t.Typedef("u32", 1),
        t.Int("char", 1, 8, t.IntEncoding.SIGNED),
        t.Array(3, 1, 16),
        t.Union("", 4, (t.Member("x", 2, 0), t.Member("y", 7, 0))),
        t.Struct("s", 24, (t.Member("name", 4, 0), t.Member("", 5, 128), t.Member("z", 1, 160))),
        t.Const(1),
        t.Int("unsigned char", 1, 8),
        t.Array(8, 1, 6),
    ))  # fmt: skip
    numbers = [Field(name, U32, place) for name, place in (("x", 128), ("y", 128), ("z", 160))]
    record = Record("s", 24, (Field("name", Text(16), 0), *numbers), overlaps=True)
    assert shape_of(btf, 6) == record
    assert shape_of(btf, 9) == Octets(6)


def test_types_without_a_size_are_refused() -> None:
    btf = t.Btf((t.FuncProto(0), t.Fwd("s"), t.Typedef("loop", 3)))
    for type_id, sentence in (
        (1, "has no size"),
        (2, "has no size"),
        (3, "leads in a circle"),
        (0, "has no size"),
    ):
        with pytest.raises(BtfError, match=sentence):
            shape_of(btf, type_id)


def test_shapes_are_said_in_words() -> None:
    shapes = (
        U32,
        S32,
        Number(1, kind="bool"),
        Number(8, kind="float"),
        Text(4),
        Octets(4),
        Row(U8, 2),
        PAIR,
    )
    assert [said(each) for each in shapes] == [
        "an unsigned integer of 4 bytes", "a signed integer of 4 bytes", "a bool",
        "a floating-point number of 8 bytes", "text of up to 4 bytes", "4 bytes",
        "an array of 2 (an unsigned integer of 1 byte)", "struct pair of 16 bytes",
    ]  # fmt: skip


# ---- the short way to bytes


@given(st.data())
def test_the_short_way_gives_the_same_bytes_or_leaves_it_to_the_long_one(
    data: st.DataObject,
) -> None:
    scalars: st.SearchStrategy[Shape] = st.sampled_from([
        U8, Number(2, signed=True), U32, U64, Number(1, kind="bool"), Number(8, kind="float"),
        Text(5), Octets(3),
    ])  # fmt: skip
    shape = data.draw(st.lists(scalars, min_size=1, max_size=5).map(record))
    value = {each.name: data.draw(values_of(each.shape)) for each in shape.fields}
    pack = packer(shape)
    assert pack is not None
    try:
        expected = encode(shape, value)
    except Misfit:
        with pytest.raises(UNUSUAL):
            pack(value)
        return
    assert typed(shape).pack(value) == expected
    with contextlib.suppress(*UNUSUAL):  # what only the long way takes
        assert pack(value) == expected


def record(shapes: list[Shape]) -> Record:
    """A struct of these, with gaps between them."""
    fields, at = [], 0
    for index, shape in enumerate(shapes):
        fields.append(Field(f"f{index}", shape, 8 * at))
        at += shape.size + index
    return Record("drawn", at + 3, tuple(fields))


def values_of(shape: Shape) -> st.SearchStrategy[Any]:
    """Values that fit, and some that do not."""
    odd = st.one_of(
        st.integers(-(2**65), 2**65), st.floats(), st.text(max_size=6), st.binary(max_size=6)
    )
    match shape:
        case Number(kind="bool"):
            return st.booleans() | odd
        case Number(kind="float"):
            return st.floats(allow_nan=False) | odd
        case Number():
            return st.integers(0, 127) | odd
        case _:
            return st.binary(min_size=shape.size, max_size=shape.size) | odd
