"""Helpers that send records to user space: ring buffers and perf events."""

from __future__ import annotations

from typing import NoReturn

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Dynptr, Machine
from ebpfasm.analysis.vm.maps import VmMap
from ebpfasm.analysis.vm.maps.others import EventsMap, RingMap
from ebpfasm.analysis.vm.maps.streams import UserRingMap
from ebpfasm.analysis.vm.memory import Region, describe
from ebpfasm.analysis.vm.world import Event

_NO_WAKEUP, _FORCE_WAKEUP = 1, 2
_CONTEXT_LENGTH = 0xFFFFF << 32  # BPF_F_CTXLEN_MASK
_PACKETS = ("xdp_md", "__sk_buff")  # contexts whose bytes can be sent along
_DRAIN_MOST = 128 * 1024  # BPF_MAX_USER_RINGBUF_SAMPLES


def ring_at(machine: Machine, address: int) -> RingMap:
    """The ring buffer that a program means. Raises Fault where it is none."""
    found = machine.world.map_at(address)
    if not isinstance(found, RingMap):
        _wrong(found, "ring buffer")
    return found


def _wrong(found: VmMap, what: str) -> NoReturn:
    raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as a {what}")


@helper("ringbuf_output")
def ringbuf_output(machine: Machine, ring: int, data: int, size: int, flags: int) -> int:
    """Send a copy of memory."""
    found = ring_at(machine, ring)
    if flags & ~(_NO_WAKEUP | _FORCE_WAKEUP):
        return -errno.EINVAL
    content = machine.memory.read(data, size)
    record = found.reserve(size)
    if record is None:
        return -errno.EAGAIN
    machine.memory.free(record)
    machine.world.events.append(Event("ringbuf", found.name, content, flags=flags))
    return 0


@helper("ringbuf_reserve")
def ringbuf_reserve(machine: Machine, ring: int, size: int, flags: int) -> int:
    """Memory for a record; null where the ring is full."""
    found = ring_at(machine, ring)
    if flags or size > found.max_entries:
        return 0
    record = found.reserve(size)
    if record is None:
        return 0
    machine.records[record.number] = record
    return record.address


@helper("ringbuf_submit")
def ringbuf_submit(machine: Machine, data: int, flags: int) -> int:
    """Send a record."""
    submit(machine, data, flags)
    return 0


def submit(machine: Machine, data: int, flags: int) -> None:
    """Send a record; the program has it no more."""
    record = _record(machine, data)
    machine.world.events.append(
        Event("ringbuf", record.owner.name, bytes(record.host), flags=flags)
    )
    machine.memory.free(record)


@helper("ringbuf_discard")
def ringbuf_discard(machine: Machine, data: int, flags: int) -> int:
    """Forget a record."""
    discard(machine, data)
    return 0


def discard(machine: Machine, data: int) -> None:
    """Forget a record; the program has it no more."""
    machine.memory.free(_record(machine, data))


def _record(machine: Machine, address: int) -> Region:
    region = machine.memory.find(address)
    if region is None or region.kind != "record" or region.address != address:
        where = describe(machine.memory, address)
        raise Fault("vm-helper", f"gives back {where}, which is no reserved record")
    del machine.records[region.number]
    return region


@helper("ringbuf_query")
def ringbuf_query(machine: Machine, ring: int, flags: int) -> int:
    """How full a ring is: bytes used, its size, and both positions."""
    found = ring_at(machine, ring)
    return {0: found.used, 1: found.max_entries, 2: 0, 3: found.used}.get(flags, 0)


@helper("perf_event_output", "skb_output", "xdp_output")
def perf_event_output(
    machine: Machine, ctx: int, map: int, flags: int, data: int, size: int
) -> int:
    """Send a copy of memory, and so many bytes of the packet as the flags ask for."""
    found = machine.world.map_at(map)
    if not isinstance(found, EventsMap):
        _wrong(found, "perf event array")
    more = (flags & _CONTEXT_LENGTH) >> 32
    cpu = flags & U32
    if flags & ~(_CONTEXT_LENGTH | U32) or (more and machine.shape.struct not in _PACKETS):
        return -errno.EINVAL
    if cpu == U32:
        cpu = machine.world.cpu
    if cpu >= max(found.max_entries, 1):
        return -errno.E2BIG
    if more > machine.packet.length:
        return -errno.EFAULT
    content = machine.memory.read(data, size) + machine.packet.bytes()[:more]
    event = Event("perf", found.name, content, key=cpu, flags=flags, cpu=machine.world.cpu)
    machine.world.events.append(event)
    return 0


@helper("user_ringbuf_drain")
def user_ringbuf_drain(machine: Machine, ring: int, callback: int, ctx: int, flags: int) -> int:
    """Call a function with a dynptr about each record that user space sent, until it says 1."""
    from ebpfasm.analysis.vm.helpers import dynptrs

    found = machine.world.map_at(ring)
    if not isinstance(found, UserRingMap):
        _wrong(found, "user ring buffer")
    if flags & ~(_NO_WAKEUP | _FORCE_WAKEUP):
        return -errno.EINVAL
    assert machine.engine is not None
    count = 0
    place = machine.memory.add("object", "the record's dynptr", bytearray(dynptrs.SIZE))
    try:
        while found.records and count < _DRAIN_MOST:
            count += 1
            content = found.records.popleft()
            record = machine.memory.add("data", "the record", bytearray(content))
            try:
                dynptr = Dynptr("local", record.address, len(content))
                dynptrs.make(machine, place.address, dynptr)
                if machine.engine.call(callback, place.address, ctx):
                    break
            finally:
                machine.memory.free(record)
    finally:
        machine.dynptrs.pop(place.address, None)
        machine.memory.free(place)
    return count
