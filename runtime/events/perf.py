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
from ebpfasm.runtime.events.hotplug import CpuWatch
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
        self._at = self._address(self._ring)

    def unread(self) -> int:
        return int(self._objects.perf_unread(self._at))

    def step(self, size: int) -> int:
        return (size + _HEADER + 7) & ~7

    def _fill(self, records: Any) -> int:
        return int(self._objects.perf_read(self._at, self._records_at))

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

    A CPU that comes online later gets its ring when the reader looks or waits next; what a program
    sends there before, the kernel refuses it. `cpus` are those to be read, all where it is None.

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

    _watch: CpuWatch | None = None  # so that close() works where __init__ failed

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
        self._callback, self._pages, self._with_cpu = callback, pages, with_cpu
        self._wakeup, self._by_bytes = watermark or wakeup, bool(watermark)
        self._overwrite = overwrite
        self._map_fd = os.dup(map.fd)
        try:
            self._read_as = record_of(record, btf_of(map))
            self._cpus = range(map.max_entries) if cpus is None else frozenset(cpus)
            self._watch = self._watched()
            for cpu in online_cpus() if cpus is None else sorted(self._cpus):
                if cpu in self._cpus:
                    self._open(cpu, optional=cpus is None)
        except BaseException:
            self.close()
            raise

    def _watched(self) -> CpuWatch | None:
        try:
            watch = CpuWatch()
        except OSError:
            return None  # the CPUs that are online now have to do
        self._check().add(watch.fileno())
        return watch

    def _open(self, cpu: int, *, optional: bool) -> None:
        try:
            fd, counts = output.open_output(
                cpu, wakeup=self._wakeup, watermark=self._by_bytes, overwrite=self._overwrite
            )
        except OSError as refusal:
            if optional and refusal.errno in _ABSENT:
                return
            raise self._refused(cpu, refusal) from None
        self._add(cpu, fd, counts)

    def _look(self) -> None:
        """Give CPUs that came online a ring: an event does not outlast its CPU's absence.

        The ring from before stays among the sources: it may hold records, and counts lost ones.
        """
        self._check()
        watch = self._watch
        if watch is None:
            return
        for cpu in watch.came_online(online_cpus):
            with self._lock:
                self._check()
                if cpu in self._cpus:
                    self._open(cpu, optional=True)

    def _add(self, cpu: int, fd: int, counts_lost: bool) -> None:
        kind = _Overwritable if self._overwrite else _Ring
        try:
            ring = kind(
                self._what, cpu, fd, self._pages, self._read_as, self._callback,
                with_cpu=self._with_cpu, counts_lost=counts_lost,
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
            found = dict.fromkeys((ring.cpu for ring in self._sources), 0)
            for ring in self._sources:
                found[ring.cpu] += ring.lost()
            return found

    def _take(self) -> bool:
        self._look()
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
        if self._watch is not None:
            self._watch.close()
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
