from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from ebpfasm.errors import EncodeError, LoadError, Source, Span
from ebpfasm.ir import MapSpec
from ebpfasm.native import native_core
from ebpfasm.runtime import syscall
from ebpfasm.runtime.cpus import possible_cpus
from ebpfasm.runtime.maps import EXIST, NOEXIST, Map, MapOfMaps
from tests.runtime.samples import bpftool, descriptors
from tests.support import need_native

pytestmark = pytest.mark.kernel

ENGINES = ["native", "python"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Both ways into the kernel, one after the other."""
    if request.param == "python":
        monkeypatch.setenv("EBPFASM_NO_NATIVE", "1")
    else:
        need_native()
    syscall._engine.cache_clear()
    yield request.param
    syscall._engine.cache_clear()


def spec(type: str = "hash", entries: int = 8, **more: object) -> MapSpec:
    fields: dict[str, object] = {"key_size": 4, "value_size": 8, "key": "u32", "value": "u64"}
    return MapSpec("sample", type, max_entries=entries, **(fields | more))  # type: ignore[arg-type]


def test_a_map_behaves_as_a_dictionary(engine: str) -> None:
    assert syscall.engine_name() == {"native": "native", "python": "ctypes"}[engine]
    with Map.create(spec()) as hash:
        hash[1] = 10
        hash.update({2: 20, 3: 30})
        assert (hash[1], hash.get(9), hash.get(9, 7), 2 in hash, 9 in hash) == (
            10,
            None,
            7,
            True,
            False,
        )
        assert sorted(hash) == [1, 2, 3]
        assert sorted(hash.items()) == [(1, 10), (2, 20), (3, 30)]
        assert sorted(hash.values()) == [10, 20, 30]
        assert len(hash) == 3
        assert hash.pop(1) == 10
        del hash[2]
        assert hash.snapshot() == {3: 30}
        assert hash.popitem() == (3, 30)
        with pytest.raises(KeyError):
            hash.popitem()
        hash.update({1: 1, 2: 2})
        hash.clear()
        assert len(hash) == 0
        for missing in (lambda: hash[1], lambda: hash.__delitem__(1)):
            with pytest.raises(KeyError, match=r"^1$"):
                missing()


@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("type", ["hash", "array", "lru_hash"])
def test_bpftool_reads_the_same_contents(type: str) -> None:
    contents = {0: 2**64 - 1, 1: 0, 2: 256}
    with Map.create(spec(type, entries=3)) as map:
        map.update(contents)
        info = map.info()
        seen = bpftool("map", "dump", "id", map.id)
        shown = bpftool("map", "show", "id", map.id)
        assert map.snapshot() == contents
    assert {_number(each["key"]): _number(each["value"]) for each in seen} == contents
    assert (shown["type"], shown["name"]) == (type, "sample") == (info.type, info.name)
    assert (shown["bytes_key"], shown["bytes_value"], shown["max_entries"]) == (4, 8, 3)
    assert (info.key_size, info.value_size, info.max_entries) == (4, 8, 3)


@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("type", ["percpu_array", "percpu_hash", "lru_percpu_hash"])
def test_a_per_cpu_value_is_a_value_for_each_possible_cpu(engine: str, type: str) -> None:
    values = tuple(range(100, 100 + possible_cpus()))
    with Map.create(spec(type, entries=2, value_size=4, value="u32")) as map:
        map[1] = values
        assert map[1] == values
        seen = bpftool("map", "lookup", "id", map.id, "key", 1, 0, 0, 0)
        assert tuple(_number(each["value"]) for each in seen["values"]) == values
        with pytest.raises(EncodeError, match="one for each possible CPU; 5 was given"):
            map[1] = 5
        assert map.snapshot()[1] == values


def _number(bytes_: list[str]) -> int:
    return int.from_bytes(bytes(int(each, 16) for each in bytes_), sys.byteorder)


def test_an_array_has_all_its_elements_from_the_start(engine: str) -> None:
    with Map.create(spec("array", entries=3)) as array:
        array[1] = 5
        assert len(array) == 3
        assert list(array.items()) == [(0, 0), (1, 5), (2, 0)]
        with pytest.raises(KeyError, match=r"^3$"):
            array[3]


def test_signed_and_untyped_values_come_back_as_they_went_in() -> None:
    with Map.create(spec(value_size=2, value="s16")) as map:
        map[1] = -5
        assert map[1] == -5
        raw = map.lookup_bytes((1).to_bytes(4, sys.byteorder))
        assert raw is not None
        assert bytes(raw) == (-5).to_bytes(2, sys.byteorder, signed=True)
    with Map.create(spec(key_size=6, key="", value_size=3, value="")) as map:
        map[b"abcdef"] = b"xyz"
        assert dict(map) == {b"abcdef": b"xyz"}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_keys_of_every_size_are_deleted_once(engine: str, size: int) -> None:
    largest = (1 << 8 * size) - 1
    with Map.create(spec(key_size=size, key=f"u{8 * size}")) as map:
        map.update({0: 1, 7: 2, largest: 3})
        del map[largest], map[(7).to_bytes(size, sys.byteorder)]
        for missing in (largest, 7, 9):
            with pytest.raises(KeyError, match=str(missing)):
                del map[missing]
        for misfit in (largest + 1, -1, 1 << 64, 0.0, "0", None):
            with pytest.raises(EncodeError, match="key of map 'sample'"):
                del map[misfit]
        assert dict(map) == {0: 1}
    with pytest.raises(ValueError, match="closed"):
        del map[0]


def test_negative_keys_are_deleted() -> None:
    with Map.create(spec(key="s32")) as map:
        map.update({-1: 1, 1: 2})
        del map[-1]
        assert dict(map) == {1: 2}


SENTENCES = [
    ("array", lambda m: m.__delitem__(0), errno.EINVAL,
     "cannot delete from map 'sample': elements of an array are never deleted; write 0 instead "
     "(EINVAL)"),
    ("array", lambda m: m.__setitem__(2, 0), errno.E2BIG,
     "cannot write map 'sample': 2 is past its end; it has 2 entries (E2BIG)"),
    ("array", lambda m: m.put(0, 1, NOEXIST), errno.EEXIST,
     "cannot write map 'sample': elements of an array are there from the start (EEXIST)"),
    ("hash", lambda m: m.update({1: 1, 2: 2, 3: 3}), errno.E2BIG,
     "cannot write map 'sample': it is full; it has room for 2 entries (E2BIG)"),
    ("hash", lambda m: m.put(1, 1, EXIST), errno.ENOENT,
     "cannot write map 'sample': the key is not there (ENOENT)"),
]  # fmt: skip


@pytest.mark.parametrize(("type", "task", "number", "sentence"), SENTENCES)
def test_what_the_kernel_refuses_is_one_plain_sentence(
    type: str, task: object, number: int, sentence: str
) -> None:
    with Map.create(spec(type, entries=2)) as map, pytest.raises(LoadError) as refusal:
        task(map)  # type: ignore[operator]
    assert str(refusal.value) == f"error[map-operation]: {sentence}"
    assert refusal.value.errno == number


def test_a_key_is_there_already() -> None:
    with Map.create(spec()) as map:
        map[1] = 1
        with pytest.raises(LoadError, match=r"the key is there already \(EEXIST\)"):
            map.put(1, 2, NOEXIST)
        assert map[1] == 1


def test_values_are_never_masked() -> None:
    with Map.create(spec()) as map:
        for key, value in ((2**32, 0), (0, 2**64), (-1, 0), (0, b"short")):
            with pytest.raises(EncodeError, match="of map 'sample' is an integer from 0 to"):
                map[key] = value
        assert len(map) == 0


def test_bytes_of_the_wrong_length_never_reach_the_kernel() -> None:
    with Map.create(spec()) as map:
        for task in (
            lambda: map.lookup_bytes(b"abc"),
            lambda: map.update_bytes(bytes(4), bytes(7)),
            lambda: map.delete_bytes(b""),
            lambda: map.next_key_bytes(bytes(5)),
        ):
            with pytest.raises(ValueError, match=r"of map 'sample' is . bytes, not"):
                task()


def test_a_loop_may_delete_what_it_walks(engine: str) -> None:
    with Map.create(spec(entries=5000)) as map:
        map.update({key: key for key in range(5000)})
        seen = []
        for key in map:
            seen.append(key)
            del map[key]
        assert sorted(seen) == list(range(5000))
        assert len(map) == 0


def test_ten_thousand_entries_come_once_each(engine: str) -> None:
    with Map.create(spec(entries=10_000)) as map:
        for key in range(10_000):
            map[key] = 3 * key
        pairs = list(map.items())
        assert len(pairs) == 10_000
        assert dict(pairs) == {key: 3 * key for key in range(10_000)}


def test_both_walks_agree_on_a_map_with_gaps(monkeypatch: pytest.MonkeyPatch) -> None:
    need_native()
    with Map.create(spec(entries=9000, key_size=8, key="u64")) as map:
        map.update({key * key: key for key in range(9000)})
        for key in range(0, 9000, 3):
            del map[key * key]
        natively = list(map.walk_bytes().items())
        monkeypatch.setenv("EBPFASM_NO_NATIVE", "1")
        assert list(map.walk_bytes().items()) == natively


def test_walking_survives_keys_that_vanish_meanwhile(engine: str) -> None:
    with Map.create(spec(entries=4096)) as map:
        lasting = set(range(1000))
        map.update(dict.fromkeys(lasting, 1))
        stop = threading.Event()

        def churn() -> None:
            while not stop.is_set():
                for key in range(5000, 5200):
                    map[key] = 1
                for key in range(5000, 5200):
                    map.delete_bytes(key.to_bytes(4, sys.byteorder))

        thread = threading.Thread(target=churn)
        thread.start()
        try:
            for _ in range(20):
                keys = list(map)
                assert len(keys) == len(set(keys))
                assert lasting <= set(keys)
        finally:
            stop.set()
            thread.join()


def test_descriptors_go_with_the_block_and_never_twice() -> None:
    before = descriptors()
    with Map.create(spec()) as map:
        assert os.readlink(f"/proc/self/fd/{map.fd}") == "anon_inode:bpf-map"
    map.close()
    assert descriptors() == before
    with pytest.raises(ValueError, match="Map is closed"):
        map[1]


def test_a_forgotten_map_is_closed_with_a_warning() -> None:
    before = descriptors()
    with pytest.warns(ResourceWarning, match="unclosed <Map 'sample' hash"):
        Map.create(spec())
    assert descriptors() == before


def test_the_kernel_gets_the_name_as_far_as_it_keeps_it() -> None:
    long = MapSpec("a-name_longer_than_fifteen", "array", 4, 4, 1)
    with Map.create(long) as map:
        assert map.name == "a-name_longer_than_fifteen"
        assert map.info().name == "a_name_longer_t"


def test_a_map_that_cannot_be_is_refused_at_its_place() -> None:
    source = Source("m.s", ".map sample, array\n")
    with pytest.raises(LoadError) as refusal:
        Map.create(spec("array", key_size=8, key="u64", span=Span(source, 5, 11)))
    assert str(refusal.value) == (
        "m.s:1:6: error[load-failed]: cannot create map 'sample': the kernel does not take this "
        "type, flags or 8 entries of 8 + 8 bytes (EINVAL)\n"
        "   1 | .map sample, array\n"
        "     |      ^^^^^^\n"
        "   hint: key_size of type array is 4"
    )


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(LoadError, match="map 'sample': there is no map type 'hsah'"):
        Map.create(spec("hsah"))


@pytest.mark.tool("bpftool")
def test_a_map_of_maps_takes_open_maps() -> None:
    inner = spec("array", entries=5)
    outer = MapSpec("outer", "array_of_maps", 4, 4, 2, key="u32", value="u32", inner=inner)
    with Map.create(outer) as maps, Map.create(inner) as one:
        maps[1] = one
        assert isinstance(maps, MapOfMaps)
        assert maps.ids() == {1: one.id}
        assert maps.snapshot() == {1: dict.fromkeys(range(5), 0)}


@pytest.mark.slow
def test_the_whole_module_works_without_the_native_core() -> None:
    program = (
        "from ebpfasm.ir import MapSpec\nfrom ebpfasm.runtime.maps import Map\n"
        "from ebpfasm.runtime import syscall\n"
        "with Map.create(MapSpec('m', 'hash', 4, 8, 9)) as m:\n"
        "    m[1] = 2\n    print(syscall.engine_name(), dict(m))\n"
    )
    for value, name in (("1", "ctypes"), ("0", "native" if native_core() else "ctypes")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "EBPFASM_NO_NATIVE": value},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{name} {{1: 2}}\n"
