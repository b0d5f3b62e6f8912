"""Helpers on dynamic pointers: 16 bytes on the stack that stand for memory and its bounds.

The kernel's own bytes (an address, a word of size and kind, an offset) are written there, and the
machine remembers which places hold one. A place that was written over holds none any more.
"""

from __future__ import annotations

import sys

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.rings import discard, ring_at, submit
from ebpfasm.analysis.vm.machine import Dynptr, Machine
from ebpfasm.analysis.vm.memory import describe

SIZE = 16  # bytes of struct bpf_dynptr
MOST = (1 << 24) - 1  # DYNPTR_MAX_SIZE
_KINDS = {"null": 0, "local": 1, "ringbuf": 2, "skb": 3, "xdp": 4}
_KIND_SHIFT, _READ_ONLY = 28, 1 << 31


def make(machine: Machine, place: int, dynptr: Dynptr) -> None:
    """Write a dynptr to a place on the stack."""
    word = dynptr.size | _KINDS[dynptr.kind] << _KIND_SHIFT
    if dynptr.kind == "null":
        word = 0
    elif dynptr.read_only:
        word |= _READ_ONLY
    order = sys.byteorder
    dynptr.written = (
        dynptr.address.to_bytes(8, order)
        + word.to_bytes(4, order)
        + (dynptr.offset & U32).to_bytes(4, order)
    )
    machine.memory.write(place, dynptr.written)
    machine.dynptrs[place] = dynptr


def dynptr_at(machine: Machine, place: int) -> Dynptr:
    """The dynptr at a place. Raises Fault where there is none."""
    found = machine.dynptrs.get(place)
    if found is not None and machine.memory.read(place, SIZE) == found.written:
        return found
    machine.dynptrs.pop(place, None)
    where = describe(machine.memory, place)
    raise Fault("vm-helper", f"gives {where} where a dynptr belongs")


def nothing() -> Dynptr:
    """The dynptr that stands for no memory."""
    return Dynptr("null", 0, 0)


def is_packet(found: Dynptr) -> bool:
    """Whether it is about the program's packet."""
    return found.kind in ("skb", "xdp")


def view_of(
    machine: Machine, found: Dynptr, offset: int, length: int, *, write: bool
) -> memoryview:
    """Bytes of the memory it stands for; the caller has checked the bounds."""
    if is_packet(found):
        start = machine.packet.data + found.offset + offset
        return memoryview(machine.packet.buffer)[start : start + length]
    return machine.memory.view(found.address + found.offset + offset, length, write=write)


def outside(found: Dynptr, offset: int, length: int) -> bool:
    """Whether a range is not wholly inside."""
    return length > found.size or offset > found.size - length


@helper("dynptr_from_mem")
def dynptr_from_mem(machine: Machine, data: int, size: int, flags: int, place: int) -> int:
    """A dynptr about a map's value."""
    machine.memory.view(data, size)
    if size > MOST:
        make(machine, place, nothing())
        return -errno.E2BIG
    if flags:
        make(machine, place, nothing())
        return -errno.EINVAL
    make(machine, place, Dynptr("local", data, size))
    return 0


@helper("dynptr_read")
def dynptr_read(machine: Machine, to: int, length: int, place: int, offset: int, flags: int) -> int:
    """Copy bytes out."""
    found = dynptr_at(machine, place)
    view = machine.memory.view(to, length, write=True)
    if found.kind == "null" or flags:
        return -errno.EINVAL
    if outside(found, offset, length):
        return -errno.E2BIG
    view[:] = bytes(view_of(machine, found, offset, length, write=False))
    return 0


@helper("dynptr_write")
def dynptr_write(
    machine: Machine, place: int, offset: int, source: int, length: int, flags: int
) -> int:
    """Copy bytes in. Writing to a packet makes older packet pointers stale."""
    found = dynptr_at(machine, place)
    content = machine.memory.read(source, length)
    if found.kind == "null" or found.read_only:
        return -errno.EINVAL
    if outside(found, offset, length):
        return -errno.E2BIG
    if flags & ~(3 if found.kind == "skb" else 0):
        return -errno.EINVAL
    view_of(machine, found, offset, length, write=True)[:] = content
    if found.kind == "skb":
        machine.packet.moved()
    return 0


@helper("dynptr_data")
def dynptr_data(machine: Machine, place: int, offset: int, length: int) -> int:
    """The address of a slice, null where that is not inside or not to be written."""
    found = dynptr_at(machine, place)
    if found.kind == "null" or outside(found, offset, length):
        return 0
    if found.read_only or is_packet(found):
        return 0
    return found.address + found.offset + offset


@helper("ringbuf_reserve_dynptr")
def ringbuf_reserve_dynptr(machine: Machine, ring: int, size: int, flags: int, place: int) -> int:
    """A record of any size, which must be given back even where there was no room."""
    found, size = ring_at(machine, ring), size & U32
    if flags:
        make(machine, place, nothing())
        return -errno.EINVAL
    if size > MOST:
        make(machine, place, nothing())
        return -errno.E2BIG
    record = found.reserve(size)
    if record is None:
        make(machine, place, nothing())
        return -errno.EINVAL
    machine.records[record.number] = record
    make(machine, place, Dynptr("ringbuf", record.address, size))
    return 0


def _finish(machine: Machine, place: int) -> int:
    """Take a ring's dynptr from the stack; return the record's address, 0 for none."""
    found = dynptr_at(machine, place)
    if found.kind == "null":
        del machine.dynptrs[place]
        return 0
    if found.kind != "ringbuf":
        raise Fault("vm-helper", "gives a dynptr that is about no record")
    for other, each in list(machine.dynptrs.items()):
        if each.address == found.address:
            del machine.dynptrs[other]
    return found.address


@helper("ringbuf_submit_dynptr")
def ringbuf_submit_dynptr(machine: Machine, place: int, flags: int) -> int:
    """Send the record."""
    address = _finish(machine, place)
    if address:
        submit(machine, address, flags)
    return 0


@helper("ringbuf_discard_dynptr")
def ringbuf_discard_dynptr(machine: Machine, place: int, flags: int) -> int:
    """Forget the record."""
    address = _finish(machine, place)
    if address:
        discard(machine, address)
    return 0
