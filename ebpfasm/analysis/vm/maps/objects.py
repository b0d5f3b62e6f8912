"""Maps about kernel objects: values that live with a socket, task, inode or cgroup; sockets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.maps.map import ANY, EXIST, NOEXIST, VmMap
from ebpfasm.analysis.vm.maps.tables import HashMap
from ebpfasm.analysis.vm.objects import Objects, Socket, identity
from ebpfasm.errors import EncodeError, error
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.values import Codec, Plain

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World


class _ObjectKey(Plain):
    """Keys that are objects for Python, and their numbers in the map."""

    __slots__ = ("_objects",)
    _objects: Objects

    def __init__(self, what: str, objects: Objects) -> None:
        super().__init__(what, 4, integer=True)
        object.__setattr__(self, "_objects", objects)

    def pack(self, key: Any) -> bytes | bytearray:
        """The low 32 bits of the object's number, as bytes."""
        return super().pack(identity(self._objects, key) & 0xFFFFFFFF)


class StorageMap(HashMap):
    """sk_storage, task_storage, inode_storage and cgrp_storage: a value for each object.

    Python's keys are the objects, or their numbers: a socket's cookie, a task's pid, an inode's
    number, a cgroup's id.
    """

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self._key: Codec = _ObjectKey(f"key of map {spec.name!r}", world.objects)

    def _room(self, key: bytes) -> bool:
        return True

    def of(self, item: Any, initial: bytes | None, *, create: bool) -> int:
        """The address of an object's value, 0 where there is none and none is created."""
        key = self._key.pack(item)
        found = self.lookup_elem(bytes(key))
        if not found and create:
            content = initial if initial is not None else bytes(self.value_size)
            self._store(bytes(key), content, NOEXIST, None)
            found = self.lookup_elem(bytes(key))
        return found

    def forget(self, item: Any) -> int:
        """Delete an object's value."""
        return self.delete_elem(bytes(self._key.pack(item)))


class SocketsMap(VmMap):
    """sockmap, sockhash and reuseport_sockarray: sockets by index or key.

    Python's values are Sockets; a number makes one with that cookie.
    """

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.sockets: dict[bytes, Socket] = {}

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Put a socket in. Raises EncodeError (map-value) for anything else."""
        place = bytes(self._key.pack(key))
        if isinstance(value, int):
            value = Socket(cookie=value)
        if not isinstance(value, Socket):
            message = f"the value of map {self.name!r} is a Socket; {value!r} was given"
            raise EncodeError(error("map-value", message))
        result = self.store(place, value, flags)
        if result:
            self._refuse("write", -result, place)

    def store(self, key: bytes, socket: Socket, flags: int) -> int:
        """Put a socket in, as programs do."""
        there = key in self.sockets
        if flags > EXIST:
            return -errno.EINVAL
        if self.indexed and int.from_bytes(key, sys.byteorder) >= self.max_entries:
            return -errno.E2BIG
        if there and flags == NOEXIST:
            return -errno.EEXIST
        if not there and flags == EXIST:
            return -errno.ENOENT
        if not there and len(self.sockets) >= self.max_entries:
            return -errno.E2BIG
        self.sockets[key] = socket
        return 0

    def find(self, key: bytes) -> Socket | None:
        """The socket under a key."""
        return self.sockets.get(key)

    def lookup_elem(self, key: bytes) -> int:
        """The socket as a program gets it."""
        return self.world.objects.place(self.sockets.get(key))

    def delete_elem(self, key: bytes) -> int:
        """Take a socket out."""
        if self.sockets.pop(key, None) is not None:
            return 0
        return -errno.EINVAL if self.indexed else -errno.ENOENT

    def read(self, key: bytes) -> bytes | None:
        """A socket's cookie, as user space reads it."""
        found = self.sockets.get(key)
        if found is None:
            return None
        cookie = self.world.objects.cookie(found)
        return (cookie & (1 << 8 * self.value_size) - 1).to_bytes(self.value_size, sys.byteorder)

    def keys_bytes(self) -> list[bytes]:
        """Keys with a socket."""
        return list(self.sockets)

    def __getitem__(self, key: Any) -> Socket:
        return self.sockets[bytes(self._key.pack(key))]
