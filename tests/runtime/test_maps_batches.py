"""Many items at once, as arrays; bpftool counts and reads along."""

from __future__ import annotations

import errno
import struct
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ebpfasm.errors import EncodeError, LoadError
from ebpfasm.ir import MapSpec
from ebpfasm.runtime import syscall
from ebpfasm.runtime.cpus import possible_cpus
from ebpfasm.runtime.maps import EXIST, NOEXIST, BatchError, Map, reading
from tests.runtime.samples import bpftool
from tests.support import need_native

pytestmark = pytest.mark.kernel

HASHES = ["hash", "lru_hash", "percpu_hash", "lru_percpu_hash"]
TYPES = [*HASHES, "array", "percpu_array"]


@pytest.fixture(params=["native", "python"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both ways into the kernel, one after the other."""
    if request.param == "python":
        monkeypatch.setenv("EBPFASM_NO_NATIVE", "1")
    else:
        need_native()
    syscall._engine.cache_clear()
    yield
    syscall._engine.cache_clear()


def made(type: str = "hash", entries: int = 1000, **more: Any) -> Map:
    fields: dict[str, Any] = {"key_size": 4, "value_size": 4, "key": "u32", "value": "u32"} | more
    # An LRU map of exactly so many entries evicts before it is full.
    room = 4 * entries if type.startswith("lru") else entries
    return Map.create(MapSpec("batched", type, max_entries=room, **fields))


def columns(map: Map, count: int) -> tuple[Any, Any]:
    keys = np.arange(count, dtype=np.uint32)
    values = keys * 3
    return keys, np.stack([values] * possible_cpus(), 1) if "percpu" in map.type else values


@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("type", TYPES)
def test_arrays_go_in_and_come_out(engine: None, type: str) -> None:
    with made(type) as map:
        keys, values = columns(map, 1000)
        assert map.update_batch(keys, values) == 1000
        found = map.items_array()
        order = found.keys.argsort()
        assert (found.keys[order] == keys).all()
        assert (found.values[order] == values).all()
        assert found.values.dtype == np.uint32
        assert len(bpftool("map", "dump", "id", map.id)) == 1000
        pieces = list(map.batches(100))
        assert sum(len(piece.keys) for piece in pieces) == 1000
        assert (np.sort(np.concatenate([piece.keys for piece in pieces])) == keys).all()


@pytest.mark.parametrize("type", HASHES)
def test_deleting_passes_over_keys_that_are_not_there(engine: None, type: str) -> None:
    with made(type) as map:
        map.update_batch(*columns(map, 1000))
        assert map.delete_batch(np.array([1, 2, 5000, 3, 6000, 4])) == 4
        assert map.delete_batch([1, 2, 3, 4]) == 0
        assert map.delete_batch([]) == 0
        assert sorted(map) == [0, *range(5, 1000)]


@pytest.mark.parametrize("type", HASHES)
def test_what_is_read_and_deleted_is_gone(engine: None, type: str) -> None:
    with made(type) as map:
        map.update_batch(*columns(map, 1000))
        keys, values, cursor = map.lookup_and_delete_batch(300)
        # each bucket is taken whole, so that there may be a few more or fewer
        assert 0 < len(keys) == len(values)
        assert cursor is not None
        assert len(map) == 1000 - len(keys)
        rest = sum(len(piece.keys) for piece in map.batches(300, delete=True))
        assert rest + len(keys) == 1000
        assert len(map) == 0
        assert map.lookup_batch()[2] is None


def test_a_room_smaller_than_a_bucket_grows(engine: None) -> None:
    # Few buckets: a table for 4 entries, made without them, which LRU eviction does not touch.
    with made("hash", 64) as map:
        map.update_batch(*columns(map, 64))
        seen: list[int] = []
        cursor = None
        while True:
            keys, _, cursor = map.lookup_batch(1, cursor)
            seen += keys.tolist()
            if cursor is None:
                break
        assert sorted(seen) == list(range(64))


def test_a_full_map_stops_a_batch_and_says_where(engine: None) -> None:
    with made(entries=10) as map:
        with pytest.raises(BatchError) as refused:
            map.update_batch(np.arange(20), np.arange(20))
        assert (refused.value.errno, refused.value.count, len(map)) == (errno.E2BIG, 10, 10)
        assert str(refused.value) == (
            "error[map-operation]: cannot write map 'batched': it is full; it has room for 10 "
            "entries (E2BIG), after 10 of 20 items"
        )


def test_a_batch_that_is_refused_at_once_has_done_nothing(engine: None) -> None:
    with made() as map:
        map.freeze()
        with pytest.raises(BatchError, match="frozen, or read-only") as refused:
            map.update_batch([1, 2], [1, 2])
        assert (refused.value.errno, refused.value.count) == (errno.EPERM, 0)
        with pytest.raises(BatchError, match="frozen, or read-only") as refused:
            map.delete_batch([1])
        assert (refused.value.errno, refused.value.count) == (errno.EPERM, 0)


def test_flags_hold_for_each_item_of_a_batch(engine: None) -> None:
    with made() as map:
        assert map.update_batch([1, 2], [1, 2], NOEXIST) == 2
        with pytest.raises(BatchError, match="the key is there already") as refused:
            map.update_batch([3, 2], [9, 9], NOEXIST)
        assert refused.value.count == 1
        with pytest.raises(BatchError, match="the key is not there"):
            map.update_batch([4], [9], EXIST)
        assert map.snapshot() == {1: 1, 2: 2, 3: 9}


def test_python_values_are_taken_too() -> None:
    with made("percpu_hash", value_size=12, value="") as map:
        cpus = possible_cpus()
        assert map.update_batch([1, 2], [[b"a" * 12] * cpus, [b"b" * 12] * cpus]) == 2
        assert map[2] == (b"b" * 12,) * cpus
        assert map.items_array().values.shape == (2, cpus)


def test_numbers_of_other_types_are_converted_if_nothing_is_lost() -> None:
    with made() as map:
        assert map.update_batch(np.array([1, 2], np.int64), np.array([1.0, 2.0])) == 2
        for keys, shown in (([-1], "-1"), ([2**32], str(2**32)), ([1.5], "1.5")):
            with pytest.raises(
                EncodeError, match=f"key of map 'batched' is an integer.*; {shown} was"
            ):
                map.update_batch(np.array(keys), np.array([1]))
        with pytest.raises(EncodeError, match="of dtype uint32; <U1 of shape"):
            map.update_batch(np.array(["a"]), np.array([1]))
        with pytest.raises(ValueError, match="2 keys and 1 values for map 'batched'"):
            map.update_batch([1, 2], [1])


def test_rows_of_bytes_are_taken_as_they_are() -> None:
    with made(key_size=6, key="") as map:
        keys = np.arange(12, dtype=np.uint8).reshape(2, 6)
        assert map.update_batch(keys, [1, 2]) == 2
        assert map.snapshot() == {bytes(range(6)): 1, bytes(range(6, 12)): 2}
        assert map.items_array().keys.dtype == np.dtype("V6")


def test_maps_without_batches_are_walked(engine: None) -> None:
    with made("lpm_trie", key_size=8, key="", flags=1) as trie:
        networks = [f"10.{index}.0.0/16" for index in range(200)]
        trie.update_batch(networks, range(200))
        assert len(trie) == 200
        found = trie.items_array()
        assert found.keys["prefixlen"].tolist() == [16] * 200
        assert sorted(found.values.tolist()) == list(range(200))
        assert sorted(n for piece in trie.batches(64) for n in piece.values.tolist()) == list(
            range(200)
        )
        assert trie.delete_batch(networks[:50]) == 50
    with made("stack_trace", value_size=80, value="") as stacks:
        assert len(stacks.items_array().keys) == 0


def test_a_kernel_without_batches_is_served_one_by_one(
    engine: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What Linux 5.5 answers to the commands of 5.6."""

    def unknown(*_: object, **__: object) -> tuple[int, int]:
        return 0, errno.EINVAL

    from ebpfasm.runtime.maps import batches

    monkeypatch.setattr(reading, "batch", unknown)
    monkeypatch.setattr(batches, "batch", unknown)
    with made() as map:
        assert map.update_batch(*columns(map, 1000)) == 1000
        assert len(map.items_array().keys) == 1000
        assert dict(map.items()) == {key: 3 * key for key in range(1000)}
        keys, _, cursor = map.lookup_batch(300)
        assert (len(keys), cursor is None) == (300, False)
        assert sum(len(piece.keys) for piece in map.batches(300)) == 1000
        assert map.delete_batch([1, 5000, 2]) == 2
        assert sum(len(piece.keys) for piece in map.batches(300, delete=True)) == 998
        assert len(map) == 0
        with pytest.raises(BatchError) as refused:
            map.update_batch(np.arange(2000), np.arange(2000))
        assert (refused.value.errno, refused.value.count) == (errno.E2BIG, 1000)


def test_a_large_map_with_few_items_is_walked_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    need_native()
    with made(entries=1 << 17) as map:
        map.update({key: key for key in range(20)})
        calls: list[int] = []
        real = reading.batch

        def counted(*arguments: Any) -> tuple[int, int]:
            calls.append(1)
            return real(*arguments)

        monkeypatch.setattr(reading, "batch", counted)
        assert dict(map.items()) == {key: key for key in range(20)}
        assert calls == []
        map.update({key: key for key in range(1000)})
        assert len(dict(map.items())) == 1000
        assert calls


def test_more_items_than_a_batch_come_once_each() -> None:
    count = 150_000
    with made(entries=count, value_size=8, value="u64") as map:
        keys = np.arange(count, dtype=np.uint32)
        map.update_batch(keys, keys.astype(np.uint64) << np.uint64(32))
        assert len(map) == count
        pairs = list(map.items())
        assert len(pairs) == count
        assert dict(pairs) == {key: key << 32 for key in range(count)}


def test_no_key_comes_twice_and_none_is_left_out_while_others_come_and_go() -> None:
    with made(entries=20_000) as map:
        lasting = set(range(1000))
        map.update(dict.fromkeys(lasting, 1))
        stop = threading.Event()

        def churn() -> None:
            keys = np.arange(5000, 9000, dtype=np.uint32)
            while not stop.is_set():
                map.update_batch(keys, keys)
                map.delete_batch(keys)

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(30):
                keys = [key for piece in map.batches(64) for key in piece.keys.tolist()]
                assert len(keys) == len(set(keys))
                assert lasting <= set(keys)
                again = list(map)
                assert len(again) == len(set(again))
                assert lasting <= set(again)
        finally:
            stop.set()
            thread.join()


def test_what_the_kernel_refuses_is_said(engine: None) -> None:
    ring = made("ringbuf", 4096, key_size=0, value_size=0, key="", value="")
    with ring, pytest.raises(LoadError, match="a map of type ringbuf cannot do that from user"):
        ring.items_array()
    with made("array", 3) as array, pytest.raises(BatchError, match="elements of an array are"):
        array.delete_batch([1])
    with made() as closed:
        pass
    for task in (closed.items_array, lambda: closed.update_batch([1], [1]), closed.lookup_batch):
        with pytest.raises(ValueError, match="is closed"):
            task()


def test_structs_of_per_cpu_maps_keep_their_strides() -> None:
    with made("percpu_array", 4, value_size=12, value="") as map:
        cpus = possible_cpus()
        values = [[struct.pack("=3I", key, cpu, 7) for cpu in range(cpus)] for key in range(4)]
        map.update_batch(range(4), values)
        found = map.items_array()
        assert found.values.strides == (16 * cpus, 16)
        assert [[bytes(each) for each in row] for row in found.values] == values
        assert map.snapshot() == {key: tuple(values[key]) for key in range(4)}
