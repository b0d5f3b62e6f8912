"""The records that tie types and lines to instructions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.btf.ext import (
    MAX_COLUMN,
    MAX_LINE,
    FuncInfo,
    LineInfo,
    pack_func_info,
    pack_line_info,
    unpack_func_info,
    unpack_line_info,
)
from ebpfasm.btf.types import ByteOrder
from ebpfasm.errors import BtfError

U32 = st.integers(0, (1 << 32) - 1)
ORDERS: tuple[ByteOrder, ByteOrder] = ("little", "big")
LINES = st.builds(LineInfo, U32, U32, U32, st.integers(0, MAX_LINE), st.integers(0, MAX_COLUMN))


@pytest.mark.parametrize("order", ORDERS)
@given(records=st.lists(st.builds(FuncInfo, U32, U32)))
def test_func_info_goes_round(order: ByteOrder, records: list[FuncInfo]) -> None:
    data = pack_func_info(records, order)

    assert unpack_func_info(data, byteorder=order) == tuple(records)


@pytest.mark.parametrize("order", ORDERS)
@given(records=st.lists(LINES))
def test_line_info_goes_round(order: ByteOrder, records: list[LineInfo]) -> None:
    data = pack_line_info(records, order)

    assert unpack_line_info(data, byteorder=order) == tuple(records)


def test_a_line_and_its_column_share_a_word() -> None:
    data = pack_line_info([LineInfo(1, 2, 3, line=5, column=7)])

    assert data.hex(" ", 4) == "01000000 02000000 03000000 07140000"


def test_what_longer_records_add_is_passed_over() -> None:
    assert unpack_func_info(bytes.fromhex("01000000 02000000 ffffffff"), record_size=12) == (
        FuncInfo(1, 2),
    )


def test_bytes_that_are_no_records_are_refused() -> None:
    with pytest.raises(BtfError) as refused:
        unpack_func_info(bytes(12))
    with pytest.raises(BtfError) as short:
        unpack_line_info(bytes(16), record_size=8)

    assert str(refused.value) == (
        "error[btf-format]: 12 bytes are no records of 8, at least 8 each"
    )
    assert str(short.value) == "error[btf-format]: 16 bytes are no records of 8, at least 16 each"


def test_a_line_or_column_that_does_not_fit_is_refused() -> None:
    for line, column in ((MAX_LINE + 1, 0), (0, MAX_COLUMN + 1)):
        with pytest.raises(BtfError) as refused:
            pack_line_info([LineInfo(0, 0, 0, line, column)])

        assert str(refused.value) == (
            f"error[btf-range]: line {line}, column {column} does not fit:"
            " line info ends at 4194303 and 1023"
        )


def test_an_offset_that_does_not_fit_is_refused() -> None:
    with pytest.raises(BtfError) as refused:
        pack_func_info([FuncInfo(1 << 32, 1)])

    assert str(refused.value) == "error[btf-range]: (4294967296, 1) do not fit 32 bits each"
