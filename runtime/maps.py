"""Live maps: a kernel map as a Python mapping."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from dataclasses import dataclass
from typing import Any, NoReturn, Self

from ebpfasm.ir.specs import MapSpec
from ebpfasm.isa.kinds import MAP_TYPES
from ebpfasm.runtime import refusals, syscall
from ebpfasm.runtime.create import completed, create_map
from ebpfasm.runtime.descriptor import Descriptor
from ebpfasm.runtime.objects import object_info, text_of
from ebpfasm.runtime.refusals import refused
from ebpfasm.runtime.values import PerCpu, Plain, plain, possible_cpus
from ebpfasm.runtime.walk import walk

Bytes = bytes | bytearray

# Flags of update: create or replace, only create, only replace (linux/bpf.h).
ANY, NOEXIST, EXIST = 0, 1, 2

# Map types whose keys are indices: elements are there from the start, or empty slots.
INDEXED = frozenset({
    "array", "percpu_array", "prog_array", "perf_event_array", "cgroup_array", "array_of_maps",
    "devmap", "sockmap", "cpumap", "xskmap", "reuseport_sockarray",
})  # fmt: skip
_DENSE = frozenset({"array", "percpu_array"})

_ELEMENT = struct.Struct("=IxxxxQQQ")  # map_fd, key, value or next_key, flags
_INFO = struct.Struct("=IIIIII16s")


@dataclass(frozen=True, slots=True)
class MapInfo:
    """What the kernel says of a map (BPF_OBJ_GET_INFO_BY_FD). Sizes in bytes."""

    id: int
    type: str
    name: str
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Map(Descriptor, MutableMapping[Any, Any]):
    """An open map. Keys and values are integers or bytes, by their C type or else their size.

    Values of per-CPU maps are tuples, one value for each possible CPU. Iterating walks the whole
    map first, so that a loop may change it; keys deleted by others meanwhile are left out and none
    comes twice. A key that is not there raises KeyError, a key or value that does not fit
    EncodeError, what the kernel refuses LoadError.
    """

    def __init__(self, spec: MapSpec, fd: int) -> None:
        self.spec = spec
        self.name = spec.name
        row = MAP_TYPES.find(_type_name(spec))
        self.type = row.name if row is not None else _type_name(spec)
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self._key = plain(f"key of map {spec.name!r}", spec.key_size, spec.key)
        value = plain(f"value of map {spec.name!r}", spec.value_size, spec.value)
        self._value: Plain | PerCpu = value
        if row is not None and row.per_cpu:
            self._value = PerCpu(value, possible_cpus())
        self._takes_descriptors = row is not None and row.fd_value
        super().__init__(fd)

    @classmethod
    def create(cls, spec: MapSpec) -> Self:
        """Create a new map, with its first contents. Raises what `create_map` raises.

        LoadError too where the kernel cannot freeze a map that the spec wants frozen.
        """
        spec = completed(spec)
        if spec.inner is None:
            fd = create_map(spec)
        else:
            with Map.create(spec.inner) as inner:  # the kernel only looks at its shape
                fd = create_map(spec, inner.fd)
        try:
            made = cls(spec, fd)
        except BaseException:
            os.close(fd)
            raise
        try:
            if spec.contents:
                value = spec.contents.ljust(spec.value_size, b"\0")
                made.update_bytes(bytes(spec.key_size), value)
            if spec.frozen:
                made.freeze()
        except BaseException:
            made.close()
            raise
        return made

    def freeze(self) -> None:
        """Let nobody write from user space any more (BPF_MAP_FREEZE). Raises LoadError.

        What the verifier reads in a frozen map that programs cannot write either, it takes for
        a constant.
        """
        try:
            syscall.bpf(syscall.MAP_FREEZE, bytearray(struct.pack("=I", self.fd)))
        except OSError as refusal:
            self._fail("freeze", refusal)

    @property
    def id(self) -> int:
        """The kernel's number for the map."""
        return self.info().id

    def info(self) -> MapInfo:
        """Ask the kernel about the map. Raises LoadError."""
        raw = bytearray(_INFO.size)
        try:
            object_info(self.fd, raw)
        except OSError as refusal:
            self._fail("ask about", refusal)
        kind, number, key, value, entries, flags, name = _INFO.unpack(raw)
        return MapInfo(number, MAP_TYPES.name_of(kind), text_of(name), key, value, entries, flags)

    # ---- elements, as bytes

    def lookup_bytes(self, key: Bytes) -> bytearray | None:
        """Read an element as the kernel has it, None where there is none."""
        value = bytearray(self._value.size)
        try:
            self._element(syscall.MAP_LOOKUP_ELEM, bytearray(key), value)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return None
            self._fail("read", refusal)
        return value

    def update_bytes(self, key: Bytes, value: Bytes, flags: int = ANY) -> None:
        """Write an element. Raises LoadError; its errno is EEXIST or ENOENT where flags say no."""
        try:
            self._element(syscall.MAP_UPDATE_ELEM, bytearray(key), bytearray(value), flags)
        except OSError as refusal:
            self._fail("write", refusal, key)

    def delete_bytes(self, key: Bytes) -> bool:
        """Delete an element; False where there is none."""
        try:
            self._element(syscall.MAP_DELETE_ELEM, bytearray(key), bytearray())
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return False
            self._fail("delete from", refusal)
        return True

    def next_key_bytes(self, key: Bytes | None = None) -> bytes | None:
        """Name the key behind `key`, the first one for None or a key that is not there."""
        following = bytearray(self.key_size)
        try:
            at = bytearray() if key is None else bytearray(key)
            self._element(syscall.MAP_GET_NEXT_KEY, at, following)
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return None
            self._fail("walk", refusal)
        return bytes(following)

    def _element(self, command: int, key: bytearray, value: bytearray, flags: int = 0) -> None:
        expected = {"key": (len(key), self.key_size), "value": (len(value), self._value.size)}
        if command in (syscall.MAP_GET_NEXT_KEY, syscall.MAP_DELETE_ELEM):
            del expected["value"]
        if command == syscall.MAP_GET_NEXT_KEY and not key:
            del expected["key"]
        for what, (given, size) in expected.items():
            if given != size:  # the kernel would read or write past the end
                raise ValueError(f"the {what} of map {self.name!r} is {size} bytes, not {given}")
        places = syscall.address(key), syscall.address(value)
        syscall.bpf(command, bytearray(_ELEMENT.pack(self.fd, *places, flags)))

    # ---- the mapping

    def __getitem__(self, key: Any) -> Any:
        value = self.lookup_bytes(self._key.pack(key))
        if value is None:
            raise KeyError(key)
        return self._value.unpack(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Write an element: ANY creates or replaces, NOEXIST only creates, EXIST only replaces.

        Where the map's values are descriptors, an open Map or Program is taken for its own.
        """
        if self._takes_descriptors and isinstance(value, Descriptor):
            value = value.fd
        self.update_bytes(self._key.pack(key), self._value.pack(value), flags)

    def __delitem__(self, key: Any) -> None:
        if not self.delete_bytes(self._key.pack(key)):
            raise KeyError(key)

    def __len__(self) -> int:
        """Count the elements: of an array, all that it has room for."""
        return self.max_entries if self.type in _DENSE else len(self.walk_bytes())

    def __iter__(self) -> Iterator[Any]:
        return iter([self._key.unpack(key) for key in self.walk_bytes()])

    def snapshot(self) -> dict[Any, Any]:
        """Copy the map. Elements are read one after the other while programs go on writing."""
        key, value = self._key.unpack, self._value.unpack
        return {key(each): value(raw) for each, raw in self.walk_bytes().items()}

    def items(self) -> ItemsView[Any, Any]:
        """Keys with their values, read in one walk when it is iterated."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Values, read in one walk when it is iterated."""
        return _Values(self)

    def popitem(self) -> tuple[Any, Any]:
        """Delete one element and return it. Raises KeyError if the map is empty."""
        for key, value in self.snapshot().items():
            if self.delete_bytes(self._key.pack(key)):
                return key, value
        raise KeyError(f"map {self.name!r} is empty")

    def clear(self) -> None:
        """Delete every element."""
        for key in self.walk_bytes():
            self.delete_bytes(key)

    def walk_bytes(self) -> dict[bytes, bytes]:
        """Read every element as the kernel has it, in the map's order."""
        try:
            return walk(self, self.type in INDEXED, self._value.size)
        except OSError as refusal:
            self._fail("walk", refusal)

    # Two open maps are never the same one; contents are compared with snapshot().
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"fd {self.fd}"
        sizes = f"key {self.key_size} value {self.value_size} entries {self.max_entries}"
        return f"<Map {self.name!r} {self.type} {sizes}, {where}>"

    def _fail(self, verb: str, refusal: OSError, key: Bytes | None = None) -> NoReturn:
        number = refusal.errno or 0
        why = self._reason(verb, number, key)
        raise refused("map-operation", f"{verb} map {self.name!r}", number, why=why) from None

    def _reason(self, verb: str, number: int, key: Bytes | None) -> str:
        indexed = self.type in INDEXED
        match verb, number:
            case "write", errno.E2BIG if indexed and key is not None:
                index = self._key.unpack(key)
                return f"{index!r} is past its end; it has {self.max_entries} entries"
            case "write", errno.E2BIG | errno.ENOSPC:
                return f"it is full; it has room for {self.max_entries} entries"
            case "write", errno.EEXIST if indexed:
                return "elements of an array are there from the start"
            case "write", errno.EEXIST:
                return "the key is there already"
            case "write", errno.ENOENT:
                return "the key is not there"
            case "delete from", errno.EINVAL if self.type in _DENSE:
                return "elements of an array are never deleted; write 0 instead"
            case (("write" | "delete from"), errno.EPERM):
                return "it is frozen, or read-only for user space"
            case "read", errno.EPERM:
                return "it is write-only for user space"
            case _, errno.EOPNOTSUPP | refusals.ENOTSUPP:
                return f"a map of type {self.type} cannot do that from user space"
            case _:
                return ""


class _Items(ItemsView[Any, Any]):
    _mapping: Map

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._mapping.snapshot().items())


class _Values(ValuesView[Any]):
    _mapping: Map

    def __iter__(self) -> Iterator[Any]:
        return iter(self._mapping.snapshot().values())


def _type_name(spec: MapSpec) -> str:
    return spec.type if isinstance(spec.type, str) else MAP_TYPES.name_of(spec.type)
