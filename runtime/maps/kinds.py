"""Maps that are no tables: queues, stacks, filters, and recorded stack traces."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from ebpfasm.errors import EncodeError, error
from ebpfasm.frozen import dataclass
from ebpfasm.ir.given import raw_of
from ebpfasm.ir.mapping import ANY, FilterMapping, QueueMapping
from ebpfasm.ir.values import Buffer
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.runtime.maps.elements import Bytes
from ebpfasm.runtime.maps.map import Map, kind

if TYPE_CHECKING:
    import numpy as np


@kind("queue", "stack")
class QueueMap(QueueMapping, Map):
    """A queue or stack: `push`, `pop` and `peek`."""

    def put(self, key: Any, value: Any, flags: int = ANY, *, cpu: int | None = None) -> None:
        """Push a value; the key says nothing."""
        self.push(value, flags)

    def reason(self, verb: str, name: str, key: Bytes | None) -> str:
        """Why the kernel refuses."""
        if (verb, name) == ("write", "EINVAL"):
            return f"a {self.type} takes the flags ANY and EXIST"
        return super().reason(verb, name, key)


@kind("bloom_filter")
class FilterMap(FilterMapping, Map):
    """A Bloom filter: `push`, and `in`."""

    def holds_bytes(self, value: Bytes) -> bool:
        """Ask for a value as the kernel has it."""
        self.sized(value, self.stored_size, "value")
        try:
            return self._elements.holds(value)
        except OSError as refusal:
            self.fail("read", refusal)

    def put(self, key: Any, value: Any, flags: int = ANY, *, cpu: int | None = None) -> None:
        """Push a value; the key says nothing."""
        self.update_bytes(b"", self._value.pack(value), flags)


class BuildId(NamedTuple):
    """A frame of user space: where it is in the file with a build id (struct bpf_stack_build_id).

    `status` is 1 where build id and offset are known, 2 where `offset` is the address itself.
    """

    status: int
    build_id: bytes
    offset: int


_FRAME = struct.Struct("=i20sQ")
_ADDRESS = struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class Frames:
    """A stack trace: addresses, or BuildIds, the innermost first; empty frames are left out."""

    what: str
    size: int
    with_ids: bool

    integer = signed = False

    def pack(self, value: Any) -> bytes:
        """Nobody but the kernel writes stack traces. Raises EncodeError for all but bytes."""
        raw = raw_of(value)
        if raw is None or raw.nbytes != self.size:
            raise EncodeError(error("map-value", f"the {self.what} is written by programs only"))
        return bytes(raw)

    def unpack(self, raw: Buffer) -> list[Any]:
        """Turn the kernel's bytes into frames."""
        whole = memoryview(raw)[: self.size]
        if self.with_ids:
            return [BuildId(*each) for each in _FRAME.iter_unpack(whole) if each[0]]
        return [address for (address,) in _ADDRESS.iter_unpack(whole) if address]

    def unpack_many(self, raw: Buffer, count: int, stride: int) -> list[Any]:
        """Turn `count` values, each `stride` bytes behind the one before, into a list."""
        view = memoryview(raw)
        return [self.unpack(view[at:]) for at in range(0, count * stride, stride)]

    def dtype(self) -> np.dtype[Any]:
        """A row of addresses, or of records."""
        import numpy as np

        if not self.with_ids:
            return np.dtype((np.uint64, (self.size // _ADDRESS.size,)))
        frame = np.dtype([("status", "i4"), ("build_id", "V20"), ("offset", "u8")])
        return np.dtype((frame, (self.size // _FRAME.size,)))


@kind("stack_trace")
class StackTraceMap(Map):
    """Stack traces by the number that bpf_get_stackid gave."""

    def _set_types(self) -> None:
        with_ids = bool(self.spec.flags & CONSTANTS["BPF_F_STACK_BUILD_ID"])
        self._value = Frames(self._value.what, self.value_size, with_ids)
