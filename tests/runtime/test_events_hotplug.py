"""Perf buffers on a machine whose CPUs come and go; only a machine of our own is so treated."""

from __future__ import annotations

import asyncio
import errno
import os
import select
from collections.abc import Iterator
from pathlib import Path

import pytest

from ebpfasm import Collection, PerfBuffer
from tests.runtime.producers import perf_programs, send
from tests.support import need_native

ONLINE = Path("/sys/devices/system/cpu/cpu1/online")

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(
        "KERNEL_VM" not in os.environ or not ONLINE.exists(),
        reason="for a machine of tools/kernel-vm --smp 2",
    ),
]


@pytest.fixture
def loaded() -> Iterator[Collection]:
    need_native()
    with perf_programs() as collection:
        yield collection
    switch(True)


def switch(on: bool) -> None:
    """Have CPU 1 come or go."""
    ONLINE.write_text(str(int(on)))


def send_on(loaded: Collection, cpu: int, number: int) -> int:
    """Send a number from a CPU; what the helper returned."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        return send(loaded.programs["send"], number)
    finally:
        os.sched_setaffinity(0, before)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_cpu_that_goes_and_comes_is_read_again(loaded: Collection, overwrite: bool) -> None:
    with PerfBuffer(loaded.maps["events"], "=Q", with_cpu=True, overwrite=overwrite) as buffer:
        assert send_on(loaded, 1, 1) == 0
        switch(False)
        assert buffer.read() == [(1, (1,))]  # what it said before it went
        switch(True)
        assert send_on(loaded, 1, 2) == -errno.EOPNOTSUPP  # nobody has looked yet
        assert buffer.read() == []
        assert send_on(loaded, 1, 2) == 0
        assert send_on(loaded, 0, 3) == 0
        assert sorted(buffer.read()) == [(0, (3,)), (1, (2,))]
        assert buffer.lost_by_cpu == {0: 0, 1: 0}


def test_a_cpu_that_was_not_there_at_first_is_read(loaded: Collection) -> None:
    switch(False)
    with PerfBuffer(loaded.maps["events"], "=Q", with_cpu=True) as buffer:
        assert buffer.lost_by_cpu == {0: 0}
        switch(True)
        assert select.select([buffer], [], [], 10)[0] == [buffer]  # what to look for
        assert buffer.read_array().tolist() == []
        assert select.select([buffer], [], [], 0)[0] == []
        assert send_on(loaded, 1, 4) == 0
        assert buffer.read_array().tolist() == [(4,)]
        assert buffer.lost_by_cpu == {0: 0, 1: 0}


def test_a_cpu_that_comes_wakes_a_loop_and_an_asyncio_task(loaded: Collection) -> None:
    switch(False)
    with PerfBuffer(loaded.maps["events"], "=Q", with_cpu=True) as buffer:
        switch(True)
        assert buffer.read(0.01) == []  # sees to the new ring while it waits
        assert send_on(loaded, 1, 5) == 0
        assert next(iter(buffer)) == (1, (5,))
        switch(False)

        async def first() -> object:
            async for each in buffer:
                return each
            raise AssertionError("the loop ended")

        async def both() -> object:
            reading = asyncio.create_task(first())
            await asyncio.sleep(0)
            switch(True)
            while send_on(loaded, 1, 6):  # until the reader has seen to the ring
                await asyncio.sleep(0)
            return await reading

        assert asyncio.run(asyncio.wait_for(both(), 60)) == (1, (6,))


def test_cpus_that_are_not_asked_for_are_left_alone(loaded: Collection) -> None:
    with PerfBuffer(loaded.maps["events"], "=Q", cpus=[0]) as buffer:
        switch(False)
        switch(True)
        assert buffer.read() == []
        assert buffer.lost_by_cpu == {0: 0}
