"""Many items in one call, as numpy arrays: no Python object an item."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from ebpfasm.errors import Diagnostic, LoadError
from ebpfasm.ir.mapping import ANY, ElementMapping
from ebpfasm.native import native_core
from ebpfasm.runtime import syscall
from ebpfasm.runtime.maps.columns import Arrays, raw_column, seen_as
from ebpfasm.runtime.maps.reading import IN_BATCHES, UNSUPPORTED, Cursor, batch
from ebpfasm.runtime.maps.walk import Chunk

if TYPE_CHECKING:
    import numpy as np

_MOST_BYTES = 64 << 20  # of a buffer that is made for a whole map
_SOME = 4096  # items of a batch, if nobody says
_INTERRUPTED = 100  # times that a batch is tried


class BatchError(LoadError):
    """A batch that stopped. The first `count` items were done."""

    def __init__(self, *diagnostics: Diagnostic, errno: int = 0, count: int = 0) -> None:
        super().__init__(*diagnostics, errno=errno)
        self.count = count


class Batch(NamedTuple):
    """Keys and values of a batch, and where the next one goes on; None at the end of the map."""

    keys: np.ndarray[Any, Any]
    values: np.ndarray[Any, Any]
    cursor: Cursor | Chunk | None


class BatchMapping(ElementMapping):
    """Maps that are read and written in batches."""

    stored_size: int  # bytes of a value as the kernel reads and writes it

    @property
    def fd(self) -> int:
        """The descriptor's number."""
        raise NotImplementedError

    @property
    def key_dtype(self) -> np.dtype[Any]:
        """The numpy dtype of keys."""
        return self._key.dtype()

    @property
    def value_dtype(self) -> np.dtype[Any]:
        """The numpy dtype of values, in per-CPU maps that of one CPU's."""
        return self._value.dtype()

    def fail(self, verb: str, refusal: OSError, key: Any = None) -> NoReturn:
        """Raise what an OSError means."""
        raise NotImplementedError

    def chunks(self) -> list[Chunk]:
        """Read all items as the kernel has them. Raises LoadError."""
        raise NotImplementedError

    def items_array(self) -> Arrays:
        """Read the whole map into arrays. Raises LoadError."""
        import numpy as np

        sizes = self.key_size, self.stored_size
        whole = self._whole() if all(sizes) else None
        found = self.chunks() if whole is None else whole
        arrays = [self._arrays(each.keys, each.values, each.length) for each in found]
        if len(arrays) == 1:
            return arrays[0]
        if not arrays:
            return self._arrays(np.empty(0, np.uint8), np.empty(0, np.uint8), 0)
        return Arrays(*(np.concatenate(column) for column in zip(*arrays, strict=True)))

    def _whole(self) -> list[Any] | None:
        """The map in one buffer and mostly one call; None where that does not work."""
        import numpy as np

        size = self.key_size + self.stored_size
        room = self.max_entries
        if self.type not in IN_BATCHES or room * size > _MOST_BYTES:
            return None
        keys, values = (
            np.empty(room * each, np.uint8) for each in (self.key_size, self.stored_size)
        )
        cursor, count, number = Cursor(self.key_size), 0, 0
        while number == 0 and count < room:
            places = (
                keys.ctypes.data + count * self.key_size,
                values.ctypes.data + count * self.stored_size,
            )
            done, number = batch(syscall.MAP_LOOKUP_BATCH, self.fd, *places, room - count, cursor)
            count += done if number in (0, errno.ENOENT) else 0
        if number == errno.ENOENT or (self.dense and count == room):
            return [Chunk(keys, values, count)]
        return None  # it grew meanwhile, or has no batches

    def lookup_batch(self, count: int = _SOME, cursor: Any = None) -> Batch:
        """Read the next items, from the map's start where there is no cursor.

        They are about `count`: fewer at the end or where a bucket does not fit, more where a bucket
        alone is larger. Raises LoadError.
        """
        return self._batch(syscall.MAP_LOOKUP_BATCH, count, cursor)

    def lookup_and_delete_batch(self, count: int = _SOME, cursor: Any = None) -> Batch:
        """Read the next items and delete them, otherwise as `lookup_batch`."""
        return self._batch(syscall.MAP_LOOKUP_AND_DELETE_BATCH, count, cursor)

    def batches(self, count: int = _SOME, *, delete: bool = False) -> Iterator[Arrays]:
        """Read the whole map batch by batch. Raises LoadError."""
        read = self.lookup_and_delete_batch if delete else self.lookup_batch
        cursor = None
        while True:
            keys, values, cursor = read(count, cursor)
            if len(keys):
                yield Arrays(keys, values)
            if cursor is None:
                return

    def _batch(self, command: int, count: int, cursor: Any) -> Batch:
        import numpy as np

        if isinstance(cursor, Chunk):
            return self._slice(command, count, cursor)
        place = cursor or Cursor(self.key_size)
        number, interrupted = errno.ENOSPC, 0
        while number == errno.ENOSPC or (number == errno.EINTR and interrupted < _INTERRUPTED):
            interrupted += number == errno.EINTR  # keys vanished faster than it walks
            keys, values = (
                np.empty(count * each, np.uint8) for each in (self.key_size, self.stored_size)
            )
            places = keys.ctypes.data, values.ctypes.data
            done, number = batch(command, self.fd, *places, count, place)
            count *= 2 if number == errno.ENOSPC else 1
        if number in UNSUPPORTED and not place.started:
            return self._slice(command, count, self._all())
        if number not in (0, errno.ENOENT):
            self.fail("read", OSError(number, ""))
        found = self._arrays(keys, values, done)
        return Batch(*found, place if number == 0 else None)

    def _all(self) -> Chunk:
        """All items at once, for maps without batches."""
        chunks = self.chunks()
        keys, values, counts = zip(*chunks, strict=True) if chunks else ((), (), ())
        return Chunk(b"".join(keys), b"".join(values), sum(counts))

    def _slice(self, command: int, count: int, rest: Chunk) -> Batch:
        count = min(count, rest.length)
        end, value_end = count * self.key_size, count * self.stored_size
        keys, values = bytearray(rest.keys[:end]), bytearray(rest.values[:value_end])
        if command == syscall.MAP_LOOKUP_AND_DELETE_BATCH:
            size = self.key_size
            for at in range(0, end, size):
                self.delete_bytes(bytes(keys[at : at + size]))
        found = self._arrays(keys, values, count)
        if count == rest.length:
            return Batch(*found, None)
        behind = Chunk(rest.keys[end:], rest.values[value_end:], rest.length - count)
        return Batch(*found, behind)

    def _arrays(self, keys: Any, values: Any, count: int) -> Arrays:
        return Arrays(seen_as(self._key, keys, count), seen_as(self._value, values, count))

    def update_batch(self, keys: Any, values: Any, flags: int = ANY) -> int:
        """Write many items and say how many they were. Arrays are taken as they are.

        Raises BatchError, whose `count` items were written; EncodeError where a value or the
        array's type does not fit, ValueError where there are not as many values as keys.
        """
        import numpy as np

        key_bytes = np.ascontiguousarray(raw_column(self._key, keys))
        value_bytes = np.ascontiguousarray(raw_column(self._value, values))
        count = len(key_bytes) // self.key_size
        if count * self.stored_size != len(value_bytes):
            raise ValueError(f"{count} keys and {len(values)} values for map {self.name!r}")
        if not count:
            return 0
        places = key_bytes.ctypes.data, value_bytes.ctypes.data
        done, number = batch(syscall.MAP_UPDATE_BATCH, self.fd, *places, count, flags=flags)
        if number in UNSUPPORTED:
            done, number = self._update_each(key_bytes, value_bytes, count, flags)
        if number:
            self._stopped("write", number, done, count, key_bytes)
        return done

    def delete_batch(self, keys: Any) -> int:
        """Delete many items; how many there were, those that are not there left out.

        Raises BatchError, whose `count` items were deleted.
        """
        import numpy as np

        key_bytes = np.ascontiguousarray(raw_column(self._key, keys))
        count = len(key_bytes) // self.key_size
        if not count:
            return 0
        done, number = batch(syscall.MAP_DELETE_BATCH, self.fd, key_bytes.ctypes.data, 0, count)
        if number == errno.ENOENT or number in UNSUPPORTED:
            # It stopped at a key that is not there; behind it, one by one.
            skipped = done + (number == errno.ENOENT)
            more, number = self._delete_each(key_bytes[skipped * self.key_size :])
            done += more
        if number:
            self._stopped("delete from", number, done, count, key_bytes)
        return done

    def clear(self) -> None:
        """Delete every element. Raises LoadError."""
        for each in self.chunks():
            _, number = self._delete_each(each.keys[: each.length * self.key_size])
            if number:
                self.fail("delete from", OSError(number, ""))

    def _update_each(self, keys: Any, values: Any, count: int, flags: int) -> tuple[int, int]:
        core = native_core()
        if core is not None:
            done = core.ffi.new("size_t *")
            result = core.lib.ebpfasm_map_update_each(
                self.fd, self.key_size, self.stored_size, core.ffi.from_buffer(keys),
                core.ffi.from_buffer(values), count, flags, done,
            )  # fmt: skip
            return int(done[0]), -int(result)
        pairs = zip(_cut(keys, self.key_size), _cut(values, self.stored_size), strict=True)
        for index, (key, value) in enumerate(pairs):
            try:
                self.update_bytes(key, value, flags)
            except LoadError as refusal:
                return index, refusal.errno
        return count, 0

    def _delete_each(self, keys: Any) -> tuple[int, int]:
        core = native_core()
        if core is not None:
            done = core.ffi.new("size_t *")
            result = core.lib.ebpfasm_map_delete_each(
                self.fd, self.key_size, core.ffi.from_buffer(keys), len(keys) // self.key_size, done
            )
            return int(done[0]), -int(result)
        found = 0
        for key in _cut(keys, self.key_size):
            try:
                found += self.delete_bytes(key)
            except LoadError as refusal:
                return found, refusal.errno
        return found, 0

    def _stopped(self, verb: str, number: int, done: int, count: int, keys: Any) -> NoReturn:
        # A call that is refused before it begins leaves the number of items as it was.
        done = done if done < count else 0
        key = bytes(keys[done * self.key_size : (done + 1) * self.key_size])
        try:
            self.fail(verb, OSError(number, ""), key)
        except LoadError as problem:
            (first, *_) = problem.diagnostics
            message = f"{first.message}, after {done} of {count} items"
            told = Diagnostic(first.severity, first.code, message, hint=first.hint)
            raise BatchError(told, errno=number, count=done) from None


def _cut(column: Any, size: int) -> list[bytes]:
    raw = bytes(column)
    return [raw[at : at + size] for at in range(0, len(raw), size)]
