"""Receiving: a frame at a time, frame after frame, or a batch."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

from ebpfasm.runtime.xsk.batch import Batch
from ebpfasm.runtime.xsk.frames import Frame, Packet
from ebpfasm.runtime.xsk.options import DESC, MOST_FRAGMENTS, PKT_CONTD
from ebpfasm.runtime.xsk.rings import BURST, Rings, Settings, deadline_of, quicken
from ebpfasm.runtime.xsk.umem import Umem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


_SLICE = 0.1  # seconds: an interface that is gone wakes nobody


class Receiving(Rings):
    """The receiving half of a socket."""

    def __init__(self, umem: Umem, settings: Settings) -> None:
        self._pending = deque()
        self._batches = Batch
        super().__init__(umem, settings)
        self.fragments = MOST_FRAGMENTS * settings.multi_buffer
        self._receive = self.calls.xsk_recv

    @overload
    def recv(self, timeout: None = None) -> Frame: ...
    @overload
    def recv(self, timeout: float) -> Frame | None: ...
    def recv(self, timeout: float | None = None) -> Frame | None:
        """Receive a packet: a lease, to be sent or released; None when the time is over.

        Raises LoadError (xsk-interface, xsk-ring), ValueError when the socket is closed.
        """
        if self._pending:
            return self._pending.popleft().keep()
        count = self.receive(self._one, self._one_at, 1, 0, timeout)
        if not count:
            return None
        if count == 1:
            first = self._one[0]
            return self.kept(self, first.address, first.length)
        (frame,) = self._assemble(self.core.ffi.buffer(self._one, DESC.size * count))
        return frame.keep()

    def recv_batch(self, limit: int = BURST, timeout: float | None = None) -> Batch:
        """Receive up to `limit` frames at once; none when the time is over. Raises as recv()."""
        if self._pending:
            waiting = self._take_pending(limit)
            return Batch._made(self, self.pointer, bytearray(b"".join(waiting)))
        if self._unkicked:
            self.flush()
        return Batch._received(self, self.pointer, limit, timeout)

    def frames(self, timeout: float | None = None, burst: int = BURST) -> Iterator[Frame]:
        """Receive packet after packet, each leased for the loop's body, until none comes in time.

        Frames are fetched in bursts; what is left of one when the loop is left stays in the ring.
        Ends when another thread closes the socket. Raises as recv().
        """
        return self._lent(timeout, burst)

    def burst(self, limit: int = BURST) -> Iterator[Frame]:
        """Receive what is there, at most about `limit` frames, each leased for the loop's body."""
        return self._lent(0, limit, once=True)

    def __iter__(self) -> Iterator[Frame]:
        return self._lent(None, BURST)

    async def __aiter__(self) -> AsyncIterator[Frame]:
        from ebpfasm.runtime.xsk.waiting import readable

        while not self.closed:
            for frame in self._lent(0, BURST):
                yield frame
            if self._fd >= 0 and not await readable(self._fd, _SLICE):
                self.probe()

    def _lent(self, timeout: float | None, burst: int, once: bool = False) -> Iterator[Frame]:
        if burst < 1:
            raise ValueError(f"a burst is at least one frame, not {burst}")
        descs = self.descriptors(burst + MOST_FRAGMENTS)
        raw, at = self.core.ffi.buffer(descs), self.address_of(descs)
        while True:
            count = 0 if self._pending else self._receive_or_end(descs, at, burst, timeout)
            if not count and not self._pending:
                return
            frames = self._assemble(raw[: DESC.size * count]) if count else self._drain_pending()
            frame, taken = None, 0
            done: list[int] = []
            try:
                for taken, frame in enumerate(frames, 1):  # noqa: B007 - used when it is left
                    yield frame
                    if frame.home is not None:
                        if frame.view is not None or frame.rest:
                            frame.let_go()
                        frame.home = None
                        done.append(frame.place)
                        if frame.rest:
                            _end_rest(frame, done)
                frame = None
            finally:
                if frame is not None:  # left in the body, or views were kept
                    self._end_late(frame, done)
                    self.flush_quietly()
                if done:
                    self._give_all(done)
                if frame is not None and count:
                    self._put_back(descs, taken, count)
            if once:
                return

    def _receive_or_end(self, descs: Any, at: int, burst: int, timeout: float | None) -> int:
        try:
            return self.receive(descs, at, burst, 1, timeout)
        except ValueError:
            if self.closed:
                return 0
            raise

    def _end_late(self, frame: Frame, done: list[int]) -> None:
        """End the last frame's lease; where views of it are in use it ends with them."""
        if frame.home is None:
            return
        try:
            frame.let_go()
        except BufferError:
            for each in (frame, *frame.rest):
                each.home = each.view = None
                self.umem.abandon(each.place // self.frame_size)
        else:
            _end(frame, done)

    def _assemble(self, raw: Any) -> Iterable[Frame]:
        """Make a Frame of each packet's descriptors."""
        if self.lease is Frame:
            words = memoryview(raw)
            addresses = words.cast("Q")[::2].tolist()
            return map(Frame, repeat(self), addresses, words.cast("I")[2::4].tolist())
        packets: list[Frame] = []
        parts: list[Packet] = []
        for address, length, option in DESC.iter_unpack(raw):
            parts.append(Packet(self, address, length))
            if not option & PKT_CONTD:
                parts[0].extend(parts[1:])
                packets.append(parts[0])
                parts = []
        return packets

    def receive(self, descs: Any, at: int, limit: int, peek: int, timeout: float | None) -> int:
        """Receive descriptors to an array at an address, or wait for them; how many."""
        receive = self._receive
        if self._unkicked:
            self.flush()
        count: int = receive(self.pointer, at, limit, peek)
        if count > 0 or (count == 0 and timeout == 0):
            return count
        deadline = deadline_of(timeout)
        while not count:
            until = self.slice_of(deadline)
            if until is None:
                return 0
            count = self.core.lib.ebpfasm_xsk_recv_until(self.handle, descs, limit, peek, until)
            if count == -errno.EINTR:
                count = 0
        if count < 0:
            self.fail(count)
        return count

    def _put_back(self, descs: Any, taken: int, count: int) -> None:
        """Unread what is behind `taken` packets; where that cannot be, keep it for the next."""
        at = 0
        while taken:
            taken -= not descs[at].options & PKT_CONTD
            at += 1
        if at == count:
            return
        outcome = self.core.lib.ebpfasm_xsk_unread(self.handle, descs + at, count - at)
        if outcome == 0:  # somebody has received meanwhile
            raw = self.core.ffi.buffer(descs + at, DESC.size * (count - at))
            self._pending.extend(self._assemble(bytes(raw)))
        elif outcome < 0:  # closed
            self._give_all([descs[i].address for i in range(at, count)])

    def _drain_pending(self) -> Iterator[Frame]:
        while self._pending:
            yield self._pending.popleft()

    def _take_pending(self, limit: int) -> list[bytes]:
        found: list[bytes] = []
        while self._pending and (not found or len(found) + len(self._pending[0].rest) < limit):
            frame = self._pending.popleft()
            found += [DESC.pack(*each) for each in frame.descriptors()]
            _end(frame, [])
        return found

    def _give_all(self, addresses: list[int]) -> None:
        self.calls.umem_give(self.umem.pointer, addresses)


quicken(Receiving, "socket_method", "recv_batch")


def _end(frame: Frame, done: list[int]) -> None:
    frame.home = None
    done.append(frame.place)
    _end_rest(frame, done)


def _end_rest(frame: Frame, done: list[int]) -> None:
    for each in frame.rest:
        each.home = None
        done.append(each.place)
