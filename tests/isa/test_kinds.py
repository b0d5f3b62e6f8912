"""The tables of map, program, attach and link types against the header and the running kernel."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ebpfasm.isa import contexts
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import (
    ATTACH_TYPES,
    LINK_TYPES,
    MAP_TYPES,
    PROGRAM_TYPES,
    Kind,
    KindTable,
    MapType,
)
from tests import support
from tests.isa import judges

TABLES: tuple[KindTable[Kind], ...] = (MAP_TYPES, PROGRAM_TYPES, ATTACH_TYPES, LINK_TYPES)
ENUMS: dict[str, KindTable[Kind]] = {
    "bpf_map_type": MAP_TYPES,
    "bpf_prog_type": PROGRAM_TYPES,
    "bpf_attach_type": ATTACH_TYPES,
    "bpf_link_type": LINK_TYPES,
}
by_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.what)


@by_table
def test_ids_count_up_and_names_are_unique(table: KindTable[Kind]) -> None:
    assert [row.id for row in table] == list(range(len(table)))
    assert len(table.by_name) == len(table.by_id) == len(table)


@by_table
def test_newer_numbers_came_in_newer_kernels(table: KindTable[Kind]) -> None:
    releases = [support.release_of(row.since) for row in table]
    assert releases == sorted(releases)


@by_table
def test_every_spelling_of_a_row_finds_its_number(table: KindTable[Kind]) -> None:
    for row in table:
        assert table.name_of(row.id) == row.name
        spellings = (row.name, row.c_name, f"{table.what}#{row.id}")
        assert [table.id_of(word) for word in spellings] == [row.id] * 3


@by_table
def test_numbers_without_a_row_have_a_name_that_reads_back(table: KindTable[Kind]) -> None:
    for number in (len(table), 4711, 0xFFFF_FFFF):
        assert table.name_of(number) == f"{table.what}#{number}"
        assert table.id_of(f"{table.what}#{number}") == number


@pytest.mark.parametrize(
    "word",
    ["", "hsh", "#", "#5", "map_type#", "map_type#-1", "map_type#x", "map_type#\u0665", "map_type",
     "map_type#4294967296", "map_type#" + "9" * 5000, "prog_type#1"],
)  # fmt: skip
def test_other_words_are_no_map_type(word: str) -> None:
    assert MAP_TYPES.id_of(word) is None
    assert MAP_TYPES.find(word) is None


def test_deprecated_c_names_find_the_row() -> None:
    row = MAP_TYPES.find("BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE_DEPRECATED")
    assert row is MAP_TYPES.by_name["percpu_cgroup_storage"]


def test_map_rules_read_as_plain_questions() -> None:
    array, devmap, ringbuf = (MAP_TYPES.by_name[each] for each in ("array", "devmap", "ringbuf"))
    assert (array.fixed_key, array.fixed_value, array.no_key) == (4, None, False)
    assert (devmap.fixed_key, devmap.fixed_value, devmap.value_sizes) == (4, None, (4, 8))
    assert (ringbuf.fixed_key, ringbuf.no_key, ringbuf.no_value) == (0, True, True)
    assert {row.name for row in MAP_TYPES if row.per_cpu} == {
        "percpu_hash", "percpu_array", "lru_percpu_hash", "percpu_cgroup_storage",
    }  # fmt: skip
    assert all(row.needs_flag in CONSTANTS for row in MAP_TYPES if row.needs_flag)


def test_every_context_is_a_struct_that_we_know() -> None:
    named = {row.context for row in PROGRAM_TYPES if row.context}
    assert named <= contexts.STRUCTS.keys()


@pytest.mark.tool("gcc")
@by_table
def test_the_numbers_are_those_of_the_systems_header(table: KindTable[Kind]) -> None:
    rows = [row for row in table if support.release_of(row.since) <= judges.header_release()]
    values = judges.values_in_c(["linux/bpf.h"], [row.c_name for row in rows])
    assert values == {row.c_name: row.id for row in rows}


@by_table
def test_the_systems_header_has_no_row_that_is_newer_than_itself(table: KindTable[Kind]) -> None:
    header = Path("/usr/include/linux/bpf.h")
    if not header.exists():
        support.missing("gcc", "there are no kernel headers: run tools/system-packages")
    words = set(re.findall(r"\w+", header.read_text()))
    newer = (row for row in table if support.release_of(row.since) > judges.header_release())
    assert [row.c_name for row in newer if row.c_name in words] == []


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("enum", ENUMS)
def test_every_enumerator_of_the_kernel_is_a_row(enum: str) -> None:
    table = ENUMS[enum]
    kernel = {
        name: number
        for name, number in judges.kernel_btf().enums[enum].items()
        if not name.startswith(("__MAX_", "MAX_"))
    }
    assert {name: table.id_of(name) for name in kernel} == kernel
    known = (row for row in table if support.release_of(row.since) <= support.kernel_release())
    assert [row.c_name for row in known if row.c_name not in kernel] == []


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_contexts_are_those_that_the_kernel_gives_each_program_type() -> None:
    btf = judges.kernel_btf()
    said = {
        member["name"].removesuffix("_prog"): struct_name(btf.resolved(member["type_id"]))
        for member in btf.structs["bpf_ctx_convert"]["members"]
        if member["name"].endswith("_prog")
    }
    if platform.machine() == "aarch64":
        said["BPF_PROG_TYPE_KPROBE"] = "pt_regs"  # the kernel says user_pt_regs
    rows = {row.c_name: row for row in PROGRAM_TYPES}
    assert {name: rows[name].context for name in said} == said


def struct_name(found: dict[str, Any] | None) -> str | None:
    return found["name"] if found and found["kind"] == "STRUCT" else None


# What BPF_MAP_CREATE needs beside sizes and flags to say yes.
ENTRIES = {"ringbuf": 65536, "user_ringbuf": 65536}
TRIED_SIZES = (0, 1, 2, 3, 4, 5, 8, 12, 16, 24)
NEEDS_MORE = {"unspec", "struct_ops"}  # no map; its value type is one of the kernel's own


def bpf(command: int, attr: bytes) -> int:
    """Call bpf(2): a descriptor or 0, or a negative errno."""
    number = support.NR_BPF.get(platform.machine(), support.NR_BPF_GENERIC)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    answer: int = libc.syscall(ctypes.c_long(number), command, attr, len(attr))
    return answer if answer >= 0 else -ctypes.get_errno()


def load_btf_of_an_int() -> int:
    strings = b"\0int\0"
    one_int = struct.pack("=IIII", 1, 1 << 24, 4, 1 << 24 | 32)
    header = struct.pack("=HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(one_int), len(one_int), len(strings))
    blob = ctypes.create_string_buffer(header + one_int + strings)
    size = len(header + one_int + strings)
    return bpf(18, struct.pack("=QQIIII", ctypes.addressof(blob), 0, size, 0, 0, 0))


def create(row: MapType, key: int, value: int, inner: int, btf: int) -> int:
    entries = 0 if row.no_entries else ENTRIES.get(row.name, 1)
    flags = CONSTANTS[row.needs_flag] if row.needs_flag else 0
    inner = inner if row.name.endswith("_of_maps") else 0
    types = (btf, 1, 1) if row.needs_btf else (0, 0, 0)
    head = struct.pack("=IIIIIII16sI", row.id, key, value, entries, flags, inner, 0, b"", 0)
    return bpf(0, head + struct.pack("=IIIIQ", *types, 0, 0))


def good_sizes(row: MapType) -> tuple[int, int]:
    value = 4 if row.needs_btf else 8
    return (row.key_sizes or (8,))[0], (row.value_sizes or (value,))[0]


@pytest.mark.kernel
@pytest.mark.parametrize("row", [row for row in MAP_TYPES if row.name not in NEEDS_MORE],
                         ids=lambda row: row.name)  # fmt: skip
def test_the_kernel_creates_maps_by_our_rules_and_no_others(row: MapType) -> None:
    if support.release_of(row.since) > support.kernel_release():
        pytest.skip(f"{row.name} came with Linux {row.since}")
    inner, btf = create(MAP_TYPES.by_name["array"], 4, 4, 0, 0), load_btf_of_an_int()
    assert inner >= 0
    assert btf >= 0
    key, value = good_sizes(row)
    try:
        fd = create(row, key, value, inner, btf)
        assert fd >= 0, errno.errorcode[-fd]
        assert takes_descriptors(fd, key, value) == row.fd_value or row.needs_btf
        os.close(fd)
        bad_keys = set(TRIED_SIZES) - set(row.key_sizes) if row.key_sizes else {0}
        bad_values = set(TRIED_SIZES) - set(row.value_sizes) if row.value_sizes else {0}
        refused = [create(row, bad, value, inner, btf) for bad in bad_keys]
        refused += [create(row, key, bad, inner, btf) for bad in bad_values]
        assert set(refused) == {-errno.EINVAL}
        for other in row.value_sizes[1:]:
            os.close(create(row, key, other, inner, btf))
        for other in row.key_sizes[1:]:
            os.close(create(row, other, value, inner, btf))
    finally:
        os.close(inner)
        os.close(btf)


def takes_descriptors(fd: int, key_size: int, value_size: int) -> bool:
    """Whether storing a number that is no open descriptor is refused as such."""
    key = ctypes.create_string_buffer(max(key_size, 1))
    value = ctypes.create_string_buffer(struct.pack("=I", 0x7FFF_FFFF), max(value_size, 4096))
    places = (ctypes.addressof(key) if key_size else 0, ctypes.addressof(value))
    return bpf(2, struct.pack("=IIQQQ", fd, 0, *places, 0)) == -errno.EBADF


@pytest.mark.kernel
@pytest.mark.parametrize("row", [row for row in MAP_TYPES if row.needs_flag],
                         ids=lambda row: row.name)  # fmt: skip
def test_the_kernel_insists_on_the_flag_a_map_needs(row: MapType) -> None:
    if support.release_of(row.since) > support.kernel_release():
        pytest.skip(f"{row.name} came with Linux {row.since}")
    btf = load_btf_of_an_int()
    try:
        for flag, refused in (("", True), (row.needs_flag, False)):
            fd = create(replace(row, needs_flag=flag), *good_sizes(row), 0, btf)
            assert (fd == -errno.EINVAL) == refused
            if fd >= 0:
                os.close(fd)
    finally:
        os.close(btf)
