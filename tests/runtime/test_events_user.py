"""User ring buffers: what user space writes, a program drains."""

from __future__ import annotations

import ctypes
import errno
import gc
import sys
import threading
from collections.abc import Iterator

import pytest

import ebpfasm
from ebpfasm import Collection, EncodeError, LoadError, Map, MapSpec, UserRingBuffer
from tests.runtime.samples import descriptors
from tests.support import need_native

pytestmark = pytest.mark.kernel

SIZE = 4096
# Adds the first 8 bytes of each record to `seen`, and counts the records there; r0 is how many.
DRAIN = """
.license "GPL"
.map commands, user_ringbuf, max_entries=4096
.map seen, array, key=u32, value=u64, max_entries=2
.section xdp
drain:
    r1 = commands ll
    r2 = each ll
    r3 = 0
    r4 = 0
    call bpf_user_ringbuf_drain
    exit
.text
each:
    r6 = r1
    r1 = r10
    r1 += -8
    r2 = 8
    r3 = r6
    r4 = 0
    r5 = 0
    call bpf_dynptr_read
    r6 = *(u64 *)(r10 - 8)
    *(u32 *)(r10 - 12) = 0
    r2 = r10
    r2 += -12
    r1 = seen ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    lock *(u64 *)(r0 + 0) += r6
    *(u32 *)(r10 - 12) = 1
    r2 = r10
    r2 += -12
    r1 = seen ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 0
    exit
"""


@pytest.fixture(autouse=True)
def able() -> None:
    need_native()
    answer = ebpfasm.features()["map_types"]["user_ringbuf"]
    if not answer:
        pytest.skip(f"user ring buffers came with Linux {answer.since}: {answer.evidence}")


@pytest.fixture
def loaded() -> Iterator[Collection]:
    with ebpfasm.load(ebpfasm.assemble(DRAIN, name="drain.s")) as collection:
        yield collection


def drain(loaded: Collection) -> int:
    return loaded.programs["drain"].test_run(bytes(14)).retval


def seen(loaded: Collection) -> tuple[int, int]:
    """The sum and the number of all records so far."""
    return loaded.maps["seen"][0], loaded.maps["seen"][1]


class Pair(ctypes.Structure):
    _fields_ = (("a", ctypes.c_uint64), ("b", ctypes.c_uint32))


def test_a_program_gets_what_was_written(loaded: Collection) -> None:
    with UserRingBuffer(loaded.maps["commands"]) as ring:
        ring.write((5).to_bytes(8, sys.byteorder))
        ring.write(Pair(7, 1))
        with ring.reserve(8) as room:
            room.cast("Q")[0] = 30
        assert ring.pending == 16 + 24 + 16
        assert drain(loaded) == 3
        assert ring.pending == 0
        assert seen(loaded) == (42, 3)


def test_a_block_that_raises_sends_nothing(loaded: Collection) -> None:
    with UserRingBuffer(loaded.maps["commands"]) as ring:
        with pytest.raises(IndexError), ring.reserve(8) as room:
            room.cast("Q")[1] = 1
        ring.write(Pair(2, 0))
        drain(loaded)
        assert seen(loaded) == (2, 1)


def test_arrays_are_sent_item_by_item(loaded: Collection) -> None:
    import numpy as np

    with UserRingBuffer(loaded.maps["commands"]) as ring:
        ring.write_array(np.arange(100, dtype="u8"))
        ring.write_array(np.arange(100, dtype="u8")[::2], timeout=0)
        assert drain(loaded) == 150
        assert seen(loaded) == (4950 + 2450, 150)


def test_records_wrap_at_the_end_of_the_ring(loaded: Collection) -> None:
    with UserRingBuffer(loaded.maps["commands"]) as ring:
        for number in range(500):  # 24 + 8 + 8 bytes do not divide the ring
            ring.write(number.to_bytes(8, sys.byteorder) + bytes(17))
            assert drain(loaded) == 1
        assert seen(loaded) == (sum(range(500)), 500)


def test_a_full_ring_is_an_error_when_the_time_is_over(loaded: Collection) -> None:
    import numpy as np

    room = SIZE // 16
    with UserRingBuffer(loaded.maps["commands"]) as ring:
        with pytest.raises(LoadError, match=f"{room} of 1000 records were sent") as refusal:
            ring.write_array(np.zeros(1000, "u8"), timeout=0)
        assert refusal.value.errno == errno.ENOSPC
        with pytest.raises(LoadError, match="there is no room for 1 bytes"):
            ring.write(b"x", timeout=0.001)
        assert drain(loaded) == room
        ring.write(b"x" * 8, timeout=0)


def test_a_writer_waits_until_a_program_makes_room(loaded: Collection) -> None:
    import numpy as np

    with UserRingBuffer(loaded.maps["commands"]) as ring:
        writer = threading.Thread(target=lambda: ring.write_array(np.arange(2000, dtype="u8")))
        writer.start()
        while seen(loaded)[1] < 2000:
            drain(loaded)
        writer.join()
        assert seen(loaded) == (sum(range(2000)), 2000)


def test_a_record_larger_than_the_ring_is_an_error(loaded: Collection) -> None:
    with UserRingBuffer(loaded.maps["commands"]) as ring:
        ring.write(bytes(SIZE - 8), timeout=0)
        assert drain(loaded) == 1
        for size in (SIZE - 7, 1 << 30, -1):
            with pytest.raises(EncodeError, match="at most 4088 bytes"), ring.reserve(size):
                pass


def test_what_is_closed_or_of_another_type_says_so(loaded: Collection) -> None:
    before = descriptors()
    ring = UserRingBuffer(loaded.maps["commands"])
    with ring.reserve(8), pytest.raises(ValueError, match="still being filled in"):
        ring.close()
    ring.close()
    with pytest.raises(ValueError, match="UserRingBuffer is closed"):
        ring.write(b"")
    with (
        Map.create(MapSpec("plain", "ringbuf", 0, 0, 4096)) as plain,
        pytest.raises(LoadError, match="is of type ringbuf, and a user_ringbuf is needed"),
    ):
        UserRingBuffer(plain)
    assert descriptors() == before


def forget(map: Map) -> None:
    UserRingBuffer(map)
    gc.collect()


def test_a_forgotten_ring_warns_and_is_closed(loaded: Collection) -> None:
    with pytest.warns(ResourceWarning, match="unclosed <UserRingBuffer 'commands'"):
        forget(loaded.maps["commands"])
