"""A map as a Python mapping: what the kernel's live maps and the virtual machine's have in common.

Whoever has elements as bytes gets the mapping: keys and values packed and unpacked, copies,
views, and the sentences for what is refused.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, MutableMapping, ValuesView
from typing import Any, NoReturn, Protocol

from ebpfasm.errors import EncodeError, LoadError, error
from ebpfasm.ir.codecs import key_codec, type_name, type_row, value_codec
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.values import Codec
from ebpfasm.isa.constants import CONSTANTS

Bytes = bytes | bytearray

# Flags of update: create or replace, only create, only replace; take the element's lock; one
# processor's value, whose number stands in the upper half; every processor the same (linux/bpf.h).
ANY = CONSTANTS["BPF_ANY"]
NOEXIST = CONSTANTS["BPF_NOEXIST"]
EXIST = CONSTANTS["BPF_EXIST"]
LOCK = CONSTANTS["BPF_F_LOCK"]
CPU = CONSTANTS["BPF_F_CPU"]
ALL_CPUS = CONSTANTS["BPF_F_ALL_CPUS"]

_DENSE = frozenset({"array", "percpu_array"})


class Pairs(Protocol):
    """Keys with values that were read."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[tuple[Any, Any]]: ...


class ElementMapping(MutableMapping[Any, Any]):
    """Keys and values have the types that BTF gives them, else those of their C type or size.

    Values of per-CPU maps are tuples, one value for each possible CPU. A key that is not there
    raises KeyError, a key or value that does not fit EncodeError, what is refused LoadError.
    """

    def describe(self, spec: MapSpec, cpus: int) -> None:
        """Take everything from the spec. Raises EncodeError where a type has another size."""
        row = type_row(spec)
        self.spec = spec
        self.name = spec.name
        self.type = type_name(spec)
        self.key_size = spec.key_size
        self.value_size = spec.value_size
        self.max_entries = spec.max_entries
        self.indexed = row is not None and row.indexed
        self.dense = self.type in _DENSE
        self._key: Codec = key_codec(spec)
        self._value: Codec = value_codec(spec, cpus)

    # ---- elements as bytes, which the two kinds of maps have

    def lookup_bytes(self, key: Bytes) -> Bytes | None:
        """Read an element as the kernel has it, None where there is none."""
        raise NotImplementedError

    def update_bytes(self, key: Bytes, value: Bytes, flags: int = ANY) -> None:
        """Write an element. Raises LoadError; its errno is EEXIST or ENOENT where flags say no."""
        raise NotImplementedError

    def delete_bytes(self, key: Bytes) -> bool:
        """Delete an element; False where there is none."""
        raise NotImplementedError

    def take_bytes(self, key: Bytes) -> Bytes | None:
        """Read an element and delete it, None where there is none."""
        raise NotImplementedError

    def walk_bytes(self) -> dict[bytes, bytes]:
        """Read every element as the kernel has it, in the map's order."""
        raise NotImplementedError

    def keys_bytes(self) -> list[bytes]:
        """Every key, in the map's order."""
        return list(self.walk_bytes())

    # ---- the mapping

    def __getitem__(self, key: Any) -> Any:
        value = self.lookup_bytes(self._key.pack(key))
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

    def __contains__(self, key: object) -> bool:
        try:
            return self.lookup_bytes(self._key.pack(key)) is not None
        except EncodeError:
            return False

    def __len__(self) -> int:
        """Count the elements: of an array, all that it has room for."""
        return self.max_entries if self.dense else len(self.keys_bytes())

    def __iter__(self) -> Iterator[Any]:
        return iter([self._key.unpack(key) for key in self.keys_bytes()])

    def snapshot(self) -> dict[Any, Any]:
        """Copy the map. Elements are read one after the other while programs go on writing."""
        return dict(self.pairs())

    def pairs(self) -> Pairs:
        """Every key with its value, read at once: what the views of a map look at."""
        key, value = self._key.unpack, self._value.unpack
        return [(key(each), value(raw)) for each, raw in self.walk_bytes().items()]

    def items(self) -> ItemsView[Any, Any]:
        """Keys with their values. The map is read once, when they are first looked at."""
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        """Values. The map is read once, when they are first looked at."""
        return _Values(self)

    def pop(self, key: Any, *default: Any) -> Any:
        """Delete an element and return it; nothing comes between the two.

        Where it is not there, returns the default or raises KeyError.
        """
        value = self.take_bytes(self._key.pack(key))
        if value is not None:
            return self._value.unpack(value)
        if default:
            return default[0]
        raise KeyError(key)

    def popitem(self) -> tuple[Any, Any]:
        """Delete one element and return it. Raises KeyError if the map is empty."""
        for key in self.keys_bytes():
            value = self.take_bytes(key)
            if value is not None:
                return self._key.unpack(key), self._value.unpack(value)
        raise KeyError(f"map {self.name!r} is empty")

    def clear(self) -> None:
        """Delete every element."""
        for key in self.keys_bytes():
            self.delete_bytes(key)

    # Two maps are never the same one; contents are compared with snapshot().
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other

    # ---- what does not fit, and what is refused

    def sized(self, content: Bytes, size: int, what: str) -> Bytes:
        """The content itself. Raises ValueError where it has another size."""
        if len(content) != size:  # the kernel would read or write past the end
            message = f"the {what} of map {self.name!r} is {size} bytes, not {len(content)}"
            raise ValueError(message)
        return content

    def refuse(self, verb: str, number: int, name: str, key: Bytes | None = None) -> NoReturn:
        """Raise the LoadError for an errno, which is called `name`."""
        message = f"cannot {verb} map {self.name!r}: {self.reason(verb, name, key) or name}"
        raise LoadError(error("map-operation", message), errno=number)

    def reason(self, verb: str, name: str, key: Bytes | None) -> str:
        """Why the kernel refuses to "read", "write", "delete from" a map; empty if not known."""
        match verb, name:
            case "write", "E2BIG" if self.indexed and key is not None:
                index = self._key.unpack(key)
                return f"{index!r} is past its end; it has {self.max_entries} entries"
            case "write", "E2BIG" | "ENOSPC":
                return f"it is full; it has room for {self.max_entries} entries"
            case "write", "EEXIST" if self.dense:
                return "elements of an array are there from the start"
            case "write", "EEXIST":
                return "the key is there already"
            case "write", "ENOENT":
                return "the key is not there"
            case "delete from", "EINVAL" if self.dense:
                return "elements of an array are never deleted; write 0 instead"
            case (("write" | "delete from"), "EPERM"):
                return "it is frozen, or read-only for user space"
            case "read", "EPERM":
                return "it is write-only for user space"
            case "freeze", "EBUSY":
                return "its memory is mapped for writing"
            case "share the memory of", "EPERM":
                return "it is frozen or read-only; ask for writable=False"
            case _, "EOPNOTSUPP" | "ENOTSUPP":
                return f"a map of type {self.type} cannot do that from user space"
            case _:
                return ""


class QueueMapping(ElementMapping):
    """A queue or stack: values without keys. They cannot be counted from user space."""

    def push(self, value: Any, flags: int = ANY) -> None:
        """Put a value in. With EXIST a full map forgets its oldest. Raises LoadError (E2BIG)."""
        self.update_bytes(b"", self._value.pack(value), flags)

    def peek(self) -> Any:
        """The value that pop would take. Raises IndexError if there is none."""
        return self._first(self.lookup_bytes(b""))

    def pop(self, *no_key: Any) -> Any:
        """Take the next value out. Raises IndexError if there is none."""
        if no_key:
            raise TypeError(f"map {self.name!r} is a {self.type}: pop takes no key")
        return self._first(self.take_bytes(b""))

    def _first(self, value: Bytes | None) -> Any:
        if value is None:
            raise IndexError(f"map {self.name!r} is empty")
        return self._value.unpack(value)

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Push a value; the key says nothing."""
        self.push(value, flags)

    def clear(self) -> None:
        """Take every value out."""
        while self.take_bytes(b"") is not None:
            pass

    def __bool__(self) -> bool:
        return self.lookup_bytes(b"") is not None


class FilterMapping(ElementMapping):
    """A Bloom filter: values that were pushed are in it, and now and then others too."""

    def holds_bytes(self, value: Bytes) -> bool:
        """Ask for a value as the kernel has it."""
        raise NotImplementedError

    def push(self, value: Any) -> None:
        """Put a value in, for good."""
        self.update_bytes(b"", self._value.pack(value))

    def __contains__(self, value: object) -> bool:
        try:
            return self.holds_bytes(self._value.pack(value))
        except EncodeError:
            return False

    def put(self, key: Any, value: Any, flags: int = ANY) -> None:
        """Push a value; the key says nothing."""
        self.update_bytes(b"", self._value.pack(value), flags)

    def __bool__(self) -> bool:
        return True  # nobody can say whether it is empty


class _Items(ItemsView[Any, Any]):
    _mapping: ElementMapping
    _pairs: Pairs | None = None

    def _read(self) -> Pairs:
        if self._pairs is None:
            self._pairs = self._mapping.pairs()
        return self._pairs

    def __len__(self) -> int:
        # list() asks for it too; reading the map again would double the cost
        return len(self._read())

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return iter(self._read())


class _Values(ValuesView[Any]):
    _mapping: ElementMapping
    _pairs: Pairs | None = None

    def _read(self) -> Pairs:
        if self._pairs is None:
            self._pairs = self._mapping.pairs()
        return self._pairs

    def __len__(self) -> int:
        return len(self._read())

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._read())
