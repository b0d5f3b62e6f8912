"""Helpers on maps."""

from __future__ import annotations

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers import sockmaps
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.maps import VmMap
from ebpfasm.analysis.vm.maps.objects import SocketsMap
from ebpfasm.analysis.vm.maps.others import BloomMap
from ebpfasm.analysis.vm.maps.tables import LocalStorageMap


def _key(machine: Machine, found: VmMap, address: int) -> bytes:
    return machine.memory.read(address, found.key_size)


@helper("map_lookup_elem")
def map_lookup_elem(machine: Machine, map: int, key: int) -> int:
    """The address of a value, or null."""
    found = machine.world.map_at(map)
    if isinstance(found, SocketsMap):
        return sockmaps.lookup(machine, found, _key(machine, found, key))
    return found.lookup_elem(_key(machine, found, key))


@helper("map_lookup_percpu_elem")
def map_lookup_percpu_elem(machine: Machine, map: int, key: int, cpu: int) -> int:
    """The address of a processor's value, or null."""
    found = machine.world.map_at(map)
    return found.lookup_percpu_elem(_key(machine, found, key), cpu & U32)


@helper("map_update_elem")
def map_update_elem(machine: Machine, map: int, key: int, value: int, flags: int) -> int:
    """Write an element."""
    found = machine.world.map_at(map)
    if isinstance(found, SocketsMap):
        return sockmaps.update(machine, found, _key(machine, found, key), value, flags)
    content = machine.memory.read(value, found.value_size)
    return found.update_elem(_key(machine, found, key), content, flags)


@helper("map_delete_elem")
def map_delete_elem(machine: Machine, map: int, key: int) -> int:
    """Delete an element."""
    found = machine.world.map_at(map)
    return found.delete_elem(_key(machine, found, key))


@helper("map_push_elem")
def map_push_elem(machine: Machine, map: int, value: int, flags: int) -> int:
    """Push onto a queue or stack, add to a filter."""
    found = machine.world.map_at(map)
    return found.push_elem(machine.memory.read(value, found.value_size), flags)


@helper("map_pop_elem")
def map_pop_elem(machine: Machine, map: int, value: int) -> int:
    """Take from a queue or stack."""
    return _take(machine, map, value, remove=True)


@helper("map_peek_elem")
def map_peek_elem(machine: Machine, map: int, value: int) -> int:
    """Look at the next of a queue or stack, or ask a filter."""
    return _take(machine, map, value, remove=False)


def _take(machine: Machine, map: int, value: int, *, remove: bool) -> int:
    found = machine.world.map_at(map)
    view = machine.memory.view(value, found.value_size, write=True)
    content = found.peek_elem(bytes(view), remove=remove)
    if content is None:
        if not isinstance(found, BloomMap):
            view[:] = bytes(len(view))  # as the kernel does for an empty queue
        return -errno.ENOENT
    view[:] = content
    return 0


@helper("for_each_map_elem")
def for_each_map_elem(machine: Machine, map: int, callback: int, ctx: int, flags: int) -> int:
    """Call a function with each element; return how many calls were made."""
    found = machine.world.map_at(map)
    if flags:
        return -errno.EINVAL
    key = machine.memory.add("data", "the key", bytearray(found.key_size), writable=False)
    count = 0
    try:
        for content, address in found.addresses():
            key.host[:] = content
            count += 1
            if _invoke(machine, callback, map, key.address, address, ctx):
                break
    finally:
        machine.memory.free(key)
    return count


def _invoke(machine: Machine, callback: int, *arguments: int) -> int:
    assert machine.engine is not None
    return machine.engine.call(callback, *arguments)


@helper("get_local_storage")
def get_local_storage(machine: Machine, map: int, flags: int) -> int:
    """The value of the one cgroup that there is."""
    found = machine.world.map_at(map)
    if not isinstance(found, LocalStorageMap):
        raise Fault("vm-map", f"asks map {found.name!r}, of type {found.type}, for local storage")
    return found.local()
