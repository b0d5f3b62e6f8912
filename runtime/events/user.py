"""User ring buffers: records from user space, which a program drains."""

from __future__ import annotations

import errno
import os
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ebpfasm.closing import Closing
from ebpfasm.errors import EncodeError, error
from ebpfasm.runtime.events.ringbuf import HEADER, Mapped, map_ring
from ebpfasm.runtime.events.source import broken, core
from ebpfasm.runtime.events.waiting import WRITABLE, Waiter
from ebpfasm.runtime.refusals import refused

if TYPE_CHECKING:
    from ebpfasm.runtime.maps import Map

_PAUSE = 0.001  # seconds between looks where there is some room, but not enough


class UserRingBuffer(Closing):
    """The producer of a user_ringbuf map; a program takes the records by bpf_user_ringbuf_drain.

    Threads may share it. Where the ring is full a call waits up to its `timeout` in seconds (None:
    for ever), then raises LoadError with errno ENOSPC. A record larger than the ring raises
    EncodeError. After close(), and in a forked child, calls raise ValueError.
    """

    _mapped: Mapped | None = None  # so that __del__ works where __init__ failed

    def __init__(self, map: Map) -> None:
        lib = core().lib
        self.name, self.size = map.name, map.max_entries
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._lib = lib
        self._open_records = 0
        mapped = map_ring(map, "user_ringbuf")
        try:
            self._waiter = Waiter()
            self._fd = os.dup(map.fd)
            self._waiter.add(self._fd, WRITABLE)
        except BaseException:
            mapped.close()
            raise
        self._mapped = mapped

    def write(self, record: Any, timeout: float | None = None) -> None:
        """Send one record: bytes, or an object with a buffer, as ctypes and numpy have."""
        with memoryview(record).cast("B") as view, self.reserve(len(view), timeout) as room:
            room[:] = view

    def write_array(self, array: Any, timeout: float | None = None) -> None:
        """Send each item of a numpy array as a record.

        Where the ring stays full, the LoadError's diagnostic says how many were sent.
        """
        import numpy as np

        items = np.asarray(array)
        sent, end = 0, _end(timeout)
        with memoryview(items.tobytes()) as view:
            while sent < len(items):
                sent += self._write_some(view, items.itemsize, sent, len(items) - sent)
                if sent < len(items):
                    self._wait(end, f"{sent} of {len(items)} records were sent")

    @contextmanager
    def reserve(self, size: int, timeout: float | None = None) -> Iterator[memoryview]:
        """Memory of a record of `size` bytes to be filled in; sent at the end of the block.

        A block that raises discards the record. Programs do not see later records before it ends.
        """
        end = _end(timeout)
        while (place := self._reserve(size)) < 0:
            self._wait(end, f"there is no room for {size} bytes")
        discard = True
        try:
            assert self._mapped is not None
            start = os.sysconf("SC_PAGESIZE") + place
            with memoryview(self._mapped.rest)[start : start + size] as room:
                yield room
            discard = False
        finally:
            with self._lock:
                self._open_records -= 1
                assert self._mapped is not None
                self._lib.ebpfasm_user_ring_commit(self._mapped.ring, place, discard)

    def _reserve(self, size: int) -> int:
        with self._lock:
            if not 0 <= size < 1 << 30:
                raise self._too_large(size)
            place = int(self._lib.ebpfasm_user_ring_reserve(self._check().ring, size))
            if place >= 0:
                self._open_records += 1
        if place < 0 and place != -errno.ENOSPC:
            raise self._failure(place, size)
        return place

    def _write_some(self, view: memoryview, size: int, sent: int, left: int) -> int:
        ffi = core().ffi
        with self._lock:
            ring = self._check().ring
            start = ffi.from_buffer("unsigned char[]", view) + sent * size
            written = int(self._lib.ebpfasm_user_ring_write(ring, start, size, left))
        if written < 0:
            raise self._failure(written, size)
        return written

    def _failure(self, result: int, size: int) -> Exception:
        return self._too_large(size) if result == -errno.E2BIG else broken(self._what, -result)

    def _too_large(self, size: int) -> EncodeError:
        most = self.size - HEADER
        message = f"a record of {self._what} has at most {most} bytes, not {size}"
        return EncodeError(error("event-record", message))

    @property
    def _what(self) -> str:
        return f"user ring buffer {self.name!r}"

    def _wait(self, end: float | None, why: str) -> None:
        left = None if end is None else end - time.monotonic()
        if left is not None and left <= 0:
            raise refused("event-ring", f"write to {self._what}", errno.ENOSPC, why=why)
        ready = self._waiter.wait(left)
        self._check()
        if ready:  # there is some room: a program has taken something, or will
            time.sleep(_PAUSE)

    @property
    def pending(self) -> int:
        """Bytes that no program has taken yet, headers included."""
        with self._lock:
            return int(self._lib.ebpfasm_ring_unread(self._check().ring))

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._mapped is None

    def fileno(self) -> int:
        """An epoll descriptor, readable while the ring has room."""
        self._check()
        return self._waiter.fileno()

    def close(self) -> None:
        """Give memory and descriptors back. Records that were sent stay for the program.

        Raises ValueError while a record is being filled in.
        """
        with self._lock:
            if self._mapped is None:
                return
            if self._open_records:
                raise ValueError("a record is still being filled in: leave its block first")
            mapped, self._mapped = self._mapped, None
            mapped.close()
            self._waiter.close()
            os.close(self._fd)

    def __del__(self) -> None:
        if self._mapped is not None:
            warnings.warn(f"unclosed {self!r}", ResourceWarning, source=self, stacklevel=2)
            self.close()

    def __repr__(self) -> str:
        return f"<UserRingBuffer {self.name!r} of {self.size} bytes{', closed' * self.closed}>"

    def _check(self) -> Mapped:
        if self._mapped is None:
            raise ValueError("UserRingBuffer is closed")
        if self._process != os.getpid():
            raise ValueError("UserRingBuffer was opened before the fork: open another one")
        return self._mapped


def _end(timeout: float | None) -> float | None:
    if timeout is not None and not timeout >= 0:
        raise ValueError(f"timeout is None or seconds from 0 on, not {timeout!r}")
    return None if timeout is None else time.monotonic() + timeout
