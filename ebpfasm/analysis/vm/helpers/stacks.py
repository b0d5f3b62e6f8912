"""Helpers on call stacks, performance counters and branches."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.storage import object_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.maps.others import EventsMap
from ebpfasm.analysis.vm.maps.streams import StackTraceMap
from ebpfasm.analysis.vm.objects import Task
from ebpfasm.isa.constants import CONSTANTS

_SKIP, _USER = CONSTANTS["BPF_F_SKIP_FIELD_MASK"], CONSTANTS["BPF_F_USER_STACK"]
_BUILD_IDS = CONSTANTS["BPF_F_USER_BUILD_ID"]
_FAST, _REUSE = CONSTANTS["BPF_F_FAST_STACK_CMP"], CONSTANTS["BPF_F_REUSE_STACKID"]
_BRANCH = 24  # bytes of struct perf_branch_entry
_TELL_SIZE = CONSTANTS["BPF_F_GET_BRANCH_RECORDS_SIZE"]


def addresses(machine: Machine, flags: int, task: Task | None = None) -> tuple[int, ...]:
    """A call stack, innermost first: the test's, or the places where the program's frames are."""
    task = task if task is not None else machine.world.task
    if flags & _USER:
        return task.user_stack or ()
    if task.stack is not None:
        return task.stack
    engine = machine.engine
    return engine.places() if engine is not None else ()


def _fill(machine: Machine, buffer: int, size: int, flags: int, task: Task | None) -> int:
    view = machine.memory.view(buffer, size, write=True)
    result = _write(machine, view, flags, task)
    if result < 0:
        view[:] = bytes(len(view))
    return result


def _write(machine: Machine, view: memoryview, flags: int, task: Task | None) -> int:
    if flags & ~(_SKIP | _USER | _BUILD_IDS):
        return -errno.EINVAL
    if flags & _BUILD_IDS:
        if not flags & _USER:
            return -errno.EINVAL
        raise Fault("not-supported", "asks for build ids, which only a kernel has")
    if len(view) % 8:
        return -errno.EINVAL
    if flags & _USER and (task or machine.world.task).user_stack is None:
        return -errno.EFAULT
    stack = addresses(machine, flags, task)[flags & _SKIP :]
    if not stack:
        return -errno.EFAULT
    raw = b"".join(each.to_bytes(8, _ORDER) for each in stack[: len(view) // 8])
    view[:] = raw.ljust(len(view), b"\0")
    return len(raw)


@helper("get_stack")
def get_stack(machine: Machine, ctx: int, buffer: int, size: int, flags: int) -> int:
    """Copy the addresses of a call stack; return their bytes."""
    return _fill(machine, buffer, size & U32, flags, None)


@helper("get_task_stack")
def get_task_stack(machine: Machine, task: int, buffer: int, size: int, flags: int) -> int:
    """The same of a task."""
    return _fill(machine, buffer, size & U32, flags, object_at(machine, task, Task))


@helper("get_stackid")
def get_stackid(machine: Machine, ctx: int, map: int, flags: int) -> int:
    """Keep a call stack in a map; return its id."""
    found = machine.world.map_at(map)
    if not isinstance(found, StackTraceMap):
        raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as stack_trace")
    if flags & ~(_SKIP | _USER | _FAST | _REUSE):
        return -errno.EINVAL
    stack = addresses(machine, flags)[flags & _SKIP :][: found.depth]
    if not stack:
        return -errno.EFAULT
    raw = b"".join(each.to_bytes(8, _ORDER) for each in stack)
    mark = jhash2(raw)
    number = mark & found.buckets - 1
    old = found.stacks.get(number)
    if old is not None:
        same = old[0] == mark
        if same and (flags & _FAST or old[1] == stack):
            return number
        if not flags & _REUSE:
            return -errno.EEXIST
    found.stacks[number] = mark, stack
    return number


def jhash2(raw: bytes) -> int:
    """Jenkins' hash of 32-bit words (include/linux/jhash.h), beginning with 0."""
    words = [int.from_bytes(raw[at : at + 4], _ORDER) for at in range(0, len(raw), 4)]
    a = b = c = 0xDEADBEEF + (len(words) << 2) & U32
    while len(words) > 3:
        a, b, c = _mix(a + words[0] & U32, b + words[1] & U32, c + words[2] & U32)
        words = words[3:]
    if not words:
        return c
    rest = [*words, 0, 0][:3]
    return _final(a + rest[0] & U32, b + rest[1] & U32, c + rest[2] & U32)


def _left(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & U32


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    for by in (4, 6, 8, 16, 19, 4):
        a = (a - c & U32) ^ _left(c, by)
        c = c + b & U32
        a, b, c = b, c, a
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    for by in (14, 11, 25, 16, 4, 14, 24):
        c = (c ^ b) - _left(b, by) & U32
        a, b, c = b, c, a
    return b


# ---- counters


def _counter(machine: Machine, map: int, flags: int) -> tuple[int, int, int] | int:
    found = machine.world.map_at(map)
    if not isinstance(found, EventsMap):
        raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as perf events")
    if flags & ~U32:
        return -errno.EINVAL
    index = flags & U32
    if index == U32:
        index = machine.world.cpu
    if index >= found.max_entries:
        return -errno.E2BIG
    return machine.world.counters.get((found.name, index), -errno.ENOENT)


@helper("perf_event_read")
def perf_event_read(machine: Machine, map: int, flags: int) -> int:
    """A counter of the test's world."""
    found = _counter(machine, map, flags)
    return found if isinstance(found, int) else found[0]


@helper("perf_event_read_value")
def perf_event_read_value(machine: Machine, map: int, flags: int, buffer: int, size: int) -> int:
    """A counter with its times."""
    view = machine.memory.view(buffer, size & U32, write=True)
    found = _counter(machine, map, flags) if len(view) == 24 else -errno.EINVAL
    return _put_counter(view, found)


def _put_counter(view: memoryview, found: tuple[int, int, int] | int) -> int:
    if isinstance(found, int):
        view[:] = bytes(len(view))
        return found
    view[:] = b"".join(each.to_bytes(8, _ORDER) for each in found)
    return 0


@helper("perf_prog_read_value")
def perf_prog_read_value(machine: Machine, ctx: int, buffer: int, size: int) -> int:
    """The counter that the program is attached to: the test's under the name ""."""
    view = machine.memory.view(buffer, size & U32, write=True)
    found = machine.world.counters.get(("", 0), -errno.ENOENT)
    return _put_counter(view, found if len(view) == 24 else -errno.EINVAL)


@helper("read_branch_records")
def read_branch_records(machine: Machine, ctx: int, buffer: int, size: int, flags: int) -> int:
    """Copy the branches of a sample; with a flag, say how many bytes they have."""
    branches = machine.world.branches
    if flags & ~_TELL_SIZE:
        return -errno.EINVAL
    if not branches:
        return -errno.ENOENT
    if flags & _TELL_SIZE:
        return len(branches)
    if not buffer or size % _BRANCH:
        return -errno.EINVAL
    kept = branches[: size & U32]
    machine.memory.write(buffer, kept)
    return len(kept)


@helper("get_branch_snapshot")
def get_branch_snapshot(machine: Machine, buffer: int, size: int, flags: int) -> int:
    """Copy the last branches; return their bytes."""
    view = machine.memory.view(buffer, size & U32, write=True)
    if flags:
        return -errno.EINVAL
    kept = machine.world.branches[: len(view) // _BRANCH * _BRANCH]
    if not kept:
        return -errno.ENOENT
    view[: len(kept)] = kept
    return len(kept)
