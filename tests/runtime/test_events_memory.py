"""Rings in memory of any content: the C core reads what a plain model reads, and nothing outside.

The data lies between two pages that cannot be touched, so that a step outside ends the test run.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ebpfasm.native import native_core
from tests.support import need_native

PAGE = mmap.PAGESIZE
SIZE = PAGE
BUSY, DISCARD = 1 << 31, 1 << 30
WORD = struct.calcsize("L") * 8


@pytest.fixture(autouse=True)
def native() -> None:
    need_native()


@contextmanager
def fenced(content: bytes) -> Iterator[int]:
    """The address of a copy of whole pages, with nothing before and behind it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with mmap.mmap(-1, len(content) + 2 * PAGE) as memory:
        memory[PAGE : PAGE + len(content)] = content
        there = ctypes.c_char.from_buffer(memory)
        start = ctypes.addressof(there)
        del there
        for fence in (start, start + PAGE + len(content)):
            assert libc.mprotect(ctypes.c_void_p(fence), PAGE, 0) == 0
        yield start + PAGE
        for fence in (start, start + PAGE + len(content)):
            assert libc.mprotect(ctypes.c_void_p(fence), PAGE, 3) == 0


# ---- BPF ring buffers


def ring_model(
    consumer: int, producer: int, data: bytes, length: int
) -> tuple[int, list[bytes], int]:
    """The answer, the records, and where the consumer is then; all positions count bytes."""
    found: list[bytes] = []
    while consumer != producer:
        ahead = (producer - consumer) % (1 << WORD)
        if ahead > SIZE or consumer % 8:
            return -errno.EBADMSG, found, consumer
        place = consumer % SIZE
        (header,) = struct.unpack_from("=I", data, place)
        if header & BUSY:
            return 0, found, consumer
        size = header & ~DISCARD
        step = (size + 8 + 7) // 8 * 8
        if step > ahead:
            return -errno.EBADMSG, found, consumer
        if not header & DISCARD:
            if length and size != length:
                return -errno.EMSGSIZE, found, consumer
            found.append(data[place + 8 : place + 8 + size])
        consumer = (consumer + step) % (1 << WORD)
    return 0, found, consumer


def ring_core(
    consumer: int, producer: int, data: bytes, length: int, oldest: int | None = None
) -> tuple[int, list[bytes], int]:
    """What C does; with `oldest` as in a ring that overwrites, the lost bytes as a last record."""
    core: Any = native_core()
    ffi = core.ffi
    positions = ffi.new("unsigned long[2]", [consumer, producer])
    out = ffi.new("unsigned char[]", 2 * SIZE)
    ends = ffi.new("uint32_t[]", SIZE)
    records = ffi.new("ebpfasm_records *", {
        "out": out, "room": 2 * SIZE, "ends": ends, "capacity": SIZE, "length": length,
    })  # fmt: skip
    with fenced(data) as address:
        ring = ffi.new("ebpfasm_ring *", {
            "consumer": positions, "producer": positions + 1,
            "data": ffi.cast("unsigned char *", address), "size": SIZE,
        })  # fmt: skip
        if oldest is None:
            answer = core.lib.ebpfasm_ring_read(ring, records)
        else:
            first, lost = ffi.new("unsigned long *", oldest), ffi.new("uint64_t *")
            answer = core.lib.ebpfasm_ring_read_overwritable(ring, first, records, lost)
    taken = [*ends[0 : records.count]]
    whole = bytes(ffi.buffer(out, records.used))
    found = [whole[a:b] for a, b in zip([0, *taken], taken, strict=False)]
    if oldest is not None:
        found.append(b"lost %d" % lost[0])
    return answer, found, positions[0]


headers = st.one_of(
    st.integers(0, 64),
    st.integers(0, 64).map(lambda size: size | DISCARD),
    st.integers(0, 64).map(lambda size: size | BUSY),
    st.integers(0, (1 << 32) - 1),
)


@st.composite
def ring_images(draw: st.DrawFn) -> tuple[int, int, bytes, int]:
    """Positions and data that mostly look like a ring's, and sometimes like nothing."""
    start = draw(st.one_of(st.integers(0, 2 * SIZE // 8).map(lambda n: 8 * n),
                           st.sampled_from([(1 << WORD) - 64, (1 << WORD) - SIZE]),
                           st.integers(0, (1 << WORD) - 1)))  # fmt: skip
    data = bytearray(draw(st.binary(min_size=64, max_size=64)) * (SIZE // 64))
    at = start
    for header in draw(st.lists(headers, max_size=40)):
        if at % 8 == 0:
            struct.pack_into("=I", data, at % SIZE, header)
        at += ((header & ~(BUSY | DISCARD)) % SIZE + 15) // 8 * 8
    ahead = draw(st.one_of(st.just(at - start), st.integers(0, SIZE),
                           st.integers(0, (1 << WORD) - 1)))  # fmt: skip
    length = draw(st.sampled_from([0, 0, 0, 8, 16]))
    return start, (start + ahead) % (1 << WORD), bytes(data) * 2, length


@settings(max_examples=200, deadline=None)
@given(ring_images())
def test_ring_memory_of_any_content_is_read_as_the_model_reads_it(
    image: tuple[int, int, bytes, int],
) -> None:
    answer, found, consumer = ring_core(*image)
    assert (answer, found, consumer) == ring_model(*image)


@settings(max_examples=200, deadline=None)
@given(ring_images(), st.integers(-SIZE, SIZE), st.booleans())
def test_a_ring_that_overwrites_is_read_from_its_oldest_record(
    image: tuple[int, int, bytes, int], ahead: int, at_an_end: bool
) -> None:
    consumer, producer, data, length = image
    mask = (1 << WORD) - 1
    begin = producer if at_an_end else consumer + ahead & mask  # where the kernel has its oldest
    skipped = begin - consumer & mask
    skipped = skipped if skipped < 1 << WORD - 1 else 0
    answer, found, at = ring_model(consumer + skipped & mask, producer, data, length)
    expected = answer, [*found, b"lost %d" % skipped], at
    assert ring_core(*image, begin) == expected


def test_a_size_that_is_no_power_of_two_is_refused() -> None:
    core: Any = native_core()
    ffi = core.ffi
    positions = ffi.new("unsigned long[2]")
    for size in (0, 3, 24, SIZE + 8):
        ring = ffi.new("ebpfasm_ring *", {
            "consumer": positions, "producer": positions, "data": ffi.NULL, "size": size,
        })  # fmt: skip
        records = ffi.new("ebpfasm_records *")
        assert core.lib.ebpfasm_ring_read(ring, records) == -errno.EINVAL
        assert core.lib.ebpfasm_user_ring_reserve(ring, 8) == -errno.EINVAL


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, (1 << WORD) - 1), st.integers(0, 2 * SIZE), st.integers(0, 2 * SIZE),
    st.sampled_from([0, 8, 1 << 40]),
)  # fmt: skip
def test_a_user_ring_of_any_positions_gives_only_room_inside(
    consumer: int, ahead: int, length: int, far: int
) -> None:
    core: Any = native_core()
    ffi = core.ffi
    producer = (consumer + ahead + far) % (1 << WORD)
    positions = ffi.new("unsigned long[2]", [consumer, producer])
    with fenced(bytes(2 * SIZE)) as address:
        data = ffi.cast("unsigned char *", address)
        ring = ffi.new("ebpfasm_ring *", {
            "consumer": positions, "producer": positions + 1, "data": data, "size": SIZE,
        })  # fmt: skip
        place = core.lib.ebpfasm_user_ring_reserve(ring, length)
        if place >= 0:
            ffi.memmove(data + place, bytes(length), length)
            core.lib.ebpfasm_user_ring_commit(ring, place, 0)
            header = bytes(ffi.buffer(data + place - 8, 8))
    step = (length + 15) // 8 * 8
    used = (producer - consumer) % (1 << WORD)
    if step > SIZE:
        assert place == -errno.E2BIG
    elif used > SIZE or producer % 8:
        assert place == -errno.EBADMSG
    elif step > SIZE - used:
        assert place == -errno.ENOSPC
    else:
        assert place == producer % SIZE + 8
        assert positions[1] == (producer + step) % (1 << WORD)
        assert header == struct.pack("=II", length, 0)


# ---- perf rings

SAMPLE, LOST = 9, 2


def perf_model(at: int, head: int, data: bytes, length: int) -> tuple[int, list[bytes], int, int]:
    """The answer, the records, where the tail is then, and how many records were lost."""
    found: list[bytes] = []
    lost = 0
    bad = -errno.EBADMSG
    if (head - at) % (1 << 64) > SIZE or at % 8:
        return bad, found, at, lost
    while at != head:
        ahead = (head - at) % (1 << 64)
        turned = data[at % SIZE :] + data[: at % SIZE]
        if ahead < 8:
            return bad, found, at, lost
        kind, _, size = struct.unpack_from("=IHH", turned)
        if size < 8 or size % 8 or size > ahead:
            return bad, found, at, lost
        if kind == SAMPLE:
            if size < 12 or (raw := struct.unpack_from("=I", turned, 8)[0]) > size - 12:
                return bad, found, at, lost
            if length and raw != (length + 11) // 8 * 8 - 4:
                return -errno.EMSGSIZE, found, at, lost
            found.append(turned[12 : 12 + (length or raw)])
        elif kind == LOST:
            if size < 24:
                return bad, found, at, lost
            lost = (lost + struct.unpack_from("=Q", turned, 16)[0]) % (1 << 64)
        at = (at + size) % (1 << 64)
    return 0, found, at, lost


def perf_core(
    tail: int, head: int, data: bytes, length: int, *, seen: int | None = None
) -> tuple[int, list[bytes], int, int]:
    core: Any = native_core()
    ffi = core.ffi
    out = ffi.new("unsigned char[]", 2 * SIZE)
    ends = ffi.new("uint32_t[]", SIZE)
    records = ffi.new("ebpfasm_records *", {
        "out": out, "room": 2 * SIZE, "ends": ends, "capacity": SIZE, "length": length,
    })  # fmt: skip
    page = bytearray(PAGE)
    struct.pack_into("=QQ", page, 1024, head, tail)
    with fenced(bytes(page) + data) as address:
        start = ffi.cast("unsigned char *", address)
        ring = ffi.new("ebpfasm_perf *", {"page": start, "data": start + PAGE, "size": SIZE})
        if seen is None:
            answer = core.lib.ebpfasm_perf_read(ring, records)
        else:
            ring.seen = seen
            answer = core.lib.ebpfasm_perf_snapshot(ring, records)
        (tail,) = struct.unpack("=Q", ffi.buffer(start + 1032, 8))
    taken = [*ends[0 : records.count]]
    whole = bytes(ffi.buffer(out, records.used))
    found = [whole[a:b] for a, b in zip([0, *taken], taken, strict=False)]
    return answer, found, tail, ring.lost


@st.composite
def perf_images(draw: st.DrawFn) -> tuple[int, int, bytes, int]:
    start = draw(st.one_of(st.integers(0, 2 * SIZE // 8).map(lambda n: 8 * n),
                           st.just((1 << 64) - 64), st.integers(0, (1 << 64) - 1)))  # fmt: skip
    data = bytearray(draw(st.binary(min_size=64, max_size=64)) * (SIZE // 64))
    at = start
    for kind, words, raw in draw(st.lists(st.tuples(
        st.sampled_from([SAMPLE, SAMPLE, SAMPLE, LOST, 5]),
        st.one_of(st.integers(0, 6), st.integers(0, 8000)),
        st.one_of(st.just(None), st.integers(0, 64), st.integers(0, (1 << 32) - 1)),
    ), max_size=30)):  # fmt: skip
        size = 8 * words
        fitting = max(size - 12, 0) if raw is None else raw
        piece = struct.pack("=IHHI", kind, 0, size, fitting)
        for index, byte in enumerate(piece):
            data[(at + index) % SIZE] = byte
        at += size
    ahead = draw(st.one_of(st.just(at - start), st.integers(0, SIZE),
                           st.integers(0, (1 << 64) - 1)))  # fmt: skip
    length = draw(st.sampled_from([0, 0, 0, 8, 20]))
    return start % (1 << 64), (start + ahead) % (1 << 64), bytes(data), length


@settings(max_examples=200, deadline=None)
@given(perf_images())
def test_perf_memory_of_any_content_is_read_as_the_model_reads_it(
    image: tuple[int, int, bytes, int],
) -> None:
    assert perf_core(*image) == perf_model(*image)


@settings(max_examples=150, deadline=None)
@given(perf_images(), st.integers(0, 2 * SIZE))
def test_an_overwritable_ring_of_any_content_is_read_inside_its_data(
    image: tuple[int, int, bytes, int], unread: int
) -> None:
    head, _, data, length = image
    answer, found, _, _ = perf_core(0, head, data, length, seen=(head + unread) % (1 << 64))
    _, expected, _, _ = perf_model(head, (head + min(unread, SIZE)) % (1 << 64), data, length)
    assert answer in (0, -errno.EBADMSG, -errno.EMSGSIZE)
    assert found == expected
