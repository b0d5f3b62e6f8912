"""Named constants against the system's headers and the running kernel's BTF."""

from __future__ import annotations

import pytest

from ebpfasm.isa.constants import BY_NAME, CONSTANTS, ROWS, find
from tests import support
from tests.isa import judges


def test_names_are_unique() -> None:
    assert len(CONSTANTS) == len(BY_NAME) == len(ROWS)


def test_find_tells_where_a_constant_is_from() -> None:
    row = find("TC_ACT_SHOT")
    assert row
    assert (row.value, row.header) == (2, "linux/pkt_cls.h")
    assert find("TC_ACT_SHOOT") is None


def test_values_fit_an_immediate_of_64_bits() -> None:
    assert all(-(1 << 63) <= row.value < 1 << 64 for row in ROWS)


def test_ethertypes_are_numbers_of_the_host() -> None:
    assert CONSTANTS["ETH_P_IP"] == 0x0800
    assert CONSTANTS["ETH_P_IPV6"] == 0x86DD


@pytest.mark.tool("gcc")
def test_the_values_are_those_of_the_systems_headers() -> None:
    rows = [row for row in ROWS if support.release_of(row.since) <= judges.header_release()]
    # sys/socket.h first: linux/netfilter.h takes its families from there.
    headers = ["sys/socket.h", *sorted({row.header.partition(",")[0] for row in rows})]
    values = judges.values_in_c(headers, [row.name for row in rows])
    assert values == {row.name: row.value for row in rows}


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_the_values_are_those_of_the_running_kernel() -> None:
    kernel = judges.kernel_btf().enumerators()
    known = {name: value for name, value in CONSTANTS.items() if name in kernel}
    ours = {name: value & kernel[name][1] for name, value in known.items()}
    assert ours == {name: kernel[name][0] for name in known}
    assert len(known) > 150
