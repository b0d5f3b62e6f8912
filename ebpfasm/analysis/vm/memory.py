"""What a program can reach: regions in a private address space, every access checked.

A pointer is a 64-bit integer whose upper 16 bits number a region and whose lower 48 bits are a
place in it, counted from the region's `base`; so arithmetic and comparison work on pointers as
they do in the kernel, and an address says what it points to. No region has the number 0: small
integers and null point nowhere. The native engine walks the same regions by the same rules.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.errors import VmError, error

Kind = Literal["free", "stack", "ctx", "packet", "value", "map", "code", "record", "data", "object"]

PLACE = 48  # bits of an address below the region's number
_LOW = (1 << PLACE) - 1
GAP = 1 << 16  # room below and above a region, so that small mistakes stay nearby
GENERATION = 1 << 32  # a packet that was moved begins this much further on
LIMIT = 1 << 16  # regions


@dataclass(slots=True)
class Region:
    """Memory with one owner. Sizes and offsets in bytes.

    Offsets from `low` up to `high` (exclusive) can be read, and written if `writable`. With
    `shift` the region is a row of elements: element i begins at offset i << shift, each has
    `size` bytes and lies at i * stride of the host's bytes; between them is nothing.
    `owner` is what the region belongs to: a map, a packet, the context.
    """

    number: int
    kind: Kind
    name: str
    host: bytearray
    low: int
    high: int
    base: int = GAP
    writable: bool = True
    shift: int = 0
    size: int = 0
    stride: int = 0
    owner: Any = field(default=None, repr=False)

    @property
    def address(self) -> int:
        """Where offset 0 is."""
        return (self.number << PLACE) + self.base

    def element(self, index: int) -> int:
        """The address of an element."""
        return self.address + (index << self.shift)

    def place(self, address: int, length: int) -> int | None:
        """The place in `host` of an access, None where it is not wholly inside."""
        offset = (address & _LOW) - self.base
        if not self.shift:
            return offset if self.low <= offset and offset + length <= self.high else None
        index, inside = offset >> self.shift, offset & (1 << self.shift) - 1
        if offset < 0 or index >= self.high or inside + length > self.size:
            return None
        return index * self.stride + inside


class Memory:
    """The regions of one machine, by number.

    `listeners` are called with each region that was made, moved or freed: engines that keep
    a table of their own hear of it there.
    """

    def __init__(self) -> None:
        self.regions: list[Region] = [Region(0, "free", "null", bytearray(), 0, 0)]
        self.listeners: list[Callable[[Region], None]] = []
        self._unused: list[int] = []

    def changed(self, region: Region) -> None:
        """Tell the listeners that a region is another one now."""
        for listener in self.listeners:
            listener(region)

    def add(
        self,
        kind: Kind,
        name: str,
        host: bytearray,
        *,
        writable: bool = True,
        owner: Any = None,
        fresh: bool = False,
    ) -> Region:
        """Make a region of bytes, all of which can be reached.

        A `fresh` one gets the number behind the last. Raises VmError where there are no more.
        """
        region = Region(0, kind, name, host, 0, len(host), writable=writable, owner=owner)
        return self._place(region, fresh)

    def add_row(
        self, kind: Kind, name: str, host: bytearray, size: int, stride: int, count: int, owner: Any
    ) -> Region:
        """Make a region of `count` elements, with a gap after each."""
        shift = max(6, (2 * size - 1).bit_length())
        region = Region(
            0, kind, name, host, 0, count, shift=shift, size=size, stride=stride, owner=owner
        )
        return self._place(region)

    def _place(self, region: Region, fresh: bool = False) -> Region:
        if self._unused and not fresh:
            region.number = self._unused.pop()
            self.regions[region.number] = region
        elif len(self.regions) < LIMIT:
            region.number = len(self.regions)
            self.regions.append(region)
        else:
            message = f"the virtual machine has no more than {LIMIT} pieces of memory"
            raise VmError(error("vm-memory", message))
        self.changed(region)
        return region

    def free(self, region: Region) -> None:
        """Take a region away; pointers to it point nowhere, until its number is used again."""
        gone = Region(region.number, "free", f"{region.name} (gone)", bytearray(), 0, 0)
        gone.base = region.base
        self.regions[region.number] = gone
        self._unused.append(region.number)
        self.changed(gone)

    def find(self, address: int) -> Region | None:
        """The region that an address belongs to, whether or not it is inside."""
        number = address >> PLACE
        return self.regions[number] if 0 < number < len(self.regions) else None

    def view(self, address: int, length: int, *, write: bool = False) -> memoryview:
        """The bytes of an access. Raises Fault where they are not the program's."""
        region = self.find(address)
        if region is not None and (region.writable or not write):
            place = region.place(address, length)
            if place is not None:
                return memoryview(region.host)[place : place + length]
        raise self.fault(address, length, write=write)

    def read(self, address: int, length: int) -> bytes:
        """Copy bytes. Raises Fault."""
        return bytes(self.view(address, length))

    def write(self, address: int, content: bytes) -> None:
        """Store bytes. Raises Fault."""
        self.view(address, len(content), write=True)[:] = content

    def text(self, address: int, most: int = 1 << 16) -> bytes:
        """Read bytes up to a zero byte, which is left out. Raises Fault where none comes."""
        found = bytearray()
        while len(found) < most:
            byte = self.view(address + len(found), 1)[0]
            if not byte:
                break
            found.append(byte)
        return bytes(found)

    def fault(self, address: int, length: int, *, write: bool) -> Fault:
        """Say what is wrong with an access."""
        verb = "writes" if write else "reads"
        what = f"{verb} {length} byte{'s' if length != 1 else ''}"
        region = self.find(address)
        if region is None:
            return Fault("vm-memory", f"{what} at {describe(self, address)}, which is no pointer")
        where = describe(self, address)
        if region.kind == "free":
            return Fault("vm-memory", f"{what} at {where}: that memory is gone")
        if region.kind in ("map", "code"):
            return Fault("vm-memory", f"{what} at {where}, which only helpers may use")
        if region.place(address, length) is not None:
            return Fault("vm-read-only", f"{what} at {where}, which can only be read")
        return Fault("vm-memory", f"{what} at {where}: {_reach(region, address)}")


def describe(memory: Memory, address: int) -> str:
    """An address in words: "packet + 60", "null", "0x123"."""
    region = memory.find(address)
    if region is None:
        return "null" if address == 0 else f"null + {address}" if address < 4096 else hex(address)
    offset = (address & _LOW) - region.base
    name = region.name
    if region.kind == "stack":
        offset -= len(region.host)
    elif region.kind == "packet":
        offset -= region.owner.data
        if offset + GENERATION // 2 < 0:
            return "a packet pointer from before the packet was moved"
        name = "packet"
    elif region.kind == "code":
        name, offset = region.owner.code.name_of(offset >> region.shift), 0
    elif region.shift:
        index = offset >> region.shift
        name = f"{name}[{index}]" if region.high > 1 else name
        offset -= index << region.shift
    sign = "-" if offset < 0 else "+"
    return f"{name} {sign} {abs(offset)}" if offset else name


def _reach(region: Region, address: int) -> str:
    match region.kind:
        case "stack" if not region.high:
            return "that function has returned"
        case "stack":
            return f"the frame is the {region.high} bytes below r10"
        case "packet":
            owner = region.owner
            if (address & _LOW) + GENERATION // 2 < region.base:
                return "load data and data_end again"
            return f"it has {owner.data_end - owner.data} bytes"
        case _:
            size = region.size if region.shift else region.high
            return f"it has {size} byte{'s' if size != 1 else ''}"
