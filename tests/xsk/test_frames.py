"""Leases and batches: what may be done with them, and that none is lost or doubled."""

from __future__ import annotations

import gc
import random
from collections.abc import Callable

import numpy
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ebpfasm.errors import LoadError
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import Census, Frame, Umem, XskSocket
from tests.xsk.support import FRAME, number, numbered

pytestmark = pytest.mark.kernel

SECOND = 10.0


def received(xsk: XskSocket, cable: VethPair, frame: bytes = FRAME) -> Frame:
    cable.send([frame])
    return xsk.recv()


def test_a_lease_reads_writes_grows_and_shrinks_in_place(xsk: XskSocket, cable: VethPair) -> None:
    frame = received(xsk, cable)
    address, before = frame.address, frame.headroom
    assert (len(frame), bytes(frame), before) == (60, FRAME, 256)
    frame.data[:2] = b"ab"
    frame.push(8)[:8] = b"outerhdr"
    assert (len(frame), frame.address, frame.headroom) == (68, address - 8, before - 8)
    assert bytes(frame) == b"outerhdr" + b"ab" + FRAME[2:]
    frame.pull(8)
    assert bytes(frame) == b"ab" + FRAME[2:]
    frame.put(3)[-3:] = b"end"
    assert bytes(frame) == b"ab" + FRAME[2:] + b"end"
    frame.trim(2)
    assert bytes(frame) == b"ab"
    assert bytes(frame.write(b"other")) == b"other"
    assert frame.tailroom == 4096 - 256 - 5
    whole = bytes(range(256)) * 16
    assert bytes(frame.write(whole)) == whole  # as long as the frame: it begins in the headroom
    for wrong in (
        lambda: frame.push(1), lambda: frame.put(1), lambda: frame.pull(4097),
        lambda: frame.trim(-1), lambda: frame.write(whole + b"x"),
    ):  # fmt: skip
        with pytest.raises(LoadError) as caught:
            wrong()
        assert caught.value.diagnostics[0].code == "xsk-frame"
    frame.release()


def test_a_lease_cannot_be_used_after_it_is_given_back(xsk: XskSocket, cable: VethPair) -> None:
    ends: list[Callable[[Frame], object]] = [Frame.release, Frame.send, Frame.__exit__]
    for end in ends:
        frame = received(xsk, cable)
        data = frame.data
        end(frame)
        assert frame.released
        uses: list[Callable[[Frame, memoryview], object]] = [
            lambda _, data: data[0], lambda frame, _: frame.data, lambda frame, _: len(frame),
            lambda frame, _: frame.push(1), lambda frame, _: bytes(frame),
            lambda frame, _: frame.address, lambda frame, _: frame.send(),
            lambda frame, _: frame.keep(),
        ]  # fmt: skip
        for use in uses:
            with pytest.raises(ValueError, match=r"released memoryview|given back"):
                use(frame, data)
        frame.release()
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == Census(free=2048, user=0, fill=2048, tx=0)


def test_slices_and_arrays_hold_a_lease(xsk: XskSocket, cable: VethPair) -> None:
    frame = received(xsk, cable)
    part = frame.data[6:12]
    for _ in range(2):  # a second attempt is no better
        with pytest.raises(BufferError, match="slices of the frame's data are still in use"):
            frame.release()
    assert not frame.released
    assert bytes(part) == FRAME[6:12]
    frame = frame.keep()
    with pytest.raises(BufferError):
        frame.release()
    del part
    array = numpy.frombuffer(frame.data, numpy.uint8)
    with pytest.raises(BufferError):
        frame.send()
    assert array[0] == 2
    del array
    gc.collect()
    frame.send()
    assert xsk.counters().sent == 1


def test_views_of_earlier_leases_hold_nothing(cable: VethPair) -> None:
    with (
        Umem(1, 2048) as umem,
        XskSocket.open("veth0", umem=umem, rx=False, tx_size=1) as xsk,
    ):
        views = []
        for _ in range(3):  # the same frame each time
            with xsk.alloc(SECOND) as frame:
                views.append(frame.put(60))
                frame.send()
            with xsk.alloc(SECOND) as frame:
                views.append(frame.put(60))


def test_a_loop_s_lease_ends_with_its_body_unless_it_is_kept(
    xsk: XskSocket, cable: VethPair
) -> None:
    cable.send(numbered(4))
    kept = []
    seen = []
    for frame in xsk.frames(0.1):
        seen.append(frame)
        if number(frame.data) % 2:
            kept.append(frame.keep())
    assert [each.released for each in seen] == [True] * 4
    assert [number(each.data) for each in kept] == [1, 3]
    assert xsk.umem.census().user == 2
    for each in kept:
        each.release()
    cable.send(numbered(2))
    slices: list[memoryview] = []
    with pytest.raises(BufferError):
        slices.extend(frame.data[14:18] for frame in xsk.frames(0.1))
    assert bytes(slices[0]) == bytes(4)  # it is still what it was
    slices.clear()
    assert [number(frame.data) for frame in xsk.frames(0.1)] == [1]
    xsk.tend()
    assert xsk.umem.census().user == 0


def test_a_forgotten_lease_comes_back(xsk: XskSocket, cable: VethPair) -> None:
    with pytest.warns(ResourceWarning, match="was forgotten"):
        received(xsk, cable)
    frame = received(xsk, cable)
    data = frame.data
    with pytest.warns(ResourceWarning, match="was forgotten"):
        del frame
    assert xsk.umem.census().user == 1  # somebody may look at it
    assert bytes(data) == FRAME
    del data
    xsk.tend()
    assert xsk.umem.census().user == 0
    cable.send([FRAME] * 3)
    with pytest.warns(ResourceWarning, match="3 leases of a batch were forgotten"):
        assert len(xsk.recv_batch(3, SECOND)) == 3
    assert xsk.umem.census().user == 0


def test_leases_outlive_their_socket(cable: VethPair) -> None:
    with XskSocket.open("veth0") as xsk:
        frame = received(xsk, cable)
        cable.send(numbered(5))
        batch = xsk.recv_batch(2, SECOND)
        for _ in range(10):
            xsk.send(FRAME, kick=False)  # these are in flight when it is closed
    assert bytes(frame) == FRAME
    assert len(batch) > 0
    with pytest.raises(ValueError, match="closed"):
        frame.send()
    frame.release()
    batch.release()
    assert xsk.umem.census() == Census(free=4096, user=0, fill=0, tx=0)
    with pytest.raises(ValueError, match="closed"):
        xsk.recv(0)
    with pytest.raises(ValueError, match="closed"):
        xsk.send(FRAME)
    with pytest.raises(ValueError, match="closed"):
        xsk.drop(1)
    xsk.close()


def test_a_batch_is_arrays(xsk: XskSocket, cable: VethPair) -> None:
    cable.send(numbered(50))
    with cable.socket("far", receive=True) as far:
        far.settimeout(SECOND)
        batch = xsk.recv_batch(64, SECOND)
        while len(batch) < 50:
            more = xsk.recv_batch(64, SECOND)
            batch.release() if not len(more) else None
            pytest.fail("fifty frames in one burst take one batch")
        assert (len(batch), batch.packets) == (50, 50)
        assert batch.lengths.tolist() == [60] * 50
        numbers = batch.read(14, 4).view(">u4").ravel()
        assert numbers.tolist() == list(range(50))
        assert xsk.umem.frames[batch.rows, batch.columns + 17].tolist() == list(range(50))
        assert [number(view) for view in batch] == list(range(50))
        assert batch.read(58, 4)[0].tolist() == [0, 0, 0, 0]
        odd = batch.split(numbers % 2 == 1)
        assert (len(odd), len(batch)) == (25, 25)
        odd.release()
        batch.write(0, [7] * 6)
        batch.swap(0, 6, 6)
        batch.push(4)
        batch.write(0, numpy.arange(100).reshape(25, 4))
        assert batch.send() == 25
        assert batch.released
        for i in range(25):
            head = bytes(range(4 * i, 4 * i + 4))
            got = far.recv(2048)
            assert got[:22] == head + FRAME[6:12] + b"\7" * 6 + b"\x88\xb5" + bytes(
                [0, 0, 0, 2 * i]
            )
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == Census(free=2048, user=0, fill=2048, tx=0)


def test_a_batch_is_made_and_sent(xsk: XskSocket, cable: VethPair) -> None:
    with cable.socket("far", receive=True) as far:
        far.settimeout(SECOND)
        with xsk.alloc_batch(8) as batch:
            batch.lengths[:] = 60
            batch.write(0, numpy.frombuffer(FRAME, numpy.uint8))
            assert batch.send() == 8
        assert [far.recv(2048) for _ in range(8)] == [FRAME] * 8
        with xsk.alloc_batch(8) as unsent:
            assert xsk.umem.census().user == 8
            assert len(unsent) == 8
    assert xsk.umem.census().user == 0


def test_a_batch_unpacks_and_packs_a_header_of_each_frame(xsk: XskSocket) -> None:
    before = numbered(20)
    with xsk.alloc_batch(20, length=60) as batch:
        assert len(batch) == 20
        batch.pack("60s", ((frame,) for frame in before))
        assert [bytes(view) for view in batch] == before
        found = list(batch.unpack("!6s6sHI"))
        assert found == [(FRAME[:6], FRAME[6:12], 0x88B5, i) for i in range(20)]
        batch.write(-256, b"head")  # where the frames begin; what is before them is 0
        assert list(batch.unpack("2s4s", -258)) == [(b"\0\0", b"head")] * 20
        batch.pack("6s6s", [(source, to) for to, source, *_ in found])
        turned = [frame[6:12] + frame[:6] + frame[12:] for frame in before]
        assert [bytes(view) for view in batch] == turned
        with pytest.raises(ValueError, match="20 rows are needed, not 19"):
            batch.pack("B", [(0,)] * 19)
        with pytest.raises(LoadError, match="leave a frame of the batch"):
            batch.pack("B", [(0,)] * 20, 4000)
    for use in (lambda: batch.unpack("B"), lambda: batch.pack("B", [(0,)] * 20)):
        with pytest.raises(ValueError, match="given back"):
            use()


def test_a_batch_is_filled_with_bytes(xsk: XskSocket, cable: VethPair) -> None:
    with xsk.alloc_batch(3, length=60) as batch:
        assert batch.lengths.tolist() == [60, 60, 60]
        batch.write(0, FRAME)
        assert [bytes(view) for view in batch] == [FRAME] * 3
        with pytest.raises(LoadError, match="4 bytes at 3838 of the contents leave a frame"):
            batch.write(3838, b"four")
    room = 4096 - 256
    with xsk.alloc_batch(1, length=room) as batch:
        assert len(next(iter(batch))) == room
    for length in (-1, room + 1):
        with pytest.raises(LoadError, match="do not fit in a frame of 3840") as caught:
            xsk.alloc_batch(1, length=length)
        assert caught.value.diagnostics[0].code == "xsk-frame"


def test_a_batch_refuses_what_leaves_a_frame(xsk: XskSocket, cable: VethPair) -> None:
    batch = xsk.alloc_batch(4)
    batch.lengths[:] = 60
    wrongs: tuple[Callable[[], object], ...] = (
        lambda: batch.write(4000, [0] * 200), lambda: batch.write(-300, [0]),
        lambda: batch.swap(0, 4000, 100), lambda: batch.push(257),
    )  # fmt: skip
    for wrong in wrongs:
        with pytest.raises(LoadError, match=r"frame|add"):
            wrong()
    changes: tuple[tuple[str, Callable[[], object]], ...] = (
        ("leave its 4096 bytes", lambda: batch.lengths.__setitem__(2, 4000)),
        ("it has no bytes", lambda: batch.lengths.__setitem__(2, 0)),
        ("outside the UMEM", lambda: batch.addresses.__setitem__(2, 1 << 40)),
        ("not leased to you", lambda: batch.addresses.__setitem__(2, batch.addresses[1])),
    )
    for message, change in changes:
        kept = batch.descriptors.copy()
        change()
        with pytest.raises(LoadError, match=message) as caught:
            batch.send()
        assert caught.value.diagnostics[0].code == "xsk-frame"
        batch.descriptors[:] = kept
    assert xsk.umem.census().user == 4  # none was sent, none was lost
    view = next(iter(batch))
    view.release()
    kept_views: list[memoryview] = []
    with pytest.raises(BufferError):
        kept_views.extend(view[:4] for view in batch)
    kept_views.clear()
    batch.release()
    after: tuple[Callable[[], object], ...] = (
        batch.send, lambda: batch.read(0, 1), lambda: list(batch),
    )  # fmt: skip
    for use in after:
        with pytest.raises(ValueError, match="given back or sent"):
            use()
    assert xsk.umem.census().user == 0


@pytest.mark.slow
def test_a_million_leases_in_random_patterns_lose_and_double_none(cable: VethPair) -> None:
    """A pool of 256 frames; at each step some are taken, sent, released, batched, at random."""
    chosen = random.Random(6)
    with (
        Umem(256, 2048) as umem,
        XskSocket.open("veth0", umem=umem, rx_size=64, tx_size=64) as xsk,
    ):
        leases: list[Frame] = []
        done = 0
        while done < 1_000_000:
            match chosen.randrange(7):
                case 5:
                    if umem.census().free > 20:
                        sent = xsk.send_all([FRAME] * chosen.randint(0, 20), 0)
                        done += sent
                case 6:
                    cable.send([FRAME] * chosen.randint(0, 8))
                    batch = xsk.recv_batch(chosen.randint(1, 9), 0)
                    done += len(batch)
                    for view in batch:
                        if chosen.randrange(4) == 0:
                            break
                        del view
                    for head in batch.headers("6s6s"):
                        head.reverse()
                    if chosen.randrange(2):
                        batch.send(timeout=0)
                    batch.release()
                case 0 | 1:
                    free = umem.census().free
                    if not free:
                        continue
                    with xsk.alloc_batch(chosen.randint(1, 128), 0) as batch:
                        taken = len(batch)
                        done += taken
                        assert 1 <= taken <= free
                        assert len(set((batch.addresses // 2048).tolist())) == taken
                        part = batch.split(numpy.arange(taken) < chosen.randint(0, taken))
                        part.lengths[:] = 60
                        if chosen.randrange(8) == 0:
                            part.send()
                        part.release()
                case 2:
                    while len(leases) < 100 and umem.census().free > 20:
                        leases.append(xsk.alloc(0))
                        done += 1
                    held = {each.address // 2048 for each in leases}
                    assert len(held) == len(leases)
                case 3:
                    chosen.shuffle(leases)
                    for _ in range(chosen.randint(0, len(leases))):
                        frame = leases.pop()
                        if chosen.randrange(8):
                            frame.release()
                        else:
                            frame.write(FRAME).send(kick=False)
                    xsk.flush()
                case _:
                    cable.send([FRAME] * chosen.randint(0, 8))
                    for _ in xsk.frames(0, burst=chosen.randint(1, 9)):
                        done += 1
                        if chosen.randrange(4) == 0:
                            break
            assert umem.census().total == 256
        for frame in leases:
            frame.release()
        xsk.drop(timeout=0.01)
        assert xsk.drain(SECOND)
        census = umem.census()
        assert (census.user, census.tx, census.total) == (0, 0, 256)
    assert umem.census() == Census(free=256, user=0, fill=0, tx=0)


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 40)), max_size=40))
def test_the_pool_is_a_set(steps: list[tuple[int, int]]) -> None:
    """The native pool by itself against a set of addresses."""
    from ebpfasm.runtime.xsk.faults import core

    umem = Umem(64, 2048)
    lib, ffi = core().lib, core().ffi
    held: set[int] = set()
    for what, count in steps:
        descs = ffi.new("struct ebpfasm_desc[]", 64)
        bad = ffi.new("uint32_t *")
        if what < 3:
            taken = lib.ebpfasm_umem_take(umem.handle, descs, count, 0)
            assert taken == min(count, 64 - len(held))
            new = {descs[i].address for i in range(taken)}
            assert len(new) == taken
            assert not new & held
            held |= new
        elif what < 5:
            back = sorted(held)[:count]
            for i, each in enumerate(back):
                descs[i].address = each + count  # anywhere in its frame
            assert lib.ebpfasm_umem_give(umem.handle, descs, len(back), bad) == 0
            held -= set(back)
        else:
            stranger = 64 * 2048 + count if not held else (max(held) + 2048) % (64 * 2048)
            if any(each // 2048 == stranger // 2048 for each in held):
                continue
            assert lib.ebpfasm_umem_give_one(umem.handle, stranger) < 0
        assert umem.census() == Census(free=64 - len(held), user=len(held), fill=0, tx=0)
