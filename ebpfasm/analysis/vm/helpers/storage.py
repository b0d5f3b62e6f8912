"""Helpers on values that live with a socket, task, inode or cgroup."""

from __future__ import annotations

from typing import Any

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import helper
from ebpfasm.analysis.vm.helpers.sockets import socket_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.maps.objects import StorageMap
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.objects import Cgroup, Inode, Task
from ebpfasm.isa.constants import CONSTANTS

_CREATE = CONSTANTS["BPF_LOCAL_STORAGE_GET_F_CREATE"]


def _storage(machine: Machine, address: int, kind: str) -> StorageMap:
    found = machine.world.map_at(address)
    if not isinstance(found, StorageMap) or found.type != kind:
        raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as {kind}")
    return found


def object_at(machine: Machine, address: int, kind: type) -> Any:
    """The object of a kind that a program means, None for null. Raises Fault for another."""
    found = machine.world.objects.at(address)
    if address and not isinstance(found, kind):
        where = describe(machine.memory, address)
        raise Fault("vm-helper", f"gives {where} where a {kind.__name__.lower()} belongs")
    return found


def _get(machine: Machine, map: StorageMap, item: Any, value: int, flags: int) -> int:
    if flags & ~_CREATE or item is None:
        return 0
    initial = machine.memory.read(value, map.value_size) if value else None
    return map.of(item, initial, create=bool(flags & _CREATE))


def _delete(map: StorageMap, item: Any) -> int:
    return map.forget(item) if item is not None else -errno.EINVAL


@helper("sk_storage_get")
def sk_storage_get(machine: Machine, map: int, socket: int, value: int, flags: int) -> int:
    """The address of a socket's value, made with the flag; null where there is none."""
    found = _storage(machine, map, "sk_storage")
    item = socket_at(machine, socket)
    return _get(machine, found, item if item is not None and item.full else None, value, flags)


@helper("sk_storage_delete")
def sk_storage_delete(machine: Machine, map: int, socket: int) -> int:
    """Delete a socket's value."""
    found = _storage(machine, map, "sk_storage")
    item = socket_at(machine, socket)
    return _delete(found, item if item is not None and item.full else None)


@helper("task_storage_get")
def task_storage_get(machine: Machine, map: int, task: int, value: int, flags: int) -> int:
    """The address of a task's value."""
    found = _storage(machine, map, "task_storage")
    return _get(machine, found, object_at(machine, task, Task), value, flags)


@helper("task_storage_delete")
def task_storage_delete(machine: Machine, map: int, task: int) -> int:
    """Delete a task's value."""
    return _delete(_storage(machine, map, "task_storage"), object_at(machine, task, Task))


@helper("inode_storage_get")
def inode_storage_get(machine: Machine, map: int, inode: int, value: int, flags: int) -> int:
    """The address of an inode's value."""
    found = _storage(machine, map, "inode_storage")
    return _get(machine, found, object_at(machine, inode, Inode), value, flags)


@helper("inode_storage_delete")
def inode_storage_delete(machine: Machine, map: int, inode: int) -> int:
    """Delete an inode's value."""
    return _delete(_storage(machine, map, "inode_storage"), object_at(machine, inode, Inode))


@helper("cgrp_storage_get")
def cgrp_storage_get(machine: Machine, map: int, cgroup: int, value: int, flags: int) -> int:
    """The address of a cgroup's value."""
    found = _storage(machine, map, "cgrp_storage")
    return _get(machine, found, object_at(machine, cgroup, Cgroup), value, flags)


@helper("cgrp_storage_delete")
def cgrp_storage_delete(machine: Machine, map: int, cgroup: int) -> int:
    """Delete a cgroup's value."""
    return _delete(_storage(machine, map, "cgrp_storage"), object_at(machine, cgroup, Cgroup))
