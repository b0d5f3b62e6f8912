"""Maps whose keys and values clang's BTF describes; bpftool reads them by the same BTF."""

from __future__ import annotations

import ctypes
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

import ebpfasm
from ebpfasm.errors import EncodeError
from ebpfasm.ir import CollectionSpec
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.maps import Map
from tests.runtime.samples import bpftool
from tests.support import DATA, find_tool

pytestmark = [pytest.mark.kernel, pytest.mark.tool("clang", "bpftool")]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> CollectionSpec:
    """What stands in typed.c."""
    out = tmp_path_factory.mktemp("typed") / "typed.o"
    source = DATA / "maps" / "typed.c"
    command = [find_tool("clang"), "-target", "bpf", "-g", "-O2", "-c", str(source), "-o", str(out)]
    subprocess.run(command, check=True)
    return ebpfasm.open(out)


@pytest.fixture
def live(described: CollectionSpec) -> Iterator[Collection]:
    with ebpfasm.load(described) as loaded:
        yield loaded


FLOW = {"source": 1, "mac": bytes(range(6)), "vlan": 7}
TRAFFIC = {
    "packets": 2**40, "delta": -5, "kind": 17, "up": True,
    "ends": [{"port": 80, "name": b"http"}, {"port": 443, "name": b"https"}],
    "low": 5, "middle": -3, "high": 0xABCDEF, "v4": 1, "v6": b"\1" + bytes(15),
    "place": 0x1234, "hist": [1, 2, 3, 4], "moods": [-1, 0, 1],
}  # fmt: skip


def test_bpftool_reads_what_python_wrote(live: Collection) -> None:
    flows = live.maps["flows"]
    flows[FLOW] = TRAFFIC
    (entry,) = bpftool("map", "dump", "id", flows.id)
    seen = entry["formatted"]
    assert seen["key"] == {"source": 1, "mac": [0, 1, 2, 3, 4, 5], "vlan": 7}
    value = seen["value"]
    assert value.pop("") == {"v4": 1, "v6": [1, *[0] * 15]}
    # bpftool shows bit-fields unsigned and in hexadecimal
    assert [int(value.pop(name), 16) for name in ("low", "middle", "high")] == [
        5,
        0b11101,
        0xABCDEF,
    ]
    assert value == {
        "packets": 2**40, "delta": -5, "kind": "UDP", "up": True,
        "ends": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}],
        "place": 0x1234, "hist": [1, 2, 3, 4], "moods": [-1, 0, 1],
    }  # fmt: skip
    assert flows[FLOW] == TRAFFIC
    assert dict(flows) == flows.snapshot()
    ((key, traffic),) = flows.items()
    assert (key, traffic) == (FLOW, TRAFFIC)
    del flows[key]
    assert FLOW not in flows


def test_python_reads_what_bpftool_wrote(live: Collection) -> None:
    flats = live.maps["flats"]
    raw = struct.pack("=I4xQh6x", 9, 2**33, -2)
    key = struct.pack("=I", 3)
    bpftool("map", "update", "id", flats.id, "key", *key, "value", *raw)
    assert flats[3] == {"a": 9, "b": 2**33, "c": -2}


def test_a_mismatch_names_the_field(live: Collection) -> None:
    flows = live.maps["flows"]
    wrong = TRAFFIC | {"ends": [TRAFFIC["ends"][0], {"port": 65536, "name": b""}]}  # type: ignore[index]
    with pytest.raises(EncodeError) as refused:
        flows[FLOW] = wrong
    assert str(refused.value) == (
        "error[map-value]: the value of map 'flows': field ends[1].port is an integer from 0 to "
        "65535; 65536 was given"
    )
    with pytest.raises(EncodeError, match="the key of map 'flows': field vlan is missing"):
        flows[{"source": 1, "mac": bytes(6)}]
    assert len(flows) == 0


def test_enumerations_are_numbers_with_names(live: Collection) -> None:
    levels = live.maps["levels"]
    levels[0], levels[1] = "LOW", 1
    assert levels.snapshot() == {0: -1, 1: 1}
    with pytest.raises(EncodeError, match="is one of LOW, HIGH; 'MIDDLE' was given"):
        levels[0] = "MIDDLE"


@dataclass
class Flat:
    a: int
    b: int
    c: int


@dataclass
class Flatter:
    a: int
    b: int


class FlatStructure(ctypes.Structure):
    _fields_ = [("a", ctypes.c_uint32), ("b", ctypes.c_uint64), ("c", ctypes.c_int16)]


def test_values_come_as_a_class_of_the_user_s_choice(described: CollectionSpec) -> None:
    spec = described.maps["flats"]
    with Map.create(spec, value_type=Flat) as flats:
        flats[1] = Flat(1, 2, 3)
        assert flats[1] == Flat(1, 2, 3) == flats.snapshot()[1]
        flats.as_type(value=FlatStructure)
        assert (flats[1].a, flats[1].b, flats[1].c) == (1, 2, 3)
        flats[2] = FlatStructure(4, 5, -6)
        flats.as_type(value=flats.value_dtype)
        assert flats[2].tolist() == (4, 5, -6)
        assert flats.as_type(value=dict)[2] == {"a": 4, "b": 5, "c": -6}
        with pytest.raises(EncodeError, match="cannot be a Flatter: the class lacks field c"):
            flats.as_type(value=Flatter)
    with pytest.raises(EncodeError, match="cannot be a Flatter"):
        Map.create(spec, value_type=Flatter)


def test_a_map_opened_by_its_id_has_the_same_types(live: Collection) -> None:
    flows = live.maps["flows"]
    flows[FLOW] = TRAFFIC
    with Map.from_id(flows.id) as again:
        assert again.snapshot() == {**flows.snapshot()}
        assert again[FLOW] == TRAFFIC


def test_structs_in_batches_are_records_of_numpy(live: Collection) -> None:
    import numpy as np

    flats = live.maps["flats"]
    values = np.zeros(1000, flats.value_dtype)
    values["a"] = np.arange(1000)
    values["c"] = -1
    keys = np.arange(1000, dtype=flats.key_dtype)
    assert flats.update_batch(keys, values) == 1000
    assert flats[999] == {"a": 999, "b": 0, "c": -1}
    found = flats.items_array()
    order = found.keys.argsort()
    assert (found.values[order] == values).all()
    assert len(bpftool("map", "dump", "id", flats.id)) == 1000


def test_an_array_of_another_struct_is_refused_with_the_field(live: Collection) -> None:
    import numpy as np

    flats = live.maps["flats"]
    other = np.zeros(1, [("a", "u4"), ("b", "u8"), ("x", "i2")])
    with pytest.raises(EncodeError, match="not in both: field c, x"):
        flats.update_batch([1], other)
    wide = np.zeros(1, [("a", "u8"), ("b", "u8"), ("c", "i2")])
    wide["a"] = 2**32
    with pytest.raises(EncodeError, match="field a is of dtype uint32; uint64 was given"):
        flats.update_batch([1], wide)
    wide["a"] = 7
    assert flats.update_batch([1], wide) == 1
    assert flats[1]["a"] == 7
