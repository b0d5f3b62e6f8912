from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.errors import EncodeError
from ebpfasm.ir.prefixes import Prefix

V4, V6, OTHER = Prefix("key", 8), Prefix("key", 20), Prefix("key", 7)


@given(st.ip_addresses(v=4), st.integers(0, 32))
def test_networks_go_in_and_come_out(address: IPv4Address, length: int) -> None:
    network = IPv4Network((address, length), strict=False)
    raw = V4.pack(network)
    assert raw == struct.pack("=I", length) + network.network_address.packed
    assert V4.unpack(raw) == network
    assert V4.pack(str(network)) == raw == V4.pack((length, network.network_address.packed))


def test_an_address_is_a_network_of_its_own_and_an_interface_is_in_one() -> None:
    assert V4.pack("10.0.0.1") == V4.pack(IPv4Address("10.0.0.1")) == V4.pack("10.0.0.1/32")
    assert V4.pack(IPv4Interface("10.0.0.1/8")) == V4.pack("10.0.0.0/8")
    assert V6.unpack(V6.pack("fe80::/10")) == IPv6Network("fe80::/10")


def test_other_sizes_are_a_length_and_bytes() -> None:
    assert OTHER.unpack(OTHER.pack((12, b"abc"))) == (12, b"abc")
    assert OTHER.unpack_many(OTHER.pack((12, b"abc")) * 2, 2, 7) == [(12, b"abc")] * 2


@pytest.mark.parametrize(
    ("codec", "value", "sentence"),
    [
        (V4, "10.0.0.1/8", "is an IPv4 network, or 8 bytes; 10.0.0.1/8 has host bits set"),
        (V4, "::/0", "is an IPv4 network, or 8 bytes; '::/0' was given"),
        (V4, 7, "is an IPv4 network, or 8 bytes; 7 was given"),
        (V4, (33, b"abcd"), "is an IPv4 network, or 8 bytes; a length of 33 was given"),
        (V4, b"abc", "is an IPv4 network, or 8 bytes; 3 bytes were given"),
        (OTHER, "10.0.0.0/8", "is the length of a prefix and 3 bytes; '10.0.0.0/8' was given"),
    ],
)
def test_what_is_no_network_is_refused(codec: Prefix, value: object, sentence: str) -> None:
    with pytest.raises(EncodeError) as refused:
        codec.pack(value)
    assert str(refused.value) == f"error[map-value]: the key {sentence}"


def test_ipv4_in_ipv6_is_not_guessed() -> None:
    with pytest.raises(EncodeError, match=r"hint: IPv4 in IPv6 is written ::ffff:10.0.0.0/104"):
        V6.pack("10.0.0.0/8")
