"""Values of .kconfig variables. That libbpf gives the same is in test_load_elf.py."""

from __future__ import annotations

import gzip
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ebpfasm.errors import LoadError
from ebpfasm.ir.specs import KconfigKind, KconfigSpec
from ebpfasm.runtime.loading import kallsyms, kconfig
from ebpfasm.runtime.release import kernel_version, version_code


def extern(
    kind: KconfigKind, size: int, *, signed: bool = False, weak: bool = False
) -> KconfigSpec:
    return KconfigSpec("CONFIG_X", 0, size, kind, signed, weak)


FITTING: list[tuple[KconfigSpec, str | int | bool, bytes]] = [
    (extern("bool", 1), "y", b"\1"),
    (extern("bool", 1), "n", b"\0"),
    (extern("bool", 1), True, b"\1"),
    (extern("bool", 1), 0, b"\0"),
    (extern("tristate", 4), "y", b"\1\0\0\0"),
    (extern("tristate", 4), "m", b"\2\0\0\0"),
    (extern("tristate", 4), "n", b"\0\0\0\0"),
    (extern("char", 1), "m", b"m"),
    (extern("char", 1), "65", b"A"),
    (extern("int", 4), "250", b"\xfa\0\0\0"),
    (extern("int", 4), "0x10", b"\x10\0\0\0"),
    (extern("int", 2), "010", b"\x08\0"),
    (extern("int", 4, signed=True), "-1", b"\xff\xff\xff\xff"),
    (extern("int", 8, signed=True), "0xffffffff81000000", b"\0\0\0\x81\xff\xff\xff\xff"),
    (extern("string", 6), '"abc"', b"abc\0\0\0"),
    (extern("string", 6), "abc", b"abc\0\0\0"),
    (extern("string", 6), '""', bytes(6)),
]


@pytest.mark.parametrize(("spec", "value", "expected"), FITTING)
def test_values_become_the_bytes_of_their_variables(
    spec: KconfigSpec, value: str | int | bool, expected: bytes
) -> None:
    assert kconfig.packed(spec, value, "little") == expected


MISFITS: list[tuple[KconfigSpec, str | int | bool, str]] = [
    (extern("bool", 1), "m", "asks for a variable of type tristate or char"),
    (extern("bool", 1), 2, "is not 0 or 1"),
    (extern("int", 4), "y", "asks for a variable of type bool, tristate or char"),
    (extern("int", 4), '"text"', "asks for an array of char"),
    (extern("int", 1), 256, "does not fit its 1 bytes"),
    (extern("int", 1, signed=True), 128, "does not fit its 1 bytes"),
    (extern("int", 4), -1, "does not fit its 4 bytes"),
    (extern("int", 4), "many", "is no number"),
    (extern("tristate", 4), 1, "asks for an integer, char or bool"),
    (extern("string", 4), 1, "asks for an integer, char or bool"),
    (extern("string", 9), '"open', "has no closing quote"),
]


@pytest.mark.parametrize(("spec", "value", "sentence"), MISFITS)
def test_what_does_not_fit_is_told(
    spec: KconfigSpec, value: str | int | bool, sentence: str
) -> None:
    with pytest.raises(LoadError) as refusal:
        kconfig.packed(spec, value, "little")
    (diagnostic,) = refusal.value.diagnostics
    assert diagnostic.code == "load-kconfig"
    assert diagnostic.message == f"extern 'CONFIG_X' of .kconfig: the value {value} {sentence}"


def test_a_long_text_is_cut_with_a_warning() -> None:
    with pytest.warns(RuntimeWarning, match='"abcdef" is cut to 3 bytes'):
        assert kconfig.packed(extern("string", 4), '"abcdef"', "little") == b"abc\0"


@given(st.integers(), st.sampled_from([1, 2, 4, 8]), st.booleans())
def test_numbers_come_back_or_are_refused(number: int, size: int, signed: bool) -> None:
    spec = extern("int", size, signed=signed)
    try:
        content = kconfig.packed(spec, number, "little")
    except LoadError:
        bits = 8 * size
        fits = -(1 << bits - 1) <= number < 1 << bits - 1 if signed else 0 <= number < 1 << bits
        assert not fits
    else:
        assert len(content) == size
        assert (int.from_bytes(content, "little") - number) % (1 << 8 * size) == 0


@given(st.text())
def test_any_text_is_read_as_a_configuration(text: str) -> None:
    assert all(re.fullmatch(r"CONFIG_\w+", name) for name in kconfig.parse(text))


@given(st.text(max_size=7), st.sampled_from(["bool", "char", "tristate", "int", "string"]))
def test_any_value_fits_or_is_refused(value: str, kind: KconfigKind) -> None:
    spec = extern(kind, 32)
    try:
        content = kconfig.packed(spec, value, "big")
    except LoadError as refusal:
        codes = {each.code for each in refusal.diagnostics}
        if codes != {"load-kconfig"}:
            raise
    else:
        assert len(content) == 32


@pytest.mark.kernel
def test_the_running_kernels_configuration_is_read() -> None:
    place = Path("/proc/config.gz")
    boot = Path(f"/boot/config-{os.uname().release}")
    if not place.exists() or boot.exists():
        pytest.skip("this kernel shows its configuration elsewhere, or nowhere")
    lines = gzip.decompress(place.read_bytes()).decode().splitlines()
    expected = dict(line.split("=", 1) for line in lines if re.match(r"CONFIG_\w+=", line))
    assert kconfig.kernel_config() == expected


VERSIONS = [
    ("", "#1 SMP", "6.18.44-fc", (6, 18, 44)),
    ("", "#1 SMP Debian 5.10.262-1 (2026-09-01)", "5.10.0-46-amd64", (5, 10, 262)),
    ("Ubuntu 5.4.0-12.15-generic 5.4.8", "#1", "5.4.0-12-generic", (5, 4, 8)),
    ("", "", "5.15+", (5, 15, 0)),
]


@pytest.mark.parametrize(("signature", "version", "release", "parts"), VERSIONS)
def test_versions_are_the_kernels_own(
    signature: str, version: str, release: str, parts: tuple[int, int, int]
) -> None:
    expected = parts[0] << 16 | parts[1] << 8 | min(parts[2], 255)
    assert version_code(signature, version, release) == expected


def test_a_release_that_tells_nothing_is_no_version() -> None:
    assert version_code("", "", "unknown") == 0
    assert kernel_version() > 0


@pytest.mark.kernel
def test_what_libbpf_adds_to_the_configuration_is_there() -> None:
    cookie = KconfigSpec("LINUX_HAS_BPF_COOKIE", 0, 1, "bool", False, False)
    wrapper = KconfigSpec("LINUX_HAS_SYSCALL_WRAPPER", 1, 1, "bool", False, False)
    names = Path("/proc/kallsyms").read_text()
    wrapped = re.search(r" __(x64|arm64|s390x|riscv|ia32)_sys_bpf$", names, re.MULTILINE)
    assert kconfig.values([cookie, wrapper], {}, "little") == {
        0: bytes([kernel_version() >= 5 << 16 | 15 << 8]),
        1: bytes([wrapped is not None]),
    }


@pytest.mark.kernel
def test_addresses_are_those_of_kallsyms() -> None:
    names = ("schedule", "no_such_symbol_at_all", "bpf_prog_load")
    lines = Path("/proc/kallsyms").read_text().splitlines()
    rows = (line.split() for line in lines)
    expected = {row[2]: int(row[0], 16) for row in rows if row[2] in names}
    found = kallsyms.addresses(names)
    assert found == expected
    assert "no_such_symbol_at_all" not in found
