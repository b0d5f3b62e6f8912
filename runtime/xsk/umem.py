"""A UMEM: memory cut into frames, which sockets receive into and send from."""

from __future__ import annotations

import errno
import mmap
import sys
import weakref
from typing import TYPE_CHECKING, Any, Literal

from ebpfasm.closing import Closing
from ebpfasm.errors import LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.runtime.xsk import faults
from ebpfasm.runtime.xsk.options import (
    PACKET_HEADROOM,
    TX_METADATA_LEN,
    TX_SW_CSUM,
    UNALIGNED_CHUNKS,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ebpfasm.runtime.xsk.rings import Rings

_MAP_HUGETLB = 0x40000
_SMALLEST = 2048  # XDP_UMEM_MIN_CHUNK_SIZE
_METADATA = 24  # bytes of struct xsk_tx_metadata, launch time included


@dataclass(frozen=True, slots=True)
class Census:
    """Where the frames of a UMEM are: their sum is the UMEM's count.

    `free`: in the pool. `user`: leased to the program. `fill`: with the kernel to receive into,
    or received and not read yet. `tx`: with the kernel to be sent.
    """

    free: int
    user: int
    fill: int
    tx: int

    @property
    def total(self) -> int:
        """All frames."""
        return self.free + self.user + self.fill + self.tx


class Umem(Closing):
    """`count` frames of `frame_size` bytes each. Sockets that share it pass frames without a copy.

    Received data begins 256 + `headroom` bytes into its frame, so there is room to grow an outer
    header. `frame_size` is a power of two from 2048 to the page's size; with `unaligned` any size
    from 2048 on (Linux 5.4). `huge_pages` takes its memory from reserved huge pages. With
    `tx_metadata` frames to be sent can ask for checksums and times (Linux 6.11), which the device
    computes; with "software" the kernel computes checksums, in copy mode.

    The memory goes with the last lease, batch or array over it. Raises LoadError: xsk-umem.
    """

    def __init__(
        self,
        count: int = 4096,
        frame_size: int = 4096,
        *,
        headroom: int = 0,
        huge_pages: bool = False,
        unaligned: bool = False,
        tx_metadata: bool | Literal["software"] = False,
    ) -> None:
        _check(count, frame_size, headroom, unaligned)
        self.count = count
        self.frame_size = frame_size
        self.headroom = headroom
        self.huge_pages = huge_pages
        self.unaligned = unaligned
        self.metadata = _METADATA if tx_metadata else 0
        self.software_checksums = tx_metadata == "software"
        core = faults.core()
        self._memory = _memory(count * frame_size, huge_pages)
        ffi, lib = core.ffi, core.lib
        self._area = ffi.from_buffer("unsigned char[]", self._memory, require_writable=True)
        made = lib.ebpfasm_umem_new(
            self._area, frame_size, count, headroom, self.metadata, int(unaligned)
        )
        if made == ffi.NULL:
            raise MemoryError
        self.handle = ffi.gc(made, lib.ebpfasm_umem_delete)
        self.pointer = int(ffi.cast("uintptr_t", made))
        self._core = core
        self.exporters: list[Any] = [None] * count
        self.sockets: weakref.WeakSet[Rings] = weakref.WeakSet()
        self._abandoned: list[int] = []
        self._closed = False

    @property
    def flags(self) -> int:
        """XDP_UMEM_* flags to register it with."""
        flags = UNALIGNED_CHUNKS if self.unaligned else 0
        flags |= TX_METADATA_LEN if self.metadata else 0
        return flags | (TX_SW_CSUM if self.software_checksums else 0)

    @property
    def room(self) -> int:
        """Bytes from where received data begins to the end of its frame."""
        return self.frame_size - PACKET_HEADROOM - self.headroom

    def census(self) -> Census:
        """Count where the frames are."""
        counts = self._core.ffi.new("uint64_t[5]")
        self._core.lib.ebpfasm_umem_census(self.handle, counts)
        return Census(*list(counts)[:4])

    @property
    def frames(self) -> npt.NDArray[np.uint8]:
        """All memory as an array with a row a frame. Nothing guards what is not leased to you."""
        import numpy

        flat = numpy.frombuffer(self._memory, numpy.uint8, self.count * self.frame_size)
        return flat.reshape(self.count, self.frame_size)

    def view(self, address: int, length: int) -> memoryview:
        """A view of bytes of one frame, in a buffer of its own: `viewed` tells whether it lives."""
        index, offset = divmod(address, self.frame_size)
        exporter = self.exporters[index] or self.exporter(index)
        return memoryview(exporter)[offset : offset + length]

    def viewed(self, index: int) -> bool:
        """Whether a view of the frame, or a slice of one, is alive and not released."""
        # The list's reference, and the argument's; each buffer that is not released adds one.
        return sys.getrefcount(self.exporters[index]) > 2

    def whole(self) -> memoryview:
        """A view of all memory."""
        return memoryview(self._core.ffi.buffer(self._area))

    def exporter(self, index: int) -> Any:
        """What the views of a frame are made of."""
        begin = index * self.frame_size
        part = memoryview(self._memory)[begin : begin + self.frame_size]
        ffi = self._core.ffi
        made = ffi.buffer(ffi.from_buffer("unsigned char[]", part, require_writable=True))
        self.exporters[index] = made
        return made

    def abandon(self, index: int) -> None:
        """Give back a frame whose lease was forgotten, as soon as nothing looks at it any more."""
        self._abandoned.append(index)
        self.sweep()

    def sweep(self) -> None:
        """Give back what was abandoned and is looked at no longer."""
        if not self._abandoned:
            return
        waiting, self._abandoned = self._abandoned, []
        for index in waiting:
            if self.exporters[index] is not None and self.viewed(index):
                self._abandoned.append(index)
            else:
                self._core.lib.ebpfasm_umem_give_one(self.handle, index * self.frame_size)

    def close(self) -> None:
        """Close its sockets, and open no more on it."""
        self._closed = True
        for each in list(self.sockets):
            each.close()

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{len(self.sockets)} sockets"
        return f"<Umem of {self.count} frames of {self.frame_size} bytes, {state}>"


def _check(count: int, frame_size: int, headroom: int, unaligned: bool) -> None:
    message, hint = "", None
    if not 1 <= count < 1 << 32:
        message = f"a UMEM has at least one frame, not {count}"
    elif not unaligned and (frame_size & (frame_size - 1) or not frame_size >= _SMALLEST):
        message = f"frames have {_SMALLEST} bytes, or another power of two up to the page's size"
        message += f", not {frame_size}"
        hint = "unaligned=True takes other sizes"
    elif frame_size < _SMALLEST:
        message = f"frames have at least {_SMALLEST} bytes, not {frame_size}"
    elif not 0 <= headroom < frame_size - PACKET_HEADROOM:
        message = (
            f"a headroom of {headroom} leaves no room for data: the kernel keeps "
            f"{PACKET_HEADROOM} of a frame's {frame_size} bytes before it"
        )
    if message:
        raise LoadError(error("xsk-umem", message, hint=hint), errno=errno.EINVAL)


def _memory(size: int, huge_pages: bool) -> mmap.mmap:
    """Anonymous memory that a forked child shares, so that nothing is copied behind the kernel."""
    flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_POPULATE", 0x8000)
    unit = mmap.PAGESIZE
    if huge_pages:
        flags |= _MAP_HUGETLB
        unit = _huge_page_size()
    whole = -(-size // unit) * unit
    try:
        return mmap.mmap(-1, whole, flags=flags)
    except OSError as refusal:
        hint = f"reserve them: sysctl vm.nr_hugepages={whole // unit}" if huge_pages else None
        kind = f"{whole // unit} huge pages" if huge_pages else f"{whole} bytes"
        message = f"cannot get {kind} for a UMEM: {refusal.strerror}"
        number = refusal.errno or errno.ENOMEM
        raise LoadError(error("xsk-umem", message, hint=hint), errno=number) from None


def _huge_page_size() -> int:
    with open("/proc/meminfo", encoding="ascii") as file:
        for line in file:
            if line.startswith("Hugepagesize:"):
                return int(line.split()[1]) << 10
    return 2 << 20
