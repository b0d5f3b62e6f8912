"""Network namespaces without a name: they are gone with their last descriptor.

Nothing appears under /var/run/netns, so nothing can be left behind there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.refusals import refused

T = TypeVar("T")

_CLONE_NEWNET = 0x4000_0000
_HERE = "/proc/thread-self/ns/net"


class Namespace(Descriptor):
    """A new network namespace, which lives as long as it is open or has sockets or processes.

    Its loopback interface is down. Raises LoadError where CAP_SYS_ADMIN is missing.
    """

    def __init__(self) -> None:
        try:
            fd = in_thread(_new)
        except OSError as refusal:
            number = refusal.errno or 0
            what = "make a network namespace"
            raise refused("attach-failed", what, number, needs=("CAP_SYS_ADMIN",)) from None
        super().__init__(fd)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread, and it alone, into the namespace for the `with` block.

        Sockets stay in the namespace they were made in. Raises OSError.
        """
        with _left_as_it_was():
            enter(self.fd)
            yield

    def __repr__(self) -> str:
        return f"<Namespace {'closed' if self.closed else f'fd {self.fd}'}>"


def enter(fd: int) -> None:
    """Put the calling thread into the network namespace behind a descriptor. Raises OSError."""
    _libc("setns", fd, _CLONE_NEWNET)


def in_thread(task: Callable[[], T], *, namespace: int | None = None) -> T:
    """Run a task in a thread of its own, in a network namespace if one is given.

    Returns what it returns and raises what it raises.
    """
    results: list[T] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            if namespace is not None:
                enter(namespace)
            results.append(task())
        except BaseException as failure:
            failures.append(failure)

    thread = threading.Thread(target=work, name="ebpfasm-netlink")
    try:
        thread.start()
    except RuntimeError:  # none is to be had while the interpreter ends
        with _left_as_it_was():
            work()
    else:
        _join(thread)
    if failures:
        raise failures[0]
    return results[0]


def _join(thread: threading.Thread) -> None:
    """Wait for the end though Ctrl-C is pressed: what was begun must be known to be done."""
    interrupt: KeyboardInterrupt | None = None
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt as pressed:
            interrupt = pressed
    if interrupt is not None:
        raise interrupt


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """Bring the calling thread back into its network namespace at the end."""
    before = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield
    finally:
        enter(before)
        os.close(before)


def _new() -> int:
    _libc("unshare", _CLONE_NEWNET)
    return os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)


def _libc(name: str, *arguments: int) -> None:
    import ctypes

    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
