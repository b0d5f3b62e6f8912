"""Maps that hold other things: maps, programs, sockets, interfaces, events, cgroups.

They take what is put in as an open object or its descriptor, and show it as the kernel does: by
its id, a socket by its cookie, an interface by its index. A map in a map comes as a Map.
"""

from __future__ import annotations

import operator
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ebpfasm.errors import EncodeError, LoadError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.given import raw_of
from ebpfasm.ir.mapping import ANY, Pairs
from ebpfasm.ir.values import Buffer
from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.maps.elements import Bytes
from ebpfasm.runtime.maps.map import Map, kind

if TYPE_CHECKING:
    import numpy as np

_HELD = {
    "array_of_maps": "map", "hash_of_maps": "map", "prog_array": "program",
    "sockmap": "socket", "sockhash": "socket", "reuseport_sockarray": "socket",
    "xskmap": "AF_XDP socket", "cgroup_array": "cgroup's folder", "perf_event_array": "perf event",
    "sk_storage": "socket", "inode_storage": "file", "task_storage": "pidfd",
    "cgrp_storage": "cgroup's folder",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Held:
    """An object: in go its descriptor or what has one, out comes the kernel's number for it."""

    what: str
    size: int
    kind: str

    integer = signed = False

    def pack(self, value: Any) -> bytes:
        """Turn an object with a descriptor, or the descriptor, into bytes. Raises EncodeError."""
        raw = raw_of(value)
        if raw is not None and raw.nbytes == self.size:
            return bytes(raw)
        fd = _descriptor(value)
        if fd is None or fd < 0:
            message = (
                f"the {self.what} is an open {self.kind}, or its descriptor; {value!r} was given"
            )
            raise EncodeError(error("map-value", message))
        return struct.pack("=I" if self.size == 4 else "=Q", fd)

    def unpack(self, raw: Buffer) -> Any:
        """The kernel's number."""
        return struct.unpack_from("=I" if self.size == 4 else "=Q", raw)[0]

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """The numbers of many."""
        view = memoryview(raw)
        return [self.unpack(view[at:]) for at in range(0, count * stride, stride)]

    def dtype(self) -> np.dtype[Any]:
        """The number's dtype."""
        import numpy as np

        return np.dtype(f"u{self.size}")


def _descriptor(value: Any) -> int | None:
    fileno = getattr(value, "fileno", None)
    try:
        return operator.index(value) if fileno is None else int(fileno())
    except TypeError:
        return None


def _held(what: str, size: int, type: str) -> Held:
    return Held(what, size, _HELD[type])


@kind("xskmap", "perf_event_array")
class HoldingMap(Map):
    """A map whose values are open objects."""

    def _set_types(self) -> None:
        self._value = _held(self._value.what, self.value_size, self.type)

    def reason(self, verb: str, name: str, key: Bytes | None) -> str:
        """Why the kernel refuses."""
        if (verb, name) == ("write", "EBADF"):
            return f"its values are open descriptors, each of a {_HELD[self.type]}"
        return super().reason(verb, name, key)


@kind("sockmap", "sockhash", "reuseport_sockarray")
class SocketMap(HoldingMap):
    """Sockets, which come back as their cookies; a closed socket leaves the map by itself."""

    def reason(self, verb: str, name: str, key: Bytes | None) -> str:
        """Why the kernel refuses."""
        if verb in ("read", "walk") and name == "ENOSPC":
            return (
                f"values of {self.value_size} bytes have no room for a socket's cookie; make it 8"
            )
        if verb == "write" and name == "EOPNOTSUPP":
            return "it takes connected or listening sockets of TCP, UDP, Unix or vsock"
        return super().reason(verb, name, key)


@kind("cgroup_array")
class CgroupArray(HoldingMap):
    """Cgroups, taken as an open folder or its path."""

    def put(self, key: Any, value: Any, flags: int = ANY, *, cpu: int | None = None) -> None:
        """Put a cgroup in. Raises OSError where its folder cannot be opened, and LoadError."""
        if not isinstance(value, str | os.PathLike):
            super().put(key, value, flags, cpu=cpu)
            return
        fd = os.open(value, os.O_RDONLY | os.O_DIRECTORY)
        try:
            super().put(key, fd, flags, cpu=cpu)
        finally:
            os.close(fd)


@kind("sk_storage", "inode_storage", "task_storage", "cgrp_storage")
class StorageMap(Map):
    """A value for each socket, inode, task or cgroup, whose descriptor is the key.

    The key of a task is a pidfd (`os.pidfd_open`). Values go with what they belong to, and the
    kernel does not list them.
    """

    def _set_types(self) -> None:
        self._key = _held(self._key.what, self.key_size, self.type)

    def reason(self, verb: str, name: str, key: Bytes | None) -> str:
        """Why the kernel refuses."""
        if name == "EBADF":
            return f"its keys are open descriptors, each of a {_HELD[self.type]}"
        return super().reason(verb, name, key)


@kind("prog_array")
class ProgramArray(HoldingMap):
    """Programs for tail calls, which come back as their ids.

    The kernel empties it when the last descriptor and pin of it is gone, also under programs that
    still use it: keep it open. Programs that were put in are kept until then.
    """

    def __init__(self, *arguments: Any, **types: Any) -> None:
        self._programs: dict[bytes, Any] = {}
        super().__init__(*arguments, **types)

    def put(self, key: Any, value: Any, flags: int = ANY, *, cpu: int | None = None) -> None:
        """Put a program in. Raises LoadError: EINVAL for one of another type than the others."""
        super().put(key, value, flags, cpu=cpu)
        self._programs[bytes(self._key.pack(key))] = value

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(key)
        self._programs.pop(bytes(self._key.pack(key)), None)

    def clear(self) -> None:
        """Empty every slot."""
        super().clear()
        self._programs.clear()

    def close(self) -> None:
        """Give the descriptor back."""
        self._programs.clear()
        super().close()


@kind("array_of_maps", "hash_of_maps")
class MapOfMaps(Map):
    """Maps in a map. `outer[key]` opens the inner one, which is then the caller's to close.

    Iterating over `items()` and `values()` opens one map after the other, and closes each when
    the next one is asked for.
    """

    def _set_types(self) -> None:
        self._value = _held(self._value.what, self.value_size, self.type)

    def __getitem__(self, key: Any) -> Map:
        found = super().get(key)
        if found is None:
            raise KeyError(key)
        return Map.from_id(found)

    def get(self, key: Any, default: Any = None) -> Any:
        """Open the inner map under a key; the default where there is none."""
        found = super().get(key)
        return default if found is None else Map.from_id(found)

    def put(self, key: Any, value: Any, flags: int = ANY, *, cpu: int | None = None) -> None:
        """Put an open map in, or a mapping: contents for a new one such as the spec's inner one.

        Raises EncodeError where the map has no inner specification to make one after.
        """
        if isinstance(value, Descriptor) or not isinstance(value, Mapping):
            super().put(key, value, flags, cpu=cpu)
            return
        if self.spec.inner is None:
            message = f"map {self.name!r} says nothing of its inner maps: put an open one in"
            raise EncodeError(error("map-value", message))
        with Map.create(self.spec.inner) as inner:
            inner.update(value)
            super().put(key, inner, flags, cpu=cpu)

    def ids(self) -> dict[Any, int]:
        """The kernel's ids of the inner maps, by key."""
        return dict(super().pairs())

    def pairs(self) -> Pairs:
        """Every key with its map, which is open until the next one is asked for."""
        return _Opened(self.ids())

    def snapshot(self) -> dict[Any, Any]:
        """Copy each inner map."""
        return {key: inner.snapshot() for key, inner in self.pairs()}


class _Opened:
    """Maps by key, opened one after the other."""

    def __init__(self, ids: dict[Any, int]) -> None:
        self._ids = ids

    def __len__(self) -> int:
        return len(self._ids)

    def __iter__(self) -> Iterator[tuple[Any, Map]]:
        for key, number in self._ids.items():
            try:
                inner = Map.from_id(number)
            except LoadError:
                continue  # it is gone meanwhile
            with inner:
                yield key, inner


class Target(NamedTuple):
    """A value of a devmap or cpumap: the interface's index, or the queue's size in packets.

    `program` is the one that runs there, its id when it comes from the map, or None.
    """

    number: int
    program: Any = None


@dataclass(frozen=True, slots=True)
class Targets:
    """Values of devmaps and cpumaps (struct bpf_devmap_val, struct bpf_cpumap_val)."""

    what: str
    size: int
    named: bool

    integer = signed = False

    def pack(self, value: Any) -> bytes:
        """Turn a number, an interface's name, or a pair of it and a program into bytes.

        Raises EncodeError (map-value).
        """
        raw = raw_of(value)
        if raw is not None and raw.nbytes == self.size:
            return bytes(raw)
        number, program = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        if self.named and isinstance(number, str):
            try:
                number = socket.if_nametoindex(number)
            except OSError:
                message = f"the {self.what}: there is no interface {number!r}"
                raise EncodeError(error("map-value", message)) from None
        fd = 0 if program is None else _descriptor(program)
        if not isinstance(number, int) or not 0 <= number < 1 << 32 or fd is None:
            raise self._misfit(value)
        if self.size == 4:
            if program is not None:
                hint = "a value of 8 bytes has room for a program"
                raise self._misfit(value, hint)
            return struct.pack("=I", number)
        return struct.pack("=Ii", number, fd)

    def unpack(self, raw: Buffer) -> Any:
        """The number, or a Target where there is room for a program."""
        if self.size == 4:
            return struct.unpack_from("=I", raw)[0]
        number, program = struct.unpack_from("=II", raw)
        return Target(number, program or None)

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn many into a list."""
        view = memoryview(raw)
        return [self.unpack(view[at:]) for at in range(0, count * stride, stride)]

    def dtype(self) -> np.dtype[Any]:
        """Numbers, or records of number and program."""
        import numpy as np

        if self.size == 4:
            return np.dtype(np.uint32)
        return np.dtype([("number", np.uint32), ("program", np.uint32)])

    def _misfit(self, value: Any, hint: str | None = None) -> EncodeError:
        kind = "an interface's index or name" if self.named else "a queue's size"
        with_program = ", or a pair of it and a program" if self.size == 8 else ""
        message = f"the {self.what} is {kind}{with_program}; {value!r} was given"
        return EncodeError(error("map-value", message, hint=hint))


@kind("devmap", "devmap_hash", "cpumap")
class TargetMap(Map):
    """Interfaces or processors to redirect to, with a program each where values have 8 bytes."""

    def _set_types(self) -> None:
        named = self.type != "cpumap"
        self._value = Targets(self._value.what, self.value_size, named)
