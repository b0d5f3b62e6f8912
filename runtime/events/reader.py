"""What reading is like, whichever rings are read: loops, lists, arrays, callbacks, asyncio."""

from __future__ import annotations

import math
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ebpfasm.closing import Closing
from ebpfasm.errors import EbpfError
from ebpfasm.runtime.events.source import Source
from ebpfasm.runtime.events.waiting import Waiter

if TYPE_CHECKING:
    import asyncio

_PAUSE = 0.001  # seconds before looking again at a record that a program has not finished yet

SourceT = TypeVar("SourceT", bound=Source)


class EventReader(Closing, Generic[SourceT]):
    """Rings read as one stream. Threads may share it: each record goes to one of them.

    Records are taken out of their ring in batches. What a loop that ends early has not used stays
    here, and the next loop, `read` or `poll` begins with it. After close() loops end; every other
    call raises ValueError, and so does reading in a forked child, where nothing is taken.
    """

    _waiter: Waiter | None = None  # so that __del__ works where __init__ failed

    def __init__(self) -> None:
        self._sources: list[SourceT] = []
        self._lock = threading.Lock()
        self._pending: deque[tuple[SourceT, Iterator[Any]]] = deque()
        self._sleepers: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
        self._process = os.getpid()
        self._waiter = Waiter()

    # ---- reading

    def __iter__(self) -> Iterator[Any]:
        """Records as they come, for ever; ends when the reader is closed."""
        return self.events()

    def events(self, timeout: float | None = None) -> Iterator[Any]:
        """Records as they come; ends when none came for `timeout` seconds, or after close()."""
        _check_timeout(timeout)
        return chain.from_iterable(self._batches(timeout))

    def read(self, timeout: float | None = 0) -> list[Any]:
        """All records that are there. Where there is none, wait `timeout` seconds (None: for ever).

        Raises EncodeError where a record has not its type's length, LoadError where a ring's memory
        makes no sense.
        """
        _check_timeout(timeout)
        self._check()
        found: list[Any] = []
        for source, values in self._left(timeout):
            found += source.iterate(values)
        return found

    def poll(self, timeout: float | None = None) -> int:
        """Give every record that is there to its callback; how many there were.

        Waits up to `timeout` seconds for the first, for ever for None. What a callback raises ends
        it, and the rest stays for the next call.
        """
        _check_timeout(timeout)
        self._check()
        if any(source.callback is None for source in self._sources):
            raise ValueError("poll() needs a callback for every ring: give callback=")
        count = 0
        for source, values in self._left(timeout):
            call = source.callback
            assert call is not None
            for event in source.iterate(values):
                count += 1
                call(event)
        return count

    def read_bytes(self, most: int | None = None) -> list[bytes]:
        """Records as bytes, whatever their type is, at most so many; none where there is none."""
        self._look()
        with self._lock:
            self._check()
            found: list[bytes] = []
            for source in self._sources:
                left = None if most is None else most - len(found)
                if left != 0:
                    found += source.take_bytes(left)
        return found

    def read_array(self, dtype: Any = None, timeout: float | None = 0, *, out: Any = None) -> Any:
        """All records that are there, as a numpy array without a Python object a record.

        `dtype` is that of a record; without one it is made of the records' type. With `out`, an
        array of records, at most as many are taken as it has room for, and what was filled of it
        comes back. Raises as `read` does, TypeError where no type is known.
        """
        import numpy as np

        _check_timeout(timeout)
        self._look()
        if out is not None:
            dtype = out.dtype
        kind = np.dtype(self._sources[0].record.numpy() if dtype is None else dtype)
        if not kind.itemsize or kind.hasobject:
            raise TypeError(f"{kind} describes no record")
        found = self._array(kind, out)
        if not len(found) and timeout != 0 and self._wait_readable(timeout):
            found = self._array(kind, out)
        return found

    def _array(self, kind: Any, out: Any) -> Any:
        import numpy as np

        with self._lock:
            self._check()
            if self._pending:
                raise ValueError("a loop has left records behind: take them with read() first")
            array = out
            if out is None:
                array = np.empty(sum(each.most(kind.itemsize) for each in self._sources), kind)
            count = 0
            for source in self._sources:
                try:
                    count += source.fill_array(array[count:])
                except EbpfError:
                    if not count:
                        raise
        return array[:count]

    # ---- asyncio

    async def __aiter__(self) -> AsyncIterator[Any]:
        """Records as they come, without blocking the event loop; ends after close()."""
        while True:
            head = self._head()
            if head is None:
                if self.closed:
                    return
                if not self._take():
                    await self._readable()
                continue
            source, values = head
            for event in source.iterate(values):
                yield event
            self._finished(head)

    async def _readable(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        sleepers = self._sleepers.setdefault(loop, [])
        sleepers.append(future)
        if len(sleepers) == 1:
            loop.add_reader(self.fileno(), self._wake, loop)
        try:
            await future
        finally:
            sleepers.remove(future)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        # Whoever is woken and finds nothing waits again: epoll says so as long as there is some.
        if not self.closed:
            loop.remove_reader(self.fileno())
        for future in self._sleepers.pop(loop, []):
            if not future.done():
                future.set_result(None)

    # ---- the reader itself

    @property
    def available(self) -> int:
        """Bytes that wait in the rings, headers and unfinished records included."""
        with self._lock:
            self._check()
            return sum(each.unread() for each in self._sources)

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._waiter is None

    def fileno(self) -> int:
        """An epoll descriptor, readable while there are records: for select() and its like."""
        return self._check().fileno()

    def close(self) -> None:
        """Give memory and descriptors back, and end the loops, also those of other threads."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        for loop in list(self._sleepers):
            if not loop.is_closed():
                self._end_sleep(loop, waiter.fileno())
        with self._lock:
            self._pending.clear()
            for source in self._sources:
                source.close()
            waiter.close()

    def _end_sleep(self, loop: asyncio.AbstractEventLoop, fd: int) -> None:
        import asyncio

        def end() -> None:
            loop.remove_reader(fd)
            self._wake(loop)

        try:
            here = asyncio.get_running_loop() is loop
        except RuntimeError:
            here = False
        if here:
            end()
        else:
            loop.call_soon_threadsafe(end)

    def __del__(self) -> None:
        if self._waiter is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        rings = ", ".join(source.what for source in self._sources)
        return f"<{type(self).__name__} of {rings}{', closed' if self.closed else ''}>"

    def _look(self) -> None:
        """What comes before looking into the rings: see whether there are more of them."""

    def _is_closed(self) -> bool:
        return self._waiter is None

    def _check(self) -> Waiter:
        if self._waiter is None:
            raise ValueError(f"{type(self).__name__} is closed")
        if self._process != os.getpid():
            raise ValueError(f"{type(self).__name__} was opened before the fork: open another one")
        return self._waiter

    def _batches(self, timeout: float | None) -> Iterator[Iterator[Any]]:
        while True:
            head = self._head()
            if head is None:
                if self.closed or not (self._take() or self._wait(timeout)):
                    return
                continue
            source, values = head
            yield source.iterate(values)
            self._finished(head)

    def _head(self) -> tuple[SourceT, Iterator[Any]] | None:
        with self._lock:
            return self._pending[0] if self._pending else None

    def _finished(self, head: tuple[SourceT, Iterator[Any]]) -> None:
        with self._lock:
            if self._pending and self._pending[0] is head:
                self._pending.popleft()

    def _left(self, timeout: float | None) -> Iterator[tuple[SourceT, Iterator[Any]]]:
        """The batches that are there now, each removed only when it is used up."""
        if self._head() is None and not self._take():
            self._wait(timeout)
        # What is taken here is given out here: select() does not tell of what lies in the reader.
        for left in range(max(source.batches() for source in self._sources), -1, -1):
            while (head := self._head()) is not None:
                yield head
                self._finished(head)
            try:
                if not left or self.closed or not self._take():
                    return
            except EbpfError:
                return  # what was read comes first; the next call finds the same

    def _take(self) -> bool:
        """Take a batch out of each ring; whether there was one."""
        with self._lock:
            self._check()
            problem = None
            for source in self._sources:
                try:
                    values = source.take()
                except EbpfError as found:
                    problem = problem or found
                    continue
                if values is not None:
                    self._pending.append((source, values))
            if problem is not None and not self._pending:
                raise problem
            return bool(self._pending)

    def _wait(self, timeout: float | None) -> bool:
        """Wait until a batch is taken; False where none came in time, or after close()."""
        return self._wait_for(self._take, timeout)

    def _wait_readable(self, timeout: float | None) -> bool:
        def found() -> bool:
            self._look()
            return self.available > 0

        return self._wait_for(found, timeout)

    def _wait_for(self, found: Callable[[], bool], timeout: float | None) -> bool:
        end = math.inf if timeout is None else time.monotonic() + timeout
        while (waiter := self._waiter) is not None:
            left = None if timeout is None else max(end - time.monotonic(), 0)
            ready = waiter.wait(left)
            if self._is_closed():
                return False
            # Records without a wake-up are found here too, when the time is over.
            if found():
                return True
            if time.monotonic() >= end:
                return False
            if ready:
                time.sleep(_PAUSE)
        return False


def _check_timeout(timeout: float | None) -> None:
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is None or seconds from 0 on, not {timeout!r}")
