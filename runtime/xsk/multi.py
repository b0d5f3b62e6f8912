"""All queues of an interface as one socket."""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar, overload

from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.xsk.frames import Frame
from ebpfasm.runtime.xsk.options import Counters
from ebpfasm.runtime.xsk.queues import channels
from ebpfasm.runtime.xsk.rings import BURST
from ebpfasm.runtime.xsk.socket import XskSocket
from ebpfasm.runtime.xsk.umem import Umem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

T = TypeVar("T")

_SLICE = 0.1  # seconds: an interface that is gone wakes nobody


class XskMultiSocket(Descriptor):
    """A socket a queue, on one UMEM, received from in turn. `sockets` are there to use singly.

    A Frame remembers its socket: it is sent on the queue it came from. `fileno` is readable when
    one of the sockets is.
    """

    def __init__(self, umem: Umem, sockets: Iterable[XskSocket]) -> None:
        self.umem = umem
        self.sockets = tuple(sockets)
        self._next = 0
        self._epoll = select.epoll()
        for each in self.sockets:
            self._epoll.register(each.fd, select.EPOLLIN)
        super().__init__(self._epoll.fileno())

    @classmethod
    def open(
        cls,
        iface: str | int,
        queues: Iterable[int] | None = None,
        *,
        umem: Umem | None = None,
        **options: Any,
    ) -> XskMultiSocket:
        """Open a socket on each of the queues, by default on all that receive.

        Options, and what is raised, are those of XskSocket.open. All or none are opened.
        """
        chosen = list(range(channels(iface).receive)) if queues is None else list(queues)
        if not chosen:
            raise ValueError("no queues were given")
        sizes = [options.get(f"{ring}_size", 2048) * options.get(ring, True) for ring in _RINGS]
        with ExitStack() as opened:
            if umem is None:
                umem = opened.enter_context(Umem(max(sum(sizes), 64) * len(chosen)))
            sockets = [
                opened.enter_context(XskSocket.open(iface, each, umem=umem, **options))
                for each in chosen
            ]
            made = cls(umem, sockets)
            made._opened = opened.pop_all()
        return made

    _opened = ExitStack()

    @overload
    def recv(self, timeout: None = None) -> Frame: ...
    @overload
    def recv(self, timeout: float) -> Frame | None: ...
    def recv(self, timeout: float | None = None) -> Frame | None:
        """Receive a packet from any queue, as XskSocket.recv does."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            for each in self._in_turn():
                frame = each.recv(0)
                if frame is not None:
                    return frame
            if not self._wait(deadline):
                return None

    def frames(self, timeout: float | None = None, burst: int = BURST) -> Iterator[Frame]:
        """Receive packet after packet from all queues, each leased for the loop's body."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            found = False
            for each in self._in_turn():
                for frame in each.burst(burst):
                    found = True
                    yield frame
            if found:
                deadline = None if timeout is None else time.monotonic() + timeout
            elif not self._wait(deadline):
                return

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        from ebpfasm.runtime.xsk.waiting import readable

        while True:
            for frame in self.frames(0):
                yield frame
            if not await readable(self.fd, _SLICE):
                self._probe()

    def flush(self) -> None:
        """Tell the kernel to send what is in the sockets' tx rings."""
        for each in self.sockets:
            each.flush()

    def counters(self) -> Counters:
        """The sockets' counters, added up."""
        found = [each.counters() for each in self.sockets]
        return Counters(
            *(sum(getattr(each, name) for each in found) for name in Counters.__dataclass_fields__)
        )

    def in_threads(self, work: Callable[[XskSocket], T]) -> list[T]:
        """Run a function on each socket in a thread of its own; what they return, in their order.

        What one raises ends the others, by closing the sockets, and is raised here; so does
        Ctrl-C.
        """
        results: dict[int, T] = {}
        failures: list[BaseException] = []
        done = threading.Semaphore(0)

        def run(at: int, socket: XskSocket) -> None:
            try:
                results[at] = work(socket)
            except BaseException as failure:
                failures.append(failure)
            finally:
                done.release()

        threads = [
            threading.Thread(target=run, args=pair, name=f"xsk-{pair[1].queue}")
            for pair in enumerate(self.sockets)
        ]
        try:
            for each in threads:
                each.start()
            for _ in threads:
                done.acquire()
                if failures:
                    raise failures[0]
        except BaseException:
            self.close()
            raise
        finally:
            for each in threads:
                each.join()
        return [results[at] for at in range(len(threads))]

    def close(self) -> None:
        """Close all sockets, and the UMEM where it is not the caller's."""
        if self._fd < 0:
            return
        self._fd = -1
        self._epoll.close()
        self._opened.close()

    def _in_turn(self) -> list[XskSocket]:
        """The sockets, beginning with another one each time."""
        self._next = (self._next + 1) % len(self.sockets)
        return [*self.sockets[self._next :], *self.sockets[: self._next]]

    def _wait(self, deadline: float | None) -> bool:
        """Wait for a socket to be readable: False when the time is over."""
        left = _SLICE if deadline is None else min(_SLICE, deadline - time.monotonic())
        if left <= 0:
            return False
        self.flush_unkicked()
        if self.closed:
            raise ValueError("XskMultiSocket is closed")
        if not self._epoll.poll(left):
            self._probe()
        return True

    def flush_unkicked(self) -> None:
        """Send what was left to be told of later."""
        for each in self.sockets:
            each.flush_unkicked()

    def _probe(self) -> None:
        for each in self.sockets:
            each.probe()

    def __repr__(self) -> str:
        where = self.sockets[0].interface
        return f"<XskMultiSocket on {len(self.sockets)} queues of {where}>"


_RINGS = ("rx", "tx")
