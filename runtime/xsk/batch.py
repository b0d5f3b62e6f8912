"""Batches: many frames at once, as arrays."""

from __future__ import annotations

import errno
from functools import cache
from itertools import starmap
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.closing import Closing
from ebpfasm.native import native_objects
from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.layouts import layout
from ebpfasm.runtime.xsk.rings import deadline_of, quicken

if TYPE_CHECKING:
    import struct
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    import numpy as np
    import numpy.typing as npt

    from ebpfasm.runtime.xsk.rings import Rings
    from ebpfasm.runtime.xsk.socket import XskSocket

    class Frames:
        """What native/python/frames.c makes of a burst; `_home` is the socket of a live lease."""

        _home: Rings | None
        _memory: bytearray
        _bad: int
        _packets: int

        @classmethod
        def _received(cls, home: Rings, at: int, limit: int, timeout: float | None, /) -> Self: ...
        @classmethod
        def _taken(
            cls, home: Rings, at: int, count: int, length: int, timeout: float | None, /
        ) -> Self: ...
        @classmethod
        def _made(cls, home: Rings, at: int, descriptors: bytearray, /) -> Self: ...
        def __len__(self) -> int: ...
        def __iter__(self) -> Iterator[memoryview]: ...
        def _keep(self, descriptors: bytearray, /) -> None: ...
        def _send(self, timeout: float | None, /) -> int: ...
        def _attempt(self, at: int, /) -> int: ...
        def _release(self) -> None: ...
        def _swap(self, first: int, second: int, width: int, /) -> None: ...
        def _read(self, start: int, width: int, into: Any, /) -> None: ...
        def _write(self, start: int, rows: Any, width: int = ..., step: int = ..., /) -> None: ...
        def _unpack(self, layout: Any, start: int, /) -> list[tuple[Any, ...]]: ...
        def _headers(
            self, layout: Any, plain: struct.Struct, start: int, /
        ) -> Iterator[list[Any]]: ...
        def _put(self, at: int, start: int, row: bytes, /) -> None: ...
        def _pack(self, layout: Any, rows: Any, start: int, /) -> Sequence[Any] | None: ...

else:
    Frames = getattr(native_objects(), "Frames", object)  # nothing opens without the native core


@cache
def _numpy() -> tuple[Any, Any]:
    """The module, and struct xdp_desc as it has it."""
    import numpy

    return numpy, numpy.dtype([("address", "u8"), ("length", "u4"), ("options", "u4")])


class Batch(Closing, Frames):
    """Leases of many frames, received together or taken to be sent.

    `descriptors` is an array as the rings have it, `addresses` and `lengths` are its columns: what
    is written there is what is sent. Work on the contents is vectorised: `read` and `write` copy a
    rectangle of bytes out of and into all frames, `rows` and `columns` index `Umem.frames`, where
    nothing is copied. Iterating gives a memoryview a frame, which end with the loop, and in a loop
    that is left with the leases.

    The leases end with `send`, `release` or the end of a `with` block. While views of frames,
    slices of them or arrays over them are in use that raises BufferError, and the leases go on; so
    does the end of the loop that gave them.
    """

    __slots__ = ()

    @property
    def descriptors(self) -> npt.NDArray[np.void]:
        """An array of struct xdp_desc: address, length and options of each frame."""
        numpy, row = _numpy()
        found: npt.NDArray[np.void] = numpy.frombuffer(self._memory, row)
        return found

    @property
    def addresses(self) -> npt.NDArray[np.uint64]:
        """Where each frame's contents begin, in bytes from the UMEM's start."""
        column: npt.NDArray[np.uint64] = self.descriptors["address"]
        return column

    @property
    def lengths(self) -> npt.NDArray[np.uint32]:
        """Bytes of contents of each frame."""
        column: npt.NDArray[np.uint32] = self.descriptors["length"]
        return column

    @property
    def rows(self) -> npt.NDArray[np.int64]:
        """Each frame's row in `Umem.frames`."""
        found = self.addresses // self._check().frame_size
        return found.astype("i8")

    @property
    def columns(self) -> npt.NDArray[np.int64]:
        """Where each frame's contents begin in its row."""
        found = self.addresses % self._check().frame_size
        return found.astype("i8")

    @property
    def packets(self) -> int:
        """Packets: fewer than frames where some have several (multi_buffer)."""
        return self._packets

    # ---- contents

    def read(self, start: int, width: int) -> npt.NDArray[np.uint8]:
        """Copy `width` bytes from `start` of each frame's contents into a 2-D array.

        What lies outside a frame, before or behind, is 0; a negative start reads the headroom.
        """
        numpy = _numpy()[0]
        rows: npt.NDArray[np.uint8] = numpy.empty((len(self), width), numpy.uint8)
        self._read(start, width, rows)
        return rows

    def write(self, start: int, rows: npt.ArrayLike | bytes) -> None:
        """Copy rows of bytes to `start` of each frame's contents; one row goes to all of them, and
        so does a bytes object.

        Raises LoadError (xsk-frame) where one would not lie in its frame; nothing is written then.
        """
        if isinstance(rows, bytes):
            self._write(start, rows)
            return
        numpy = _numpy()[0]
        given = numpy.ascontiguousarray(rows, numpy.uint8)
        width = given.shape[-1] if given.ndim else 0
        if given.ndim not in (1, 2) or (given.ndim == 2 and len(given) != len(self)):
            raise ValueError(f"a row, or {len(self)}, of bytes are needed, not shape {given.shape}")
        if given.size:
            self._write(start, given, width, width * (given.ndim - 1))

    def _leaves(self, start: int, width: int) -> NoReturn:
        raise faults.bad_frame(
            f"{width} bytes at {start} of the contents leave a frame of the batch"
        )

    def push(self, size: int) -> None:
        """Add bytes in front of all contents, out of the headroom; a negative size takes off."""
        room = self.columns.min(initial=self._check().frame_size)
        if size > room:
            raise faults.bad_frame(f"cannot add {size} bytes in front; there are {room}")
        if -size > self.lengths.min(initial=1 << 31):
            raise faults.bad_frame(f"cannot take {-size} bytes off the shortest frame")
        self.addresses[:] -= size
        self.lengths[:] += size

    def swap(self, first: int, second: int, width: int) -> None:
        """Exchange two ranges of `width` bytes in each frame's contents: swap(0, 6, 6) turns
        Ethernet addresses round. Raises LoadError (xsk-frame) as write() does.
        """
        self._swap(first, second, width)

    def views(self) -> list[memoryview]:
        """Views of all contents. They are not ended with the leases: keep none of them longer."""
        whole = self._check().umem.whole()
        return [whole[begin : begin + size] for begin, size, _ in self.descriptors.tolist()]

    def unpack(self, format: str, start: int = 0) -> list[tuple[Any, ...]]:
        """The values at `start` of each frame's contents, a tuple a frame: what Python code that
        looks at a header needs, for less than a view. `format` is of the struct module; bytes
        outside a frame are 0.
        """
        native, plain = layout(format)
        if native is not None:
            return self._unpack(native, start)
        rows = bytearray(plain.size * len(self))
        self._read(start, plain.size, rows)
        return list(plain.iter_unpack(rows))

    def headers(self, format: str, start: int = 0) -> Iterator[list[Any]]:
        """The values at `start` of each frame's contents, a list a frame: what the loop's body
        changes in it is written to the frame when the body is through, or is left.

        The cheapest way to run Python code on each frame. `format` is of the struct module, and
        so is struct.error for a value that it does not take. Raises LoadError (xsk-frame) as
        write() does.
        """
        native, plain = layout(format)
        if native is None:
            return self._plain_headers(plain, start)
        return self._headers(native, plain, start)

    def _plain_headers(self, plain: struct.Struct, start: int) -> Iterator[list[Any]]:
        rows = bytearray(plain.size * len(self))
        self._read(start, plain.size, rows)
        for at, row in enumerate(plain.iter_unpack(rows)):
            head = list(row)
            try:
                yield head
            finally:
                if tuple(head) != row:
                    self._put(at, start, plain.pack(*head))

    def pack(self, format: str, rows: Iterable[Sequence[Any]], start: int = 0) -> None:
        """Write values to `start` of each frame's contents, a row of them a frame, as unpack()
        reads them. Raises LoadError (xsk-frame) as write() does, and struct.error.
        """
        native, plain = layout(format)
        left = rows if native is None else self._pack(native, rows, start)
        if left is None:
            return
        packed = b"".join(starmap(plain.pack, left))
        if len(packed) != plain.size * len(self):
            raise ValueError(f"{len(self)} rows are needed, not {len(packed) // plain.size}")
        self._write(start, packed, plain.size, plain.size)

    def split(self, mask: npt.ArrayLike) -> Batch:
        """Move the frames where `mask` is true to a batch of their own, which is returned.

        Raises ValueError where the mask has not one value for each frame.
        """
        numpy = _numpy()[0]
        home = self._check()
        chosen = numpy.asarray(mask, bool)
        if chosen.shape != (len(self),):
            raise ValueError(f"the mask has {len(self)} values, not shape {chosen.shape}")
        moved, left = (bytearray(self.descriptors[each].tobytes()) for each in (chosen, ~chosen))
        taken = Batch._made(home, home.pointer, moved)
        self._keep(left)
        return taken

    # ---- the end of the leases

    def send(self, *, via: XskSocket | None = None, timeout: float | None = None) -> int:
        """Send all frames and return how many packets; waits while the tx ring is full.

        When `timeout` seconds are over, those that were not sent are still in the batch. Raises
        LoadError: xsk-frame where an address or length is wrong (then none is sent).
        """
        if via is None:
            return self._send(timeout)
        if via.umem is not self._check().umem:
            raise faults.bad_frame(f"the batch is of another UMEM than {via!r}")
        return self._send_rest(via, None, timeout)

    def _send_rest(self, to: Rings, outcome: int | None, timeout: float | None) -> int:
        """Go on from the last attempt's outcome; how many packets are sent in all."""
        packets, deadline = self.packets, deadline_of(timeout)
        while True:
            if outcome is not None:
                self._put_off(to, outcome)
                if not to.wait_for_completions(deadline):
                    return packets - self.packets
            outcome = self._attempt(to.pointer)
            if self.released:
                to.flush()
                return packets

    def _put_off(self, to: Rings, outcome: int) -> None:
        """Keep what was not sent, or say why it cannot be."""
        if outcome < 0:
            at = self.descriptors[self._bad] if outcome == -errno.EINVAL else None
            place = (0, 0) if at is None else (int(at["address"]), int(at["length"]))
            to.refuse(outcome, *place)
        self._keep(bytearray(self.descriptors[outcome:].tobytes()))
        to.flush()

    def release(self) -> None:
        """Give all frames back unsent. A second call does nothing."""
        self._release()

    def _refused(self, at: int) -> NoReturn:
        """A frame was not ours to give back; those before it were, and the rest is left."""
        address = int(self.addresses[at])
        self._keep(bytearray(self.descriptors[at:].tobytes()))
        raise faults.bad_frame(
            f"frame {at} of the batch, at {address}, is not leased to you",
            "addresses may move inside their frames only",
        )

    def close(self) -> None:
        """As release()."""
        self.release()

    @property
    def released(self) -> bool:
        """Whether the leases have ended."""
        return self._home is None

    def _check(self) -> Rings:
        if self._home is None:
            self._gone()
        return self._home

    def _gone(self) -> NoReturn:
        raise ValueError("the batch was given back or sent")

    def __repr__(self) -> str:
        state = ", given back" if self._home is None else ""
        return f"<Batch of {len(self)} frames{state}>"


quicken(Batch, "frames_method", "send", "swap", "release")
