"""Batches: many frames at once, as arrays."""

from __future__ import annotations

import sys
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.closing import Closing
from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.options import MOST_FRAGMENTS, PKT_CONTD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    from ebpfasm.runtime.xsk.receiving import Receiving
    from ebpfasm.runtime.xsk.rings import Rings
    from ebpfasm.runtime.xsk.sending import Sending
    from ebpfasm.runtime.xsk.socket import XskSocket


@cache
def _numpy() -> tuple[Any, Any]:
    """The module, and struct xdp_desc as it has it."""
    import numpy

    return numpy, numpy.dtype([("address", "u8"), ("length", "u4"), ("options", "u4")])


def received(
    home: Receiving,
    limit: int,
    waiting: list[tuple[int, int, int]] | None = None,
    *,
    timeout: float | None = None,
) -> Batch:
    """What XskSocket.recv_batch returns."""
    numpy, row = _numpy()
    if waiting is not None:
        return Batch(home, numpy.array(waiting, row))
    found = numpy.empty(limit + MOST_FRAGMENTS * home.settings.multi_buffer, row)
    pointer = home.core.ffi.from_buffer("struct ebpfasm_desc[]", found)
    count = home.receive(pointer, limit, 0, timeout)
    return Batch(home, found[:count], pointer)


def allocated(home: Sending, count: int, timeout: float | None) -> Batch:
    """What XskSocket.alloc_batch returns."""
    numpy, row = _numpy()
    found = numpy.empty(count, row)
    pointer = home.core.ffi.from_buffer("struct ebpfasm_desc[]", found)
    taken = home.allocate(pointer, count, timeout)
    return Batch(home, found[:taken], pointer)


class Batch(Closing):
    """Leases of many frames, received together or taken to be sent.

    `descriptors` is an array as the rings have it, `addresses` and `lengths` are its columns: what
    is written there is what is sent. Work on the contents is vectorised: `read` and `write` copy a
    rectangle of bytes out of and into all frames, `rows` and `columns` index `Umem.frames`, where
    nothing is copied. Iterating gives a memoryview a frame, each until the next one.

    The leases end with `send`, `release` or the end of a `with` block.
    """

    __slots__ = ("_core", "_home", "_pointer", "descriptors")

    def __init__(self, home: Rings, descriptors: npt.NDArray[np.void], pointer: Any = None) -> None:
        self._home: Rings | None = home
        self._core = home.core
        self.descriptors = descriptors
        self._pointer = pointer

    def __len__(self) -> int:
        return len(self.descriptors)

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
        return len(self) - int((self.descriptors["options"] & PKT_CONTD).sum())

    # ---- contents

    def read(self, start: int, width: int) -> npt.NDArray[np.uint8]:
        """Copy `width` bytes from `start` of each frame's contents into a 2-D array.

        What lies outside a frame, before or behind, is 0; a negative start reads the headroom.
        """
        numpy = _numpy()[0]
        home = self._check()
        rows: npt.NDArray[np.uint8] = numpy.empty((len(self), width), numpy.uint8)
        if rows.size:
            self._core.lib.ebpfasm_held_umem_read(
                home.umem.handle, self.pointer(), len(self), start, width,
                self._core.ffi.from_buffer("unsigned char[]", rows),
            )  # fmt: skip
        return rows

    def write(self, start: int, rows: npt.ArrayLike) -> None:
        """Copy rows of bytes to `start` of each frame's contents; one row goes to all of them.

        Raises LoadError (xsk-frame) where one would not lie in its frame; nothing is written then.
        """
        numpy = _numpy()[0]
        home = self._check()
        given = numpy.ascontiguousarray(rows, numpy.uint8)
        width = given.shape[-1] if given.ndim else 0
        if given.ndim not in (1, 2) or (given.ndim == 2 and len(given) != len(self)):
            raise ValueError(f"a row, or {len(self)}, of bytes are needed, not shape {given.shape}")
        if not given.size or not len(self):
            return
        outcome = self._core.lib.ebpfasm_held_umem_write(
            home.umem.handle, self.pointer(), len(self), start, width,
            self._core.ffi.from_buffer("unsigned char[]", given), width * (given.ndim - 1),
        )  # fmt: skip
        if outcome < 0:
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
        if abs(first - second) < width:
            raise ValueError("the two ranges overlap")
        if len(self) and self._core.lib.ebpfasm_held_umem_swap(
            self._check().umem.handle, self.pointer(), len(self), first, second, width
        ):
            raise faults.bad_frame("a range of bytes leaves a frame of the batch")

    def __iter__(self) -> Iterator[memoryview]:
        """A view of each frame's contents; they end with the loop.

        Raises BufferError where views, slices of them or arrays over them are still in use then.
        """
        exporter, whole = self._check().umem.whole()
        view = None
        for view in self._sliced(whole):
            yield view
        if view is not None:
            view.release()  # the loop's variable still holds it
        del view
        whole.release()
        if sys.getrefcount(exporter) > 2:
            raise BufferError("views of the batch's frames are still in use: copy them")

    def views(self) -> list[memoryview]:
        """Views of all contents. They are not ended with the leases: keep none of them longer."""
        return list(self._sliced(self._check().umem.whole()[1]))

    def _sliced(self, whole: memoryview) -> Iterator[memoryview]:
        ffi, count = self._core.ffi, len(self.descriptors)
        spans = ffi.new("uint64_t[]", 2 * count)
        self._core.lib.ebpfasm_held_xsk_spans(self.pointer(), count, spans)
        ends = iter(ffi.unpack(spans, 2 * count)) if count else iter(())
        return map(whole.__getitem__, map(slice, ends, ends))

    def split(self, mask: npt.ArrayLike) -> Batch:
        """Move the frames where `mask` is true to a batch of their own, which is returned."""
        numpy = _numpy()[0]
        home = self._check()
        chosen = numpy.asarray(mask, bool)
        if chosen.shape != (len(self),):
            raise ValueError(f"the mask has {len(self)} values, not shape {chosen.shape}")
        taken = Batch(home, self.descriptors[chosen])
        self._keep(self.descriptors[~chosen])
        return taken

    # ---- the end of the leases

    def send(self, *, via: XskSocket | None = None, timeout: float | None = None) -> int:
        """Send all frames and return how many packets; waits while the tx ring is full.

        When `timeout` seconds are over, those that were not sent are still in the batch. Raises
        LoadError: xsk-frame where an address or length is wrong (then none is sent).
        """
        home = self._check()
        to: XskSocket = home if via is None else via  # type: ignore[assignment]
        if to.umem is not home.umem:
            raise faults.bad_frame(f"the batch is of another UMEM than {to!r}")
        count = len(self.descriptors)
        before = self.packets if to.settings.multi_buffer else count
        sent = to.send_array(self.pointer(), count, timeout)
        if sent == count:
            self._home = None
            return before
        self._keep(self.descriptors[sent:])
        return before - (self.packets if to.settings.multi_buffer else count - sent)

    def release(self) -> None:
        """Give all frames back unsent. A second call does nothing."""
        home = self._home
        if home is None:
            return
        lib, count = self._core.lib, len(self.descriptors)
        if (
            count
            and lib.ebpfasm_held_xsk_release_all(home.handle, self.pointer(), count, home.bad) < 0
        ):
            at = int(home.bad[0])
            address = int(self.addresses[at])
            self._keep(self.descriptors[at:])
            raise faults.bad_frame(
                f"frame {at} of the batch, at {address}, is not leased to you",
                "addresses may move inside their frames only",
            )
        self._home = None

    def close(self) -> None:
        """As release()."""
        self.release()

    @property
    def released(self) -> bool:
        """Whether the leases have ended."""
        return self._home is None

    def pointer(self) -> Any:
        """The descriptors as C takes them."""
        if self._pointer is None:
            self._pointer = self._core.ffi.from_buffer("struct ebpfasm_desc[]", self.descriptors)
        return self._pointer

    def _keep(self, descriptors: npt.NDArray[np.void]) -> None:
        self.descriptors, self._pointer = descriptors, None

    def _check(self) -> Rings:
        if self._home is None:
            self._gone()
        return self._home

    def _gone(self) -> NoReturn:
        raise ValueError("the batch was given back or sent")

    def __del__(self) -> None:
        if self._home is not None:
            if len(self):
                message = f"{len(self)} leases of a batch were forgotten"
                warnings.warn(message, ResourceWarning, stacklevel=2)
            self.release()

    def __repr__(self) -> str:
        state = ", given back" if self._home is None else ""
        return f"<Batch of {len(self)} frames{state}>"
