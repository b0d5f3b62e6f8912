"""Maps that are streams or memory: records from user space, call stacks, arenas."""

from __future__ import annotations

import sys
from collections import deque
from typing import TYPE_CHECKING, Any

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.maps.map import VmMap
from ebpfasm.errors import VmError, error
from ebpfasm.ir.specs import MapSpec

if TYPE_CHECKING:
    from ebpfasm.analysis.vm.world import World

PAGE = 4096
_ARENA_MOST = 1 << 14  # pages that the machine keeps


class UserRingMap(VmMap):
    """user_ringbuf: records that the test sends and a program drains."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.records: deque[bytes] = deque()

    def send(self, record: bytes) -> None:
        """Put a record in, as user space does. Raises LoadError where it does not fit."""
        used = sum(-(-(len(each) + 8) // 8) * 8 for each in self.records)
        if used + -(-(len(record) + 8) // 8) * 8 > self.max_entries:
            self._refuse("write", errno.ENOSPC)
        self.records.append(bytes(record))

    def keys_bytes(self) -> list[bytes]:
        """A ring has none."""
        return []


class StackTraceMap(VmMap):
    """stack_trace: call stacks by id. Python sees a stack as a tuple of addresses."""

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        self.buckets = 1 << (max(spec.max_entries, 1) - 1).bit_length()
        self.stacks: dict[int, tuple[int, tuple[int, ...]]] = {}  # id -> hash and addresses

    @property
    def depth(self) -> int:
        """Addresses of a stack at most."""
        return self.value_size // 8

    def _id(self, key: bytes) -> int:
        return int.from_bytes(key, sys.byteorder)

    def read(self, key: bytes) -> bytes | None:
        """A stack's addresses, zeros behind them."""
        found = self.stacks.get(self._id(key))
        if found is None:
            return None
        raw = b"".join(each.to_bytes(8, sys.byteorder) for each in found[1])
        return raw.ljust(self.value_size, b"\0")

    def delete_elem(self, key: bytes) -> int:
        """Forget a stack."""
        return 0 if self.stacks.pop(self._id(key), None) is not None else -errno.ENOENT

    def keys_bytes(self) -> list[bytes]:
        """Ids of the stacks."""
        return [each.to_bytes(4, sys.byteorder) for each in self.stacks]

    def __getitem__(self, key: Any) -> tuple[int, ...]:
        return self.stacks[self._id(bytes(self._key.pack(key)))][1]


class ArenaMap(VmMap):
    """arena: memory that programs share with user space, in pages.

    All of it can be reached from the start; in a kernel a page that was never allocated reads
    as zeros and swallows what is written. Python reads and writes it through `memory`.
    """

    def __init__(self, spec: MapSpec, world: World) -> None:
        super().__init__(spec, world)
        if not 0 < spec.max_entries <= _ARENA_MOST:
            message = f"arena {spec.name!r} has {spec.max_entries} pages"
            hint = f"the virtual machine keeps arenas of up to {_ARENA_MOST} pages"
            raise VmError(error("vm-map", message, hint=hint))
        self.memory = bytearray(spec.max_entries * PAGE)
        content = bytes(spec.contents)
        self.memory[: len(content)] = content
        self.pages = world.memory.add("value", f"arena {spec.name!r}", self.memory, owner=self)
        self.taken: set[int] = set(range(-(-len(content) // PAGE)))

    def allocate(self, wanted: int, count: int) -> int:
        """The address of free pages in a row, at `wanted` if that is not 0; 0 for none."""
        first = (wanted - self.pages.address) // PAGE if wanted else None
        starts = [first] if first is not None else range(self.max_entries - count + 1)
        for start in starts:
            pages = range(start, start + count)
            if start < 0 or pages.stop > self.max_entries or self.taken & set(pages):
                continue
            self.taken |= set(pages)
            return self.pages.address + start * PAGE
        return 0

    def release(self, address: int, count: int) -> None:
        """Give pages back; they hold zeros when they are allocated again."""
        first = (address - self.pages.address) // PAGE
        for page in sorted(self.taken):
            if first <= page < first + count:
                self.taken.discard(page)
                self.memory[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)

    def lookup_elem(self, key: bytes) -> int:
        """Where the arena begins."""
        return self.pages.address

    def keys_bytes(self) -> list[bytes]:
        """An arena has none."""
        return []
