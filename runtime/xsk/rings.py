"""A socket's rings, as the native core has them: opening, waiting, telling what went wrong."""

from __future__ import annotations

import errno
import time
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.errors import LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.native import native_objects, text_of
from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.frames import KEPT, Frame, Packet
from ebpfasm.runtime.xsk.options import (
    COPY,
    MOST_FRAGMENTS,
    USE_NEED_WAKEUP,
    USE_SG,
    BusyPoll,
    Copy,
)
from ebpfasm.runtime.xsk.umem import Umem

if TYPE_CHECKING:
    from collections import deque

BURST = 64

_SLICE = 100_000_000  # ns in C at a time: what is down, or gone, wakes nobody
_SOON = 50_000  # ns: completions wake nobody, so they are looked for again
_RELEASE = 1.0  # seconds that the kernel may take to release a queue that was closed
_AGAIN = 0.01


@dataclass(frozen=True, slots=True)
class Settings:
    """How a socket is opened. Sizes are in frames."""

    namespace: int
    ifindex: int
    name: str
    queue: int
    rx_size: int
    tx_size: int
    fill_size: int
    completion_size: int
    copy: Copy
    need_wakeup: bool
    multi_buffer: bool
    busy_poll: BusyPoll | None

    @property
    def key(self) -> tuple[int, int, int]:
        """Namespace, interface and queue: sockets of one key share rings on one UMEM."""
        return self.namespace, self.ifindex, self.queue

    @property
    def where(self) -> str:
        """For messages."""
        return f"queue {self.queue} of {self.name}"


class Queue:
    """A queue's fill and completion rings, shared by its sockets on one UMEM."""

    def __init__(self, core: Any, handle: Any, key: tuple[int, int, int], number: int) -> None:
        self.key = key
        self.handle = handle
        self.number = number
        self.users = 1
        self._core = core

    def leave(self) -> None:
        """One socket fewer; the last one closes the rings, and all frames come back."""
        self.users -= 1
        if not self.users:
            self._core.lib.ebpfasm_queue_close(self.handle)


if TYPE_CHECKING:

    class Socket:
        """What native/python/sockets.c has of a socket."""

        pointer: int  # of the native one, for what is called through `calls`
        _unkicked: bool
        _batches: type[Any] | None
        _pending: deque[Frame]

else:
    Socket = getattr(native_objects(), "Socket", object)  # nothing opens without the native core


class Rings(Descriptor, Socket):
    """The rings of one socket, and what receiving and sending have in common."""

    def __init__(self, umem: Umem, settings: Settings) -> None:
        self.core = faults.core()
        # Descriptors are written before they are read, so they need not be cleared.
        self._new = self.core.ffi.new_allocator(should_clear_after_alloc=False)
        self._array = self.core.ffi.typeof("struct ebpfasm_desc[]")
        self.umem = umem
        self.frame_size, self.exporters = umem.frame_size, umem.exporters
        self.settings = settings
        made, self.ring_queue = _open(umem, settings)
        self.handle = self.core.ffi.gc(made, self.core.lib.ebpfasm_xsk_delete)
        self.calls: Any = native_objects()
        self.pointer = self.address_of(made)
        # What few packets have, several frames or metadata, costs the others nothing.
        self.lease = Packet if settings.multi_buffer or umem.metadata else Frame
        self.kept = KEPT[self.lease]
        self._unkicked = False
        self.bad = self.core.ffi.new("uint32_t *")
        self._one = self.descriptors(1 + MOST_FRAGMENTS)
        self._one_at = self.address_of(self._one)
        umem.sockets.add(self)
        super().__init__(self.core.lib.ebpfasm_xsk_fd(made))

    def descriptors(self, content: Any) -> Any:
        """An array of struct xdp_desc: so many, or of these values."""
        return self._new(self._array, content)

    def address_of(self, pointer: Any) -> int:
        """Where something of the native core's is, as a number."""
        return int(self.core.ffi.cast("uintptr_t", pointer))

    def flush(self) -> None:
        """Tell the kernel to send what is in the tx ring. Raises LoadError: xsk-interface."""
        self._unkicked = False
        outcome = self.core.lib.ebpfasm_xsk_kick(self.handle)
        if outcome < 0:
            self.fail(outcome)

    def flush_unkicked(self) -> None:
        """Flush, where something was sent with kick=False."""
        if self._unkicked:
            self.flush()

    def flush_quietly(self) -> None:
        """Flush; what hinders it is told by the next call."""
        try:
            self.flush_unkicked()
        except (LoadError, ValueError):
            self._unkicked = True

    def tend(self) -> int:
        """Take completed frames back and refill the fill ring; how many are still to be sent.

        Receiving and sending do this by themselves; it is for loops that do neither for long.
        Counts the queue's frames, where several sockets share it. After close() it is 0.
        """
        self.umem.sweep()
        left: int = self.core.lib.ebpfasm_xsk_tend(self.handle)
        return max(left, 0)

    def probe(self) -> None:
        """Raise LoadError (xsk-interface) where the interface is down or gone."""
        outcome = self.core.lib.ebpfasm_xsk_probe(self.handle)
        if outcome < 0:
            self.fail(outcome)

    def give_back(self, address: int) -> None:
        """Return a leased frame to the pool; Frame.release calls this."""
        if self.calls.xsk_release(self.pointer, address) < 0:
            raise faults.bad_frame(f"the frame at {address} is not leased")

    def wait(self, events: int, deadline: int | None) -> bool:
        """Wait once for an event: True when it may have come, False when the time is over.

        Signal handlers run at once, so Ctrl-C raises here. Raises LoadError, and ValueError when
        the socket is closed.
        """
        until = self.slice_of(deadline)
        if until is None:
            return False
        outcome = self.core.lib.ebpfasm_xsk_wait(self.handle, events, until)
        if outcome < 0 and outcome != -errno.EINTR:
            self.fail(outcome)
        return True

    @staticmethod
    def slice_of(deadline: int | None) -> int | None:
        """Until when to wait in C at a time; None when the time is over."""
        now = time.monotonic_ns()
        if deadline is None:
            return now + _SLICE
        if now >= deadline:
            return None
        return min(deadline, now + _SLICE)

    def wait_for_completions(self, deadline: int | None) -> bool:
        """Wait a little for frames to be sent; False when the time is over."""
        soon = time.monotonic_ns() + _SOON
        if not self.wait(0, soon if deadline is None else min(soon, deadline)):
            return deadline is None or time.monotonic_ns() < deadline
        self.tend()
        return True

    def refuse(self, outcome: int, address: int, length: int) -> NoReturn:
        """A send was refused: say what is wrong with the frame, or the socket."""
        if outcome != -errno.EINVAL:
            self.fail(outcome)
        offset = address % self.frame_size
        if address >= self.umem.count * self.frame_size:
            wrong = "it is outside the UMEM"
        elif length == 0:
            wrong = "it has no bytes"
        elif offset + length > self.frame_size:
            wrong = f"{length} bytes at {offset} leave its {self.frame_size} bytes"
        else:
            wrong = "it is not leased to you, or its options are wrong"
        raise faults.bad_frame(f"cannot send the frame at {address}: {wrong}")

    def fail(self, outcome: int) -> NoReturn:
        """Raise what a negative outcome of the native core means."""
        raise faults.failed(-outcome, self.settings.where)


def quicken(owner: type[Any], make: str, *names: str) -> None:
    """Put the native core's ways before those written in Python, which do what is not ordinary.

    `make` is the core's function for a method of such a class.
    """
    objects = native_objects()
    if objects is None:
        return
    for name in names:
        ordinary = vars(owner)[name]
        setattr(owner, f"_{name}_by", ordinary)
        setattr(owner, name, getattr(objects, make)(owner, name, text_of(ordinary)))


def deadline_of(timeout: float | None) -> int | None:
    """A time of CLOCK_MONOTONIC in ns; None for ever."""
    return None if timeout is None else time.monotonic_ns() + int(timeout * 1e9)


def _open(umem: Umem, settings: Settings) -> tuple[Any, Queue]:
    """Open and bind: the native socket and its queue. Raises LoadError, NotSupported."""
    core = faults.core()
    _check(settings)
    live: list[Rings] = [each for each in umem.sockets if not each.closed]
    queues = [each.ring_queue for each in live]
    same = next((each for each in queues if each.key == settings.key), None)
    config = _config(core, umem, settings, live, same)
    failure = core.ffi.new("int *")
    deadline = time.monotonic() + _RELEASE
    while True:
        made = core.lib.ebpfasm_xsk_open(config, failure)
        if made != core.ffi.NULL:
            break
        number = -failure[0]
        # The kernel gives a queue free some time after its socket was closed.
        if number != errno.EBUSY or time.monotonic() > deadline:
            raise faults.open_failed(config.step, number, settings, umem, bool(live))
        time.sleep(_AGAIN)
    if same is not None:
        same.users += 1
        return made, same
    queue = core.lib.ebpfasm_xsk_queue(made)
    return made, Queue(core, queue, settings.key, config.number)


def _check(settings: Settings) -> None:
    for name in ("rx_size", "tx_size", "fill_size", "completion_size"):
        size = getattr(settings, name)
        if size & (size - 1) or not 0 <= size < 1 << 31:
            message = f"{name} is a power of two, not {size}"
            raise LoadError(error("xsk-open", message), errno=errno.EINVAL)
    if settings.copy not in COPY:
        raise ValueError(f"copy is one of {', '.join(COPY)}, not {settings.copy!r}")
    if not 0 <= settings.queue < 1 << 32:
        raise ValueError(f"queues are numbered from 0, not {settings.queue!r}")


def _config(
    core: Any, umem: Umem, settings: Settings, live: list[Rings], same: Queue | None
) -> Any:
    config = core.ffi.new("struct ebpfasm_xsk_config *")
    config.umem = umem.handle
    config.queue = same.handle if same is not None else core.ffi.NULL
    # Same queue: the kernel shares its rings only with a socket that is bound to it.
    on_queue = [each for each in live if each.ring_queue is same] if same is not None else live
    config.shared_fd = on_queue[0].fd if on_queue else -1
    config.ifindex, config.queue_id = settings.ifindex, settings.queue
    config.rx_size, config.tx_size = settings.rx_size, settings.tx_size
    config.fill_size, config.completion_size = settings.fill_size, settings.completion_size
    config.flags = COPY[settings.copy] | USE_NEED_WAKEUP * settings.need_wakeup
    config.flags |= USE_SG * settings.multi_buffer
    config.umem_flags = umem.flags
    used = {each.ring_queue.number for each in live}
    config.number = next(number for number in range(len(live) + 1) if number not in used)
    config.target = _target(umem, settings, bool(live))
    config.fragments = int(settings.multi_buffer)
    config.wakes = int(settings.need_wakeup)
    if settings.busy_poll is not None:
        config.busy_poll = settings.busy_poll.microseconds
        config.busy_budget = settings.busy_poll.budget
    return config


def _target(umem: Umem, settings: Settings, shared: bool) -> int:
    """Frames to keep with the kernel: half of what is free is for others, and to be sent."""
    free = umem.census().free
    if settings.tx_size or shared:
        free = (free + 1) // 2
    return min(settings.fill_size, free)
