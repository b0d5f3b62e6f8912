"""Helpers of cgroup_sysctl programs: the test's Sysctl has the name and the values."""

from __future__ import annotations

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.isa.constants import CONSTANTS

_BASE_NAME = CONSTANTS["BPF_F_SYSCTL_BASE_NAME"]
_MOST = 4095  # bytes of a value: a page less one


def _writes(machine: Machine) -> bool:
    return any(machine.ctx.host[0:4])


@helper("sysctl_get_name")
def sysctl_get_name(machine: Machine, ctx: int, buffer: int, length: int, flags: int) -> int:
    """Copy the name, the last part of it with a flag; return its length without the zero byte."""
    owner(machine, ctx, "bpf_sysctl")
    if not buffer:
        return -errno.EINVAL
    view = machine.memory.view(buffer, length, write=True)
    name = machine.world.sysctl.name
    shown = (name.rpartition("/")[2] if flags & _BASE_NAME else name).encode()
    if not length:
        return -errno.E2BIG
    kept = shown[: length - 1] + b"\0"
    view[: len(kept)] = kept
    return len(shown) if len(shown) < length else -errno.E2BIG


def _copy(view: memoryview, value: bytes) -> int:
    """Copy a value and zeros behind it; return its length, E2BIG where it was cut."""
    if not len(view):
        return -errno.E2BIG
    if not value:
        view[:] = bytes(len(view))
        return -errno.EINVAL
    if len(view) > len(value):
        view[:] = value.ljust(len(view), b"\0")
        return len(value)
    view[:] = value[: len(view) - 1] + b"\0"
    return -errno.E2BIG


@helper("sysctl_get_current_value")
def sysctl_get_current_value(machine: Machine, ctx: int, buffer: int, length: int) -> int:
    """Copy the value that there is."""
    owner(machine, ctx, "bpf_sysctl")
    if not buffer:
        return -errno.EINVAL
    view = machine.memory.view(buffer, length, write=True)
    return _copy(view, machine.world.sysctl.current)


@helper("sysctl_get_new_value")
def sysctl_get_new_value(machine: Machine, ctx: int, buffer: int, length: int) -> int:
    """Copy the value that is being written."""
    owner(machine, ctx, "bpf_sysctl")
    if not buffer:
        return -errno.EINVAL
    view = machine.memory.view(buffer, length, write=True)
    if not _writes(machine):
        view[:] = bytes(len(view))
        return -errno.EINVAL
    return _copy(view, machine.world.sysctl.new)


@helper("sysctl_set_new_value")
def sysctl_set_new_value(machine: Machine, ctx: int, buffer: int, length: int) -> int:
    """Write another value; the test's Sysctl has it then."""
    owner(machine, ctx, "bpf_sysctl")
    sysctl = machine.world.sysctl
    content = machine.memory.read(buffer, length) if buffer else b""
    if not _writes(machine) or not sysctl.new or not content:
        return -errno.EINVAL
    if length > _MOST:
        return -errno.E2BIG
    sysctl.new = content
    return 0
