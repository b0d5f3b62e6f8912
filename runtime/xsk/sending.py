"""Sending: bytes, leases, batches; and waiting until they have left."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.batch import Batch
from ebpfasm.runtime.xsk.frames import Bytes, Descriptor, Frame, Packet
from ebpfasm.runtime.xsk.options import DESC
from ebpfasm.runtime.xsk.rings import BURST, Rings, Settings, deadline_of, quicken
from ebpfasm.runtime.xsk.umem import Umem

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    import numpy.typing as npt


class Sending(Rings):
    """The sending half of a socket."""

    def __init__(self, umem: Umem, settings: Settings) -> None:
        super().__init__(umem, settings)
        self._taken = Batch._taken

    def alloc(self, timeout: float | None = None) -> Frame:
        """Take a free frame to be filled and sent, empty; unsent it is reused.

        Waits while all are on their way; raises TimeoutError, and LoadError (xsk-frame) where none
        is on its way that could come back.
        """
        if not self.allocate(self._one_at, 1, timeout):
            raise TimeoutError("no frame came free in time")
        return self.kept(self, self._one[0].address, 0)

    def alloc_batch(
        self, count: int = BURST, timeout: float | None = None, *, length: int = 0
    ) -> Batch:
        """Take up to `count` free frames, at least one, to be filled and sent. Raises as alloc().

        They are `length` bytes long, until their `lengths` are set. None are taken when the time
        is over.
        """
        return self._taken(self, self.pointer, count, length, timeout)

    def wait_for_frames(self, count: int, length: int, timeout: float | None) -> Batch:
        """What alloc_batch does where no frame is free."""
        descs = self.descriptors(count)
        taken = self.allocate(self.address_of(descs), count, timeout, length)
        found = self.core.ffi.buffer(descs)[: DESC.size * taken]
        return Batch._made(self, self.pointer, bytearray(found))

    def does_not_fit(self, length: int) -> NoReturn:
        """Refuse a length of alloc_batch."""
        raise faults.bad_frame(f"{length} bytes do not fit in a frame of {self.umem.room}")

    def send(self, data: Bytes | Frame, timeout: float | None = None, *, kick: bool = True) -> None:
        """Send a packet: bytes, which are copied into a free frame, or a lease.

        What is longer than a frame is split where the socket has `multi_buffer`. Raises
        TimeoutError while the ring is full, LoadError: xsk-frame, xsk-interface.
        """
        if isinstance(data, Frame):
            data.send(via=self, kick=kick, timeout=timeout)  # type: ignore[arg-type]
            return
        size = len(data)
        if not size:
            raise faults.bad_frame("a packet of no bytes cannot be sent")
        if size > self.frame_size:
            self._send_long(data, kick, timeout)
            return
        send = self.calls.xsk_send_bytes
        outcome: int = send(self.pointer, data)
        deadline = deadline_of(timeout) if not outcome else None
        while not outcome:  # no room in the ring, or no free frame
            on_the_way = self.tend()
            outcome = send(self.pointer, data)
            if outcome:
                break
            if not on_the_way:
                self._none_free()
            self.flush()
            if not self.wait_for_completions(deadline):
                raise TimeoutError("the tx ring stayed full")
        if outcome < 0:
            self.fail(outcome)
        if kick:
            self.flush()
        else:
            self._unkicked = True

    def send_all(
        self, packets: Iterable[Bytes] | npt.NDArray[np.uint8], timeout: float | None = None
    ) -> int:
        """Send packets, copied into free frames, and tell the kernel once; how many.

        The rows of a contiguous numpy array of two dimensions are packets of one length; no Python
        object is made for any of them. Waits while the ring is full, or no frame is free; fewer
        than all are sent when the time is over. Raises as send(): those before the packet that is
        refused are sent.
        """
        rows = getattr(packets, "ndim", 0) == 2
        given: Any = packets if rows else tuple(packets)
        outcome: int = self.calls.xsk_send_all(self.pointer, given, 0)
        if outcome == len(given):
            return outcome
        return self._send_rest(given, outcome, timeout)

    def _send_rest(self, given: Any, outcome: int, timeout: float | None) -> int:
        """Go on from the first attempt's outcome."""
        done, deadline = 0, None
        on_the_way: int | None = None
        while True:
            if outcome == -errno.EMSGSIZE:  # one of the next is a fragmented packet, or a mistake
                self.send(given[done], timeout, kick=False)
                outcome = 1
            elif outcome < 0:
                self.fail(outcome)
            done += outcome
            self.flush()
            if done == len(given):
                return done
            if not outcome and on_the_way is not None:
                if not on_the_way:
                    self._none_free()
                deadline = deadline_of(timeout) if deadline is None else deadline
                if not self.wait_for_completions(deadline):
                    return done
            on_the_way = self.tend()
            outcome = self.calls.xsk_send_all(self.pointer, given, done)

    def _send_long(self, data: Bytes, kick: bool, timeout: float | None) -> None:
        with self.alloc(timeout) as frame:
            if not isinstance(frame, Packet) or not self.settings.multi_buffer:
                frame.write(data)  # says that it does not fit
                return
            room = self.umem.room
            frame.write(data[:room])
            for at in range(room, len(data), room):
                frame.extend([self.alloc(timeout).write(data[at : at + room])])
            frame.send(kick=kick, timeout=timeout)

    def send_one(self, address: int, length: int, kick: bool, timeout: float | None) -> None:
        """Put a leased frame into the tx ring; Frame.send calls this."""
        outcome = self.calls.xsk_send_one(self.pointer, address, length)
        if outcome != 1:
            if outcome < 0:
                self.refuse(outcome, address, length)
            self.send_descriptors([(address, length, 0)], kick, timeout)
        elif kick:
            self.flush()
        else:
            self._unkicked = True

    def send_descriptors(
        self, descriptors: Sequence[Descriptor], kick: bool, timeout: float | None
    ) -> None:
        """Put a packet's frames into the tx ring, all or none. Raises TimeoutError, LoadError."""
        count = len(descriptors)
        if count > self.settings.tx_size:
            raise faults.bad_frame(f"a packet of {count} frames does not fit in the tx ring")
        if self.send_array(self.descriptors(descriptors), count, timeout, kick=kick) < count:
            raise TimeoutError("the tx ring stayed full")

    def send_array(
        self, descs: Any, count: int, timeout: float | None, *, kick: bool = True
    ) -> int:
        """Put descriptors into the tx ring, waiting for room; how many. Batch.send calls this."""
        outcome = self.core.lib.ebpfasm_xsk_send(self.handle, descs, count, self.bad)
        if outcome == count:  # nearly always
            if kick:
                self.flush()
            else:
                self._unkicked = True
            return count
        return self._send_patiently(descs, count, outcome, timeout)

    def _send_patiently(self, descs: Any, count: int, outcome: int, timeout: float | None) -> int:
        """Go on from a first call's outcome until all are in the ring, or the time is over."""
        deadline, done = deadline_of(timeout), 0
        while True:
            if outcome < 0:
                at = descs[done + self.bad[0]] if outcome == -errno.EINVAL else None
                self.refuse(outcome, *((at.address, at.length) if at is not None else (0, 0)))
            done += outcome
            self.flush()
            if done == count or not self.wait_for_completions(deadline):
                return done
            outcome = self.core.lib.ebpfasm_xsk_send(
                self.handle, descs + done, count - done, self.bad
            )

    def drain(self, timeout: float | None = None) -> bool:
        """Wait until every frame that was sent has left; False when the time is over first."""
        deadline = deadline_of(timeout)
        while self.tend():
            self.flush()
            if not self.wait_for_completions(deadline):
                return not self.tend()
        return True

    def timestamps(self) -> list[tuple[int, int]]:
        """Number and time of sending (ns) of frames that asked for one, on this UMEM.

        They are numbered from 1 in the order in which they were sent. The oldest of more than
        4096 are lost.
        """
        found = self.core.ffi.new("struct ebpfasm_timestamp[]", 4096)
        self.tend()
        count = self.core.lib.ebpfasm_umem_timestamps(self.umem.handle, found, 4096)
        return [(found[i].ticket, found[i].time) for i in range(count)]

    def allocate(self, at: int, count: int, timeout: float | None, length: int = 0) -> int:
        """Take free frames, or wait for them, with descriptors at an address; how many."""
        take, umem = self.calls.umem_take, self.umem.pointer
        taken: int = take(umem, at, count, length)
        if taken:
            return taken
        deadline = deadline_of(timeout)
        while not taken:
            self.fd  # noqa: B018 - raises where the socket is closed
            on_the_way = self.tend()
            taken = take(umem, at, count, length)
            if taken:
                break
            if not on_the_way:
                self._none_free()
            self.flush()
            if not self.wait_for_completions(deadline):
                break
        return taken

    def _none_free(self) -> None:
        census = self.umem.census()
        if census.tx:
            return  # another socket's, on the same UMEM
        raise faults.bad_frame(
            f"no frame is free: {census.user} are leased, {census.fill} wait to be received into",
            "release leases, or open the socket with a larger Umem",
        )


quicken(Sending, "socket_method", "send_all")
