"""What goes wrong with maps: each fault has one outcome."""

from __future__ import annotations

import errno
import os
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from ebpfasm.errors import EncodeError, LoadError
from ebpfasm.ir import MapSpec
from ebpfasm.runtime import syscall
from ebpfasm.runtime.cpus import possible_cpus
from ebpfasm.runtime.maps import EXIST, LOCK, NOEXIST, Map
from tests.runtime.samples import descriptors
from tests.support import kernel_release, need_native

pytestmark = pytest.mark.kernel


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


def made(type: str = "hash", entries: int = 8, **more: Any) -> Map:
    fields: dict[str, Any] = {"key_size": 4, "value_size": 8, "key": "u32", "value": "u64"} | more
    return Map.create(MapSpec("sample", type, max_entries=entries, **fields))


INTEGERS = {1: "8", 2: "16", 4: "32", 8: "64"}


@pytest.mark.parametrize("signs", ["uu", "us", "su", "ss"])
@pytest.mark.parametrize("key_size", INTEGERS)
@pytest.mark.parametrize("value_size", INTEGERS)
def test_integers_of_every_size_and_sign_go_in_and_come_out(
    signs: str, key_size: int, value_size: int
) -> None:
    need_native()

    def edges(size: int, signed: bool) -> tuple[int, int]:
        bits = 8 * size
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)

    key_low, key_high = edges(key_size, signs[0] == "s")
    low, high = edges(value_size, signs[1] == "s")
    with made(
        key_size=key_size, value_size=value_size,
        key=signs[0] + INTEGERS[key_size], value=signs[1] + INTEGERS[value_size],
    ) as map:  # fmt: skip
        expected = {key_low: low, key_high: high, 1: 0, 2: high - 1}
        for key, value in expected.items():
            map[key] = value
            assert map[key] == value
            raw = map.lookup_bytes(key.to_bytes(key_size, sys.byteorder, signed=signs[0] == "s"))
            assert raw == value.to_bytes(value_size, sys.byteorder, signed=signs[1] == "s")
        assert map.snapshot() == expected
        for wrong in (key_low - 1, key_high + 1, 1.5, "1", None, Decimal("1.5"), np.float32(1.5)):
            for task in (lambda key: map[key], lambda key: map.__setitem__(key, 0)):
                with pytest.raises(EncodeError):
                    task(wrong)
        for wrong in (low - 1, high + 1, 1.5, "1", None, Decimal("1.5"), np.float32(1.5)):
            with pytest.raises(EncodeError):
                map[1] = wrong
        for missing in ({key_low, key_high, 1, 2} ^ {3, 4, key_low, key_high}) & {3, 4}:
            with pytest.raises(KeyError, match=f"^{missing}$"):
                map[missing]
        assert map.snapshot() == expected


def test_integers_of_numpy_and_bytes_are_keys_too() -> None:
    with made() as map:
        map[np.uint32(5)] = np.uint64(2**63)
        assert map[np.int64(5)] == map[struct.pack("=I", 5)] == map[True + 4] == 2**63
        map[bytes(4)] = bytes(8)
        assert map[0] == 0


def test_a_closed_map_says_so(engine: None) -> None:
    with made() as map:
        map[1] = 1
    tasks: list[Callable[[], Any]] = [
        lambda: map[1], lambda: map.get(1), lambda: map.pop(1), lambda: 1 in map, lambda: list(map),
        lambda: dict(map.items()), lambda: len(map), lambda: map.__setitem__(1, 1),
        lambda: map.__delitem__(1), map.clear, map.snapshot, map.info, lambda: map.id, map.freeze,
        map.next_key_bytes, map.walk_bytes,
    ]  # fmt: skip
    for task in tasks:
        with pytest.raises(ValueError, match="is closed"):
            task()
    map.close()


def test_a_descriptor_closed_behind_the_map_s_back_keeps_its_errno(engine: None) -> None:
    map = made()
    os.close(map.fd)
    for task in (lambda: map[1], lambda: map.__setitem__(1, 1), lambda: list(map)):
        with pytest.raises(LoadError, match=r"Bad file descriptor \(EBADF\)") as refused:
            task()
        assert refused.value.errno == errno.EBADF
    map._fd = -1


def test_a_map_deleted_under_its_iterator_has_been_read() -> None:
    with made(entries=3000) as map:
        map.update({key: key for key in range(3000)})
        items, keys = iter(map.items()), iter(map)
        assert next(items)[0] == next(keys)
    # Its last descriptor is closed: the kernel has none of it any more.
    assert len(list(items)) == len(list(keys)) == 2999


def test_a_map_emptied_under_its_iterator_is_what_it_was() -> None:
    with made(entries=3000) as map:
        map.update({key: key for key in range(3000)})
        seen = {}
        for key, value in map.items():
            seen[key] = value
            map.clear()
        assert seen == {key: key for key in range(3000)}
        assert len(map) == 0


def test_views_are_read_once_and_stay_as_they_were() -> None:
    with made() as map:
        map.update({1: 10, 2: 20})
        items, values = map.items(), map.values()
        assert (len(items), len(values)) == (2, 2)
        map[3] = 30
        assert dict(items) == {1: 10, 2: 20}
        assert sorted(values) == [10, 20]
        assert dict(map.items()) == {1: 10, 2: 20, 3: 30}
        assert (1, 10) in map.items()
        assert sorted(map.keys()) == [1, 2, 3]


def test_a_full_map_keeps_its_errno_and_what_it_has(engine: None) -> None:
    with made(entries=2) as map:
        map.update({1: 1, 2: 2})
        with pytest.raises(LoadError, match="it is full; it has room for 2 entries") as refused:
            map[3] = 3
        assert refused.value.errno == errno.E2BIG
        map[2] = 4
        assert map.snapshot() == {1: 1, 2: 4}


def test_flags_say_create_only_and_replace_only(engine: None) -> None:
    with made() as map:
        map.put(1, 1, NOEXIST)
        with pytest.raises(LoadError, match="the key is there already") as refused:
            map.put(1, 2, NOEXIST)
        assert refused.value.errno == errno.EEXIST
        with pytest.raises(LoadError, match="the key is not there") as refused:
            map.put(2, 2, EXIST)
        assert refused.value.errno == errno.ENOENT
        map.put(1, 3, EXIST)
        assert (map.lookup(1), map.snapshot()) == (3, {1: 3})
        with pytest.raises(KeyError):
            map.lookup(2)
        # only values with a struct bpf_spin_lock can be locked
        with pytest.raises(LoadError) as refused:
            map.lookup(1, flags=LOCK)
        assert refused.value.errno == errno.EINVAL
        assert map[1] == 3


def test_pop_reads_and_deletes_in_one_step(engine: None) -> None:
    with made() as map:
        map.update({1: 1, 2: 2})
        assert (map.pop(1), map.pop(1, 7), map.snapshot()) == (1, 7, {2: 2})
        with pytest.raises(KeyError, match=r"^1$"):
            map.pop(1)


def test_a_type_that_cannot_pop_in_one_step_pops_in_two(engine: None) -> None:
    with made("lpm_trie", key_size=8, key="", flags=1) as trie:
        trie["10.0.0.0/8"] = 5
        assert trie.pop("10.0.0.0/8") == 5
        assert "10.0.0.0/8" not in trie
    with made("array") as array, pytest.raises(LoadError, match="elements of an array are never"):
        array.pop(0)


def test_one_processor_s_value_of_a_per_cpu_map(engine: None) -> None:
    cpus = possible_cpus()
    with made("percpu_array", entries=2) as map:
        map[0] = range(10, 10 + cpus)
        assert map.lookup(0, cpu=cpus - 1) == 10 + cpus - 1
        with pytest.raises(IndexError, match=f"there is no processor {cpus}, only {cpus}"):
            map.lookup(0, cpu=cpus)
        if kernel_release() < (7, 0):
            with pytest.raises(LoadError) as refused:
                map.put(0, 99, cpu=0)
            assert refused.value.errno == errno.EINVAL
            assert map[0] == tuple(range(10, 10 + cpus))
        else:
            map.put(0, 99, cpu=0)
            assert map[0] == (99, *range(11, 10 + cpus))
    with made() as plain, pytest.raises(TypeError, match="has no value for each processor"):
        plain.lookup(0, cpu=0)


def test_a_forked_child_has_the_map_and_does_not_close_it_here(engine: None) -> None:
    with made() as map:
        map[1] = 1
        child = os.fork()
        if child == 0:
            failed = 1
            try:
                seen = map[1]
                map[2] = seen + 1
                map.close()
                failed = 0
            finally:
                os._exit(failed)
        assert os.waitpid(child, 0)[1] == 0
        assert map.snapshot() == {1: 1, 2: 2}


@pytest.mark.parametrize("value_size", [8, 24])
def test_threads_on_one_map_never_mix_their_buffers(value_size: int) -> None:
    need_native()
    with made(entries=64, value_size=value_size, value="") as map:
        wrong: list[Any] = []

        def work(number: int) -> None:
            keys = range(number * 8, number * 8 + 8)
            for turn in range(300):
                for key in keys:
                    content = struct.pack("=IIQ", key, turn, key * turn)[:value_size]
                    content = content.ljust(value_size, b"\0")
                    map[key] = content
                    if bytes(map.lookup_bytes(struct.pack("=I", key)) or b"") != content:
                        wrong.append((key, turn))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
        finally:
            for thread in threads:
                thread.join()
            sys.setswitchinterval(interval)
        assert wrong == []
        assert len(map) == 64


def test_calls_for_elements_keep_the_interpreter_s_lock() -> None:
    """Whoever gives it away waits for the other thread to compute, each time."""
    need_native()
    with made(entries=1000) as map, made(entries=1000, value_size=24, value="") as wide:
        map.update({key: key for key in range(1000)})
        wide.update({key: bytes(24) for key in range(1000)})
        go, turns = threading.Event(), [0]

        def compute() -> None:
            go.wait()
            for _ in range(1000):
                turns[0] += 1

        thread = threading.Thread(target=compute)
        thread.start()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(60)  # nobody gets the lock who is not given it
        try:
            go.set()
            for key in range(1000):
                assert map[key] == key
                map[key] = key
                assert wide[key] == bytes(24)
            assert turns[0] == 0
        finally:
            sys.setswitchinterval(interval)
            thread.join()


def test_a_map_that_cannot_be_made_right_closes_its_descriptor() -> None:
    before = descriptors()
    with pytest.raises(EncodeError):
        Map.create(MapSpec("sample", "hash", 4, 8, 8), value_type=np.uint32)
    with pytest.raises(EncodeError, match="u32 has 4"):
        Map.create(MapSpec("sample", "hash", 4, 8, 8, value="u32"))
    assert descriptors() == before
