"""The native core against the kernel: bpf(2) through it, and the walk over a map's items."""

from __future__ import annotations

import errno
import os
import struct
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

from tests.support import required

if not required("native"):
    pytest.importorskip("ebpfasm._native", reason="no C compiler built the native core")

from ebpfasm._native import ffi, lib

pytestmark = pytest.mark.kernel

MAP_CREATE, MAP_UPDATE_ELEM, MAP_DELETE_ELEM = 0, 2, 3  # enum bpf_cmd
HASH, ARRAY, DEVMAP, QUEUE = 1, 2, 14, 22  # enum bpf_map_type
LOOPBACK = 1  # its interface index in every network namespace


def bpf(command: int, attr: bytes) -> int:
    return lib.ebpfasm_bpf(command, ffi.from_buffer(attr), len(attr))


class KernelMap:
    """A map of u32 keys, made without any of the project's Python."""

    def __init__(self, kind: int, capacity: int, value_size: int = 8) -> None:
        self.value_size = value_size
        self.keys_are_fixed = int(kind in {ARRAY, DEVMAP})
        key_size = 0 if kind == QUEUE else 4
        self.fd = bpf(MAP_CREATE, struct.pack("=IIIII", kind, key_size, value_size, capacity, 0))
        assert self.fd >= 0, errno.errorcode[-self.fd]

    def update(self, key: int, value: int) -> None:
        assert self._element(MAP_UPDATE_ELEM, key, value) == 0

    def delete(self, key: int) -> None:
        self._element(MAP_DELETE_ELEM, key, 0)

    def _element(self, command: int, key: int, value: int) -> int:
        pair = ffi.new("uint64_t[2]", [key, value])
        place = int(ffi.cast("uintptr_t", pair))
        flags = 0
        return bpf(command, struct.pack("=IIQQQ", self.fd, 0, place, place + 8, flags))


class Items:
    """The arrays that a walk fills."""

    def __init__(self, source: KernelMap, room: int) -> None:
        self.source = source
        self.count = 0
        self.more = True
        self._keys = ffi.new("unsigned char[]", max(1, 4 * room))
        self._values = ffi.new("unsigned char[]", max(1, source.value_size * room))

    def walk(self, capacity: int) -> int:
        more = ffi.new("int *")
        result = lib.ebpfasm_map_items(
            self.source.fd,
            4,
            self.source.value_size,
            self.source.keys_are_fixed,
            self._keys,
            self._values,
            capacity,
            self.count,
            more,
        )
        if result >= 0:
            self.count, self.more = result, bool(more[0])
        return result

    def keep_last(self, count: int) -> None:
        tail = bytes(ffi.buffer(self._keys)[4 * (self.count - count) : 4 * self.count])
        ffi.buffer(self._keys)[: len(tail)] = tail
        self.count = count

    @property
    def keys(self) -> list[int]:
        return list(struct.unpack(f"={self.count}I", ffi.buffer(self._keys)[: 4 * self.count]))

    @property
    def values(self) -> list[int]:
        raw = ffi.buffer(self._values)[: self.source.value_size * self.count]
        return list(struct.unpack(f"={self.count}Q", raw))


@pytest.fixture
def array() -> Iterator[KernelMap]:
    made = KernelMap(ARRAY, 11)
    for key in range(11):
        made.update(key, 10 * key)
    yield made
    os.close(made.fd)


@pytest.fixture
def table() -> Iterator[KernelMap]:
    made = KernelMap(HASH, 1000)
    for key in range(1000):
        made.update(key, 10 * key)
    yield made
    os.close(made.fd)


def test_a_refused_command_is_a_negative_errno() -> None:
    assert lib.ebpfasm_bpf(9999, ffi.NULL, 0) == -errno.EINVAL


@pytest.mark.parametrize(
    ("capacity", "count", "more"), [(0, 0, True), (5, 5, True), (11, 11, False), (12, 11, False)]
)
def test_the_end_is_told_from_full_arrays(
    array: KernelMap, capacity: int, count: int, more: bool
) -> None:
    items = Items(array, capacity)
    items.walk(capacity)
    assert (items.count, items.more) == (count, more)
    assert items.keys == list(range(count))
    assert items.values == [10 * key for key in range(count)]


def test_an_empty_map_has_no_items() -> None:
    empty = KernelMap(HASH, 4)
    items = Items(empty, 4)
    assert (items.walk(4), items.more) == (0, False)
    os.close(empty.fd)


def test_a_walk_goes_on_where_it_stopped(table: KernelMap) -> None:
    items = Items(table, 1000)
    while items.more:
        items.walk(min(items.count + 70, 1000))
    assert sorted(zip(items.keys, items.values, strict=True)) == [(k, 10 * k) for k in range(1000)]


def test_deleting_what_was_seen_repeats_nothing(table: KernelMap) -> None:
    items = Items(table, 100)
    seen: list[int] = []
    while items.more:
        kept = items.count
        items.walk(100)
        seen += items.keys[kept:]
        for key in items.keys[-3:]:
            table.delete(key)
        items.keep_last(10)
    assert sorted(seen) == list(range(1000))


def test_a_walk_goes_on_when_all_that_it_saw_was_deleted(table: KernelMap) -> None:
    items = Items(table, 1000)
    items.walk(400)
    for key in items.keys:
        table.delete(key)
    items.walk(1000)
    assert not items.more
    assert sorted(items.keys) == list(range(1000))


def test_what_stays_in_a_map_is_seen_once_while_the_rest_is_deleted(table: KernelMap) -> None:
    def delete_even_keys() -> None:
        for key in range(0, 1000, 2):
            table.delete(key)

    items = Items(table, 1000)
    deleting = threading.Thread(target=delete_even_keys)
    deleting.start()
    items.walk(1000)
    deleting.join()
    assert not items.more
    assert len(set(items.keys)) == items.count
    assert set(range(1, 1000, 2)) <= set(items.keys)


def test_empty_slots_are_passed_over() -> None:
    sparse = KernelMap(DEVMAP, 10000, value_size=4)
    for key in (3, 9000):
        sparse.update(key, LOOPBACK)
    items = Items(sparse, 4)
    assert (items.walk(1), items.keys, items.more) == (1, [3], True)
    assert (items.walk(4), items.keys, items.more) == (2, [3, 9000], False)
    os.close(sparse.fd)


def test_a_map_without_keys_cannot_be_walked() -> None:
    queue = KernelMap(QUEUE, 4)
    assert Items(queue, 4).walk(4) == -errno.EINVAL
    os.close(queue.fd)
