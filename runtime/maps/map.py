"""Live maps: a kernel map as a Python mapping."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, ClassVar, NoReturn, Self

from ebpfasm.ir.codecs import key_codec, type_name, value_codec
from ebpfasm.ir.mapping import ANY, CPU, ElementMapping, Pairs
from ebpfasm.ir.native_codecs import codec_decoder
from ebpfasm.ir.prefixes import Prefix
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.values import Codec, PerCpu, Plain
from ebpfasm.native import native_objects
from ebpfasm.runtime import syscall
from ebpfasm.runtime.cpus import possible_cpus
from ebpfasm.runtime.info.map import MapInfo, read_map_info
from ebpfasm.runtime.loading.create import ALONE, Making, completed, create_map
from ebpfasm.runtime.maps.batches import BatchMapping
from ebpfasm.runtime.maps.elements import Bytes, Subscripts, elements_of
from ebpfasm.runtime.maps.memory import SharedMapping
from ebpfasm.runtime.maps.reading import UNSUPPORTED, Reading, read_chunks
from ebpfasm.runtime.maps.walk import Chunk, walk
from ebpfasm.runtime.pins import Pinnable
from ebpfasm.runtime.refusals import name_of, refused

_NEXT = struct.Struct("=IxxxxQQQ")  # map_fd, key, next_key, flags


class Map(Subscripts, Pinnable, BatchMapping, SharedMapping, ElementMapping):
    """An open map. Keys and values have the types that BTF gives them, else by C type or size.

    Values of per-CPU maps are tuples, one value for each possible CPU. Iterating reads the whole
    map first, so that a loop may change it; keys deleted by others meanwhile are left out and none
    comes twice. A key that is not there raises KeyError, a key or value that does not fit
    EncodeError, what the kernel refuses LoadError, a closed map ValueError.

    `Map(...)` makes an object of the class for the map's type. Threads may use one map together;
    a forked child has the map too, and closing it there closes nothing here.
    """

    kinds: ClassVar[dict[str, type[Map]]] = {}  # by map type, where a type has a class of its own

    def __new__(cls, spec: MapSpec, fd: int, **types: Any) -> Self:
        """Make an object of the class for the map's type."""
        if cls is Map:
            cls = Map.kinds.get(type_name(spec), Map)  # type: ignore[assignment]
        return super().__new__(cls)

    def __init__(
        self, spec: MapSpec, fd: int, *, key_type: Any = None, value_type: Any = None
    ) -> None:
        self.describe(spec, possible_cpus())
        self._set_types()
        self.stored_size = self._value.size
        self._elements = elements_of(fd, self.type, self.key_size, self.stored_size)
        super().__init__(fd)
        try:
            self.as_type(key=key_type, value=value_type)
        except BaseException:
            self._fd = -1  # whoever gave the descriptor keeps it
            raise

    def _set_types(self) -> None:
        """Give keys and values the look that the map's type has, where it has one of its own."""

    def as_type(self, *, key: Any = None, value: Any = None) -> Self:
        """From now on give keys or values as objects of a class, and return the map itself.

        Dataclasses and named tuples with the struct's fields, enumerations, ctypes and numpy types,
        addresses of `ipaddress`, int, bytes, and dict for what BTF says are taken. Raises
        EncodeError where the class differs from the map, and names the field.
        """
        from ebpfasm.ir.classes import adapted

        if key is not None:
            typed = key_codec(self.spec)
            self._key = _by_btf(typed) if key is dict else adapted(typed, key)
        if value is not None:
            typed = value_codec(self.spec, possible_cpus())
            self._value = typed if value is dict else adapted(typed, value)
        self._find_way()
        return self

    def _find_way(self) -> None:
        """Tell the native core how keys and values look, where nothing else is done to them."""
        objects = native_objects()
        if objects is None or type(self) is not Map or not self.key_size:
            return
        key, value, elements = self._key, self._value, self._elements
        if isinstance(elements, objects.Elements):
            read = codec_decoder(objects, value)
            self._direct(elements, _code(key), key.pack, _code(value), value.pack, read)

    @classmethod
    def create(
        cls,
        spec: MapSpec,
        making: Making = ALONE,
        *,
        key_type: Any = None,
        value_type: Any = None,
    ) -> Self:
        """Create a new map, with its first contents; types as for `as_type`.

        Raises what `create_map` raises.

        LoadError too where the kernel cannot freeze a map that the spec wants frozen. Pins and
        first elements that are maps or programs are `ebpfasm.load`'s affair.
        """
        spec = completed(spec)
        if spec.inner is None:
            fd = create_map(spec, making=making)
        else:
            with Map.create(spec.inner, making) as inner:  # the kernel only looks at its shape
                fd = create_map(spec, inner.fd, making=making)
        try:
            made = cls(spec, fd, key_type=key_type, value_type=value_type)
        except BaseException:
            os.close(fd)
            raise
        try:
            if spec.contents and spec.type != "arena":
                value = bytes(spec.contents).ljust(spec.value_size, b"\0")
                made.update_bytes(bytes(spec.key_size), value)
            if spec.frozen:
                made.freeze()
        except BaseException:
            made.close()
            raise
        return made

    @classmethod
    def open(cls, path: str | os.PathLike[str], spec: MapSpec | None = None) -> Map:
        """Open a map that is pinned in a BPF file system, one that fits `spec` where it is given.

        Raises LoadError: "map-mismatch" names every field in which the two differ.
        """
        from ebpfasm.runtime.existing import pinned_map

        return pinned_map(path, spec)

    @classmethod
    def from_id(cls, number: int) -> Map:
        """Open a map by its id. Raises LoadError, whose errno is ENOENT where there is none."""
        from ebpfasm.runtime.existing import map_by_id

        return map_by_id(number)

    @property
    def called(self) -> str:
        """What messages call it."""
        return f"map {self.name!r}"

    def freeze(self) -> None:
        """Let nobody write from user space any more (BPF_MAP_FREEZE). Raises LoadError.

        What the verifier reads in a frozen map that programs cannot write either, it takes for
        a constant.
        """
        try:
            syscall.bpf(syscall.MAP_FREEZE, bytearray(struct.pack("=I", self.fd)))
        except OSError as refusal:
            self.fail("freeze", refusal)

    @property
    def id(self) -> int:
        """The kernel's number for the map."""
        return self.info().id

    def info(self) -> MapInfo:
        """Ask the kernel about the map. Raises LoadError."""
        try:
            return read_map_info(self.fd)
        except OSError as refusal:
            self.fail("ask about", refusal)

    # ---- elements, as bytes

    def lookup_bytes(self, key: Bytes, flags: int = ANY) -> bytes | None:
        """Read an element as the kernel has it, None where there is none."""
        self.sized(key, self.key_size, "key")
        try:
            return self._elements.lookup(key, flags)
        except OSError as refusal:
            self.fail("read", refusal, key)

    def update_bytes(self, key: Bytes, value: Bytes, flags: int = ANY) -> None:
        """Write an element. Raises LoadError; its errno is EEXIST or ENOENT where flags say no."""
        self.sized(key, self.key_size, "key")
        if not flags & CPU:
            self.sized(value, self.stored_size, "value")
        try:
            self._elements.update(key, value, flags)
        except OSError as refusal:
            self.fail("write", refusal, key)

    def delete_bytes(self, key: Bytes) -> bool:
        """Delete an element; False where there is none."""
        self.sized(key, self.key_size, "key")
        try:
            return self._elements.delete(key)
        except OSError as refusal:
            self.fail("delete from", refusal, key)

    def take_bytes(self, key: Bytes) -> bytes | None:
        """Read an element and delete it in one step, None where there is none.

        Where the kernel has no such step for the type, the value is read before it is deleted,
        and what a program writes between the two is lost.
        """
        self.sized(key, self.key_size, "key")
        try:
            return self._elements.take(key)
        except OSError as refusal:
            if refusal.errno not in UNSUPPORTED or not self.key_size:
                self.fail("read", refusal, key)
        value = self.lookup_bytes(key)
        return value if value is not None and self.delete_bytes(key) else None

    def next_key_bytes(self, key: Bytes | None = None) -> bytes | None:
        """Name the key behind `key`, the first one for None or a key that is not there."""
        at = bytearray() if key is None else bytearray(self.sized(key, self.key_size, "key"))
        following = bytearray(self.key_size)
        places = syscall.address(at), syscall.address(following)
        try:
            syscall.bpf(syscall.MAP_GET_NEXT_KEY, bytearray(_NEXT.pack(self.fd, *places, 0)))
        except OSError as refusal:
            if refusal.errno == errno.ENOENT:
                return None
            self.fail("walk", refusal)
        return bytes(following)

    # ---- the mapping

    # In what Subscripts does not settle itself.

    def _getitem(self, key: Any) -> Any:
        # As lookup_bytes, without the steps between.
        raw = self._key.pack(key)
        try:
            value = self._elements.lookup(raw)
        except OSError as refusal:
            self.fail("read", refusal, raw)
        if value is None:
            raise KeyError(key)
        return self._value.unpack(value)

    def _setitem(self, key: Any, value: Any) -> None:
        self.put(key, value)

    def _delitem(self, key: Any) -> None:
        raw = self._key.pack(key)
        try:
            found = self._elements.delete(raw)
        except OSError as refusal:
            self.fail("delete from", refusal, raw)
        if not found:
            raise KeyError(key)

    def get(self, key: Any, default: Any = None) -> Any:
        """The value under a key, the default where it is not there."""
        value = self.lookup_bytes(self._key.pack(key))
        return default if value is None else self._value.unpack(value)

    def lookup(self, key: Any, *, flags: int = ANY, cpu: int | None = None) -> Any:
        """The value under a key, with flags: LOCK reads a value with a spin lock as a whole.

        With `cpu` it is that processor's value of a per-CPU map. Raises KeyError.
        """
        each = None if cpu is None else self._each(cpu)
        value = self.lookup_bytes(self._key.pack(key), flags)
        if value is None:
            raise KeyError(key)
        if cpu is None or each is None:
            return self._value.unpack(value)
        return each.each.unpack(value[cpu * each.stride :][: each.each.size])

    def put(self, key: Any, value: Any, flags: int = ANY, *, cpu: int | None = None) -> None:
        """Write an element: ANY creates or replaces, NOEXIST only creates, EXIST only replaces.

        LOCK takes the value's spin lock meanwhile. With `cpu` only that processor's value of a
        per-CPU map is written (Linux 7.0; a new element is zero elsewhere). Raises LoadError.
        """
        if cpu is None:
            self.update_bytes(self._key.pack(key), self._value.pack(value), flags)
            return
        each = self._each(cpu)
        # The kernel reads one value; the room for the others stays unread.
        raw = bytes(each.each.pack(value)).ljust(self.stored_size, b"\0")
        self.update_bytes(self._key.pack(key), raw, flags | CPU | cpu << 32)

    def _each(self, cpu: int) -> PerCpu:
        if not isinstance(self._value, PerCpu):
            raise TypeError(f"map {self.name!r} has no value for each processor")
        if not 0 <= cpu < self._value.cpus:
            raise IndexError(f"there is no processor {cpu}, only {self._value.cpus}")
        return self._value

    def pairs(self) -> Pairs:
        """Every key with its value, read at once. Raises LoadError."""
        return Reading(self.chunks(), self._key, self._value)

    def chunks(self) -> list[Chunk]:
        """Read all items as the kernel has them. Raises LoadError."""
        try:
            return read_chunks(self)
        except OSError as refusal:
            self.fail("walk", refusal)

    def walk_bytes(self) -> dict[bytes, bytes]:
        """Read every element as the kernel has it, in the map's order, key after key."""
        try:
            return walk(self, self.indexed, self.stored_size)
        except OSError as refusal:
            self.fail("walk", refusal)

    def keys_bytes(self) -> list[bytes]:
        """Every key, in the map's order."""
        size = self.key_size
        return [
            bytes(each.keys[at : at + size])
            for each in self.chunks()
            for at in range(0, each.length * size, size)
        ]

    def popitem(self) -> tuple[Any, Any]:
        """Delete one element and return it. Raises KeyError if the map is empty."""
        while (key := self.next_key_bytes()) is not None:
            value = self.take_bytes(key)
            if value is not None:  # else somebody else was quicker
                return self._key.unpack(key), self._value.unpack(value)
        raise KeyError(f"map {self.name!r} is empty")

    def __len__(self) -> int:
        """Count the elements: of an array, all that it has room for."""
        if self.dense:
            return self.max_entries
        return sum(each.length for each in self.chunks())

    def __iter__(self) -> Iterator[Any]:
        return Reading(self.chunks(), self._key, self._value).only_keys()

    def close(self) -> None:
        """Give the descriptor back. The kernel frees the map with its last user."""
        self._direct()
        self._elements.close()
        super().close()

    def __repr__(self) -> str:
        where = "closed" if self.closed else f"fd {self.fd}"
        sizes = f"key {self.key_size} value {self.value_size} entries {self.max_entries}"
        return f"<Map {self.name!r} {self.type} {sizes}, {where}>"

    def fail(self, verb: str, refusal: OSError, key: Bytes | None = None) -> NoReturn:
        """Raise what an OSError means: ValueError if the map is closed, else LoadError."""
        number = refusal.errno or 0
        if self.closed:
            raise ValueError(f"{type(self).__name__} is closed") from None
        why = self.reason(verb, name_of(number), key)
        raise refused("map-operation", f"{verb} map {self.name!r}", number, why=why) from None


def _code(codec: Codec) -> str:
    """The letter of a plain integer, empty for what is more."""
    return codec.code if isinstance(codec, Plain) and codec.integer else ""


def _by_btf(codec: Codec) -> Codec:
    return codec.typed or codec if isinstance(codec, Prefix) else codec


def kind(*types: str) -> Callable[[type[Map]], type[Map]]:
    """Make a class the one for maps of these types."""

    def take(found: type[Map]) -> type[Map]:
        Map.kinds.update(dict.fromkeys(types, found))
        return found

    return take
