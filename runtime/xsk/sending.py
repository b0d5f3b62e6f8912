"""Sending: bytes, leases, batches; and waiting until they have left."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.batch import Batch
from ebpfasm.runtime.xsk.frames import Bytes, Descriptor, Frame, Packet
from ebpfasm.runtime.xsk.rings import BURST, Rings, deadline_of

if TYPE_CHECKING:
    from collections.abc import Sequence


class Sending(Rings):
    """The sending half of a socket."""

    def alloc(self, timeout: float | None = None) -> Frame:
        """Take a free frame to be filled and sent, empty; unsent it is reused.

        Waits while all are on their way; raises TimeoutError, and LoadError (xsk-frame) where none
        is on its way that could come back.
        """
        if not self.allocate(self._one, 1, timeout):
            raise TimeoutError("no frame came free in time")
        return self.kept(self, self._one[0].address, 0)

    def alloc_batch(
        self, count: int = BURST, timeout: float | None = None, *, length: int = 0
    ) -> Batch:
        """Take up to `count` free frames, at least one, to be filled and sent. Raises as alloc().

        They are `length` bytes long, until their `lengths` are set. None are taken when the time
        is over.
        """
        if not 0 <= length <= self.umem.room:
            raise faults.bad_frame(f"{length} bytes do not fit in a frame of {self.umem.room}")
        descs = self.descriptors(count)
        return Batch(self, descs, self.allocate(descs, count, timeout, length))

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
        content = data if isinstance(data, bytes) else self.core.ffi.from_buffer(data)
        send = self.core.lib.ebpfasm_held_xsk_send_bytes
        outcome: int = send(self.handle, content, size)
        deadline = deadline_of(timeout) if not outcome else None
        while not outcome:  # no room in the ring, or no free frame
            if not self.tend():
                self._none_free()
            self.flush()
            if not self.wait_for_completions(deadline):
                raise TimeoutError("the tx ring stayed full")
            outcome = send(self.handle, content, size)
        if outcome < 0:
            self.fail(outcome)
        if kick:
            self.flush()
        else:
            self._unkicked = True

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
        outcome = self.core.lib.ebpfasm_held_xsk_send_one(self.handle, address, length, 0)
        if outcome != 1:
            if outcome < 0:
                self._refuse(outcome, address, length)
            self.send_descriptors([(address, length, 0)], kick, timeout)
        elif kick:
            self.flush()
        else:
            self._unkicked = True

    def send_descriptors(
        self, descriptors: Sequence[Descriptor], kick: bool, timeout: float | None
    ) -> None:
        """Put a packet's frames into the tx ring, all or none."""
        count = len(descriptors)
        if count > self.settings.tx_size:
            raise faults.bad_frame(f"a packet of {count} frames does not fit in the tx ring")
        if self.send_array(self.descriptors(descriptors), count, timeout, kick=kick) < count:
            raise TimeoutError("the tx ring stayed full")

    def send_array(
        self, descs: Any, count: int, timeout: float | None, *, kick: bool = True
    ) -> int:
        """Put descriptors into the tx ring, waiting for room; how many. Batch.send calls this."""
        outcome = self.core.lib.ebpfasm_held_xsk_send(self.handle, descs, count, self.bad)
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
                self._refuse(outcome, *((at.address, at.length) if at is not None else (0, 0)))
            done += outcome
            self.flush()
            if done == count or not self.wait_for_completions(deadline):
                return done
            outcome = self.core.lib.ebpfasm_held_xsk_send(
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
        count = self.core.lib.ebpfasm_held_umem_timestamps(self.umem.handle, found, 4096)
        return [(found[i].ticket, found[i].time) for i in range(count)]

    def allocate(self, descs: Any, count: int, timeout: float | None, length: int = 0) -> int:
        """Take free frames, or wait for them; how many. alloc_batch calls this."""
        take = self.core.lib.ebpfasm_held_umem_take
        taken: int = take(self.umem.handle, descs, count, length)
        if taken:
            return taken
        deadline = deadline_of(timeout)
        while not taken:
            self.fd  # noqa: B018 - raises where the socket is closed
            on_the_way = self.tend()
            taken = take(self.umem.handle, descs, count, length)
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

    def _refuse(self, outcome: int, address: int, length: int) -> NoReturn:
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
