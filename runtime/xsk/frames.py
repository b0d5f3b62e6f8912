"""Leases: a frame of the UMEM that is the program's until it gives it back or sends it."""

from __future__ import annotations

import struct
import warnings
from sys import getrefcount
from typing import TYPE_CHECKING, NoReturn, Self

from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.options import PKT_CONTD, TX_METADATA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ebpfasm.runtime.xsk.rings import Rings
    from ebpfasm.runtime.xsk.socket import XskSocket

Bytes = bytes | bytearray | memoryview
Descriptor = tuple[int, int, int]  # address, length, options

# struct xsk_tx_metadata: flags, csum_start, csum_offset, launch_time
_METADATA = struct.Struct("=QHH4xQ")
_TIMESTAMP, _CHECKSUM, _LAUNCH = 1, 2, 4  # XDP_TXMD_FLAGS_*

_IN_USE = "slices of the frame's data are still in use: copy them with bytes(), or keep() the frame"
_GONE = "the frame was given back: bytes(frame) makes a copy, keep() a longer lease"


class Frame:
    """A frame that was lent: received, or taken to be sent.

    `data` is its contents in place. `send` and `release` end the lease; so does the end of a
    `with` block, and of the body of `for frame in xsk`. After that every use raises ValueError,
    of `data` too; where arrays or slices of `data` are still alive BufferError says so and the
    lease goes on. A lease that is forgotten comes back when it is collected, with a
    ResourceWarning.

    A packet in several frames (multi_buffer) is one Frame: `parts` are its pieces, `data` the
    first one, `bytes(frame)` all of it.
    """

    # `home` is the socket, and None when the lease is over; `view` is `data` once it was made.
    __slots__ = ("_length", "home", "place", "view")

    rest: tuple[Frame, ...] = ()
    options = 0

    def __init__(self, home: Rings, place: int, length: int) -> None:
        self.home: Rings | None = home
        self.place = place
        self._length = length
        self.view: memoryview | None = None

    # ---- contents

    @property
    def data(self) -> memoryview:
        """The contents, to read and write in place. Raises ValueError after the lease."""
        view = self.view
        if view is None:
            home = self.home
            if home is None:
                raise ValueError(_GONE)
            # As Umem.view, without the call.
            index, begin = divmod(self.place, home.frame_size)
            exporter = home.exporters[index] or home.umem.exporter(index)
            view = self.view = memoryview(exporter)[begin : begin + self._length]
        return view

    @property
    def parts(self) -> tuple[memoryview, ...]:
        """The contents of each of the packet's frames."""
        return (self.data, *(each.data for each in self.rest))

    def __len__(self) -> int:
        self._check()
        return self._length + sum(len(each) for each in self.rest)

    def __bytes__(self) -> bytes:
        return b"".join(self.parts)

    @property
    def address(self) -> int:
        """Where the contents begin, in bytes from the UMEM's start."""
        self._check()
        return self.place

    @property
    def headroom(self) -> int:
        """Bytes of the frame before the contents: what push() can add."""
        return self.place % self._check().frame_size

    @property
    def tailroom(self) -> int:
        """Bytes of the frame behind the contents: what put() can add."""
        return self._check().frame_size - self.headroom - self._length

    def push(self, size: int) -> memoryview:
        """Add bytes in front, out of the headroom, and return the contents. Nothing is copied."""
        if not 0 <= size <= self.headroom:
            raise faults.bad_frame(f"cannot add {size} bytes in front; there are {self.headroom}")
        return self._move(self.place - size, self._length + size)

    def pull(self, size: int) -> memoryview:
        """Take bytes off the front and return the contents."""
        if not 0 <= size <= self._length:
            raise faults.bad_frame(f"cannot take {size} bytes off the front of {self._length}")
        return self._move(self.place + size, self._length - size)

    def put(self, size: int) -> memoryview:
        """Add bytes at the end and return the contents."""
        if not 0 <= size <= self.tailroom:
            raise faults.bad_frame(f"cannot add {size} bytes; there are {self.tailroom}")
        return self._move(self.place, self._length + size)

    def trim(self, length: int) -> memoryview:
        """Cut the contents to a length and return them."""
        if not 0 <= length <= self._length:
            raise faults.bad_frame(f"cannot trim {self._length} bytes to {length}")
        return self._move(self.place, length)

    def write(self, data: Bytes) -> Self:
        """Make `data` the contents. What is longer than the tail begins in the headroom."""
        home, size = self._check(), len(data)
        if size > home.frame_size:
            hint = "open the UMEM with larger frames, or the socket with multi_buffer=True"
            raise faults.bad_frame(f"{size} bytes do not fit in a frame of {home.frame_size}", hint)
        begin = min(self.headroom, home.frame_size - size)
        self._move(self.place - self.headroom + begin, size)[:] = data
        return self

    def _move(self, place: int, length: int) -> memoryview:
        self._check()
        if self.view is not None:
            self.view.release()  # BufferError where an array is over it
            self.view = None
        self.place, self._length = place, length
        return self.data

    def request(
        self,
        *,
        checksum: tuple[int, int] | None = None,
        timestamp: bool = False,
        launch_time: int | None = None,
    ) -> None:
        """Ask for things to be done when the frame is sent; the UMEM needs `tx_metadata`.

        `checksum` is where the checksummed part begins, and where in it the sum is to be stored,
        which holds the pseudo-header's sum by then. `timestamp` puts the time of sending into
        `XskSocket.timestamps`. `launch_time` is the device's time to send it at, in ns (6.14).
        """
        self._check()
        hint = "make it with Umem(tx_metadata=True)"
        raise faults.bad_frame("the UMEM has no room for TX metadata", hint)

    # ---- the end of the lease

    def send(
        self,
        *,
        via: XskSocket | None = None,
        kick: bool = True,
        timeout: float | None = None,
    ) -> None:
        """Send the frame, on the socket it came from or on another one of the same UMEM.

        Without `kick` the kernel is told later: by the next kick, by XskSocket.flush(), or before
        the socket waits. Waits while the tx ring is full; raises TimeoutError when `timeout`
        seconds are over, and the lease goes on. Raises LoadError: xsk-frame, xsk-interface.
        """
        home = self._check()
        to: XskSocket = home if via is None else via  # type: ignore[assignment]
        if to.umem is not home.umem:
            raise faults.bad_frame(
                f"the frame is of another UMEM than {to!r}", "copy it: via.send(frame.data)"
            )
        self.let_go()
        self._put(to, kick, timeout)
        self.home = None

    def _put(self, to: XskSocket, kick: bool, timeout: float | None) -> None:
        to.send_one(self.place, self._length, kick, timeout)

    def release(self) -> None:
        """Give the frame back unsent. A second call does nothing."""
        home = self.home
        if home is None:
            return
        self.let_go()
        self.home = None
        home.give_back(self.place)

    def keep(self) -> Frame:
        """Take the lease over the end of the loop's body: it goes on in the Frame returned."""
        taken = KEPT[type(self)](self._check(), self.place, self._length)
        if self.view is not None:
            self.view.release()
            taken.data  # noqa: B018 - so that its end looks for slices too
        self.home = self.view = None
        return taken

    @property
    def released(self) -> bool:
        """Whether the lease has ended."""
        return self.home is None

    def descriptors(self) -> list[Descriptor]:
        """Address, length and options of each of the packet's frames, as the tx ring takes them."""
        return [(self.place, self._length, 0)]

    def let_go(self) -> None:
        """End all views, or raise BufferError: then the lease goes on."""
        view = self.view
        if view is None:
            return
        view.release()
        self.view = None
        home = self.home or self._check()
        # As Umem.viewed, without the calls.
        if getrefcount(home.exporters[self.place // home.frame_size]) > 2:
            self.data  # noqa: B018 - a new view, so that the next attempt looks again
            raise BufferError(_IN_USE)

    def _check(self) -> Rings:
        home = self.home
        if home is None:
            self._gone()
        return home

    def _gone(self) -> NoReturn:
        raise ValueError(_GONE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()

    def __repr__(self) -> str:
        if self.home is None:
            return "<Frame, given back>"
        return f"<Frame at {self.place}, {self._length} bytes>"


class Packet(Frame):
    """A frame that may go on in further ones, and may carry metadata for sending."""

    __slots__ = ("options", "rest")

    def __init__(self, home: Rings, place: int, length: int) -> None:
        super().__init__(home, place, length)
        self.rest: tuple[Frame, ...] = ()
        self.options = 0

    def request(
        self,
        *,
        checksum: tuple[int, int] | None = None,
        timestamp: bool = False,
        launch_time: int | None = None,
    ) -> None:
        """As Frame.request tells."""
        umem = self._check().umem
        size = umem.metadata
        if not size:
            super().request()
        if self.headroom < size:
            raise faults.bad_frame(f"TX metadata takes {size} bytes of headroom")
        flags = _TIMESTAMP * timestamp | _CHECKSUM * (checksum is not None)
        flags |= _LAUNCH * (launch_time is not None)
        start, store = checksum or (0, 0)
        with umem.view(self.place - size, size) as before:
            _METADATA.pack_into(before, 0, flags, start, store, launch_time or 0)
        self.options |= TX_METADATA

    def extend(self, rest: Sequence[Frame]) -> None:
        """Make other leases the packet's further frames; they end with this one."""
        self.rest = (*self.rest, *rest)

    def descriptors(self) -> list[Descriptor]:
        """As Frame.descriptors tells."""
        parts = [self, *self.rest]
        options = [PKT_CONTD] * (len(parts) - 1) + [0]
        options[0] |= self.options
        return [
            (part.place, part._length, option) for part, option in zip(parts, options, strict=True)
        ]

    def _put(self, to: XskSocket, kick: bool, timeout: float | None) -> None:
        to.send_descriptors(self.descriptors(), kick, timeout)
        for each in self.rest:
            each.home = None

    def release(self) -> None:
        """As Frame.release tells."""
        super().release()
        for each in self.rest:
            each.release()

    def keep(self) -> Frame:
        """As Frame.keep tells."""
        taken = super().keep()
        assert isinstance(taken, Packet)
        taken.options = self.options
        taken.rest = tuple(each.keep() for each in self.rest)
        self.rest = ()
        return taken

    def let_go(self) -> None:
        """As Frame.let_go tells."""
        for each in self.rest:
            each.let_go()
        super().let_go()


class _Forgettable(Frame):
    """A lease that no loop ends: where it is forgotten the frame still comes back."""

    __slots__ = ()

    def __del__(self) -> None:
        home = getattr(self, "home", None)
        if home is None:
            return
        self.home = self.view = None
        index = self.place // home.frame_size
        home.umem.abandon(index)
        warnings.warn(f"a lease of frame {index} was forgotten", ResourceWarning, stacklevel=2)


class KeptFrame(_Forgettable):
    """A Frame from recv(), alloc() or keep()."""

    __slots__ = ()


class KeptPacket(_Forgettable, Packet):
    """The same of a Packet."""

    __slots__ = ()


KEPT: dict[type[Frame], type[Frame]] = {
    Frame: KeptFrame,
    KeptFrame: KeptFrame,
    Packet: KeptPacket,
    KeptPacket: KeptPacket,
}
