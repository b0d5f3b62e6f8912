"""Perf buffers: a ring for each CPU, lost records, and rings that are written over."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ebpfasm import Collection, EncodeError, LoadError, Map, MapSpec, PerfBuffer
from tests.runtime.producers import perf_programs, send
from tests.runtime.samples import bpftool, descriptors
from tests.support import ROOT, Job, find_tool, need_native

pytestmark = pytest.mark.kernel

CPUS = sorted(os.sched_getaffinity(0))


@pytest.fixture(autouse=True)
def native() -> None:
    need_native()


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with perf_programs() as collection:
        yield collection


@pytest.fixture
def one_cpu() -> Iterator[int]:
    """Test runs take place on one CPU."""
    os.sched_setaffinity(0, CPUS[:1])
    yield CPUS[0]
    os.sched_setaffinity(0, CPUS)


def word(number: int, length: int = 8) -> bytes:
    return (number.to_bytes(8, sys.byteorder) * 4)[:length]


def test_records_are_bytes_filled_up_by_the_kernel(loaded: Collection, one_cpu: int) -> None:
    with PerfBuffer(loaded.maps["events"]) as events:
        for number, length in ((1, 4), (2, 13), (3, 20), (4, 0)):
            assert send(loaded.programs["send"], number, length) == 0
        read = events.read()
    assert [len(each) for each in read] == [4, 20, 20, 4]
    assert read[0] == word(1, 4)
    assert read[1][:13] == word(2, 13)
    assert read[2] == word(3, 20)


def test_typed_records_have_the_programs_length(loaded: Collection, one_cpu: int) -> None:
    with PerfBuffer(loaded.maps["events"], "=QQ") as events:
        for number in range(3):
            send(loaded.programs["send"], number, 16)
        assert events.read() == [(0, 0), (1, 1), (2, 2)]
        for number in range(100):
            send(loaded.programs["send"], number, 16)
        assert events.read_array()["f1"].tolist() == list(range(100))
        send(loaded.programs["send"], 9, 28)
        with pytest.raises(EncodeError, match="a record of 28 bytes where its type has 16"):
            events.read()
        assert events.read_bytes() == [word(9, 28)]


def test_each_record_can_come_with_its_cpu(loaded: Collection) -> None:
    with PerfBuffer(loaded.maps["events"], "=Q", with_cpu=True) as events:
        try:
            for cpu in CPUS:
                os.sched_setaffinity(0, [cpu])
                send(loaded.programs["send"], 100 + cpu, 8)
        finally:
            os.sched_setaffinity(0, CPUS)
        assert sorted(events.read()) == [(cpu, (100 + cpu,)) for cpu in CPUS]


def test_the_maps_elements_are_set_while_it_is_open(loaded: Collection) -> None:
    with PerfBuffer(loaded.maps["events"]):
        assert send(loaded.programs["send"], 1) == 0
    assert send(loaded.programs["send"], 1) == -errno.ENOENT


def test_lost_records_are_counted_and_told_of(loaded: Collection, one_cpu: int) -> None:
    told: list[tuple[int, int]] = []
    with PerfBuffer(
        loaded.maps["events"], pages=1, on_lost=lambda cpu, count: told.append((cpu, count))
    ) as events:
        results = [send(loaded.programs["send"], number, 20) for number in range(300)]
        lost = sum(result == -errno.ENOSPC for result in results)
        assert lost == 300 - (4096 // 32 - 1)  # the kernel never fills a ring to the last byte
        read = events.read()
        assert [each[:8] for each in read] == [word(number) for number in range(300 - lost)]
        send(loaded.programs["send"], 1)  # the kernel tells of a gap before the next record
        assert len(events.read()) == 1
        assert told == [(one_cpu, lost)]
        assert events.lost == lost
        assert events.lost_by_cpu[one_cpu] == lost


def test_records_wrap_at_the_end_of_the_ring(loaded: Collection, one_cpu: int) -> None:
    with PerfBuffer(loaded.maps["events"], "=QQQI", pages=1) as events:
        for number in range(500):  # 28 + 12 bytes do not divide the ring
            assert send(loaded.programs["send"], number, 28) == 0
            assert events.read() == [(number, number, number, number)]
        assert events.lost == 0


def test_an_overwritten_ring_keeps_the_newest_records(loaded: Collection, one_cpu: int) -> None:
    with PerfBuffer(loaded.maps["events"], "=QQI", pages=1, overwrite=True) as events:
        for number in range(300):
            assert send(loaded.programs["send"], number, 20) == 0
        read = [number for number, _, _ in events.read()]
        assert read == list(range(300 - 4096 // 32, 300))
        assert events.read() == []
        for number in range(3):
            send(loaded.programs["send"], number, 20)
        assert events.read_array()["f0"].tolist() == [0, 1, 2]
        send(loaded.programs["send"], 7, 8)
        with pytest.raises(EncodeError, match="a record of 12 bytes where its type has 20"):
            events.read()
        assert [each[:8] for each in events.read_bytes()] == [word(7)]


def test_the_newest_of_an_overwritten_ring_with_odd_records_is_whole(
    loaded: Collection, one_cpu: int
) -> None:
    with PerfBuffer(loaded.maps["events"], "=QQQI", pages=1, overwrite=True) as events:
        for number in range(1000):
            send(loaded.programs["send"], number, 28)
        read = [each[3] for each in events.read()]
        assert read == list(range(1000 - 4096 // 40, 1000))


def test_a_watermark_wakes_the_reader_late_and_the_rest_is_found_in_time(
    loaded: Collection, one_cpu: int
) -> None:
    with PerfBuffer(loaded.maps["events"], watermark=1024) as events:
        send(loaded.programs["send"], 1)
        assert len(events.read(0.01)) == 1
        for number in range(64):
            send(loaded.programs["send"], number, 4)
        assert len(events.read(None)) == 64


def test_poll_calls_back(loaded: Collection, one_cpu: int) -> None:
    seen: list[object] = []
    with PerfBuffer(loaded.maps["events"], "=Q", seen.append, with_cpu=True) as events:
        send(loaded.programs["send"], 5)
        assert events.poll() == 1
    assert seen == [(one_cpu, (5,))]


def test_only_the_cpus_that_were_asked_for_are_read(loaded: Collection, one_cpu: int) -> None:
    with PerfBuffer(loaded.maps["events"], cpus=[one_cpu]) as events:
        assert list(events.lost_by_cpu) == [one_cpu]
        assert send(loaded.programs["send"], 1) == 0
    with pytest.raises(LoadError, match="on CPU 4095") as refusal:
        PerfBuffer(loaded.maps["events"], cpus=[4095])
    assert refusal.value.errno in (errno.ENODEV, errno.EINVAL)


def test_a_map_with_fewer_elements_than_cpus_is_filled() -> None:
    with (
        Map.create(MapSpec("few", "perf_event_array", 4, 4, 1)) as few,
        PerfBuffer(few) as events,
    ):
        assert list(events.lost_by_cpu) == [0]


@pytest.mark.parametrize("pages", [0, 3, -1])
def test_pages_are_a_power_of_two(loaded: Collection, pages: int) -> None:
    with pytest.raises(ValueError, match="a power of two"):
        PerfBuffer(loaded.maps["events"], pages=pages)


def test_no_descriptor_is_left_open(loaded: Collection) -> None:
    before = descriptors()
    with PerfBuffer(loaded.maps["events"]):
        pass
    with pytest.raises(LoadError):
        PerfBuffer(loaded.maps["events"], cpus=[0, 4095])
    with (
        pytest.raises(LoadError, match="a perf_event_array is needed"),
        Map.create(MapSpec("plain", "array", 4, 8, 1)) as plain,
    ):
        PerfBuffer(plain)
    assert descriptors() == before


def test_a_closed_buffer_says_so(loaded: Collection) -> None:
    events = PerfBuffer(loaded.maps["events"])
    events.close()
    assert list(events) == []
    with pytest.raises(ValueError, match="PerfBuffer is closed"):
        _ = events.lost


@pytest.mark.tool("bpftool")
def test_bpftool_reads_the_same_records(loaded: Collection, one_cpu: int) -> None:
    number = loaded.maps["events"].id
    assert bpftool("map", "show", "id", number)["type"] == "perf_event_array"
    where = ["cpu", str(one_cpu), "index", str(one_cpu)]
    command = [find_tool("bpftool"), "--json", "map", "event_pipe", "id", str(number), *where]
    with Job[bytes](command, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        while send(loaded.programs["send"], 0x0102, 13) != 0:
            os.sched_yield()  # it has not set its element yet
        for _ in range(100):  # more than it keeps back before it writes
            send(loaded.programs["send"], 0x0102, 13)
        begin = os.read(other.stdout.fileno(), 1)
        other.send_signal(signal.SIGINT)
        rest, _ = other.communicate(timeout=60)
    with PerfBuffer(loaded.maps["events"]) as events:
        send(loaded.programs["send"], 0x0102, 13)
        assert events.read() == [bytes(json.loads(begin + rest)[0]["data"])]


FORK = """
import os
from ebpfasm import PerfBuffer
from tests.runtime.producers import perf_programs, send

with perf_programs() as loaded, PerfBuffer(loaded.maps["events"], "=Q") as events:
    send(loaded.programs["send"], 3)
    child = os.fork()
    if not child:
        try:
            events.read()
        except ValueError as problem:
            print(problem, flush=True)
        events.close()
        os._exit(0)
    os.waitpid(child, 0)
    send(loaded.programs["send"], 4)
    print(sorted(events.read()))
"""


def test_a_forked_child_takes_nothing_and_closes_nothing_of_its_parents() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "PerfBuffer was opened before the fork: open another one",
        "[(3,), (4,)]",
    ]
