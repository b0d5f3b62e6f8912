"""Arrays and hash tables where C can look them up, update and delete from them."""

from __future__ import annotations

from typing import Any

from ebpfasm.analysis.vm.maps import VmMap
from ebpfasm.analysis.vm.maps.slots import DictIndex
from ebpfasm.analysis.vm.maps.tables import ArrayMap, HashMap

_ARRAY, _HASH = 1, 2  # kinds, as C has them


class NativeIndex:
    """A hash index in C's memory; the slots it gives out are those a DictIndex would."""

    def __init__(self, core: Any, key_size: int) -> None:
        self._ffi, self._lib = core.ffi, core.lib
        self.index = core.ffi.new("struct ebpfasm_vm_index *")
        self.index.key_size = key_size
        self._allocate(64)

    def _allocate(self, capacity: int) -> None:
        new = self._ffi.new
        self._owned = (
            new("int32_t[]", 2 * capacity),
            new("unsigned char[]", capacity * self.index.key_size),
            new("int32_t[]", capacity),
            new("unsigned char[]", capacity),
        )
        self._ffi.memmove(self._owned[0], b"\xff" * (8 * capacity), 8 * capacity)  # every one -1
        index = self.index
        index.buckets, index.keys, index.free, index.live = self._owned
        index.mask, index.capacity = 2 * capacity - 1, capacity

    def find(self, key: bytes) -> int:
        """The slot of a key, -1 where there is none."""
        return int(self._lib.ebpfasm_vm_find(self.index, key))

    def insert(self, key: bytes) -> int:
        """Give a new key a slot."""
        slot = int(self._lib.ebpfasm_vm_insert(self.index, key))
        if slot < 0:
            self._grow()
            slot = int(self._lib.ebpfasm_vm_insert(self.index, key))
        return slot

    def _grow(self) -> None:
        """Full means that no slot is free: the keys keep theirs when put in again in order."""
        items, free = self.items(), list(self.index.free[0 : self.index.free_count])
        assert not free
        self._allocate(2 * self.index.capacity)
        self.index.count = self.index.free_count = 0
        for key, _ in items:
            self._lib.ebpfasm_vm_insert(self.index, key)

    def remove(self, key: bytes) -> int:
        """Take a key's slot back, and say which it was; -1 where there is none."""
        return int(self._lib.ebpfasm_vm_remove(self.index, key))

    def items(self) -> list[tuple[bytes, int]]:
        """Keys with their slots, by slot."""
        index, size = self.index, self.index.key_size
        used = index.count + index.free_count
        keys = self._ffi.buffer(index.keys, used * size) if used else b""
        return [
            (bytes(keys[slot * size : slot * size + size]), slot)
            for slot in range(used)
            if index.live[slot]
        ]

    def __len__(self) -> int:
        return int(self.index.count)


def mirror_map(core: Any, found: VmMap, here: Any) -> Any:
    """Describe a map to C; return what must stay alive. Kinds that C does not know stay 0."""
    here.key_size, here.value_size = found.key_size, found.value_size
    here.max_entries, here.lanes = found.max_entries, found.lanes
    if type(found) is ArrayMap:
        here.kind, here.values = _ARRAY, found.slots.region.number
        return None
    if type(found) is not HashMap:
        return None
    if isinstance(found.index, DictIndex):
        index = NativeIndex(core, found.key_size)
        for key, slot in found.index.items():
            # Slots that were given back leave gaps; moving values is simpler than keeping them.
            fresh = index.insert(key)
            if fresh != slot:
                found.slots.store(fresh, None, found.slots.all(slot))
        found.index = index
    if isinstance(found.index, NativeIndex):
        here.kind, here.values = _HASH, found.slots.region.number
        here.index = found.index.index
    return found.index
