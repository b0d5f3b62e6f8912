"""Helpers that run callbacks, and locks and timers."""

from __future__ import annotations

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.world import Timer
from ebpfasm.isa.constants import CONSTANTS

_CLOCKS = (0, 1, 7)  # CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME
_ABSOLUTE, _PINNED = CONSTANTS["BPF_F_TIMER_ABS"], CONSTANTS["BPF_F_TIMER_CPU_PIN"]
MAX_LOOPS = 8 * 1024 * 1024  # BPF_MAX_LOOPS


@helper("loop")
def loop(machine: Machine, count: int, callback: int, ctx: int, flags: int) -> int:
    """Call a function with 0, 1, 2, ... until it returns 1; return how many calls were made."""
    count &= U32
    if flags:
        return -errno.EINVAL
    if count > MAX_LOOPS:
        return -errno.E2BIG
    assert machine.engine is not None
    for index in range(count):
        if machine.engine.call(callback, index, ctx):
            return index + 1
    return count


@helper("spin_lock")
def spin_lock(machine: Machine, lock: int) -> int:
    """Take a lock. Raises Fault where one is held already."""
    machine.memory.view(lock, 4, write=True)
    if machine.lock:
        held = describe(machine.memory, machine.lock)
        raise Fault("vm-lock", f"takes a lock while {held} is held")
    machine.lock = lock
    return 0


@helper("spin_unlock")
def spin_unlock(machine: Machine, lock: int) -> int:
    """Give the lock back. Raises Fault where it is another one, or none."""
    if machine.lock != lock:
        held = describe(machine.memory, machine.lock) if machine.lock else "none"
        where = describe(machine.memory, lock)
        raise Fault("vm-lock", f"gives back the lock {where} while {held} is held")
    machine.lock = 0
    return 0


@helper("timer_init")
def timer_init(machine: Machine, timer: int, map: int, flags: int) -> int:
    """Make a timer in a map's value. Its clock is the world's, whichever the flags name."""
    machine.memory.view(timer, 16, write=True)
    machine.world.map_at(map)
    if flags not in _CLOCKS:
        return -errno.EINVAL
    if timer in machine.world.timers:
        return -errno.EBUSY
    machine.world.timers[timer] = Timer(map)
    return 0


@helper("timer_set_callback")
def timer_set_callback(machine: Machine, timer: int, callback: int) -> int:
    """Say what a timer calls."""
    found = machine.world.timers.get(timer)
    if found is None:
        return -errno.EINVAL
    machine.function_at(callback)
    found.callback = callback
    return 0


@helper("timer_start")
def timer_start(machine: Machine, timer: int, delay: int, flags: int) -> int:
    """Set a timer. It is recorded: the test sees when it would fire."""
    if flags & ~(_ABSOLUTE | _PINNED):
        return -errno.EINVAL
    found = machine.world.timers.get(timer)
    if found is None or not found.callback:
        return -errno.EINVAL
    found.due = delay if flags & _ABSOLUTE else machine.world.now + delay
    return 0


@helper("timer_cancel")
def timer_cancel(machine: Machine, timer: int) -> int:
    """Stop a timer; say whether it was set."""
    found = machine.world.timers.get(timer)
    if found is None:
        return -errno.EINVAL
    was_set, found.due = found.due is not None, None
    return int(was_set)
