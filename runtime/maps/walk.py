"""Walking a map while it changes: the native core's walk, and the same in Python.

The kernel names the first key when it is asked what follows a key that is gone. So a key's
successor is asked for before its value: if the value was there, so was the key. Where it was
not, the walk goes on behind the last key found that still lives.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from ebpfasm.native import native_core

if TYPE_CHECKING:
    from ebpfasm.runtime.maps.map import Map
_CHUNK = 4096  # items that the native core gathers in one go
_KEPT = 64  # items that it gets back, to go on behind the last one that still lives
_RESTARTS = 10_000


class Chunk(NamedTuple):
    """`length` items in two buffers: key i is at i * key size, its value likewise."""

    keys: Any
    values: Any
    length: int


def walk(map: Map, indexed: bool, value_size: int) -> dict[bytes, bytes]:
    """Read all items, each once, in the map's order.

    `indexed` says that keys are indices, which never vanish. Raises OSError, EAGAIN where the
    map changes faster than it can be walked.
    """
    if not map.key_size or not value_size:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    core = native_core()
    if core is None:
        return _walk(map, indexed)
    return _walk_natively(core, map, indexed, value_size)


def first_items(core: Any, map: Map, most: int, value_size: int) -> Chunk | None:
    """Read all items where there are at most so many, None where there are more, or errors."""
    keys, values = bytearray(most * map.key_size), bytearray(most * value_size)
    more = core.ffi.new("int *")
    places = core.ffi.from_buffer(keys), core.ffi.from_buffer(values)
    count = core.lib.ebpfasm_map_items(
        map.fd, map.key_size, value_size, False, *places, most, 0, more
    )
    return Chunk(keys, values, count) if count >= 0 and not more[0] else None


def _walk_natively(core: Any, map: Map, indexed: bool, value_size: int) -> dict[bytes, bytes]:
    key_size = map.key_size
    room = min(_CHUNK, map.max_entries) + _KEPT
    keys, values = bytearray(room * key_size), bytearray(room * value_size)
    more = core.ffi.new("int *")
    places = core.ffi.from_buffer(keys), core.ffi.from_buffer(values)
    found: dict[bytes, bytes] = {}
    kept = 0
    for _ in range(_RESTARTS + map.max_entries):
        count = core.lib.ebpfasm_map_items(
            map.fd, key_size, value_size, indexed, *places, room, kept, more
        )
        if count < 0:
            raise OSError(-count, os.strerror(-count))
        for each in range(kept, count):
            key = bytes(keys[each * key_size : (each + 1) * key_size])
            found[key] = bytes(values[each * value_size : (each + 1) * value_size])
        if not more[0]:
            return found
        kept = _keep(keys, values, count, key_size, value_size)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _keep(keys: bytearray, values: bytearray, count: int, key_size: int, value_size: int) -> int:
    """Move the last items to the front; how many they are."""
    kept = min(_KEPT, count)
    first = count - kept
    keys[: kept * key_size] = keys[first * key_size : count * key_size]
    values[: kept * value_size] = values[first * value_size : count * value_size]
    return kept


def _walk(map: Map, indexed: bool) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    restarts = 0
    key = map.next_key_bytes()
    while key is not None:
        following = map.next_key_bytes(key)
        value = map.lookup_bytes(key)
        if value is not None:
            found[key] = bytes(value)
        elif not indexed:
            restarts += 1
            if restarts > _RESTARTS:
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
            following = _resume(map, found)
        key = following
    return found


def _resume(map: Map, found: dict[bytes, bytes]) -> bytes | None:
    for _, key in zip(range(_KEPT), reversed(found), strict=False):
        following = map.next_key_bytes(key)
        if map.lookup_bytes(key) is not None:
            return following
    return map.next_key_bytes()
