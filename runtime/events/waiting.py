"""Waiting for descriptors in a way that a signal interrupts and that close() ends."""

from __future__ import annotations

import os
import select
import threading

READABLE, WRITABLE = select.EPOLLIN, select.EPOLLOUT


class Waiter:
    """An epoll descriptor, and a second one by which close() wakes who waits.

    Descriptors are given back by whoever leaves last, so that none is waited for once its number
    may be somebody else's.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting = 0
        self._closed = False
        self._epoll = select.epoll()
        try:
            self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        except BaseException:
            self._epoll.close()
            raise
        self._epoll.register(self._stop, select.EPOLLIN)

    def add(self, fd: int, events: int = READABLE) -> None:
        """Wait for this one too."""
        self._epoll.register(fd, events)

    def wait(self, timeout: float | None) -> bool:
        """Wait so many seconds, for ever for None; whether one of the descriptors is ready.

        False too once it is closed. Signal handlers run meanwhile, and what they raise ends it.
        """
        with self._lock:
            if self._closed:
                return False
            self._waiting += 1
        try:
            found = self._epoll.poll(timeout)
            for fd, events in found:
                if events & (select.EPOLLHUP | select.EPOLLERR) and not events & select.EPOLLIN:
                    self._epoll.unregister(fd)  # its CPU is gone: it would be ready for ever
        finally:
            self._left()
        return any(fd != self._stop for fd, _ in found)

    def fileno(self) -> int:
        """The epoll descriptor: readable while there is something to read."""
        return self._epoll.fileno()

    def close(self) -> None:
        """Wake everybody; nothing is waited for any more."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            if self._waiting:
                os.eventfd_write(self._stop, 1)
            else:
                self._release()

    def _left(self) -> None:
        with self._lock:
            self._waiting -= 1
            if self._closed and not self._waiting:
                self._release()

    def _release(self) -> None:
        self._epoll.close()
        os.close(self._stop)
