"""Arrays whose memory is shared with this process."""

from __future__ import annotations

import errno
import gc
import struct
from typing import Any

import numpy as np
import pytest

import ebpfasm
from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError
from ebpfasm.ir import MapSpec
from ebpfasm.runtime.maps import Map
from tests.runtime.samples import bpftool, descriptors

pytestmark = pytest.mark.kernel

MMAPABLE = 0x400


def made(size: int = 8, entries: int = 5, **more: Any) -> Map:
    return Map.create(MapSpec("shared", "array", 4, size, entries, MMAPABLE, **more))


@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_array_and_map_are_the_same_memory(size: int) -> None:
    with made(size) as map:
        array, memory = map.array(), map.memory()
        array[3] = 7
        memory[2] = 9
        map[1] = 11
        expected = [0, 11, 9, 7, 0]
        assert array.tolist() == memory.tolist() == list(map.values()) == expected
        assert (array.dtype.itemsize, array.strides, len(memory)) == (size, (8,), 5)
        seen = bpftool("map", "dump", "id", map.id)
        assert [int(each["value"][0], 16) for each in seen] == expected


def test_other_values_are_rows_of_bytes_and_keep_their_strides() -> None:
    with made(12, 3) as map:
        map[2] = b"abcdefghijkl"
        assert map.memory().shape == (3, 16)
        assert bytes(map.memory()[2 * 1 : 3].tobytes()[:12]) == b"abcdefghijkl"
        array = map.array()
        assert (array.strides, array[2].tobytes()) == ((16,), b"abcdefghijkl")


def test_signed_numbers_are_signed() -> None:
    with made(4, value="s32") as map:
        map[0] = -5
        assert (map.memory()[0], map.array()[0]) == (-5, -5)


def test_large_arrays_are_shared_to_the_last_element() -> None:
    with made(8, 10_000) as map:
        array = map.array()
        array[:] = np.arange(10_000)
        assert map[9999] == 9999
        assert map.items_array().values.tolist() == list(range(10_000))


def test_what_a_program_writes_is_seen_at_once() -> None:
    text = """
    .license "GPL"
    .map counts, array, key=u32, value=u64, max_entries=2, flags=0x400
    .section xdp
    count:
        r1 = 1
        *(u32 *)(r10 - 4) = r1
        r2 = r10
        r2 += -4
        r1 = counts ll
        call bpf_map_lookup_elem
        if r0 == 0 goto out
        r1 = 1
        lock *(u64 *)(r0 + 0) += r1
    out:
        r0 = 2
        exit
    """
    with ebpfasm.load(assemble(text)) as loaded:
        array = loaded.maps["counts"].array()
        loaded.programs["count"].test_run(bytes(64), repeat=10)
        assert array.tolist() == [0, 10]


def test_a_frozen_map_is_for_reading_and_a_map_for_writing_is_not_frozen() -> None:
    with made() as map:
        array = map.array()
        with pytest.raises(LoadError, match=r"its memory is mapped for writing \(EBUSY\)"):
            map.freeze()
        del array
        gc.collect()
        map.freeze()
        with pytest.raises(LoadError, match=r"ask for writable=False \(EPERM\)"):
            map.array()
        frozen = map.array(writable=False)
        assert frozen.tolist() == [0] * 5
        with pytest.raises(ValueError, match="read-only"):
            frozen[0] = 1
        with pytest.raises(LoadError, match=r"it is frozen, or read-only for user space \(EPERM\)"):
            map[0] = 1


def test_the_view_outlives_the_map_and_its_descriptor_goes_with_it() -> None:
    before = descriptors()
    with made() as map:
        map[1] = 5
        array = map.array()
    assert array[1] == 5
    array[2] = 6
    assert array.tolist() == [0, 5, 6, 0, 0]
    del array
    gc.collect()
    assert descriptors() == before


def test_a_map_without_the_flag_has_no_memory() -> None:
    with Map.create(MapSpec("plain", "hash", 4, 8, 4)) as map:
        for task in (map.array, map.memory):
            with pytest.raises(
                LoadError, match="make it an array with the flag BPF_F_MMAPABLE"
            ) as no:
                task()
            assert no.value.errno == errno.EINVAL
    with made() as closed:
        pass
    with pytest.raises(ValueError, match="is closed"):
        closed.array()


def test_records_are_fields_of_the_array() -> None:
    with made(16, 3).as_type(value=np.dtype([("a", "u4"), ("b", "u8")], align=True)) as map:
        map[1] = struct.pack("=I4xQ", 1, 2)
        assert map[1].tolist() == (1, 2)
        assert map.array()[1].tobytes() == struct.pack("=I4xQ", 1, 2)
