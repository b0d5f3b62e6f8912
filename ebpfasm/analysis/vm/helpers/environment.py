"""Helpers on time, chance, the processor and the task: what the test's world says."""

from __future__ import annotations

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.world import Event

HERTZ = 250


@helper("ktime_get_ns", "ktime_get_boot_ns", "ktime_get_coarse_ns", "ktime_get_tai_ns")
def ktime_get_ns(machine: Machine) -> int:
    """The world's clock."""
    return machine.world.now


@helper("jiffies64")
def jiffies64(machine: Machine) -> int:
    """The world's clock in 1/250 of a second."""
    return machine.world.now * HERTZ // 1_000_000_000


@helper("get_prandom_u32")
def get_prandom_u32(machine: Machine) -> int:
    """The world's next random number."""
    return machine.world.random_u32()


@helper("get_smp_processor_id")
def get_smp_processor_id(machine: Machine) -> int:
    """The world's processor."""
    return machine.world.cpu


@helper("get_numa_node_id")
def get_numa_node_id(machine: Machine) -> int:
    """There is one node."""
    return 0


@helper("get_current_pid_tgid")
def get_current_pid_tgid(machine: Machine) -> int:
    """The task's process and thread."""
    task = machine.world.task
    return task.tgid << 32 | task.pid & U32


@helper("get_current_uid_gid")
def get_current_uid_gid(machine: Machine) -> int:
    """The task's group and user."""
    task = machine.world.task
    return task.gid << 32 | task.uid & U32


@helper("get_current_comm")
def get_current_comm(machine: Machine, buffer: int, size: int) -> int:
    """The task's name, cut to the buffer, the rest of it zero."""
    size &= U32
    if not size:
        return -errno.EINVAL
    view = machine.memory.view(buffer, size, write=True)
    view[:] = machine.world.task.comm[: min(size, 16) - 1].ljust(size, b"\0")
    return 0


@helper("get_current_cgroup_id")
def get_current_cgroup_id(machine: Machine) -> int:
    """The task's cgroup."""
    return machine.world.task.cgroup_id


@helper("send_signal", "send_signal_thread")
def send_signal(machine: Machine, signal: int) -> int:
    """Record a signal."""
    machine.world.events.append(Event("signal", key=signal & U32))
    return 0


@helper("get_retval")
def get_retval(machine: Machine) -> int:
    """What the programs before this one returned."""
    return machine.world.retval


@helper("set_retval")
def set_retval(machine: Machine, value: int) -> int:
    """Say what the system call shall return."""
    machine.world.retval = value & U32
    return 0


@helper("get_attach_cookie", "get_func_ip")
def get_attach_cookie(machine: Machine, ctx: int) -> int:
    """The world's cookie."""
    return machine.world.cookie
