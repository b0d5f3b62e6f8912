"""What the system has in the kernel, as bpftool lists it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ebpfasm.errors import LoadError
from ebpfasm.ir import MapSpec
from ebpfasm.runtime import system
from ebpfasm.runtime.info.ids import walk_ids
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.syscall import MAP_GET_NEXT_ID
from tests.runtime.samples import bpftool, counting, descriptors

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]


def test_programs_maps_and_btf_are_listed_as_bpftool_lists_them() -> None:
    with load(counting()) as live:
        program, counts = live.programs["count"], live.maps["counts"]
        before = descriptors()
        programs = {each.id: each for each in system.programs()}
        maps = {each.id: each for each in system.maps()}
        btfs = {each.id: each for each in system.btfs()}
        assert descriptors() == before
        assert programs[program.id] == program.info()
        assert maps[counts.id] == counts.info()
        assert not btfs[program.info().btf_id].kernel
        for found, word in ((programs, "prog"), (maps, "map"), (btfs, "btf")):
            listed = {each["id"] for each in bpftool(word, "show")}
            # Others of this machine come and go; what we hold stays.
            assert len(listed & set(found)) >= 1
        shown = {each["id"]: each for each in bpftool("map", "show")}[counts.id]
        info = maps[counts.id]
        assert (shown["name"], shown["type"], shown["bytes_key"], shown["bytes_value"]) == (
            info.name, info.type, info.key_size, info.value_size,
        )  # fmt: skip


@pytest.mark.needs("names of BTF")
def test_the_kernels_own_types_are_listed_as_such() -> None:
    (vmlinux,) = [each for each in system.btfs() if each.name == "vmlinux"]
    assert vmlinux.kernel
    sizes = {each["id"]: each["size"] for each in bpftool("btf", "show")}
    assert sizes[vmlinux.id] == vmlinux.size


def test_links_are_listed_too() -> None:
    assert {each.id for each in system.links()} >= {each["id"] for each in bpftool("link", "show")}


def test_ids_rise() -> None:
    with Map.create(MapSpec("m", "array", 4, 4, 1)) as made:
        found = list(walk_ids(MAP_GET_NEXT_ID, "maps"))
        assert made.id in found
    assert found == sorted(set(found))


WITHOUT_RIGHTS = """
import ctypes, struct
from ebpfasm.errors import LoadError
from ebpfasm.runtime import system
header, nothing = struct.pack("=Ii", 0x20080522, 0), bytes(24)
assert ctypes.CDLL(None).capset(header, nothing) == 0
try:
    list(system.maps())
except LoadError as refusal:
    print(refusal)
"""


def test_without_rights_it_says_which_is_missing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_RIGHTS], capture_output=True, text=True, check=True
    )
    assert "error[permission]: cannot list the maps: CAP_SYS_ADMIN is missing" in done.stdout


def test_an_id_that_is_gone_is_not_there() -> None:
    with Map.create(MapSpec("m", "array", 4, 4, 1)) as made:
        number = made.id
    with pytest.raises(LoadError, match=f"there is no map {number} in the kernel"):
        Map.from_id(number)
