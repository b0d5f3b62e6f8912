"""Maps that are no tables: tries, queues, filters, rings, programs, and maps of maps."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.maps.map import ANY, EXIST, Bytes, VmMap
from ebpfasm.analysis.vm.maps.tables import HashMap
from ebpfasm.analysis.vm.memory import Region
from ebpfasm.errors import EncodeError, VmError, error
from ebpfasm.ir.link import LinkedProgram, link
from ebpfasm.ir.mapping import FilterMapping, QueueMapping
from ebpfasm.ir.specs import MapSpec, ProgramSpec

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World


class TrieMap(HashMap):
    """lpm_trie: a key is a u32 of prefix bits and an address; the longest prefix wins."""

    def _prefix(self, key: bytes) -> int:
        return int.from_bytes(key[:4], sys.byteorder)

    def _cut(self, key: bytes, bits: int) -> bytes:
        width = 8 * (self.key_size - 4)
        low = (1 << (width - bits)) - 1
        address = int.from_bytes(key[4:], "big") & ~low
        return bits.to_bytes(4, sys.byteorder) + address.to_bytes(self.key_size - 4, "big")

    def _best(self, key: bytes) -> bytes | None:
        width = 8 * (self.key_size - 4)
        if self._prefix(key) > width:
            return None
        for bits in range(self._prefix(key), -1, -1):
            cut = self._cut(key, bits)
            if self.index.find(cut) >= 0:
                return cut
        return None

    def lookup_elem(self, key: bytes) -> int:
        """The address of the value of the longest prefix that matches."""
        best = self._best(key)
        return super().lookup_elem(best) if best is not None else 0

    def read(self, key: bytes) -> bytes | None:
        """The value of the longest prefix that matches."""
        best = self._best(key)
        return super().read(best) if best is not None else None

    def _store(self, key: bytes, value: bytes, flags: int, lane: int | None) -> int:
        bits = self._prefix(key)
        if bits > 8 * (self.key_size - 4):
            return -errno.EINVAL
        result = super()._store(self._cut(key, bits), value, flags, lane)
        return -errno.ENOSPC if result == -errno.E2BIG else result

    def delete_elem(self, key: bytes) -> int:
        """Delete a prefix."""
        bits = self._prefix(key)
        if bits > 8 * (self.key_size - 4):
            return -errno.EINVAL
        return super().delete_elem(self._cut(key, bits))


class QueueMap(QueueMapping, VmMap):
    """queue and stack. Python sees the values by number, the next one to be taken first."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.content: deque[bytes] = deque()

    def push_elem(self, value: bytes, flags: int) -> int:
        """Put a value in; with EXIST a full one forgets its oldest."""
        if flags not in (ANY, EXIST):
            return -errno.EINVAL
        if len(self.content) >= self.max_entries:
            if flags != EXIST:
                return -errno.E2BIG
            self.content.popleft()
        self.content.append(bytes(value))
        return 0

    def peek_elem(self, value: bytes = b"", *, remove: bool = False) -> bytes | None:
        """The next value."""
        if not self.content:
            return None
        end = -1 if self.type == "stack" else 0
        found = self.content[end]
        if remove:
            del self.content[end]
        return found

    def write(self, key: bytes, value: bytes, flags: int) -> int:
        """Push, as writing to a queue does from user space."""
        return self.push_elem(value, flags)

    def read(self, key: bytes) -> bytes | None:
        """The next value, as reading a queue gives it."""
        return self.peek_elem()

    def take_bytes(self, key: Bytes) -> bytearray | None:
        """Take the next value out, None where there is none."""
        found = self.peek_elem(remove=True)
        return None if found is None else bytearray(found)

    def snapshot(self) -> dict[Any, Any]:
        """The values by number, the next one to be taken first."""
        order = reversed(self.content) if self.type == "stack" else iter(self.content)
        return dict(enumerate(self._value.unpack(each) for each in order))

    def __iter__(self) -> Any:
        return iter(self.snapshot())

    def __len__(self) -> int:
        return len(self.content)

    def clear(self) -> None:
        """Forget every value."""
        self.content.clear()


class BloomMap(FilterMapping, VmMap):
    """bloom_filter; it remembers exactly, so it is never wrong."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.content: set[bytes] = set()

    def push_elem(self, value: bytes, flags: int) -> int:
        """Add a value."""
        if flags != ANY:
            return -errno.EINVAL
        self.content.add(bytes(value))
        return 0

    def peek_elem(self, value: bytes = b"", *, remove: bool = False) -> bytes | None:
        """The value itself if it was added."""
        return value if value in self.content else None

    def holds_bytes(self, value: Bytes) -> bool:
        """Whether a value was added."""
        return bytes(value) in self.content

    def write(self, key: bytes, value: bytes, flags: int) -> int:
        """Add a value, as writing to a filter does from user space."""
        return self.push_elem(value, flags)


class RingMap(VmMap):
    """ringbuf: records become events of the run. What fits is counted, and read after each run."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.used = 0

    def new_run(self) -> None:
        """The reader has consumed everything."""
        self.used = 0

    def reserve(self, size: int) -> Region | None:
        """Memory for a record, None where the ring is full."""
        whole = -(-(size + 8) // 8) * 8
        if self.used + whole > self.max_entries:
            return None
        self.used += whole
        name = f"record of {self.name!r}"
        return self.world.memory.add("record", name, bytearray(size), owner=self)

    def keys_bytes(self) -> list[bytes]:
        """A ring has none."""
        return []


class EventsMap(HashMap):
    """perf_event_array: samples become events of the run, whatever is open."""


class ProgramsMap(VmMap):
    """prog_array: programs for tail calls. Values are ProgramSpecs."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.programs: dict[int, LinkedProgram] = {}

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Put a program into a slot. Raises EncodeError (map-value) for anything else."""
        index = int.from_bytes(self._key.pack(key), sys.byteorder)
        if index >= self.max_entries:
            self._refuse("write", errno.E2BIG, self._key.pack(key))
        match value:
            case ProgramSpec():
                self.programs[index] = link(value)
            case LinkedProgram():
                self.programs[index] = value
            case _:
                message = f"the value of map {self.name!r} is a program; {value!r} was given"
                raise EncodeError(error("map-value", message))

    def __getitem__(self, key: Any) -> ProgramSpec:
        return self.programs[int.from_bytes(self._key.pack(key), sys.byteorder)].program

    def delete_elem(self, key: bytes) -> int:
        """Empty a slot."""
        gone = self.programs.pop(int.from_bytes(key, sys.byteorder), None)
        return 0 if gone is not None else -errno.ENOENT

    def keys_bytes(self) -> list[bytes]:
        """Slots with a program."""
        return [index.to_bytes(4, sys.byteorder) for index in sorted(self.programs)]

    def snapshot(self) -> dict[Any, Any]:
        """The programs' names by slot."""
        return {index: self.programs[index].name for index in sorted(self.programs)}


class OuterMap(VmMap):
    """array_of_maps and hash_of_maps. Values are maps, or contents for a new inner one."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.inner: dict[bytes, VmMap] = {}

    def lookup_elem(self, key: bytes) -> int:
        """The inner map, as a program holds it."""
        found = self.inner.get(key)
        return found.address if found is not None else 0

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Put a map in, or make one like the spec's inner one with these contents."""
        place = bytes(self._key.pack(key))
        if self.type == "array_of_maps":
            if int.from_bytes(place, sys.byteorder) >= self.max_entries:
                self._refuse("write", errno.E2BIG, place)
        elif len(self.inner) >= self.max_entries and place not in self.inner:
            self._refuse("write", errno.E2BIG)
        self.inner[place] = value if isinstance(value, VmMap) else self._make(value)

    def _make(self, contents: Any) -> VmMap:
        from ebpfasm.analysis.vm.maps.make import make

        if not isinstance(contents, Mapping):
            message = f"the value of map {self.name!r} is a map; {contents!r} was given"
            raise EncodeError(error("map-value", message))
        if self.spec.inner is None:
            message = f"map {self.name!r} says nothing of its inner maps"
            raise VmError(error("vm-map", message, self.spec.span, hint="give a MapSpec inner"))
        made = make(self.spec.inner, self.world)
        made.fill(contents)
        return made

    def __getitem__(self, key: Any) -> VmMap:
        return self.inner[bytes(self._key.pack(key))]

    def delete_elem(self, key: bytes) -> int:
        """Take a map out."""
        return 0 if self.inner.pop(key, None) is not None else -errno.ENOENT

    def keys_bytes(self) -> list[bytes]:
        """Keys with a map."""
        return list(self.inner)

    def snapshot(self) -> dict[Any, Any]:
        """A copy of each inner map."""
        return {self._key.unpack(key): each.snapshot() for key, each in self.inner.items()}
