"""A map of the virtual machine: what programs and Python both do with one."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Mapping, MutableMapping, ValuesView
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.errors import LoadError, error
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.values import PerCpu, Plain, plain
from ebpfasm.isa.kinds import MAP_TYPES

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World

Bytes = bytes | bytearray

# Flags of update: create or replace, only create, only replace; take the lock (linux/bpf.h).
ANY, NOEXIST, EXIST, LOCK = 0, 1, 2, 4

INDEXED = frozenset({
    "array", "percpu_array", "prog_array", "perf_event_array", "cgroup_array", "array_of_maps",
    "devmap", "sockmap", "cpumap", "xskmap", "reuseport_sockarray",
})  # fmt: skip


def kind_of(spec: MapSpec) -> str:
    """The type's name, whichever way the spec has it."""
    return spec.type if isinstance(spec.type, str) else MAP_TYPES.name_of(spec.type)


class VmMap(MutableMapping[Any, Any]):
    """A map without a kernel. Keys and values look as those of a live map do.

    A key that is not there raises KeyError, a key or value that does not fit EncodeError, what
    the kernel would refuse LoadError with its errno. The subclasses are the map types.
    """

    def __init__(self, spec: MapSpec, world: World) -> None:
        self.spec = spec
        self.name = spec.name
        self.type = kind_of(spec)
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.world = world
        self._key = plain(f"key of map {spec.name!r}", spec.key_size, spec.key)
        value = plain(f"value of map {spec.name!r}", spec.value_size, spec.value)
        row = MAP_TYPES.find(self.type)
        self.lanes = world.cpus if row is not None and row.per_cpu else 1
        self._value: Plain | PerCpu = value
        if row is not None and row.per_cpu:
            self._value = PerCpu(value, self.lanes)
        self.region = world.memory.add("map", f"map {spec.name!r}", bytearray(), owner=self)
        world.all_maps.append(self)

    @property
    def indexed(self) -> bool:
        """Whether keys are indices below max_entries."""
        return self.type in INDEXED

    @property
    def address(self) -> int:
        """What a program holds as the map."""
        return self.region.address

    # ---- what programs do; numbers are errnos, negative, as helpers return them

    def lookup_elem(self, key: bytes) -> int:
        """The address of a key's value, 0 where there is none."""
        self._cannot("be looked up in")

    def lookup_percpu_elem(self, key: bytes, cpu: int) -> int:
        """The same on a processor, of per-CPU maps."""
        self._cannot("be asked for another processor's value")

    def update_elem(self, key: bytes, value: bytes, flags: int) -> int:
        """Write an element, of a per-CPU map the running processor's value."""
        self._cannot("be written")

    def delete_elem(self, key: bytes) -> int:
        """Delete an element."""
        self._cannot("be deleted from")

    def push_elem(self, value: bytes, flags: int) -> int:
        """Put a value into a queue, stack or Bloom filter."""
        self._cannot("be pushed to")

    def peek_elem(self, value: bytes = b"", *, remove: bool = False) -> bytes | None:
        """The value that pop would take. A Bloom filter takes one and gives it back, or None."""
        self._cannot("be popped from")

    def addresses(self) -> list[tuple[bytes, int]]:
        """Keys with their values' addresses, for bpf_for_each_map_elem."""
        self._cannot("be walked by a program")

    def _cannot(self, what: str) -> NoReturn:
        raise Fault("vm-map", f"uses map {self.name!r}, of type {self.type}, which cannot {what}")

    # ---- elements, as bytes, as user space has them

    def keys_bytes(self) -> list[bytes]:
        """Every key, in the map's order."""
        return []

    def read(self, key: bytes) -> bytes | None:
        """An element as user space reads it, None where there is none."""
        self._refuse("read", errno.EOPNOTSUPP)

    def write(self, key: bytes, value: bytes, flags: int) -> int:
        """Write an element as user space does."""
        return -errno.EOPNOTSUPP

    def lookup_bytes(self, key: Bytes) -> bytearray | None:
        """Read an element, None where there is none."""
        found = self.read(self._sized(key, self.key_size, "key"))
        return None if found is None else bytearray(found)

    def update_bytes(self, key: Bytes, value: Bytes, flags: int = ANY) -> None:
        """Write an element. Raises LoadError; its errno is EEXIST or ENOENT where flags say no."""
        place = self._sized(key, self.key_size, "key")
        result = self.write(place, self._sized(value, self._value.size, "value"), flags)
        if result < 0:
            self._refuse("write", -result, key)

    def delete_bytes(self, key: Bytes) -> bool:
        """Delete an element; False where there is none."""
        result = self.delete_elem(self._sized(key, self.key_size, "key"))
        if result not in (0, -errno.ENOENT):
            self._refuse("delete from", -result, key)
        return result == 0

    def next_key_bytes(self, key: Bytes | None = None) -> bytes | None:
        """Name the key behind `key`, the first one for None or a key that is not there."""
        keys = self.keys_bytes()
        place = keys.index(bytes(key)) + 1 if key is not None and bytes(key) in keys else 0
        return keys[place] if place < len(keys) else None

    def walk_bytes(self) -> dict[bytes, bytes]:
        """Read every element, in the map's order."""
        found = ((key, self.read(key)) for key in self.keys_bytes())
        return {key: value for key, value in found if value is not None}

    def _sized(self, content: Bytes, size: int, what: str) -> bytes:
        if len(content) != size:
            message = f"the {what} of map {self.name!r} is {size} bytes, not {len(content)}"
            raise ValueError(message)
        return bytes(content)

    # ---- the mapping

    def __getitem__(self, key: Any) -> Any:
        value = self.read(bytes(self._key.pack(key)))
        if value is None:
            raise KeyError(key)
        return self._value.unpack(value)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Write an element: ANY creates or replaces, NOEXIST only creates, EXIST only replaces."""
        self.update_bytes(self._key.pack(key), self._value.pack(value), flags)

    def __delitem__(self, key: Any) -> None:
        if not self.delete_bytes(self._key.pack(key)):
            raise KeyError(key)

    def __len__(self) -> int:
        return len(self.keys_bytes())

    def __iter__(self) -> Iterator[Any]:
        return iter([self._key.unpack(key) for key in self.keys_bytes()])

    def snapshot(self) -> dict[Any, Any]:
        """Copy the map."""
        key, value = self._key.unpack, self._value.unpack
        return {key(each): value(raw) for each, raw in self.walk_bytes().items()}

    def items(self) -> ItemsView[Any, Any]:
        """Keys with their values."""
        return self.snapshot().items()

    def values(self) -> ValuesView[Any]:
        """Values."""
        return self.snapshot().values()

    def clear(self) -> None:
        """Delete every element."""
        for key in self.keys_bytes():
            self.delete_bytes(key)

    def fill(self, contents: Mapping[Any, Any]) -> None:
        """Give the map its first contents."""
        for key, value in contents.items():
            self.put(key, value)

    def new_run(self) -> None:
        """A run begins: what user space would have consumed meanwhile is gone."""

    # Two maps are never the same one; contents are compared with snapshot().
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    def __repr__(self) -> str:
        sizes = f"key {self.key_size} value {self.value_size} entries {self.max_entries}"
        return f"<VmMap {self.name!r} {self.type} {sizes}>"

    def _refuse(self, verb: str, number: int, key: Bytes | None = None) -> NoReturn:
        why = self._reason(verb, number, key) or errno.errorcode.get(number, str(number))
        message = f"cannot {verb} map {self.name!r}: {why}"
        raise LoadError(error("map-operation", message), errno=number)

    def _reason(self, verb: str, number: int, key: Bytes | None) -> str:
        match number:
            case errno.E2BIG if self.indexed and key is not None:
                index = self._key.unpack(key)
                return f"{index!r} is past its end; it has {self.max_entries} entries"
            case errno.E2BIG | errno.ENOSPC:
                return f"it is full; it has room for {self.max_entries} entries"
            case errno.EEXIST:
                return "the key is there already"
            case errno.ENOENT:
                return "the key is not there"
            case errno.EINVAL if verb == "delete from":
                return "elements of an array are never deleted; write 0 instead"
            case errno.EOPNOTSUPP:
                return f"a map of type {self.type} cannot do that from user space"
            case _:
                return ""
