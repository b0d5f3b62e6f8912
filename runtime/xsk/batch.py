"""Batches: many frames at once, as arrays."""

from __future__ import annotations

import struct
import sys
import warnings
from functools import cache
from itertools import starmap
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.closing import Closing
from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.options import PKT_CONTD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    import numpy.typing as npt

    from ebpfasm.runtime.xsk.rings import Rings
    from ebpfasm.runtime.xsk.socket import XskSocket


@cache
def _numpy() -> tuple[Any, Any]:
    """The module, and struct xdp_desc as it has it."""
    import numpy

    return numpy, numpy.dtype([("address", "u8"), ("length", "u4"), ("options", "u4")])


@cache
def _layout(format: str) -> struct.Struct:
    return struct.Struct(format)


class Batch(Closing):
    """Leases of many frames, received together or taken to be sent.

    `descriptors` is an array as the rings have it, `addresses` and `lengths` are its columns: what
    is written there is what is sent. Work on the contents is vectorised: `read` and `write` copy a
    rectangle of bytes out of and into all frames, `rows` and `columns` index `Umem.frames`, where
    nothing is copied. Iterating gives a memoryview a frame, each until the next one.

    The leases end with `send`, `release` or the end of a `with` block.
    """

    __slots__ = ("_array", "_core", "_count", "_home", "_pointer")

    def __init__(self, home: Rings, pointer: Any, count: int) -> None:
        self._home: Rings | None = home
        self._core = home.core
        self._pointer = pointer
        self._count = count
        self._array: npt.NDArray[np.void] | None = None  # most loops never look at it

    def __len__(self) -> int:
        return self._count

    @property
    def descriptors(self) -> npt.NDArray[np.void]:
        """An array of struct xdp_desc: address, length and options of each frame."""
        if self._array is None:
            numpy, row = _numpy()
            memory = self._core.ffi.buffer(self._pointer, row.itemsize * self._count)
            self._array = numpy.frombuffer(memory, row)
        return self._array

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
                home.umem.handle, self._pointer, len(self), start, width,
                self._core.ffi.from_buffer("unsigned char[]", rows),
            )  # fmt: skip
        return rows

    def write(self, start: int, rows: npt.ArrayLike | bytes) -> None:
        """Copy rows of bytes to `start` of each frame's contents; one row goes to all of them, and
        so does a bytes object.

        Raises LoadError (xsk-frame) where one would not lie in its frame; nothing is written then.
        """
        if isinstance(rows, bytes):
            self._write(start, len(rows), rows, 0)
            return
        numpy = _numpy()[0]
        given = numpy.ascontiguousarray(rows, numpy.uint8)
        width = given.shape[-1] if given.ndim else 0
        if given.ndim not in (1, 2) or (given.ndim == 2 and len(given) != len(self)):
            raise ValueError(f"a row, or {len(self)}, of bytes are needed, not shape {given.shape}")
        if given.size:
            content = self._core.ffi.from_buffer("unsigned char[]", given)
            self._write(start, width, content, width * (given.ndim - 1))

    def _write(self, start: int, width: int, content: Any, step: int) -> None:
        umem, count = self._check().umem, self._count
        write = self._core.lib.ebpfasm_held_umem_write
        if count and write(umem.handle, self._pointer, count, start, width, content, step) < 0:
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
            self._check().umem.handle, self._pointer, len(self), first, second, width
        ):
            raise faults.bad_frame("a range of bytes leaves a frame of the batch")

    def __iter__(self) -> Iterator[memoryview]:
        """A view of each frame's contents; they end with the loop.

        Raises BufferError where views, slices of them or arrays over them are still in use then.
        """
        exporter, whole = self._check().umem.whole()
        view = None
        for begin, end in self._spans():
            view = whole[begin:end]
            yield view
        if view is not None:
            view.release()  # the loop's variable still holds it
        del view
        whole.release()
        if sys.getrefcount(exporter) > 2:
            raise BufferError("views of the batch's frames are still in use: copy them")

    def views(self) -> list[memoryview]:
        """Views of all contents. They are not ended with the leases: keep none of them longer."""
        whole = self._check().umem.whole()[1]
        return [whole[begin:end] for begin, end in self._spans()]

    def _spans(self) -> Iterator[tuple[int, int]]:
        ffi, count = self._core.ffi, self._count
        if not count:
            return iter(())
        spans = ffi.new("uint64_t[]", 2 * count)
        self._core.lib.ebpfasm_held_xsk_spans(self._pointer, count, spans)
        ends = iter(memoryview(ffi.buffer(spans)).cast("Q").tolist())
        return zip(ends, ends, strict=False)

    def unpack(self, format: str, start: int = 0) -> Iterator[tuple[Any, ...]]:
        """The values at `start` of each frame's contents, a tuple a frame: what Python code that
        looks at a header needs, for less than a view. `format` is of the struct module; bytes
        outside a frame are 0.
        """
        home, layout = self._check(), _layout(format)
        rows = self._core.ffi.new("unsigned char[]", layout.size * self._count)
        self._core.lib.ebpfasm_held_umem_read(
            home.umem.handle, self._pointer, self._count, start, layout.size, rows
        )
        return layout.iter_unpack(self._core.ffi.buffer(rows))

    def pack(self, format: str, rows: Iterable[Sequence[Any]], start: int = 0) -> None:
        """Write values to `start` of each frame's contents, a row of them a frame, as unpack()
        reads them. Raises LoadError (xsk-frame) as write() does, and struct.error.
        """
        layout = _layout(format)
        packed = b"".join(starmap(layout.pack, rows))
        if len(packed) != layout.size * self._count:
            raise ValueError(f"{self._count} rows are needed, not {len(packed) // layout.size}")
        self._write(start, layout.size, packed, layout.size)

    def split(self, mask: npt.ArrayLike) -> Batch:
        """Move the frames where `mask` is true to a batch of their own, which is returned."""
        numpy = _numpy()[0]
        home = self._check()
        chosen = numpy.asarray(mask, bool)
        if chosen.shape != (len(self),):
            raise ValueError(f"the mask has {len(self)} values, not shape {chosen.shape}")
        taken = Batch(home, None, 0)
        taken._keep(self.descriptors[chosen])
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
        count = self._count
        before = self.packets if to.settings.multi_buffer else count
        sent = to.send_array(self._pointer, count, timeout)
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
        lib, count = self._core.lib, self._count
        if (
            count
            and lib.ebpfasm_held_xsk_release_all(home.handle, self._pointer, count, home.bad) < 0
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

    def _keep(self, descriptors: npt.NDArray[np.void]) -> None:
        self._array, self._count = descriptors, len(descriptors)
        self._pointer = self._core.ffi.from_buffer("struct ebpfasm_desc[]", descriptors)

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
