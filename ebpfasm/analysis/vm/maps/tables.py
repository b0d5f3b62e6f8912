"""Arrays and hash tables, plain, per-CPU and LRU, and the maps that are told apart by use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.maps.map import ANY, EXIST, LOCK, NOEXIST, VmMap
from ebpfasm.analysis.vm.maps.slots import DictIndex, Index, Slots
from ebpfasm.ir.specs import MapSpec

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World

READ_ONLY = 0x80  # BPF_F_RDONLY_PROG


class ArrayMap(VmMap):
    """array and percpu_array: every element is there from the start."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        writable = not spec.flags & READ_ONLY
        self.slots = Slots(
            world.memory, spec.name, spec.value_size, self.lanes, spec.max_entries,
            writable=writable,
        )  # fmt: skip

    def _slot(self, key: bytes) -> int:
        index = int.from_bytes(key, sys.byteorder)
        return index if index < self.max_entries else -1

    def lookup_elem(self, key: bytes) -> int:
        """The address of an element on this processor."""
        return self.lookup_percpu_elem(key, self.world.cpu if self.lanes > 1 else 0)

    def lookup_percpu_elem(self, key: bytes, cpu: int) -> int:
        """The address of an element on a processor."""
        slot = self._slot(key)
        return self.slots.address(slot, cpu) if slot >= 0 and cpu < self.lanes else 0

    def update_elem(self, key: bytes, value: bytes, flags: int) -> int:
        """Write an element."""
        return self._store(key, value, flags, self.world.cpu if self.lanes > 1 else 0)

    def write(self, key: bytes, value: bytes, flags: int) -> int:
        """Write an element as user space does."""
        return self._store(key, value, flags, None)

    def _store(self, key: bytes, value: bytes, flags: int, lane: int | None) -> int:
        slot = self._slot(key)
        if flags & ~LOCK > EXIST:
            return -errno.EINVAL
        if slot < 0:
            return -errno.E2BIG
        if flags & NOEXIST:
            return -errno.EEXIST
        self.slots.store(slot, lane, value)
        return 0

    def delete_elem(self, key: bytes) -> int:
        """Elements are never deleted."""
        return -errno.EINVAL

    def read(self, key: bytes) -> bytes | None:
        """An element as user space reads it."""
        slot = self._slot(key)
        return self.slots.all(slot)[: self._value.size] if slot >= 0 else None

    def keys_bytes(self) -> list[bytes]:
        """Every index."""
        return [index.to_bytes(4, sys.byteorder) for index in range(self.max_entries)]

    def addresses(self) -> list[tuple[bytes, int]]:
        """Every index with its address."""
        return [(key, self.lookup_elem(key)) for key in self.keys_bytes()]

    def __len__(self) -> int:
        return self.max_entries


class HashMap(VmMap):
    """hash and percpu_hash, of at most max_entries elements."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.index: Index = DictIndex()
        start = min(spec.max_entries, 64)
        writable = not spec.flags & READ_ONLY
        self.slots = Slots(
            world.memory, spec.name, spec.value_size, self.lanes, start, writable=writable
        )

    def _lane(self) -> int:
        return self.world.cpu if self.lanes > 1 else 0

    def lookup_elem(self, key: bytes) -> int:
        """The address of a key's value on this processor."""
        return self.lookup_percpu_elem(key, self._lane())

    def lookup_percpu_elem(self, key: bytes, cpu: int) -> int:
        """The address of a key's value on a processor."""
        slot = self.index.find(key)
        return self.slots.address(slot, cpu) if slot >= 0 and cpu < self.lanes else 0

    def update_elem(self, key: bytes, value: bytes, flags: int) -> int:
        """Write an element."""
        return self._store(key, value, flags, self._lane())

    def write(self, key: bytes, value: bytes, flags: int) -> int:
        """Write an element as user space does."""
        return self._store(key, value, flags, None)

    def _store(self, key: bytes, value: bytes, flags: int, lane: int | None) -> int:
        flags &= ~LOCK
        if flags > EXIST:
            return -errno.EINVAL
        slot = self.index.find(key)
        if slot >= 0 and flags == NOEXIST:
            return -errno.EEXIST
        if slot < 0 and flags == EXIST:
            return -errno.ENOENT
        if slot < 0:
            if not self._room(key):
                return -errno.E2BIG
            slot = self.index.insert(key)
            self.slots.need(slot + 1)
            self.slots.clear(slot)
        self.slots.store(slot, lane, value)
        return 0

    def _room(self, key: bytes) -> bool:
        return len(self.index) < self.max_entries

    def delete_elem(self, key: bytes) -> int:
        """Delete an element."""
        return 0 if self.index.remove(key) >= 0 else -errno.ENOENT

    def read(self, key: bytes) -> bytes | None:
        """An element as user space reads it."""
        slot = self.index.find(key)
        return self.slots.all(slot)[: self._value.size] if slot >= 0 else None

    def keys_bytes(self) -> list[bytes]:
        """Every key, by slot."""
        return [key for key, _ in self.index.items()]

    def addresses(self) -> list[tuple[bytes, int]]:
        """Keys with their values' addresses."""
        lane = self._lane()
        return [(key, self.slots.address(slot, lane)) for key, slot in self.index.items()]

    def __len__(self) -> int:
        return len(self.index)


class LruMap(HashMap):
    """lru_hash and lru_percpu_hash: a full map forgets what was used least recently.

    The kernel's choice is approximate, and may come before the map is full; this one is exact.
    """

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self._used: dict[bytes, None] = {}

    def _touch(self, key: bytes) -> None:
        self._used.pop(key, None)
        self._used[key] = None

    def lookup_percpu_elem(self, key: bytes, cpu: int) -> int:
        """The address of a key's value; it counts as used."""
        found = super().lookup_percpu_elem(key, cpu)
        if found:
            self._touch(key)
        return found

    def _store(self, key: bytes, value: bytes, flags: int, lane: int | None) -> int:
        result = super()._store(key, value, flags, lane)
        if result == 0:
            self._touch(key)
        return result

    def _room(self, key: bytes) -> bool:
        if len(self.index) >= self.max_entries:
            self.delete_elem(next(iter(self._used)))
        return self.max_entries > 0

    def delete_elem(self, key: bytes) -> int:
        """Delete an element."""
        self._used.pop(key, None)
        return super().delete_elem(key)


class RecorderMap(HashMap):
    """Maps of devices, processors and sockets: what is in them is what the test put there.

    Those that are arrays in the kernel take keys below max_entries only, and are not there
    before they are written.
    """

    def _store(self, key: bytes, value: bytes, flags: int, lane: int | None) -> int:
        if self.indexed and int.from_bytes(key, sys.byteorder) >= self.max_entries:
            return -errno.E2BIG
        return super()._store(key, value, flags, lane)


class LocalStorageMap(HashMap):
    """cgroup_storage: one value, for there is one cgroup."""

    def local(self) -> int:
        """The address of the value."""
        key = bytes(self.key_size)
        if self.index.find(key) < 0:
            self._store(key, bytes(self._value.size), ANY, None)
        return super().lookup_elem(key)

    def _room(self, key: bytes) -> bool:
        return True
