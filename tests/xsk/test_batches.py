"""Bursts as C makes them, against the struct module: views, headers, packets sent at once."""

from __future__ import annotations

import gc
import inspect
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpfasm.errors import LoadError
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import Batch, Census, Umem, XskSocket
from ebpfasm.runtime.xsk.layouts import layout
from tests.xsk.support import FRAME, number, numbered

pytestmark = pytest.mark.kernel

SECOND = 10.0
FREE = Census(free=2048, user=0, fill=2048, tx=0)


@pytest.fixture
def batch(xsk: XskSocket) -> Iterator[Batch]:
    """Twelve numbered frames."""
    with xsk.alloc_batch(12, length=60) as made:
        made.pack("60s", [(each,) for each in numbered(12)])
        yield made


class Seven:
    """An index that is no int."""

    def __index__(self) -> int:
        return 7


# ---- values, as the struct module has them

_CODES = "xcbBhHiIlLqQ?s"


@st.composite
def formats(draw: st.DrawFn) -> str:
    """Formats of what headers are made of; some with a float, which C leaves to struct."""
    order = draw(st.sampled_from(["", "@", "=", "<", ">", "!"]))
    items = st.tuples(st.sampled_from(["", "2", "3"]), st.sampled_from(_CODES + "f"))
    return order + " ".join(count + code for count, code in draw(st.lists(items, max_size=6)))


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(format=formats(), start=st.integers(-4, 4), content=st.binary(min_size=200, max_size=200))
def test_values_are_those_of_the_struct_module(
    batch: Batch, format: str, start: int, content: bytes
) -> None:
    rows = [content[i:] + content[:i] for i in (0, 0, 1, 1, 2, 3, 4, 5, 5, 6, 7, 8)]
    plain, width = struct.Struct(format), struct.calcsize(format)
    batch.write(-4, numpy.frombuffer(b"".join(rows), numpy.uint8).reshape(12, 200))
    expected = [plain.unpack_from(row, 4 + start) for row in rows]
    found = batch.unpack(format, start)
    assert repr(found) == repr(expected)  # NaN is not NaN
    assert repr([tuple(head) for head in batch.headers(format, start)]) == repr(expected)
    batch.write(start, bytes(width))
    batch.pack(format, iter(found), start)
    packed = b"".join(plain.pack(*row) for row in expected)
    assert batch.read(start, width).tobytes() == packed
    for head, row in zip(batch.headers(format, start), reversed(expected), strict=True):
        head[:] = row
    assert repr(batch.unpack(format, start)) == repr(expected[::-1])


@pytest.mark.parametrize(
    ("format", "row"),
    [
        ("B", (256,)), ("b", (-129,)), ("H", (-1,)), ("!I", (1 << 32,)), ("q", (1 << 63,)),
        ("Q", (-1,)), ("2s", ("ab",)), ("H", (1.5,)), ("HH", (1,)), ("f", ("x",)),
    ],
)  # fmt: skip
def test_what_struct_refuses_is_refused(batch: Batch, format: str, row: tuple[object, ...]) -> None:
    with pytest.raises(struct.error) as expected:
        struct.pack(format, *row)
    before = batch.read(0, 60)
    with pytest.raises(struct.error, match=str(expected.value)[:20]):
        batch.pack(format, [row] * 12)

    def turn() -> None:
        for head in batch.headers(format):
            head[:] = row

    with pytest.raises(struct.error):
        turn()
    assert (batch.read(0, 60) == before).all()


def test_what_struct_takes_is_taken(batch: Batch) -> None:
    batch.pack("!H4s", [[Seven(), bytearray(b"ab")]] * 12)
    assert batch.unpack("6s") == [(b"\0\7ab\0\0",)] * 12
    for head in batch.headers("!HH"):
        head[1] = Seven()
    assert batch.unpack("6s") == [(b"\0\7\0\7\0\0",)] * 12


def test_plain_formats_are_read_natively() -> None:
    assert [layout(each)[0] is None for each in ("!6s6sH", "3xc2h", "<Q0s", "?", "d", "2p")] == [
        False, False, False, True, True, True,
    ]  # fmt: skip


# ---- headers

_BOTH = pytest.mark.parametrize("format", ["!H4s", "!e4s"])  # in C, and in Python


@_BOTH
def test_headers_are_written_back_as_the_loop_goes_on(batch: Batch, format: str) -> None:
    batch.write(0, bytes(6))
    seen = []
    for at, head in enumerate(batch.headers(format)):
        seen.append(tuple(head))
        head[1] = b"%d" % at
        assert at == 0 or batch.unpack("4s", 2)[at - 1] == ((b"%d" % (at - 1)).ljust(4, b"\0"),)
        if at == 5:
            break
    assert seen == [(0, b"\0\0\0\0")] * 6
    del head
    gc.collect()
    tails = [tail.rstrip(b"\0") for (tail,) in batch.unpack("4s", 2)]
    assert tails == [b"0", b"1", b"2", b"3", b"4", b"5"] + [b""] * 6


@_BOTH
def test_lists_of_headers_may_be_kept(batch: Batch, format: str) -> None:
    batch.pack("!HI", [(0, i) for i in range(12)])
    kept = list(batch.headers(format))
    assert len({id(each) for each in kept}) == 12
    assert [int.from_bytes(each[1], "big") for each in kept] == list(range(12))


@_BOTH
def test_a_header_outside_its_frame_is_0_and_is_not_written(batch: Batch, format: str) -> None:
    assert [list(head) for head in batch.headers(format, -260)] == [[0, b"\0\0\0\0"]] * 12
    head = next(heads := batch.headers(format, 3838))
    head[1] = b"x"
    with pytest.raises(LoadError, match="leave a frame of the batch"):
        next(heads)


def test_only_what_was_changed_of_a_header_is_written(batch: Batch) -> None:
    for at, head in enumerate(batch.headers("B2xB")):
        if at == 0:
            batch.write(0, b"\1\2\3\4")  # behind the first one's back
        head[1] = 9
    assert batch.unpack("4s") == [(b"\1\2\3\x09",)] * 12


def test_headers_of_a_batch_that_has_gone(xsk: XskSocket) -> None:
    batch = xsk.alloc_batch(3, length=60)
    heads = batch.headers("B")
    next(heads)[0] = 1
    batch.release()
    with pytest.raises(ValueError, match="given back or sent"):
        next(heads)
    assert list(heads) == []
    with pytest.raises(ValueError, match="given back or sent"):
        batch.headers("B")


# ---- views, and how long they live


def test_views_end_with_the_loop(batch: Batch) -> None:
    for view in batch:
        assert len(view) == 60
    with pytest.raises(ValueError, match="released"):
        bytes(view)


def test_a_view_of_a_loop_that_was_left_ends_with_the_leases(
    xsk: XskSocket, cable: VethPair
) -> None:
    cable.send(numbered(3))
    batch = xsk.recv_batch(3, SECOND)
    for view in batch:
        assert number(view) == 0
        break
    assert batch.send() > 0
    with pytest.raises(ValueError, match="released"):
        bytes(view)


@pytest.mark.parametrize("look", [lambda view: view[:4], lambda view: numpy.asarray(view)])
def test_leases_go_on_while_somebody_looks(
    xsk: XskSocket, look: Callable[[memoryview], Any]
) -> None:
    batch = xsk.alloc_batch(4, length=60)
    kept = []
    for view in batch:
        kept.append(look(view))
        break
    for end in (batch.send, batch.release, lambda: batch.send(via=xsk)):
        with pytest.raises(BufferError):
            end()
        assert not batch.released
        assert xsk.umem.census().user == 4
    kept.clear()
    del view
    assert batch.send() == 4
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == FREE


def test_a_batch_itself_has_no_buffer(batch: Batch) -> None:
    with pytest.raises(BufferError, match="a buffer for each frame"):
        memoryview(batch)  # type: ignore[arg-type]


def test_nothing_is_kept_alive(xsk: XskSocket, cable: VethPair) -> None:
    def work() -> None:
        with xsk.alloc_batch(8, length=60) as batch:
            batch.write(0, FRAME)
            for _ in batch:
                pass
            for view in batch:
                del view
                break
            for head in batch.headers("!6s6sH"):
                head[0], head[1] = head[1], head[0]
            batch.pack("6s", batch.unpack("6s"))
            with pytest.raises(struct.error):
                batch.pack("B", [(256,)] * 8)
            batch.split([True] * 3 + [False] * 5).release()
            assert batch.send() == 5
        xsk.send_all([FRAME, bytearray(FRAME)])
        assert xsk.recv_batch(timeout=0).released is False

    work()
    assert xsk.drain(SECOND)
    counts = sys.getrefcount(xsk), sys.getrefcount(FRAME)
    objects = len(gc.get_objects())
    for _ in range(100):
        work()
        assert xsk.drain(SECOND)
    gc.collect()
    assert (sys.getrefcount(xsk), sys.getrefcount(FRAME)) == counts
    assert len(gc.get_objects()) - objects < 50
    assert xsk.umem.census() == FREE


def test_a_batch_in_a_cycle_gives_its_frames_back(xsk: XskSocket) -> None:
    cycle: list[object] = [xsk.alloc_batch(5)]
    cycle.append(cycle)
    del cycle
    with pytest.warns(ResourceWarning, match="5 leases of a batch were forgotten"):
        gc.collect()
    assert xsk.umem.census() == FREE


# ---- sending many


def test_more_packets_than_there_is_room_for(cable: VethPair) -> None:
    with (
        Umem(64, 2048) as umem,
        XskSocket.open("veth0", umem=umem, rx_size=0, rx=False, tx_size=16) as xsk,
    ):
        packets = numbered(500)
        assert xsk.send_all(iter(packets)) == 500
        assert xsk.send_all([]) == 0
        assert xsk.send_all([bytearray(FRAME), memoryview(FRAME), bytes(2048)]) == 3
        assert xsk.drain(SECOND)
        assert xsk.counters().sent == 503
        assert umem.census().free == 64


def test_packets_arrive_in_their_order(xsk: XskSocket, cable: VethPair) -> None:
    with cable.far.entered(), XskSocket.open(cable.far_name) as far:
        with cable.near.entered():
            assert xsk.send_all(numbered(200)) == 200
        found: list[int] = []
        while len(found) < 200:
            with far.recv_batch(64, SECOND) as batch:
                assert len(batch) > 0
                found += [number(view) for view in batch]
    assert found == list(range(200))


def test_rows_of_an_array_are_packets(xsk: XskSocket, cable: VethPair) -> None:
    rows = numpy.frombuffer(b"".join(numbered(200)), numpy.uint8).reshape(200, -1)
    with cable.far.entered(), XskSocket.open(cable.far_name) as far:
        with cable.near.entered():
            assert xsk.send_all(rows) == 200
            assert xsk.send_all(rows[:0]) == 0
        found: list[bytes] = []
        while len(found) < 200:
            with far.recv_batch(64, SECOND) as batch:
                assert len(batch) > 0
                found += [bytes(view) for view in batch]
    assert found == list(map(bytes, numbered(200)))
    assert xsk.drain(SECOND)
    held = sys.getrefcount(rows)
    for wrong, why in (
        (rows.astype(numpy.uint16), TypeError),
        (rows[:, ::2], (BufferError, ValueError)),
        (numpy.zeros((3, 0), numpy.uint8), LoadError),
        (numpy.zeros((3, 9000), numpy.uint8), LoadError),
    ):
        with pytest.raises(why):
            xsk.send_all(wrong)
    assert sys.getrefcount(rows) == held
    assert (xsk.counters().sent, xsk.umem.census()) == (200, FREE)


class Counting(XskSocket):
    """A socket of the user's own kind."""

    batches = 0

    def recv_batch(self, limit: int = 64, timeout: float | None = None) -> Batch:
        """Count the calls."""
        self.batches += 1
        return super().recv_batch(limit, timeout)


def test_a_batch_is_the_same_however_it_is_asked_for(xsk: XskSocket, cable: VethPair) -> None:
    with cable.far.entered(), Counting.open(cable.far_name) as far:
        with cable.near.entered():
            assert xsk.send_all(tuple(numbered(60)), timeout=SECOND) == 60
            assert xsk.drain(SECOND)
        found: list[bytes] = []

        def taken(batch: Batch) -> int:
            with batch:
                found.extend(bytes(view) for view in batch)
                return len(batch)

        assert taken(far.recv_batch(limit=7, timeout=SECOND)) == 7
        assert taken(far.recv_batch(8, timeout=SECOND)) == 8
        assert taken(far.recv_batch(9, SECOND)) == 9
        assert isinstance(far, Counting)
        assert far.batches == 3
        far.recv_batch(1).release()  # waits for ever, for one that is there
        for frame in far.frames(0, 5):
            assert number(bytes(frame.data)) == 25
            other = far.recv_batch(4, 0)  # so that the loop cannot put its frames back
            assert taken(other) == 4
            break
        assert taken(far.recv_batch(5, 0)) == 4  # what the loop has left
        while taken(far.recv_batch(64, 0)):
            pass
        assert sorted(map(number, found)) == [*range(24), *range(26, 60)]
        with pytest.raises(TypeError, match="recv_batch"):
            far.recv_batch(1, 2, 3)  # type: ignore[call-arg]


def test_packets_that_wait_for_their_kick_leave_before_one_waits_for_others(
    xsk: XskSocket, cable: VethPair
) -> None:
    with cable.far.entered(), XskSocket.open(cable.far_name) as far:
        with cable.near.entered():
            xsk.send(FRAME, kick=False)
            assert not xsk.recv_batch(1, 0)
        with far.recv_batch(1, SECOND) as batch:
            assert len(batch) == 1
        with cable.near.entered():
            xsk.send(FRAME, kick=False)
            assert xsk.send_all([FRAME]) == 1
        count = 0
        while count < 2:
            with far.recv_batch(8, SECOND) as batch:
                assert batch
                count += len(batch)
        assert count == 2


def test_packets_before_a_wrong_one_are_sent(xsk: XskSocket) -> None:
    for wrong in (b"", bytes(4097)):
        sent = xsk.counters().sent
        with pytest.raises(LoadError):
            xsk.send_all([FRAME] * 5 + [wrong] + [FRAME])
        assert xsk.counters().sent == sent + 5
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == FREE


def test_packets_without_a_free_frame(cable: VethPair) -> None:
    with (
        Umem(4, 2048) as umem,
        XskSocket.open("veth0", umem=umem, rx=False, tx_size=4) as xsk,
        xsk.alloc_batch(4) as batch,
    ):
        with pytest.raises(LoadError, match="no frame is free: 4 are leased"):
            xsk.send_all([FRAME])
        with pytest.raises(TypeError):
            xsk.send_all([FRAME, "text"])  # type: ignore[list-item]
        batch.split([True, False, False, False]).release()
        assert xsk.send_all([FRAME] * 3) == 3
        assert xsk.drain(SECOND)
        assert umem.census() == Census(free=1, user=3, fill=0, tx=0)


@pytest.mark.needs("AF_XDP packets of several frames")
def test_packets_longer_than_a_frame_are_split(cable: VethPair) -> None:
    with (
        Umem(64, 2048) as umem,
        XskSocket.open("veth0", umem=umem, rx=False, tx_size=64, multi_buffer=True) as xsk,
    ):
        assert xsk.send_all([FRAME, bytes(3000), FRAME]) == 3
        assert xsk.drain(SECOND)
        assert (xsk.counters().sent, umem.census().free) == (3, 64)


# ---- what cannot be asked for


def test_bursts_and_timeouts_that_are_none(xsk: XskSocket) -> None:
    for limit in (0, -1):
        with pytest.raises(ValueError, match="at least one frame"):
            xsk.recv_batch(limit, 0)
        with pytest.raises(ValueError, match="at least one frame"):
            xsk.alloc_batch(limit)
    with pytest.raises(ValueError, match="a number of seconds"):
        xsk.recv_batch(timeout=float("nan"))
    for timeout in (-1, 0, 0.0, 1e-9):
        assert len(xsk.recv_batch(timeout=timeout)) == 0
    assert xsk.umem.census() == FREE


@pytest.mark.parametrize("name", ["send", "swap", "release"])
def test_a_method_in_c_shows_the_text_of_the_one_in_python(name: str) -> None:
    quick, ordinary = getattr(Batch, name), getattr(Batch, f"_{name}_by")
    shown, said = inspect.signature(quick).parameters, inspect.signature(ordinary).parameters
    assert [(each.name, each.default) for each in shown.values()] == [
        (each.name, each.default) for each in said.values()
    ]
    assert inspect.getdoc(quick) == inspect.getdoc(ordinary)


def test_methods_in_c_take_what_those_in_python_take(xsk: XskSocket) -> None:
    batch = xsk.alloc_batch(3, length=60)
    batch.write(0, bytes(range(60)))
    batch.swap(first=0, second=6, width=6)
    batch.swap(12, 20, width=2)
    changed = bytes([*range(6, 12), *range(6), 20, 21, *range(14, 20), 12, 13, *range(22, 60)])
    assert [bytes(view) for view in batch] == [changed] * 3
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'width'"):
        batch.swap(0, 6)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'to'"):
        batch.send(to=xsk)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        batch.send(xsk)  # type: ignore[call-arg]
    assert batch.send(via=xsk, timeout=SECOND) == 3
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == FREE
