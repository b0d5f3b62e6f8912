"""The codec against its table: every row both ways, and nothing outside the table."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.errors import DecodeError, EncodeError
from ebpfasm.isa.codec import ByteOrder, Fields, check, decode, encode, fit
from ebpfasm.isa.forms import RANGES
from ebpfasm.isa.table import BY_NAME, BY_OPCODE, TABLE, InstructionSpec

ORDERS: tuple[ByteOrder, ByteOrder] = ("little", "big")
WORD, SHORT = RANGES["imm32"], RANGES["off"]


def _limits(spec: InstructionSpec, name: str) -> tuple[int, int]:
    operand = spec.form.operand(name)
    if operand is None:
        return 0, 0
    if name in ("dst", "src"):
        return 0, 10
    if name == "off":
        return SHORT
    return RANGES["imm64"] if operand.kind == "imm64" else WORD


@st.composite
def instructions(draw: st.DrawFn) -> Fields:
    """Any row with any operands."""
    spec = draw(st.sampled_from(TABLE))
    values = [draw(st.integers(*_limits(spec, name))) for name in ("dst", "src", "off", "imm")]
    return Fields(spec, *values)


@pytest.mark.parametrize("order", ORDERS)
@given(program=st.lists(instructions(), max_size=8))
def test_what_is_encoded_decodes_to_the_same(order: ByteOrder, program: list[Fields]) -> None:
    code = b"".join(encode(*each, byteorder=order) for each in program)

    assert decode(code, byteorder=order) == tuple(program)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.name)
def test_every_row_goes_round_at_the_ends_of_its_fields(
    spec: InstructionSpec, order: ByteOrder
) -> None:
    for end in (0, 1):
        values = [_limits(spec, name)[end] for name in ("dst", "src", "off", "imm")]
        code = encode(spec, *values, byteorder=order)

        assert len(code) == 8 * spec.slots
        assert code[0] == spec.opcode
        assert decode(code, byteorder=order) == (Fields(spec, *values),)


@given(code=st.binary(min_size=16, max_size=16), opcode=st.sampled_from(sorted(BY_OPCODE)))
@pytest.mark.parametrize("order", ORDERS)
def test_bytes_that_decode_are_the_bytes_that_come_back(
    order: ByteOrder, code: bytes, opcode: int
) -> None:
    code = bytes([opcode]) + code[1:]
    try:
        fields = decode(code, byteorder=order)
    except DecodeError:
        return

    assert b"".join(encode(*each, byteorder=order) for each in fields) == code


@given(code=st.binary(max_size=64))
def test_bytes_that_are_no_program_raise_nothing_but_decode_error(code: bytes) -> None:
    with suppress(DecodeError):
        decode(code)


@pytest.mark.parametrize("opcode", sorted(set(range(256)) - set(BY_OPCODE)))
def test_an_opcode_outside_the_table_is_refused(opcode: int) -> None:
    with pytest.raises(DecodeError) as refused:
        decode(bytes([opcode]) + bytes(15))

    first = refused.value.diagnostics[0]
    assert str(first) == (
        f"error[decode-opcode]: slot 0: no instruction has the opcode {opcode:#04x}"
    )


@pytest.mark.parametrize("spec", TABLE, ids=lambda spec: spec.name)
def test_a_reserved_field_that_is_not_zero_is_refused(spec: InstructionSpec) -> None:
    for name in ("dst", "src", "off", "imm"):
        if spec.form.operand(name) is not None:
            continue
        for value in {1, 7, _limits_of_field(name)} - _values_of_siblings(spec, name):
            with pytest.raises(DecodeError) as refused:
                decode(_raw(spec, {name: value}))

            (wrong,) = refused.value.diagnostics
            assert wrong.code == "decode-reserved", wrong


def _limits_of_field(name: str) -> int:
    return {"dst": 10, "src": 10, "off": SHORT[1], "imm": WORD[1]}[name]


def _values_of_siblings(spec: InstructionSpec, name: str) -> set[int]:
    rows = BY_OPCODE[spec.opcode]
    return {dict(row.fixed).get(name, 0) for row in rows if row.form.operand(name) is None}


def _raw(spec: InstructionSpec, values: dict[str, int]) -> bytes:
    fields = {"dst": 0, "src": 0, "off": 0, "imm": 0} | spec.fixed_fields | values
    registers = fields["src"] << 4 | fields["dst"]
    code = struct.pack("<BBhi", spec.opcode, registers, fields["off"], fields["imm"])
    return code + bytes(8) * (spec.slots - 1)


def test_a_register_above_r10_is_refused_both_ways() -> None:
    with pytest.raises(DecodeError) as decoded:
        decode(bytes.fromhex("7b1b000000000000 0f b1 000000000000 d40b000010000000"))
    with pytest.raises(EncodeError) as encoded:
        encode(BY_NAME["stxdw"], dst=11, src=-1)

    assert str(decoded.value) == (
        "error[decode-reserved]: slot 0: stxdw has dst = 11, which is no register\n"
        "error[decode-reserved]: slot 1: add64_reg has src = 11, which is no register\n"
        "error[decode-reserved]: slot 2: no le instruction has dst = 11, src = 0, off = 0, imm = 16"
    )
    assert str(encoded.value) == (
        "error[encode-range]: stxdw: r11 is no register, dst\n"
        "error[encode-range]: stxdw: r-1 is no register, src"
    )


def test_the_second_half_of_a_wide_instruction_may_hold_only_an_immediate() -> None:
    for at in (8, 9, 10, 11):
        code = bytearray(encode(BY_NAME["lddw"], dst=1, imm=5))
        code[at] = 1
        with pytest.raises(DecodeError) as refused:
            decode(bytes(code))

        assert str(refused.value) == (
            "error[decode-reserved]: slot 1: the second half of lddw may hold nothing but an"
            " immediate"
        )


def test_a_wide_instruction_cut_short_is_reported() -> None:
    with pytest.raises(DecodeError) as refused:
        decode(encode(BY_NAME["lddw"], dst=1, imm=5)[:8])

    assert str(refused.value) == "error[decode-truncated]: slot 0: lddw lacks its second half"


def test_bytes_left_over_are_reported() -> None:
    with pytest.raises(DecodeError) as refused:
        decode(encode(BY_NAME["exit"]) + b"\x95\0\0")

    assert str(refused.value) == "error[decode-truncated]: slot 1: 3 bytes are left over"


def test_every_bad_slot_is_reported_in_one_go() -> None:
    with pytest.raises(DecodeError) as refused:
        decode(bytes.fromhex("ff00000000000000 9500000001000000 9500000000000000"))

    assert str(refused.value) == (
        "error[decode-opcode]: slot 0: no instruction has the opcode 0xff\n"
        "error[decode-reserved]: slot 1: exit has imm = 1 where 0 is required"
    )


def test_a_number_beyond_its_field_is_refused_and_not_masked() -> None:
    with pytest.raises(EncodeError) as refused:
        encode(BY_NAME["stw"], dst=10, off=70000, imm=1 << 32)

    assert str(refused.value) == (
        "error[encode-range]: stw: off = 70000 is outside -32768 to 32767\n"
        "error[encode-range]: stw: imm = 4294967296 is outside -2147483648 to 2147483647"
    )


def test_a_field_that_the_row_does_not_use_must_be_zero() -> None:
    with pytest.raises(EncodeError) as refused:
        encode(BY_NAME["call_local"], src=1, imm=4)

    assert str(refused.value) == "error[encode-range]: call_local does not use src, which holds 1"


@given(
    spec=st.sampled_from(TABLE),
    values=st.tuples(
        st.integers(-2, 12),
        st.integers(-2, 12),
        st.integers(SHORT[0] - 2, SHORT[1] + 2),
        st.one_of(st.integers(-3, 3), st.integers(WORD[0] - 2, 2 * WORD[1]), st.just(1 << 63)),
    ),
)
def test_encode_refuses_just_what_check_finds(
    spec: InstructionSpec, values: tuple[int, int, int, int]
) -> None:
    found = tuple(check(spec, *values))
    if not found:
        encode(spec, *values)
        return

    with pytest.raises(EncodeError) as refused:
        encode(spec, *values)
    assert refused.value.diagnostics == found


def test_the_nibbles_of_the_registers_change_place_with_the_byte_order() -> None:
    row = BY_NAME["mov64_reg"]

    assert encode(row, dst=1, src=2).hex() == "bf21000000000000"
    assert encode(row, dst=1, src=2, byteorder="big").hex() == "bf12000000000000"


def test_numbers_are_taken_signed_or_unsigned_where_they_are_immediates() -> None:
    assert fit("imm32", 0xFFFFFFFF) == -1
    assert fit("imm32", 0x80000000) == -0x80000000
    assert fit("imm32", 0x1_0000_0000) is None
    assert fit("imm64", 0xFFFFFFFF_FFFFFFFF) == -1
    assert fit("off", 0xFFFF) is None
    assert fit("off", -32768) == -32768


def test_what_is_no_program_at_all_is_told_in_bounds() -> None:
    for slots, told in ((1000, 1000), (1001, 1001), (50_000, 1001)):
        with pytest.raises(DecodeError) as caught:
            decode(b"\xff" * 8 * slots)
        codes = [each.code for each in caught.value.diagnostics]
        assert codes == ["decode-opcode"] * 1000 + ["decode-limit"] * (told - 1000)
