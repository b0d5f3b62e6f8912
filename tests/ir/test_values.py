import sys

import pytest

from ebpfasm.errors import EncodeError
from ebpfasm.ir.values import PerCpu, plain


def test_sizes_without_a_type_are_unsigned_integers_or_bytes() -> None:
    assert [plain("key", size).integer for size in (1, 2, 3, 4, 8, 16)] == [
        True, True, False, True, True, False,
    ]  # fmt: skip
    assert plain("key", 4).unpack(b"\xff\xff\xff\xff") == 2**32 - 1


def test_a_signed_type_is_a_signed_integer() -> None:
    value = plain("value", 4, "s32")
    assert value.unpack(value.pack(-2)) == -2


def test_a_struct_is_bytes_though_its_size_is_an_integers() -> None:
    assert plain("value", 8, "struct pair").unpack(bytes(8)) == bytes(8)


def test_integers_are_in_the_machines_byte_order() -> None:
    assert plain("key", 4).pack(1) == (1).to_bytes(4, sys.byteorder)


@pytest.mark.parametrize(
    ("type", "size", "value", "sentence"),
    [
        ("u8", 1, 256, "the key is an integer from 0 to 255, or 1 bytes; 256 was given"),
        ("u32", 4, -1, "the key is an integer from 0 to 4294967295, or 4 bytes; -1 was given"),
        ("s8", 1, 128, "the key is an integer from -128 to 127, or 1 bytes; 128 was given"),
        ("u16", 2, b"abc", "the key is an integer from 0 to 65535, or 2 bytes; 3 bytes were given"),
        ("u16", 2, "a", "the key is an integer from 0 to 65535, or 2 bytes; 'a' was given"),
        ("u16", 2, 1.0, "the key is an integer from 0 to 65535, or 2 bytes; 1.0 was given"),
        ("", 6, 7, "the key is 6 bytes; 7 was given"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    type: str, size: int, value: object, sentence: str
) -> None:
    with pytest.raises(EncodeError) as refusal:
        plain("key", size, type).pack(value)
    assert str(refusal.value) == f"error[map-value]: {sentence}"


def test_a_type_of_another_size_is_refused() -> None:
    with pytest.raises(EncodeError, match="the key is 8 bytes, but u32 has 4"):
        plain("key", 8, "u32")


def test_values_of_each_cpu_are_eight_bytes_apart() -> None:
    value = PerCpu(plain("value of map 'm'", 4, "u32"), 3)
    assert (value.stride, value.size) == (8, 24)
    assert value.unpack(value.pack([1, 2, 3])) == (1, 2, 3)
    wide = PerCpu(plain("value", 12), 2)
    assert (wide.stride, wide.size) == (16, 32)
    assert wide.unpack(wide.pack([b"a" * 12, b"b" * 12])) == (b"a" * 12, b"b" * 12)


def test_a_value_for_every_cpu_must_be_given() -> None:
    value = PerCpu(plain("value of map 'm'", 4, "u32"), 3)
    for given, shown in ((7, "7 was given"), ([1, 2], "2 were given")):
        with pytest.raises(EncodeError) as refusal:
            value.pack(given)
        assert str(refusal.value) == (
            "error[map-value]: the value of map 'm' is a sequence of 3 values, "
            f"one for each possible CPU; {shown}"
        )
