"""One ring: bytes that C takes out of it, and the values that these are."""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import Any

from ebpfasm.errors import LoadError, unsupported
from ebpfasm.native import native_core, native_objects
from ebpfasm.runtime.events.records import RecordType, misfit
from ebpfasm.runtime.refusals import refused

# Bytes taken at a time where records become objects one by one: what a reader that stops has in
# hand, and how long a full ring's producer waits for room.
_BATCH = 1 << 15
_NUMPY_BATCH = 1 << 26
FULL = 1  # C's answer where the room is used up

Callback = Callable[[Any], object]


def core() -> Any:
    """The native core. Raises NotSupported where it was not built: rings need it."""
    found = native_core()
    if found is None:
        raise unsupported(
            "reading rings without the native core", hint="install ebpfasm with a C compiler there"
        )
    return found


class Source(ABC):
    """A ring and its records' type."""

    def __init__(self, what: str, record: RecordType, callback: Callback | None) -> None:
        self.what = what
        self.record = record
        self.callback = callback
        self._core = core()
        self._objects: Any = native_objects()
        self._records = self._core.ffi.new("ebpfasm_records *")
        self._records_at = self._address(self._records)
        self._grow(_BATCH)

    @abstractmethod
    def unread(self) -> int:
        """Bytes in the ring, unfinished records and headers included."""

    @abstractmethod
    def step(self, size: int) -> int:
        """Bytes that a record of `size` bytes takes in the ring."""

    @abstractmethod
    def _fill(self, records: Any) -> int:
        """Take records out: the C function's answer."""

    @abstractmethod
    def close(self) -> None:
        """Give the memory back."""

    def take(self) -> Iterator[Any] | None:
        """Values of the records that are there now, at most a batch; None where there is none.

        Raises EncodeError where the next record does not fit its type; it stays where it is.
        """
        if not self.unread():
            return None
        size = self.record.size
        if not size:
            data, ends = self._any(None)
            return self.record.values(data, ends) if ends else None
        taken = self._fixed(self._out, size, max(len(self._buffer) // size, 1))
        if not taken:
            return None
        return self.record.values(memoryview(self._buffer)[: taken * size], [])

    def take_bytes(self, most: int | None) -> list[bytes]:
        """Records as bytes, whatever their type is, at most so many or what is there now."""
        found: list[bytes] = []
        rounds = self.batches()
        while rounds and (most is None or len(found) < most):
            data, ends = self._any(None if most is None else most - len(found))
            if not ends:
                break
            whole = bytes(data)
            found += [whole[start:end] for start, end in zip([0, *ends], ends, strict=False)]
            rounds -= 1
        return found

    def batches(self) -> int:
        """How often `take` can be called for what is there now."""
        return -(-self.unread() // len(self._buffer))

    def fill_array(self, array: Any) -> int:
        """Write records into a numpy array's items; how many there were."""
        if not len(array):
            return 0
        with self._core.ffi.from_buffer("unsigned char[]", array.view("u1")) as out:
            return self._fixed(out, array.itemsize, len(array))

    def most(self, size: int) -> int:
        """How many records of a size there can be at most now."""
        return min(self.unread(), _NUMPY_BATCH) // self.step(size)

    def _fixed(self, out: Any, size: int, count: int) -> int:
        records = self._records
        records.out, records.room = out, len(out)
        records.ends, records.capacity = self._core.ffi.NULL, count
        records.length, records.refused, records.used, records.count = size, 0, 0, 0
        result = self._fill(records)
        if not records.count and result == FULL:
            self._grow(records.refused)
            return self._fixed(self._out, size, count)
        if not records.count and result < 0:
            self._fail(result, records.refused)
        return int(records.count)

    def _any(self, most: int | None) -> tuple[memoryview, Sequence[int]]:
        records = self._records
        capacity = len(self._ends) if most is None else min(most, len(self._ends))
        while True:
            records.out, records.room = self._out, len(self._buffer)
            records.ends, records.capacity = self._ends, capacity
            records.length, records.refused, records.used, records.count = 0, 0, 0, 0
            result = self._fill(records)
            if records.count or result != FULL or records.refused <= len(self._buffer):
                break
            self._grow(records.refused)
        if not records.count and result < 0:
            self._fail(result, records.refused)
        data = memoryview(self._buffer)[: records.used]
        if records.count and records.uniform > 0:
            return data, range(records.uniform, records.used + 1, records.uniform)
        return data, self._core.ffi.unpack(self._ends, records.count) if records.count else []

    def _address(self, structure: Any) -> int:
        """Where a structure of cffi's is, for functions that know Python's types."""
        return int(self._core.ffi.cast("uintptr_t", structure))

    def _grow(self, room: int) -> None:
        """Make the batch's memory large enough for so many bytes."""
        ffi = self._core.ffi
        self._buffer = bytearray(room)
        self._out = ffi.from_buffer("unsigned char[]", self._buffer)
        self._ends = ffi.new("uint32_t[]", room // self.step(0) + 1)

    def _fail(self, result: int, length: int) -> None:
        if result == -errno.EMSGSIZE:
            raise misfit(self.what, self.record, length)
        raise broken(self.what, -result)

    def iterate(self, values: Iterator[Any]) -> Iterator[Any]:
        """The values as a loop over the reader sees them."""
        return values


def broken(what: str, number: int) -> LoadError:
    """The error for memory that is no ring: somebody else wrote to its positions."""
    why = "its positions make no sense; does another process read it too?"
    return refused("event-ring", f"read {what}", number, why=why)


def numbered(number: int, values: Iterator[Any]) -> Iterator[Any]:
    """Pairs of a number and each value."""
    return zip(repeat(number), values, strict=False)
