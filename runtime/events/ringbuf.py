"""Ring buffers: one ring for all CPUs, in which records stand in the order they were reserved."""

from __future__ import annotations

import errno
import mmap
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ebpfasm.errors import LoadError, error
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.events.reader import EventReader
from ebpfasm.runtime.events.records import record_of
from ebpfasm.runtime.events.source import Callback, Source, core
from ebpfasm.runtime.refusals import refused

if TYPE_CHECKING:
    from ebpfasm.runtime.maps import Map

HEADER = 8  # bytes before each record


class Mapped(NamedTuple):
    """A ring's two mappings, and the structure that C knows it by."""

    first: mmap.mmap
    rest: mmap.mmap
    views: tuple[Any, Any]
    ring: Any

    def close(self) -> None:
        """Unmap the memory."""
        for view in self.views:
            core().ffi.release(view)
        self.first.close()
        self.rest.close()


def map_ring(map: Map, kind: str) -> Mapped:
    """Map a ring's positions and data. The kernel has the data twice in a row.

    The page that user space writes can be written, and the data of a ring that it fills.
    Raises LoadError.
    """
    if map.type != kind:
        message = f"map {map.name!r} is of type {map.type}, and a {kind} is needed"
        raise LoadError(error("event-ring", message), errno=errno.EINVAL)
    page, size = mmap.PAGESIZE, map.max_entries
    to_read, to_write = mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE
    ours = kind == "user_ringbuf"  # we are the producer
    try:
        first = mmap.mmap(map.fd, page, prot=to_read if ours else to_write)
        try:
            rest = mmap.mmap(
                map.fd, page + 2 * size, prot=to_write if ours else to_read, offset=page
            )
        except BaseException:
            first.close()
            raise
    except OSError as refusal:
        raise refused("event-ring", f"map ring buffer {map.name!r}", refusal.errno or 0) from None
    ffi = core().ffi
    views = ffi.from_buffer(first), ffi.from_buffer(rest)
    consumer, producer = (ffi.cast("unsigned long *", view) for view in views)
    data = ffi.cast("unsigned char *", views[1]) + page
    ring = ffi.new(
        "ebpfasm_ring *", {"consumer": consumer, "producer": producer, "data": data, "size": size}
    )
    return Mapped(first, rest, views, ring)


def btf_of(map: Map) -> Any:
    """The BTF that came with a map, None where there was none."""
    types = getattr(map.spec, "types", None)
    return None if types is None else types.btf


class _Ring(Source):
    def __init__(self, map: Map, record: Any, callback: Callback | None) -> None:
        super().__init__(f"ring buffer {map.name!r}", record_of(record, btf_of(map)), callback)
        self.fd = os.dup(map.fd)
        try:
            self._mapped = map_ring(map, "ringbuf")
        except BaseException:
            os.close(self.fd)
            raise
        self._at = self._address(self._mapped.ring)

    def unread(self) -> int:
        return int(self._objects.ring_unread(self._at))

    def step(self, size: int) -> int:
        return (size + HEADER + 7) & ~7

    def _fill(self, records: Any) -> int:
        return int(self._objects.ring_read(self._at, self._records_at))

    @property
    def lost(self) -> int:
        """Bytes that new records overwrote before they were read."""
        return 0

    def close(self) -> None:
        self._mapped.close()
        os.close(self.fd)


class _Overwritable(_Ring):
    """A ring that never is full: the kernel moves the oldest record's position on."""

    def __init__(self, map: Map, record: Any, callback: Callback | None) -> None:
        super().__init__(map, record, callback)
        self._read = self._core.lib.ebpfasm_ring_read_overwritable
        self._oldest = self._mapped.ring.producer + _OLDEST
        self._lost = self._core.ffi.new("uint64_t *")

    def unread(self) -> int:
        return min(super().unread(), int(self._mapped.ring.producer[0] - self._oldest[0]))

    def _fill(self, records: Any) -> int:
        return int(self._read(self._mapped.ring, self._oldest, records, self._lost))

    @property
    def lost(self) -> int:
        return int(self._lost[0])


# Behind the producer's position in its page come those of the oldest record that is not finished
# and of the oldest record (struct bpf_ringbuf in kernel/bpf/ringbuf.c).
_OLDEST = 2


class RingBuffer(EventReader[_Ring]):
    """Records out of a ring buffer map, or of several read as one.

    `record` is what a record is: nothing for bytes, a struct format (tuples), a dataclass, a named
    tuple, a ctypes structure, a numpy dtype, `"struct event"` or `(btf, id)` for a type in BTF
    (dicts), or a function from bytes. A record that has not the type's length raises EncodeError
    and stays.

    A ring that is full makes the program's reservation fail: how often, only the program knows.
    Reading frees the room. Where the map has the flag BPF_F_RB_OVERWRITE (Linux 6.19), new records
    overwrite the oldest instead, and `lost_bytes` says how much went unread. Raises LoadError where
    the map is no ring buffer, NotSupported without the native core.
    """

    def __init__(self, map: Map, record: Any = None, callback: Callback | None = None) -> None:
        super().__init__()
        try:
            self.add(map, record, callback)
        except BaseException:
            self.close()
            raise

    def add(self, map: Map, record: Any = None, callback: Callback | None = None) -> None:
        """Read this ring buffer too. Raises LoadError where the map is no ring buffer."""
        waiter = self._check()
        overwrites = map.spec.flags & CONSTANTS["BPF_F_RB_OVERWRITE"]
        ring = (_Overwritable if overwrites else _Ring)(map, record, callback)
        try:
            waiter.add(ring.fd)
        except BaseException:
            ring.close()
            raise
        with self._lock:
            self._sources.append(ring)

    @property
    def lost_bytes(self) -> int:
        """How much was overwritten before it was read, in bytes with the records' headers.

        It is counted when the gap is reached; 0 for rings that do not overwrite.
        """
        with self._lock:
            return sum(each.lost for each in self._sources)
