"""Perf buffers: a ring for each CPU, which bpf_perf_event_output writes to."""

from __future__ import annotations

import errno
import mmap
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import LoadError, error
from ebpfasm.runtime import syscall
from ebpfasm.runtime.cpus import online_cpus
from ebpfasm.runtime.events import output
from ebpfasm.runtime.events.reader import EventReader
from ebpfasm.runtime.events.records import RecordType, misfit, record_of
from ebpfasm.runtime.events.ringbuf import btf_of
from ebpfasm.runtime.events.source import Callback, Source, broken, numbered
from ebpfasm.runtime.perf_event import enable, pause_output
from ebpfasm.runtime.refusals import TRACING, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.maps import Map

_HEADER = 12  # a record's header and the length of its raw bytes
_ELEMENT = struct.Struct("=IxxxxQQQ")  # struct bpf_attr for elements: map, key, value, flags
_ABSENT = frozenset({errno.ENODEV, errno.ENXIO})  # the CPU is not there, or went away meanwhile

LostCallback = Callable[[int, int], object]


class _Ring(Source):
    """One CPU's ring."""

    def __init__(
        self, what: str, cpu: int, fd: int, pages: int, record: RecordType,
        callback: Callback | None, *, with_cpu: bool, counts_lost: bool,
    ) -> None:  # fmt: skip
        super().__init__(what, record, callback)
        self.cpu, self.fd = cpu, fd
        self._with_cpu, self._counts_lost = with_cpu, counts_lost
        self._process = os.getpid()
        self._length = mmap.PAGESIZE * (1 + pages)
        self._ring = self._core.ffi.new("ebpfasm_perf *", {"size": mmap.PAGESIZE * pages})
        self.lost_seen = 0
        self._map()

    _writes = True

    def _map(self) -> None:
        lib = self._core.lib
        result = lib.ebpfasm_perf_map(self._ring, self.fd, self._length, self._writes)
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        self._unread, self._read = lib.ebpfasm_perf_unread, lib.ebpfasm_perf_read

    def unread(self) -> int:
        return int(self._unread(self._ring))

    def step(self, size: int) -> int:
        return (size + _HEADER + 7) & ~7

    def _fill(self, records: Any) -> int:
        return int(self._read(self._ring, records))

    def iterate(self, values: Iterator[Any]) -> Iterator[Any]:
        return numbered(self.cpu, values) if self._with_cpu else values

    @property
    def lost_told(self) -> int:
        """Records lost, as far as records in the ring say so."""
        return int(self._ring.lost)

    def lost(self) -> int:
        """Records that there was no room for."""
        return output.lost(self.fd) if self._counts_lost else self.lost_told

    def close(self) -> None:
        if self._process == os.getpid():  # a forked child has no such mapping
            self._core.lib.ebpfasm_perf_unmap(self._ring, self._length)
        os.close(self.fd)


class _Overwritable(_Ring):
    """A ring that the kernel fills backwards, over what is oldest, whether it was read or not."""

    _writes = False

    def _map(self) -> None:
        super()._map()
        self._grow(int(self._ring.size))  # one reading takes all

    def unread(self) -> int:
        return (int(self._ring.seen) - super().unread()) & (1 << 64) - 1

    def take(self) -> Iterator[Any] | None:
        return self._values(self._newest())

    def take_bytes(self, most: int | None) -> list[bytes]:
        found = self._newest()
        return found if most is None else found[-most:]

    def fill_array(self, array: Any) -> int:
        found = self._cut(self._newest(), array.itemsize)[-len(array) :]
        joined = b"".join(found)
        array.view("u1")[: len(joined)] = memoryview(joined)
        return len(found)

    def most(self, size: int) -> int:
        return int(self._ring.size) // self.step(size)

    def _values(self, found: list[bytes]) -> Iterator[Any] | None:
        size = self.record.size
        if size:
            found = self._cut(found, size)
        ends, end = [], 0
        for each in found:
            end += len(each)
            ends.append(end)
        return self.record.values(memoryview(b"".join(found)), ends) if found else None

    def _cut(self, found: list[bytes], size: int) -> list[bytes]:
        """Records without what fills them up. Where one has another length, none was read."""
        for each in found:
            if len(each) != self.step(size) - _HEADER:
                self._ring.seen = self._seen_before
                raise misfit(self.what, self.record, len(each))
        return [each[:size] for each in found]

    def _newest(self) -> list[bytes]:
        """What was not read before, oldest first; the ring stands still meanwhile."""
        if not self.unread():
            return []
        self._seen_before = int(self._ring.seen)
        pause_output(self.fd, True)
        try:
            data, ends = self._any(None)
        finally:
            pause_output(self.fd, False)
        whole = bytes(data)
        found = [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
        return found[::-1]

    def _fill(self, records: Any) -> int:
        return int(self._core.lib.ebpfasm_perf_snapshot(self._ring, records))


class PerfBuffer(EventReader[_Ring]):
    """Records out of a perf_event_array map: a ring of `pages` pages for each CPU that is online.

    `record` and `callback` are as for RingBuffer; the kernel fills records up to 4 bytes more than
    a multiple of 8, which bytes show and types do not. Records of one CPU come in their order; with
    `with_cpu` each comes as a pair with the CPU's number. A program chooses its own CPU's ring by
    BPF_F_CURRENT_CPU. The reader is woken by every `wakeup`-th record, or with `watermark` once
    so many bytes wait. A ring that is full loses new records, which `lost` counts; `on_lost` is
    called with the CPU and the number when the reader comes to the gap.

    With `overwrite` a full ring loses its oldest records instead, and reading gives what is newest;
    reading holds the ring still for a moment, in which new records are lost.

    Raises LoadError where the map is no perf_event_array or the events cannot be opened,
    NotSupported without the native core.
    """

    def __init__(
        self,
        map: Map,
        record: Any = None,
        callback: Callback | None = None,
        *,
        pages: int = 8,
        cpus: Iterable[int] | None = None,
        wakeup: int = 1,
        watermark: int = 0,
        overwrite: bool = False,
        with_cpu: bool = False,
        on_lost: LostCallback | None = None,
    ) -> None:
        if pages < 1 or pages & (pages - 1):
            raise ValueError(f"pages is a power of two, not {pages}")
        if map.type != "perf_event_array":
            message = f"map {map.name!r} is of type {map.type}, and a perf_event_array is needed"
            raise LoadError(error("event-ring", message), errno=errno.EINVAL)
        super().__init__()
        self._what = f"perf buffer {map.name!r}"
        self._on_lost = on_lost
        self._map_fd = os.dup(map.fd)
        kind = _Overwritable if overwrite else _Ring
        try:
            chosen = online_cpus() if cpus is None else list(cpus)
            read_as = record_of(record, btf_of(map))
            for cpu in chosen:
                if cpus is not None or cpu < map.max_entries:
                    fd, counts = self._open(
                        cpu, watermark or wakeup, bool(watermark), overwrite, cpus is None
                    )
                    if fd >= 0:
                        self._add(kind, cpu, fd, pages, read_as, callback, with_cpu, counts)
        except BaseException:
            self.close()
            raise

    def _open(
        self, cpu: int, wakeup: int, watermark: bool, overwrite: bool, optional: bool
    ) -> tuple[int, bool]:
        try:
            return output.open_output(cpu, wakeup=wakeup, watermark=watermark, overwrite=overwrite)
        except OSError as refusal:
            if optional and refusal.errno in _ABSENT:
                return -1, False
            raise self._refused(cpu, refusal) from None

    def _add(
        self, kind: type[_Ring], cpu: int, fd: int, pages: int, record: RecordType,
        callback: Callback | None, with_cpu: bool, counts_lost: bool,
    ) -> None:  # fmt: skip
        try:
            ring = kind(
                self._what, cpu, fd, pages, record, callback,
                with_cpu=with_cpu, counts_lost=counts_lost,
            )  # fmt: skip
        except OSError as refusal:
            os.close(fd)
            raise self._refused(cpu, refusal) from None
        self._sources.append(ring)
        self._check().add(fd)
        try:
            self._set(cpu, fd)
            enable(fd)
        except OSError as refusal:
            raise self._refused(cpu, refusal) from None

    def _refused(self, cpu: int, refusal: OSError) -> LoadError:
        number, hint = refusal.errno or 0, None
        if number in (errno.EPERM, errno.ENOMEM):
            hint = "fewer pages need less locked memory (kernel.perf_event_mlock_kb)"
        what = f"open {self._what} on CPU {cpu}"
        return refused("event-ring", what, number, needs=TRACING, hint=hint)

    def _set(self, cpu: int, fd: int) -> None:
        key, value = bytearray(struct.pack("=I", cpu)), bytearray(struct.pack("=I", fd))
        element = _ELEMENT.pack(self._map_fd, syscall.address(key), syscall.address(value), 0)
        syscall.bpf(syscall.MAP_UPDATE_ELEM, bytearray(element))

    @property
    def lost(self) -> int:
        """How many records there was no room for, since the buffer was opened.

        Exact since Linux 6.0; before, those of which records in the ring have told.
        """
        return sum(self.lost_by_cpu.values())

    @property
    def lost_by_cpu(self) -> dict[int, int]:
        """The same for each CPU."""
        with self._lock:
            self._check()
            return {ring.cpu: ring.lost() for ring in self._sources}

    def _take(self) -> bool:
        taken = super()._take()
        if self._on_lost is not None:
            for ring in self._sources:
                missed = ring.lost_told - ring.lost_seen
                if missed:
                    ring.lost_seen += missed
                    self._on_lost(ring.cpu, missed)
        return taken

    def close(self) -> None:
        """Give the rings back. A program's output then fails with ENOENT."""
        if not self.closed and self._process == os.getpid():
            for ring in self._sources:
                self._unset(ring.cpu)
        super().close()
        fd, self._map_fd = self._map_fd, -1
        if fd >= 0:
            os.close(fd)

    def _unset(self, cpu: int) -> None:
        key = bytearray(struct.pack("=I", cpu))
        element = bytearray(_ELEMENT.pack(self._map_fd, syscall.address(key), 0, 0))
        try:
            syscall.bpf(syscall.MAP_DELETE_ELEM, element)
        except OSError as refusal:
            if refusal.errno != errno.ENOENT:
                raise broken(self._what, refusal.errno or 0) from None
