"""The .map directive: every type and setting, printed back, and created by the kernel."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm import dsl
from ebpfasm.asm import print_collection
from ebpfasm.errors import LoadError
from ebpfasm.ir import MapSpec
from ebpfasm.isa.kinds import MAP_TYPES, MapType
from tests import support

# Settings that make a map of each type, and the kernel's choice where there is one.
SETTINGS = {
    "array": "key=u32, value=u8[6], max_entries=4",
    "percpu_array": "value=u64, max_entries=4",
    "prog_array": "max_entries=4",
    "perf_event_array": "",
    "stack_trace": "value=8 * 127, max_entries=4",
    "cgroup_array": "max_entries=4",
    "lpm_trie": "key=u8[8], value=u32, max_entries=4, flags=BPF_F_NO_PREALLOC",
    "array_of_maps": "max_entries=4, inner=inner",
    "hash_of_maps": "key=u16, max_entries=4, inner=inner",
    "devmap": "value=u32, max_entries=4",
    "sockmap": "value=u32, max_entries=4",
    "cpumap": "value=bpf_cpumap_val, max_entries=4",
    "xskmap": "max_entries=4",
    "sockhash": "key=bpf_sock_tuple, value=u64, max_entries=4",
    "cgroup_storage": "key=u64, value=u64",
    "reuseport_sockarray": "value=u64, max_entries=4",
    "percpu_cgroup_storage": "key=u64, value=u64",
    "queue": "value=iphdr, max_entries=4",
    "stack": "value=iphdr, max_entries=4",
    "sk_storage": "value=u64, flags=BPF_F_NO_PREALLOC",
    "devmap_hash": "value=bpf_devmap_val, max_entries=4",
    "ringbuf": "max_entries=1 << 16",
    "inode_storage": "value=iphdr, flags=BPF_F_NO_PREALLOC",
    "task_storage": "value=12, flags=BPF_F_NO_PREALLOC",
    "bloom_filter": "value=u32, max_entries=64, map_extra=3",
    "user_ringbuf": "max_entries=1 << 16",
    "cgrp_storage": "value=u8[5], flags=BPF_F_NO_PREALLOC",
    "arena": "max_entries=4, flags=BPF_F_MMAPABLE",
    "insn_array": "max_entries=4",
    "rhash": "key=u32, value=u32, max_entries=4, flags=BPF_F_NO_PREALLOC",
}
PLAIN = "key=iphdr, value=u64, max_entries=1 << 3, flags=BPF_F_RDONLY_PROG"
ON_A_NODE = {"hash", "lru_hash"}  # of those that PLAIN is for
INNER = ".map inner, array, template, key=u32, value=u64, max_entries=2\n"


def text_of(row: MapType) -> str:
    settings = SETTINGS.get(row.name, PLAIN)
    settings += ", numa_node=0" if row.name in ON_A_NODE else ""
    return f"{INNER}.map m, {row.name}{', ' if settings else ''}{settings}"


def rows() -> Iterator[MapType]:
    yield from (row for row in MAP_TYPES if row.name not in ("unspec", "struct_ops"))


every_type = pytest.mark.parametrize("row", list(rows()), ids=lambda row: row.name)


@every_type
def test_a_map_of_each_type_is_read_and_printed_back(row: MapType) -> None:
    spec = ebpfasm.assemble(text_of(row))
    assert list(spec.maps) == ["m"]
    assert spec.maps["m"].type == row.name
    assert ebpfasm.assemble(print_collection(spec)).maps == spec.maps


@pytest.mark.kernel
@every_type
def test_the_kernel_creates_a_map_of_each_type(row: MapType) -> None:
    if support.release_of(row.since) > support.kernel_release():
        pytest.skip(f"{row.name} came with Linux {row.since}")
    spec = ebpfasm.assemble(text_of(row))
    with ebpfasm.load(spec) as collection:
        made, wanted = collection.maps["m"].info(), spec.maps["m"]
        assert (made.type, made.key_size) == (row.name, wanted.key_size)
        assert made.value_size == wanted.value_size
        if wanted.max_entries:
            assert made.max_entries == wanted.max_entries


def test_every_setting_has_its_place() -> None:
    text = """
        .equ N, 4
        .map inner, hash, key=u8[6], value=iphdr, max_entries=N
        .map m, hash_of_maps, key=u32, max_entries=N * 2, flags=BPF_F_NO_PREALLOC | BPF_F_RDONLY, \
inner=inner, pinning=by_name, numa_node=1, map_extra=1 << 40
        .map k, 57, key_size=0, value_size=N + 1, max_entries=1
        .map l, BPF_MAP_TYPE_ARRAY, value=udphdr.sizeof, max_entries=1, pinning=none
        """
    spec = ebpfasm.assemble(text)
    inner = MapSpec("inner", "hash", 6, 20, 4, key="u8[6]", value="iphdr")
    assert spec.maps == {
        "inner": inner,
        "m": MapSpec("m", "hash_of_maps", 4, 4, 8, 1 | 8, "u32", "", inner, "by_name", 1, 1 << 40),
        "k": MapSpec("k", 57, 0, 5, 1),
        "l": MapSpec("l", "array", 4, 8, 1),
    }
    assert ebpfasm.assemble(print_collection(spec)).maps == spec.maps


def test_the_builder_makes_the_same_maps() -> None:
    builder = dsl.Builder()
    inner = builder.map("inner", "hash", key="u8[6]", value="u32", max_entries=4)
    builder.map("m", "array_of_maps", max_entries=2, inner=inner, numa_node=0)
    builder.map("f", "bloom_filter", value="u32", max_entries=8, map_extra=2, pinning="by_name")
    text = """
        .map inner, hash, key=u8[6], value=u32, max_entries=4
        .map m, array_of_maps, max_entries=2, inner=inner, numa_node=0
        .map f, bloom_filter, value=u32, max_entries=8, map_extra=2, pinning=by_name
        """
    assert builder.build().maps == ebpfasm.assemble(text).maps


@pytest.mark.kernel
def test_a_program_finds_a_map_in_a_map() -> None:
    text = """
        .license "GPL"
        .map inner, array, template, key=u32, value=u64, max_entries=1
        .map outer, array_of_maps, max_entries=2, inner=inner
        .map real, array, key=u32, value=u64, max_entries=1
        .macro find map
            *(u32 *)(r10 - 4) = 0
            r2 = r10
            r2 += -4
            r1 = \\map
            call bpf_map_lookup_elem
            if r0 == 0 goto out
        .endm
        .section xdp
        f:
            find "outer ll"
            r6 = r0
            find r6
            r0 = *(u64 *)(r0 + 0)
            exit
        out:
            r0 = 0
            exit
        """
    spec = ebpfasm.assemble(text)
    with ebpfasm.load(spec) as collection:
        collection.maps["real"][0] = 2
        collection.maps["outer"][0] = collection.maps["real"]
        assert collection.programs["f"].test_run(bytes(64)).retval == 2


@pytest.mark.kernel
def test_a_map_that_asks_for_it_is_pinned_where_it_is_loaded() -> None:
    spec = ebpfasm.assemble(".map m, array, value=u32, max_entries=1, pinning=by_name")
    folder = Path(f"/sys/fs/bpf/ebpfasm-{os.getpid()}")
    with ebpfasm.load(spec, pin_path=folder) as collection:
        collection.maps["m"][0] = 5
        with ebpfasm.Map.open(folder / "m") as found:
            assert found[0] == 5
        collection.maps["m"].unpin(folder / "m")
    assert not folder.exists()


@pytest.mark.kernel
def test_a_node_that_is_not_there_is_named_in_the_refusal() -> None:
    spec = ebpfasm.assemble(".map m, array, value=u32, max_entries=1, numa_node=9999")
    with pytest.raises(LoadError, match="NUMA node"):
        ebpfasm.load(spec)
