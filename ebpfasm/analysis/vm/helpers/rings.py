"""Helpers that send records to user space: ring buffers and perf events."""

from __future__ import annotations

from typing import NoReturn

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.maps import VmMap
from ebpfasm.analysis.vm.maps.others import EventsMap, RingMap
from ebpfasm.analysis.vm.memory import Region, describe
from ebpfasm.analysis.vm.world import Event

_NO_WAKEUP, _FORCE_WAKEUP = 1, 2
_CONTEXT_LENGTH = 0xFFFFF << 32  # BPF_F_CTXLEN_MASK


def _ring(machine: Machine, address: int) -> RingMap:
    found = machine.world.map_at(address)
    if not isinstance(found, RingMap):
        _wrong(found, "ring buffer")
    return found


def _wrong(found: VmMap, what: str) -> NoReturn:
    raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as a {what}")


@helper("ringbuf_output")
def ringbuf_output(machine: Machine, ring: int, data: int, size: int, flags: int) -> int:
    """Send a copy of memory."""
    found = _ring(machine, ring)
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
    found = _ring(machine, ring)
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
    record = _record(machine, data)
    machine.world.events.append(
        Event("ringbuf", record.owner.name, bytes(record.host), flags=flags)
    )
    machine.memory.free(record)
    return 0


@helper("ringbuf_discard")
def ringbuf_discard(machine: Machine, data: int, flags: int) -> int:
    """Forget a record."""
    machine.memory.free(_record(machine, data))
    return 0


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
    found = _ring(machine, ring)
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
