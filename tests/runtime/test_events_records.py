"""Types of records: what Python sees is what ctypes sees in the same bytes."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.btf import types as t
from ebpfasm.btf.types import Btf
from ebpfasm.errors import BtfError, EncodeError
from ebpfasm.runtime.events.records import record_of


class Inner(ctypes.Structure):
    _fields_ = (("a", ctypes.c_uint16), ("b", ctypes.c_int8))


class Outer(ctypes.Structure):
    _fields_ = (
        ("head", ctypes.c_uint8),
        ("number", ctypes.c_int64),
        ("inner", Inner),
        ("many", ctypes.c_uint32 * 3),
        ("name", ctypes.c_char * 8),
        ("real", ctypes.c_double),
    )


@dataclass(slots=True)
class InnerData:
    a: Annotated[int, "u16"]
    b: Annotated[int, "s8"]


@dataclass(frozen=True, slots=True)
class OuterData:
    head: ctypes.c_uint8
    number: Annotated[int, "long long"]
    inner: InnerData
    many: ctypes.c_uint32 * 3  # type: ignore[valid-type]
    name: Annotated[bytes, 8]
    real: Annotated[float, "double"]


TYPES = Btf((
    t.Int("unsigned char", 1, 8),
    t.Int("long long", 8, 64, 1),
    t.Int("unsigned short", 2, 16),
    t.Int("signed char", 1, 8, 1),
    t.Struct("inner", 4, (t.Member("a", 3, 0), t.Member("b", 4, 16))),
    t.Int("unsigned int", 4, 32),
    t.Array(6, 6, 3),
    t.Int("char", 1, 8),
    t.Array(8, 6, 8),
    t.Float("double", 8),
    t.Struct("outer", 48, (
        t.Member("head", 1, 0), t.Member("number", 2, 64), t.Member("inner", 5, 128),
        t.Member("many", 7, 160), t.Member("name", 9, 256), t.Member("real", 10, 320),
    )),
))  # fmt: skip


def as_plain(value: Any) -> Any:
    """A ctypes object as dicts, lists and numbers."""
    if isinstance(value, ctypes.Structure | ctypes.Union):
        return {name: as_plain(getattr(value, name)) for name, *_ in value._fields_}
    return list(value) if isinstance(value, ctypes.Array) else value


def same(one: object, other: object) -> bool:
    """Equal, or both not a number."""
    return repr(one) == repr(other)


# ctypes ends a text at its first zero, here it ends at the zeros that end it.
outer_bytes = st.tuples(st.binary(min_size=32, max_size=32), st.binary(min_size=8, max_size=8)).map(
    lambda parts: (parts[0] + b"abc\0\0\0\0\0" + parts[1]) * 2
)


@given(outer_bytes)
def test_structs_from_btf_are_what_ctypes_reads(raw: bytes) -> None:
    read = list(record_of((TYPES, "struct outer")).values(memoryview(raw), []))
    assert same(read, [as_plain(each) for each in (Outer * 2).from_buffer_copy(raw)])


@given(outer_bytes)
def test_dataclasses_lie_as_c_lays_structs_out(raw: bytes) -> None:
    read = list(record_of(OuterData).values(memoryview(raw), []))
    for found, expected in zip(read, (Outer * 2).from_buffer_copy(raw), strict=True):
        assert isinstance(found, OuterData)
        assert same(
            (found.head, found.number, found.inner, found.many, found.name, found.real),
            (
                expected.head,
                expected.number,
                InnerData(expected.inner.a, expected.inner.b),
                list(expected.many),
                expected.name,
                expected.real,
            ),
        )


@given(outer_bytes)
def test_ctypes_objects_have_memory_of_their_own(raw: bytes) -> None:
    buffer = bytearray(raw)
    read = list(record_of(Outer).values(memoryview(buffer), []))
    buffer[:] = bytes(len(buffer))
    assert bytes(read[1]) == raw[48:]


class Flags(ctypes.Structure):
    _fields_ = (
        ("low", ctypes.c_uint32, 3),
        ("middle", ctypes.c_int32, 7),
        ("high", ctypes.c_uint32, 22),
        ("rest", ctypes.c_uint16),
    )


class Either(ctypes.Union):
    _fields_ = (("word", ctypes.c_uint32), ("halves", ctypes.c_uint16 * 2), ("flags", Flags))


BITS = Btf((
    t.Int("unsigned int", 4, 32),
    t.Int("int", 4, 32, 1),
    t.Int("unsigned short", 2, 16),
    t.Struct("flags", 8, (
        t.Member("low", 1, 0, 3), t.Member("middle", 2, 3, 7), t.Member("high", 1, 10, 22),
        t.Member("rest", 3, 32),
    )),
    t.Array(3, 1, 2),
    t.Union("either", 8, (
        t.Member("word", 1, 0), t.Member("halves", 5, 0), t.Member("flags", 4, 0),
    )),
))  # fmt: skip


@given(st.binary(min_size=24, max_size=24))
def test_bit_fields_and_unions_are_what_ctypes_reads(raw: bytes) -> None:
    read = list(record_of((BITS, "union either")).values(memoryview(raw), []))
    assert read == [as_plain(each) for each in (Either * 3).from_buffer_copy(raw)]


@pytest.mark.parametrize("format", ["=IHb5s", "@bqH", "<Q?d", ">hI", "3sxI2H", "=2i"])
def test_arrays_of_a_struct_format_have_its_places(format: str) -> None:
    size = struct.calcsize(format)
    raw = bytes(range(1, size + 1)).replace(b"\0", b"\1")
    import numpy as np

    array = np.frombuffer(raw, record_of(format).numpy())
    found = [value.item() if hasattr(value, "item") else value for value in array[0]]
    assert same(found, list(struct.unpack(format, raw)))


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        (7, TypeError, "7 describes no record"),
        ("", TypeError, "no bytes"),
        ("=Z", struct.error, "bad char"),
        ((TYPES, "struct none"), BtfError, "there is no type 'struct none'"),
        ((TYPES, 99), BtfError, "99"),
    ],
)
def test_what_describes_no_record_is_refused(given: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        record_of(given)


def test_a_dataclass_whose_field_says_no_size_is_refused_by_name() -> None:
    @dataclass
    class Loose:
        number: int

    Loose.__annotations__["number"] = int
    with pytest.raises(EncodeError, match=r"the type of Loose.number says no size"):
        record_of(Loose)


def test_lengths_may_differ_where_records_are_bytes() -> None:
    kind = record_of(None)
    assert list(kind.values(memoryview(b"aabbb"), [2, 2, 5])) == [b"aa", b"", b"bbb"]
    assert list(kind.values(memoryview(b"aabb"), range(2, 5, 2))) == [b"aa", b"bb"]
