"""Values in memory that programs can point to, and where each key's value is."""

from __future__ import annotations

from typing import Protocol

from ebpfasm.analysis.vm.memory import Memory
from ebpfasm.errors import VmError, error

STRIDE = 8  # values begin at multiples of this many bytes
MOST = 1 << 30  # bytes of one map


class Slots:
    """A row of values, of per-CPU maps `lanes` to each slot. Grows when asked to."""

    def __init__(
        self, memory: Memory, name: str, size: int, lanes: int, count: int, *, writable: bool = True
    ) -> None:
        self.size = size
        self.lanes = lanes
        self.stride = -(-size // STRIDE) * STRIDE
        self.count = count
        if self.stride * lanes * count > MOST:
            message = f"map {name!r} would take {self.stride * lanes * count} bytes"
            hint = f"the virtual machine keeps maps of up to {MOST} bytes"
            raise VmError(error("vm-map", message, hint=hint))
        host = bytearray(self.stride * lanes * count)
        self.memory = memory
        self.region = memory.add_row("value", name, host, size, self.stride, count * lanes, self)
        self.region.writable = writable

    def need(self, count: int) -> None:
        """Grow to at least `count` slots. Addresses stay what they are."""
        if count <= self.count:
            return
        self.count = max(count, 2 * self.count)
        host = bytearray(self.stride * self.lanes * self.count)
        host[: len(self.region.host)] = self.region.host
        self.region.host = host
        self.region.high = self.count * self.lanes
        self.memory.changed(self.region)

    def address(self, slot: int, lane: int = 0) -> int:
        """Where a value is."""
        return self.region.element(slot * self.lanes + lane)

    def view(self, slot: int, lane: int = 0) -> memoryview:
        """The bytes of a value."""
        start = (slot * self.lanes + lane) * self.stride
        return memoryview(self.region.host)[start : start + self.size]

    def all(self, slot: int) -> bytes:
        """A slot as user space has it: of per-CPU maps every lane, padded."""
        if self.lanes == 1 and self.size == self.stride:
            return bytes(self.view(slot))
        start = slot * self.lanes * self.stride
        return bytes(self.region.host[start : start + self.lanes * self.stride])

    def store(self, slot: int, lane: int | None, value: bytes) -> None:
        """Write one lane, or a whole slot as user space has it (lane None)."""
        start = slot * self.lanes * self.stride
        if lane is not None:
            start += lane * self.stride
        self.region.host[start : start + len(value)] = value

    def clear(self, slot: int) -> None:
        """Write zeros."""
        start, length = slot * self.lanes * self.stride, self.lanes * self.stride
        self.region.host[start : start + length] = bytes(length)


class Index(Protocol):
    """Which slot belongs to a key. The native engine has one of its own."""

    def find(self, key: bytes) -> int:
        """The slot of a key, -1 where there is none."""

    def insert(self, key: bytes) -> int:
        """Give a new key a slot."""

    def remove(self, key: bytes) -> int:
        """Take a key's slot back, and say which it was; -1 where there is none."""

    def items(self) -> list[tuple[bytes, int]]:
        """Keys with their slots, by slot."""

    def __len__(self) -> int: ...


class DictIndex:
    """An index in Python. Slots are given out in order, the one freed last first."""

    def __init__(self) -> None:
        self.slots: dict[bytes, int] = {}
        self._free: list[int] = []

    def find(self, key: bytes) -> int:
        """The slot of a key, -1 where there is none."""
        return self.slots.get(key, -1)

    def insert(self, key: bytes) -> int:
        """Give a new key a slot."""
        slot = self._free.pop() if self._free else len(self.slots)
        self.slots[key] = slot
        return slot

    def remove(self, key: bytes) -> int:
        """Take a key's slot back."""
        slot = self.slots.pop(key, -1)
        if slot >= 0:
            self._free.append(slot)
        return slot

    def items(self) -> list[tuple[bytes, int]]:
        """Keys with their slots, by slot."""
        return sorted(self.slots.items(), key=lambda item: item[1])

    def __len__(self) -> int:
        return len(self.slots)
