"""A map of the virtual machine: what programs and Python both do with one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.ir.codecs import type_row
from ebpfasm.ir.mapping import ANY, EXIST, LOCK, NOEXIST, Bytes, ElementMapping
from ebpfasm.ir.specs import MapSpec

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World

__all__ = ["ANY", "EXIST", "LOCK", "NOEXIST", "Bytes", "VmMap"]


class VmMap(ElementMapping):
    """A map without a kernel. Keys and values look as those of a live map do.

    A key that is not there raises KeyError, a key or value that does not fit EncodeError, what
    the kernel would refuse LoadError with its errno. The subclasses are the map types.
    """

    def __init__(self, spec: MapSpec, world: World) -> None:
        row = type_row(spec)
        self.lanes = world.cpus if row is not None and row.per_cpu else 1
        self.describe(spec, self.lanes)
        self.world = world
        self.region = world.memory.add("map", f"map {spec.name!r}", bytearray(), owner=self)
        world.all_maps.append(self)

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
        found = self.read(bytes(self.sized(key, self.key_size, "key")))
        return None if found is None else bytearray(found)

    def update_bytes(self, key: Bytes, value: Bytes, flags: int = ANY) -> None:
        """Write an element. Raises LoadError; its errno is EEXIST or ENOENT where flags say no."""
        place = bytes(self.sized(key, self.key_size, "key"))
        result = self.write(place, bytes(self.sized(value, self._value.size, "value")), flags)
        if result < 0:
            self._refuse("write", -result, key)

    def delete_bytes(self, key: Bytes) -> bool:
        """Delete an element; False where there is none."""
        result = self.delete_elem(bytes(self.sized(key, self.key_size, "key")))
        if result not in (0, -errno.ENOENT):
            self._refuse("delete from", -result, key)
        return result == 0

    def take_bytes(self, key: Bytes) -> bytearray | None:
        """Read an element and delete it, None where there is none."""
        found = self.lookup_bytes(key)
        if found is not None:
            self.delete_bytes(key)
        return found

    def next_key_bytes(self, key: Bytes | None = None) -> bytes | None:
        """Name the key behind `key`, the first one for None or a key that is not there."""
        keys = self.keys_bytes()
        place = keys.index(bytes(key)) + 1 if key is not None and bytes(key) in keys else 0
        return keys[place] if place < len(keys) else None

    def walk_bytes(self) -> dict[bytes, bytes]:
        """Read every element, in the map's order."""
        found = ((key, self.read(key)) for key in self.keys_bytes())
        return {key: value for key, value in found if value is not None}

    def fill(self, contents: Mapping[Any, Any]) -> None:
        """Give the map its first contents."""
        for key, value in contents.items():
            self.put(key, value)

    def new_run(self) -> None:
        """A run begins: what user space would have consumed meanwhile is gone."""

    def __repr__(self) -> str:
        sizes = f"key {self.key_size} value {self.value_size} entries {self.max_entries}"
        return f"<VmMap {self.name!r} {self.type} {sizes}>"

    def _refuse(self, verb: str, number: int, key: Bytes | None = None) -> NoReturn:
        self.refuse(verb, number, errno.errorcode.get(number, str(number)), key)
