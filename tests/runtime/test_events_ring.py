"""Ring buffers: records of real programs, and what happens at the edges."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import gc
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Annotated, Any, NamedTuple

import pytest

from ebpfasm import Collection, EncodeError, LoadError, Map, MapSpec, NotSupported, RingBuffer
from ebpfasm.btf import types
from ebpfasm.btf.types import Btf
from tests.runtime.producers import (
    FORCE_WAKEUP,
    NO_WAKEUP,
    SIZE,
    count_up,
    numbers,
    ring_programs,
    send,
)
from tests.runtime.samples import descriptors
from tests.support import ROOT, need_native

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def native() -> None:
    need_native()


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with ring_programs() as collection:
        yield collection


class Pair(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint64), ("twice", ctypes.c_int64))


@dataclass(slots=True)
class Record:
    number: Annotated[int, "u64"]
    twice: ctypes.c_int64


@dataclass(frozen=True, slots=True)
class Frozen:
    number: Annotated[int, "u64"]
    twice: Annotated[int, "s64"]


class Named(NamedTuple):
    number: Annotated[int, "u64"]
    twice: Annotated[int, "s64"]


TYPES = Btf((
    types.Int("u64", 8, 64),
    types.Int("s64", 8, 64, 1),
    types.Struct("pair", 16, (types.Member("number", 1, 0), types.Member("twice", 2, 64))),
))  # fmt: skip


# ---- What records look like


def test_records_are_bytes_of_any_length_in_the_order_they_were_sent(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring:
        for number, length in ((1, 8), (2, 0), (3, 63), (4, 1), (5, 8)):
            assert send(loaded.programs["send"], number, length) == 0
        words = {number: number.to_bytes(8, sys.byteorder) * 8 for number in range(1, 6)}
        assert ring.read() == [words[1][:8], b"", words[3][:63], words[4][:1], words[5][:8]]
        assert ring.read() == []


@pytest.mark.parametrize(
    ("record", "view"),
    [
        ("=Qq", tuple),
        (Pair, lambda each: (each.number, each.twice)),
        (Record, lambda each: (each.number, each.twice)),
        (Named, tuple),
        (Named, lambda each: (each.number, each.twice)),
        (Frozen, lambda each: (each.number, each.twice)),
        ((TYPES, "struct pair"), lambda each: (each["number"], each["twice"])),
        ((TYPES, 3), lambda each: (each["number"], each["twice"])),
        (lambda raw: memoryview(raw).cast("q"), lambda each: (each[0], each[1])),
    ],
)
def test_records_are_of_the_type_that_was_given(
    loaded: Collection, record: Any, view: Callable[[Any], tuple[int, int]]
) -> None:
    with RingBuffer(loaded.maps["ring"], record) as ring:
        count_up(loaded.programs["count_up"], 3, 4)
        assert [view(each) for each in ring.read()] == numbers(range(3, 7))


@pytest.mark.parametrize("record", ["=Qq", Pair, Record, (TYPES, "pair")])
def test_arrays_take_their_dtype_from_the_records(loaded: Collection, record: Any) -> None:
    with RingBuffer(loaded.maps["ring"], record) as ring:
        count_up(loaded.programs["count_up"], 0, 1000)
        array = ring.read_array()
        assert array.tolist() == numbers(range(1000))
        assert len(ring.read_array()) == 0


def test_an_array_is_filled_as_far_as_it_has_room(loaded: Collection) -> None:
    import numpy as np

    kind = np.dtype([("number", "u8"), ("twice", "i8")])
    with RingBuffer(loaded.maps["ring"], kind) as ring:
        count_up(loaded.programs["count_up"], 0, 10)
        room = np.zeros(8, kind)
        filled = ring.read_array(out=room)
        assert filled.base is room
        assert filled["number"].tolist() == list(range(8))
        assert ring.read_array(out=room)["twice"].tolist() == [-16, -18]
        assert [each["number"] for each in ring.read()] == []


def test_a_record_of_another_length_is_an_error_and_stays(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        count_up(loaded.programs["count_up"], 0, 2)
        send(loaded.programs["send"], 9, 5)
        count_up(loaded.programs["count_up"], 2, 1)
        assert ring.read() == numbers(range(2))
        for read in (ring.read, ring.read_array, lambda: next(ring.events(0))):
            with pytest.raises(EncodeError, match="a record of 5 bytes where its type has 16"):
                read()
        assert ring.read_bytes(1) == [(9).to_bytes(8, sys.byteorder)[:5]]
        assert ring.read() == numbers([2])


def test_discarded_records_are_left_out_and_give_their_room_back(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Q") as ring:
        loaded.programs["every_other"].test_run(bytes(14))
        assert ring.available == 10 * 16
        assert ring.read() == [(0,), (2,), (4,), (6,), (8,)]
        assert ring.available == 0


# ---- The ring itself


def test_records_that_wrap_at_the_end_of_the_ring_are_whole(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring:
        for number in range(4 * SIZE // 64):  # 40 + 8 bytes do not divide the ring
            assert send(loaded.programs["send"], number, 40) == 0
            assert ring.read() == [number.to_bytes(8, sys.byteorder) * 5]


def test_a_full_ring_refuses_records_until_it_is_read(loaded: Collection) -> None:
    room = SIZE // 24
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        sent = 0
        while (reached := count_up(loaded.programs["count_up"], sent, 1000)) == sent + 1000:
            sent = reached
        assert reached == room
        assert send(loaded.programs["send"], 1) == -errno.EAGAIN
        assert ring.read_array()["f0"].tolist() == list(range(room))
        assert send(loaded.programs["send"], 1, 16) == 0


def test_several_rings_are_read_as_one_each_with_its_type(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        ring.add(loaded.maps["other"], "=I")
        loaded.programs["send_other"].test_run(bytes(14))
        count_up(loaded.programs["count_up"], 5, 1)
        assert sorted(ring.read()) == [(5, -10), (7,)]


def test_poll_calls_each_rings_own_function(loaded: Collection) -> None:
    pairs: list[Any] = []
    others: list[Any] = []
    with RingBuffer(loaded.maps["ring"], "=Qq", pairs.append) as ring:
        ring.add(loaded.maps["other"], None, others.append)
        loaded.programs["send_other"].test_run(bytes(14))
        count_up(loaded.programs["count_up"], 0, 3)
        assert ring.poll(0) == 4
        assert (pairs, others) == (numbers(range(3)), [(7).to_bytes(4, sys.byteorder)])
        assert ring.poll(0) == 0


def test_what_a_callback_raises_leaves_the_rest_for_the_next_call(loaded: Collection) -> None:
    seen: list[int] = []

    def take(pair: tuple[int, int]) -> None:
        seen.append(pair[0])
        if pair[0] == 1:
            raise RuntimeError("enough")

    with RingBuffer(loaded.maps["ring"], "=Qq", take) as ring:
        count_up(loaded.programs["count_up"], 0, 4)
        with pytest.raises(RuntimeError, match="enough"):
            ring.poll(0)
        assert ring.poll(0) == 2
        assert seen == [0, 1, 2, 3]


def test_poll_without_a_callback_is_an_error(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring, pytest.raises(ValueError, match="callback"):
        ring.poll(0)


# ---- Loops and waiting


def test_a_loop_that_ends_early_leaves_the_rest_for_the_next_one(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        count_up(loaded.programs["count_up"], 0, 5)
        for number, _ in ring:
            if number == 1:
                break
        with pytest.raises(ValueError, match="left records behind"):
            ring.read_array()
        assert [number for number, _ in ring.events(0)] == [2, 3, 4]


def test_a_loop_waits_for_what_another_thread_sends(loaded: Collection) -> None:
    program = loaded.programs["count_up"]
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        events = iter(ring)
        sender = threading.Thread(target=lambda: [count_up(program, n, 1) for n in range(200)])
        sender.start()
        assert [next(events)[0] for _ in range(200)] == list(range(200))
        sender.join()


def test_a_record_without_a_wakeup_is_found_when_the_time_is_over(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring:
        assert ring.read(0) == []
        send(loaded.programs["send"], 1, 1, NO_WAKEUP)
        assert len(ring.read(0.01)) == 1
        send(loaded.programs["send"], 1, 1, NO_WAKEUP)
        send(loaded.programs["send"], 2, 1, FORCE_WAKEUP)
        assert len(ring.read(None)) == 2


@pytest.mark.parametrize("timeout", [-1, -0.5, float("nan")])
def test_a_timeout_that_is_no_time_is_refused(loaded: Collection, timeout: float) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring:
        for read in (ring.read, ring.events, ring.poll):
            with pytest.raises(ValueError, match="timeout is None or seconds from 0 on"):
                read(timeout)


class Interrupted(Exception):
    """What the signal's handler raises."""


@pytest.mark.parametrize(
    "wait", [lambda ring: next(iter(ring)), lambda ring: ring.read(None),
             lambda ring: ring.read_array("u8", None), lambda ring: ring.read(3600)]
)  # fmt: skip
def test_a_signal_interrupts_waiting_at_once(
    loaded: Collection, wait: Callable[[RingBuffer], object]
) -> None:
    def handler(number: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with RingBuffer(loaded.maps["ring"]) as ring:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            with pytest.raises(Interrupted):
                wait(ring)
            assert send(loaded.programs["send"], 1) == 0
            assert len(ring.read()) == 1
    finally:
        signal.signal(signal.SIGALRM, before)


def test_select_says_when_there_is_something(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"]) as ring:
        assert select.select([ring], [], [], 0) == ([], [], [])
        send(loaded.programs["send"], 1)
        assert select.select([ring], [], [], 60) == ([ring], [], [])
        ring.read()
        assert select.select([ring], [], [], 0) == ([], [], [])


# ---- asyncio


def test_async_loops_get_records_without_blocking(loaded: Collection) -> None:
    async def reading(ring: RingBuffer) -> list[int]:
        found = []
        async for number, _ in ring:
            found.append(number)
            if number == 99:
                break
        return found

    async def sending() -> None:
        for number in range(100):
            await asyncio.sleep(0)
            count_up(loaded.programs["count_up"], number, 1)

    async def both() -> list[int]:
        with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
            found, _ = await asyncio.gather(reading(ring), sending())
            return found

    assert asyncio.run(asyncio.wait_for(both(), 60)) == list(range(100))


def test_two_tasks_share_the_records_and_end_when_it_is_closed(loaded: Collection) -> None:
    async def reading(ring: RingBuffer, into: list[int]) -> None:
        async for number, _ in ring:
            into.append(number)

    async def run() -> list[int]:
        found: list[int] = []
        ring = RingBuffer(loaded.maps["ring"], "=Qq")
        tasks = [asyncio.create_task(reading(ring, found)) for _ in range(2)]
        for number in range(50):
            count_up(loaded.programs["count_up"], number, 1)
            await asyncio.sleep(0)
        while len(found) < 50:
            await asyncio.sleep(0)
        ring.close()
        await asyncio.gather(*tasks)
        return found

    assert sorted(asyncio.run(asyncio.wait_for(run(), 60))) == list(range(50))


def test_a_cancelled_task_leaves_the_ring_usable(loaded: Collection) -> None:
    async def first(ring: RingBuffer) -> Any:
        return await anext(aiter(ring))

    async def run() -> Any:
        with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
            task = asyncio.create_task(first(ring))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            count_up(loaded.programs["count_up"], 8, 1)
            return await first(ring)

    assert asyncio.run(asyncio.wait_for(run(), 60)) == (8, -16)


# ---- Life and death


def test_close_ends_a_loop_of_another_thread(loaded: Collection) -> None:
    ring = RingBuffer(loaded.maps["ring"], "=Qq")
    found: list[int] = []
    begun = threading.Event()

    def reading() -> None:
        for number, _ in ring:
            found.append(number)
            begun.set()

    thread = threading.Thread(target=reading)
    thread.start()
    count_up(loaded.programs["count_up"], 1, 1)
    assert begun.wait(60)
    ring.close()
    thread.join(60)
    assert not thread.is_alive()
    assert found == [1]


def test_two_threads_get_each_record_once(loaded: Collection) -> None:
    found: list[list[int]] = [[], []]
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:

        def reading(into: list[int]) -> None:
            into.extend(number for number, _ in ring)

        threads = [threading.Thread(target=reading, args=[into]) for into in found]
        for thread in threads:
            thread.start()
        sent = 0
        while sent < 20_000:
            sent = count_up(loaded.programs["count_up"], sent, 1000)
        while sum(map(len, found)) < sent:
            os.sched_yield()
    for thread in threads:
        thread.join(60)
    assert sorted(found[0] + found[1]) == list(range(sent))


def test_after_close_calls_say_so_and_loops_end(loaded: Collection) -> None:
    ring = RingBuffer(loaded.maps["ring"], "=Qq")
    count_up(loaded.programs["count_up"], 0, 1)
    ring.close()
    ring.close()
    assert ring.closed
    assert list(ring) == []
    for call in (ring.read, ring.fileno, ring.read_array, ring.read_bytes):
        with pytest.raises(ValueError, match="RingBuffer is closed"):
            call()


def test_the_map_may_be_closed_while_its_ring_is_read(loaded: Collection) -> None:
    with RingBuffer(loaded.maps["ring"], "=Qq") as ring:
        loaded.maps["ring"].close()
        count_up(loaded.programs["count_up"], 4, 1)
        assert ring.read() == numbers([4])


def test_no_descriptor_is_left_open(loaded: Collection) -> None:
    before = descriptors()
    with RingBuffer(loaded.maps["ring"]) as ring:
        ring.add(loaded.maps["other"])
    with pytest.raises(LoadError), Map.create(MapSpec("plain", "array", 4, 8, 1)) as plain:
        RingBuffer(plain)
    assert descriptors() == before


def test_a_map_of_another_type_is_named() -> None:
    with (
        Map.create(MapSpec("plain", "array", 4, 8, 1)) as plain,
        pytest.raises(LoadError, match="'plain' is of type array, and a ringbuf is needed"),
    ):
        RingBuffer(plain)


def forget(map: Map) -> None:
    RingBuffer(map)
    gc.collect()


def test_a_forgotten_reader_warns_and_is_closed(loaded: Collection) -> None:
    before = descriptors()
    with pytest.warns(ResourceWarning, match="unclosed <RingBuffer of ring buffer 'ring'>"):
        forget(loaded.maps["ring"])
    assert descriptors() == before


FORK = """
import os, sys
from ebpfasm import RingBuffer
from tests.runtime.producers import count_up, ring_programs

with ring_programs() as loaded, RingBuffer(loaded.maps["ring"], "=Qq") as ring:
    count_up(loaded.programs["count_up"], 0, 2)
    child = os.fork()
    if not child:
        try:
            ring.read()
        except ValueError as problem:
            print(problem, flush=True)
        ring.close()
        os._exit(0)
    os.waitpid(child, 0)
    print(ring.read())
"""


def test_a_forked_child_takes_nothing() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "RingBuffer was opened before the fork: open another one",
        "[(0, 0), (1, -2)]",
    ]


def test_without_the_native_core_a_reader_says_what_is_missing(
    loaded: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = descriptors()
    monkeypatch.setenv("EBPFASM_NO_NATIVE", "1")
    with pytest.raises(NotSupported, match="reading rings without the native core"):
        RingBuffer(loaded.maps["ring"])
    assert descriptors() == before
