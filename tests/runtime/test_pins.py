from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import ebpfasm
from ebpfasm.asm import assemble
from ebpfasm.errors import LoadError
from ebpfasm.ir import CollectionSpec, MapSpec, collect
from ebpfasm.runtime import bpffs, pins
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.maps import Map
from ebpfasm.runtime.programs import Program
from tests.runtime.samples import bpftool, counting, descriptors, passing

pytestmark = pytest.mark.kernel

COUNTS = MapSpec("counts", "hash", 4, 8, 16, key="u32", value="u64")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for pins that nobody has made yet."""
    place = Path(bpffs.DEFAULT) / f"ebpfasm-{os.getpid()}"
    yield place
    subprocess.run(["rm", "-rf", str(place)], check=True)


def pinned(spec: MapSpec) -> CollectionSpec:
    return collect([], maps=[replace(spec, pinning="by_name")])


@pytest.mark.tool("bpftool")
def test_a_pin_keeps_a_map_and_its_folders_come_and_go(folder: Path) -> None:
    place = folder / "deep" / "counts"
    with Map.create(COUNTS) as made:
        made[7] = 70
        made.pin(place)
        number = made.id
    assert bpftool("map", "show", "pinned", place)["id"] == number
    with Map.open(place) as found:
        assert (found.id, found.name, found.type, found[7]) == (number, "counts", "hash", 70)
        found.unpin(place)
    assert not folder.exists()
    assert bpftool("map", "show", "id", number) is None


def test_folders_stay_while_another_pin_is_in_them(folder: Path) -> None:
    with Map.create(COUNTS) as one, Map.create(COUNTS) as other:
        one.pin(folder / "a" / "one")
        other.pin(folder / "other")
        one.unpin()
        assert [each.name for each in folder.iterdir()] == ["other"]
        other.unpin()
        assert not folder.exists()


def test_unpin_without_a_path_removes_every_pin_of_the_object(folder: Path) -> None:
    with Map.create(COUNTS) as made:
        made.pin(folder / "one")
        made.pin(folder / "two")
        made.unpin()
        made.unpin()
    assert not folder.exists()


def test_what_is_not_the_objects_own_is_not_unpinned(folder: Path) -> None:
    with Map.create(COUNTS) as one, Map.create(COUNTS) as other:
        one.pin(folder / "one")
        with pytest.raises(LoadError) as refusal:
            other.unpin(folder / "one")
        assert refusal.value.diagnostics[0].code == "pin-failed"
        assert "it is not map 'counts' that is pinned there" in str(refusal.value)
        assert (folder / "one").exists()


def test_programs_are_pinned_and_opened(folder: Path) -> None:
    with load(passing()) as live:
        live.programs["pass"].pin(folder / "pass")
        tag = live.programs["pass"].info().tag
    with Program.open(folder / "pass") as found:
        assert (found.name, found.type, found.info().tag) == ("pass", "xdp", tag)
        assert found.test_run(bytes(64)).retval == 2
        with Program.from_id(found.id) as again:
            assert again.info() == found.info()
    pins.unpin(folder / "pass")
    assert not folder.exists()


def test_opening_checks_the_kind(folder: Path) -> None:
    before = descriptors()
    with load(passing()) as live, Map.create(COUNTS) as made:
        live.programs["pass"].pin(folder / "pass")
        made.pin(folder / "counts")
    with pytest.raises(LoadError, match=r"it is a program, not a map"):
        Map.open(folder / "pass")
    with pytest.raises(LoadError, match=r"it is a map, not a program"):
        Program.open(folder / "counts")
    with pytest.raises(LoadError, match=r"there is no such pin \(ENOENT\)") as refusal:
        Map.open(folder / "nothing")
    assert refusal.value.errno == errno.ENOENT
    assert descriptors() == before


DIFFERING = [
    ({"type": "lru_hash"}, "its type is hash, not lru_hash"),
    ({"key_size": 8, "key": ""}, "its key_size is 4, not 8"),
    ({"value_size": 4, "value": ""}, "its value_size is 8, not 4"),
    ({"max_entries": 99}, "its max_entries is 16, not 99"),
    ({"flags": 1}, "its flags is 0x0, not 0x1"),
    ({"max_entries": 1, "flags": 1}, "its max_entries is 16, not 1, its flags is 0x0, not 0x1"),
]


@pytest.mark.parametrize(("change", "sentence"), DIFFERING)
def test_a_pinned_map_that_does_not_fit_names_the_fields(
    folder: Path, change: dict[str, object], sentence: str
) -> None:
    with load(pinned(COUNTS), pin_path=folder):
        pass
    before = descriptors()
    wanted = replace(COUNTS, **change)  # type: ignore[arg-type]
    with pytest.raises(LoadError) as refusal:
        load(pinned(wanted), pin_path=folder)
    with pytest.raises(LoadError) as other:
        Map.open(folder / "counts", wanted)
    assert refusal.value.diagnostics == other.value.diagnostics
    (diagnostic,) = refusal.value.diagnostics
    assert diagnostic.code == "map-mismatch"
    assert diagnostic.message == (
        f"the map pinned at '{folder}/counts' does not fit map 'counts': {sentence}"
    )
    assert descriptors() == before
    assert (folder / "counts").exists()


def test_by_name_the_second_load_finds_the_first_ones_map(folder: Path) -> None:
    text = counting().programs["count"]
    spec = replace(text.maps[0], pinning="by_name")
    both = collect([text], maps=[spec])
    with load(both, pin_path=folder) as first:
        first.programs["count"].test_run(bytes(64))
        number = first.maps["counts"].id
        with load(both, pin_path=folder) as second:
            assert second.maps["counts"].id == number
            second.programs["count"].test_run(bytes(64))
            assert second.maps["counts"][0] == 2
    with load(both, pin_path=folder) as third:
        assert third.maps["counts"][0] == 2
        third.maps["counts"].unpin(folder / "counts")
    assert not folder.exists()


def test_a_load_that_fails_leaves_no_new_pin_and_keeps_old_ones(folder: Path) -> None:
    old, new = replace(COUNTS, name="old"), replace(COUNTS, name="new")
    with load(pinned(old), pin_path=folder):
        pass
    bad = assemble(".section xdp\nmain:\n r0 = r9\n exit\n").programs["main"]
    maps = [replace(each, pinning="by_name") for each in (old, new)]
    before = descriptors()
    with pytest.raises(LoadError, match="R9 !read_ok"):
        load(collect([bad], maps=maps), pin_path=folder)
    assert [each.name for each in folder.iterdir()] == ["old"]
    assert descriptors() == before


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_flags_that_a_devmap_comes_back_with_do_not_count(folder: Path, type: str) -> None:
    spec = MapSpec("ports", type, 4, 4, 8)
    with load(pinned(spec), pin_path=folder) as first:
        assert first.maps["ports"].info().flags == 1 << 7  # BPF_F_RDONLY_PROG, uninvited
        with load(pinned(spec), pin_path=folder) as second:
            assert second.maps["ports"].id == first.maps["ports"].id


def test_types_that_the_machine_sizes_are_found_again(folder: Path) -> None:
    maps = [
        MapSpec("perf", "perf_event_array", 4, 4, 0, pinning="by_name"),
        MapSpec("ring", "ringbuf", 0, 0, 5000, pinning="by_name"),
    ]
    with load(collect([], maps=maps), pin_path=folder) as first:
        assert first.maps["ring"].info().max_entries == 8192
        with load(collect([], maps=maps), pin_path=folder) as second:
            for name, each in first.maps.items():
                assert second.maps[name].id == each.id


def test_open_maps_take_the_place_of_new_ones() -> None:
    with Map.create(replace(COUNTS, type="array", max_entries=2)) as mine:
        mine[0] = 40
        with load(counting(), maps={"counts": mine}) as live:
            live.programs["count"].test_run(bytes(64))
            assert live.maps["counts"].id == mine.id
        assert mine[0] == 41
        with pytest.raises(LoadError, match="the given map 'counts' does not fit map 'counts'"):
            load(counting("percpu_array"), maps={"counts": mine})


def test_dots_are_no_part_of_a_pins_name(folder: Path) -> None:
    with Map.create(COUNTS) as made, pytest.raises(LoadError) as refusal:
        made.pin(folder / "a.map")
    assert "names in a BPF file system have no dots (EPERM)" in str(refusal.value)
    assert not folder.exists()


def test_pins_outside_a_bpf_file_system_are_refused(tmp_path: Path) -> None:
    with Map.create(COUNTS) as made:
        with pytest.raises(LoadError, match="not in a BPF file system"):
            made.pin(tmp_path / "pin")
        with pytest.raises(LoadError, match="is not in a BPF file system"):
            made.pin(tmp_path / "folder" / "pin")
    assert list(tmp_path.iterdir()) == []
    plain = tmp_path / "plain"
    plain.write_text("no pin")
    with pytest.raises(LoadError, match="it is no pin in a BPF file system"):
        pins.unpin(plain)
    with pytest.raises(LoadError, match="there is no such pin"):
        pins.unpin(tmp_path / "nothing")
    assert plain.exists()


MOUNTING = """
import sys
from pathlib import Path
from ebpfasm.ir import MapSpec
from ebpfasm.runtime import bpffs
from ebpfasm.runtime.maps import Map
place = Path(sys.argv[1])
assert not bpffs.is_mounted(place)
bpffs.mount(place / "bpf")
bpffs.mount(place / "bpf")
assert bpffs.root_of(place / "bpf") == str(place / "bpf")
with Map.create(MapSpec("m", "array", 4, 4, 1)) as made:
    made.pin(place / "bpf" / "a" / "m")
    made.unpin()
print((place / "bpf" / "a").exists())
bpffs.unmount(place / "bpf")
assert not bpffs.is_mounted(place / "bpf")
"""


def test_a_bpf_file_system_is_mounted_where_one_is_asked_for(tmp_path: Path) -> None:
    # In a mount namespace of its own, which takes the mount away whatever happens.
    command = ["unshare", "--mount", sys.executable, "-c", MOUNTING, str(tmp_path / "with space")]
    (tmp_path / "with space").mkdir()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("False\n", "", 0)


def test_maps_are_opened_by_id_with_their_types() -> None:
    with Map.create(COUNTS) as made:
        made[1] = 2
        with Map.from_id(made.id) as found:
            assert (found[1], found.spec.flags, found.key_size) == (2, 0, 4)
    for number in (0, 4294967295):
        with pytest.raises(LoadError) as refusal:
            Map.from_id(number)
        assert refusal.value.errno == errno.ENOENT


def test_the_door_takes_a_pin_path(folder: Path) -> None:
    with ebpfasm.load(pinned(COUNTS), pin_path=folder) as live:
        assert (folder / "counts").exists()
        live.maps["counts"].unpin()
    assert not folder.exists()
