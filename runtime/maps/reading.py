"""Reading whole maps: by batches where the kernel has them, else key after key.

The kernel reads a hash table's bucket as one, and goes on behind it: in a batch no key comes twice
and none is left out that was there all the time, whatever is written meanwhile. Key after key
that takes some care, see `walk`.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

from ebpfasm.ir.native_codecs import codec_decoder
from ebpfasm.ir.values import Codec
from ebpfasm.native import native_core, native_objects
from ebpfasm.runtime import syscall
from ebpfasm.runtime.maps.walk import Chunk, first_items, walk
from ebpfasm.runtime.refusals import ENOTSUPP

if TYPE_CHECKING:
    from ebpfasm.runtime.maps.map import Map

# Map types that are read by batches. Of others the kernel has batches too, but goes from key to
# key inside, and gives up where one vanishes.
IN_BATCHES = frozenset({
    "hash", "lru_hash", "percpu_hash", "lru_percpu_hash", "array", "percpu_array",
})  # fmt: skip

UNSUPPORTED = frozenset({errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP})

_MOST_ITEMS, _MOST_BYTES = 1 << 16, 16 << 20  # of one batch
_LARGE = 1 << 16  # entries from which on an almost empty map is worth a look before
_FEW = 64
_PORTION = 1024  # items that become Python values at once

# struct of the batch commands: in and out cursor, keys, values, count, map_fd, two sorts of flags
_BATCH = struct.Struct("=QQQQIIQQ")
_COUNT = struct.Struct("=I")
_COUNT_AT = 32


class Reading:
    """Items that were read; Python values are made when they are asked for."""

    def __init__(self, chunks: list[Chunk], key: Codec, value: Codec) -> None:
        self._chunks = chunks
        self._key = key
        self._value = value

    def __len__(self) -> int:
        return sum(each.length for each in self._chunks)

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        objects = native_objects()
        if objects is None:
            return chain.from_iterable(
                zip(self._keys(each), self._values(each), strict=True) for each in self._slices()
            )
        sizes = self._key.size, self._value.size
        read = codec_decoder(objects, self._key), codec_decoder(objects, self._value)
        made = [objects.pairs(*read, *each, *sizes) for each in self._chunks]
        return made[0] if len(made) == 1 else chain.from_iterable(made)

    def only_keys(self) -> Iterator[Any]:
        """The keys alone."""
        return chain.from_iterable(map(self._keys, self._slices()))

    def only_values(self) -> Iterator[Any]:
        """The values alone."""
        return chain.from_iterable(map(self._values, self._slices()))

    def _slices(self) -> Iterator[Chunk]:
        """The items in portions, so that a loop that forgets them stays in the same memory."""
        key_size, value_size = self._key.size, self._value.size
        for each in self._chunks:
            keys, values = memoryview(each.keys), memoryview(each.values)
            for at in range(0, each.length, _PORTION):
                length = min(_PORTION, each.length - at)
                yield Chunk(keys[at * key_size :], values[at * value_size :], length)

    def _keys(self, chunk: Chunk) -> list[Any]:
        return self._key.unpack_many(chunk.keys, chunk.length, self._key.size)

    def _values(self, chunk: Chunk) -> list[Any]:
        return self._value.unpack_many(chunk.values, chunk.length, self._value.size)


class Cursor:
    """Where a batch goes on. It is the kernel's: bytes for the key's size or a bucket's number."""

    __slots__ = ("buffer", "started")

    def __init__(self, key_size: int) -> None:
        self.buffer = bytearray(max(key_size, 8))
        self.started = False


def batch(
    command: int,
    fd: int,
    keys: int,
    values: int,
    count: int,
    cursor: Cursor | None = None,
    flags: int = 0,
) -> tuple[int, int]:
    """Call one of the batch commands with addresses; how many items it did, and its errno or 0."""
    into = out = 0
    if cursor is not None:
        out = syscall.address(cursor.buffer)
        into = out if cursor.started else 0
    attributes = bytearray(_BATCH.pack(into, out, keys, values, count, fd, flags, 0))
    number = 0
    try:
        syscall.bpf(command, attributes)
    except OSError as refusal:
        number = refusal.errno or errno.EIO
        if number in (errno.EFAULT, *UNSUPPORTED):  # the count is as it was
            return 0, number
    (done,) = _COUNT.unpack_from(attributes, _COUNT_AT)
    if cursor is not None and number == 0:
        cursor.started = True
    return done, number


def read_chunks(map: Map) -> list[Chunk]:
    """Read all items. Raises OSError."""
    if map.type in IN_BATCHES:
        if map.max_entries >= _LARGE and not map.dense:
            few = _if_few(map)
            if few is not None:
                return [few]
        try:
            return list(_batches(map))
        except OSError as refusal:
            if refusal.errno not in UNSUPPORTED:
                raise
    found = walk(map, map.indexed, map.stored_size)
    return [Chunk(b"".join(found), b"".join(found.values()), len(found))]


def _if_few(map: Map) -> Chunk | None:
    """All items where they are few. A batch looks at each bucket at twice a walk's cost."""
    core = native_core()
    return first_items(core, map, _FEW, map.stored_size) if core is not None else None


def _batches(map: Map) -> Iterator[Chunk]:
    cursor = Cursor(map.key_size)
    size = map.key_size + map.stored_size
    room = min(map.max_entries, _MOST_ITEMS, max(_MOST_BYTES // size, 1))
    number = 0
    while number != errno.ENOENT:
        keys, values = bytearray(room * map.key_size), bytearray(room * map.stored_size)
        places = syscall.address(keys), syscall.address(values)
        count, number = batch(syscall.MAP_LOOKUP_BATCH, map.fd, *places, room, cursor)
        if number == errno.ENOSPC:
            room *= 2  # a bucket has more items
        elif number not in (0, errno.ENOENT):
            raise OSError(number, "")
        if count and number != errno.ENOSPC:
            yield Chunk(keys, values, count)
