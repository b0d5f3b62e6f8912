"""Helpers on the kernel's own memory and tables, as far as the test supplies them."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.memory import Region, describe
from ebpfasm.analysis.vm.objects import Socket
from ebpfasm.analysis.vm.world import Event


def _per_cpu(machine: Machine, address: int) -> Region:
    region = machine.memory.find(address)
    if region is None or region.owner is not machine.world or address < region.address:
        where = describe(machine.memory, address)
        hint = 'supply the variable as bytes: symbols={"NAME": b"..."}'
        raise Fault("vm-helper", f"gives {where} where a per-CPU variable belongs", hint)
    return region


@helper("per_cpu_ptr")
def per_cpu_ptr(machine: Machine, variable: int, cpu: int) -> int:
    """A kernel variable on one processor, null where that is not there."""
    region = _per_cpu(machine, variable)
    cpu &= U32
    return variable + (cpu << region.shift) if cpu < machine.world.cpus else 0


@helper("this_cpu_ptr")
def this_cpu_ptr(machine: Machine, variable: int) -> int:
    """A kernel variable on this processor."""
    return per_cpu_ptr(machine, variable, machine.world.cpu)


@helper("kptr_xchg")
def kptr_xchg(machine: Machine, place: int, pointer: int) -> int:
    """Put a pointer into a map's value; return the one that was there."""
    view = machine.memory.view(place, 8, write=True)
    old = int.from_bytes(view, _ORDER)
    view[:] = pointer.to_bytes(8, _ORDER)
    if machine.world.graph is not None:
        from ebpfasm.analysis.vm.graph import exchanged

        exchanged(machine.world.graph, machine, pointer, old)
    machine.sockets.pop(pointer, None)
    if old and old not in machine.sockets and _is_socket(machine, old):
        machine.sockets[old] = 1
    return old


def _is_socket(machine: Machine, address: int) -> bool:
    return isinstance(machine.world.objects.at(address), Socket)


@helper("kallsyms_lookup_name")
def kallsyms_lookup_name(machine: Machine, name: int, size: int, flags: int, result: int) -> int:
    """The address of one of the test's symbols."""
    size = signed32(size)
    raw = machine.memory.read(name, max(size, 0))
    view = machine.memory.view(result, 8, write=True)
    view[:] = bytes(8)
    if signed32(flags) or size <= 1 or raw[-1]:
        return -errno.EINVAL
    found = machine.world.symbol(raw.split(b"\0", 1)[0].decode("utf-8", "replace"))
    if found is None:
        return -errno.ENOENT
    view[:] = (found & (1 << 64) - 1).to_bytes(8, _ORDER)
    return 0


@helper("sys_close")
def sys_close(machine: Machine, descriptor: int) -> int:
    """Record a descriptor that is closed."""
    machine.world.events.append(Event("sys_close", key=descriptor & U32))
    return 0


# ---- infrared remote controls


@helper("rc_keydown")
def rc_keydown(machine: Machine, ctx: int, protocol: int, scancode: int, toggle: int) -> int:
    """Record a key that was pressed."""
    data = scancode.to_bytes(8, _ORDER)
    event = Event("rc_keydown", data=data, key=protocol & U32, flags=int(toggle & U32 != 0))
    machine.world.events.append(event)
    return 0


@helper("rc_repeat")
def rc_repeat(machine: Machine, ctx: int) -> int:
    """Record that the last key is held down."""
    machine.world.events.append(Event("rc_repeat"))
    return 0


@helper("rc_pointer_rel")
def rc_pointer_rel(machine: Machine, ctx: int, x: int, y: int) -> int:
    """Record a movement."""
    data = b"".join(signed32(each).to_bytes(4, _ORDER, signed=True) for each in (x, y))
    machine.world.events.append(Event("rc_pointer_rel", data=data))
    return 0
