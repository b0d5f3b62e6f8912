"""Helpers on tasks, their memory and cgroups, files and inodes: what the test's objects say."""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, helper, signed32
from ebpfasm.analysis.vm.helpers.sockets import cgroup_of, context_socket
from ebpfasm.analysis.vm.helpers.storage import object_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.maps.map import VmMap
from ebpfasm.analysis.vm.memory import describe
from ebpfasm.analysis.vm.objects import Cgroup, File, Inode, Path, Task
from ebpfasm.analysis.vm.world import Event
from ebpfasm.isa.constants import CONSTANTS

_SECURE_EXEC = CONSTANTS["BPF_F_BPRM_SECUREEXEC"]


# ---- the task


@helper("get_current_task", "get_current_task_btf")
def get_current_task(machine: Machine) -> int:
    """The test's task. What can be read of it is what its `memory` has."""
    return machine.world.objects.place(machine.world.task)


@helper("get_ns_current_pid_tgid")
def get_ns_current_pid_tgid(machine: Machine, device: int, inode: int, info: int, size: int) -> int:
    """The task's numbers in a namespace that the test's Task knows."""
    view = machine.memory.view(info, size & U32, write=True)
    found = machine.world.task.namespaces.get((device, inode))
    if len(view) != 8 or found is None:
        view[:] = bytes(len(view))
        return -errno.EINVAL
    view[:] = b"".join(each.to_bytes(4, _ORDER) for each in found)
    return 0


@helper("task_pt_regs")
def task_pt_regs(machine: Machine, task: int) -> int:
    """The task's registers, as far as the test supplies their bytes."""
    found = object_at(machine, task, Task)
    return machine.world.objects.place(found, "pt_regs") if found is not None else 0


@helper("find_vma")
def find_vma(machine: Machine, task: int, address: int, callback: int, ctx: int, flags: int) -> int:
    """Call a function with the area of the task's memory that holds an address."""
    found = object_at(machine, task, Task)
    if flags:
        return -errno.EINVAL
    areas = found.areas if found is not None else ()
    area = next((each for each in areas if each.start <= address < each.end), None)
    if area is None:
        return -errno.ENOENT
    assert machine.engine is not None
    machine.engine.call(callback, task, machine.world.objects.place(area), ctx)
    return 0


@helper("probe_write_user")
def probe_write_user(machine: Machine, to: int, source: int, length: int) -> int:
    """Write memory of the world; EFAULT where there is none, EPERM where it is the program's."""
    content = machine.memory.read(source, length & U32)
    region = machine.memory.find(to)
    if region is not None and region.kind != "data":
        return -errno.EPERM
    try:
        machine.memory.write(to, content)
    except Fault:
        return -errno.EFAULT
    return 0


@helper("copy_from_user_task")
def copy_from_user_task(
    machine: Machine, to: int, size: int, source: int, task: int, flags: int
) -> int:
    """Copy memory of the world; where there is none, write zeros and say EFAULT."""
    view = machine.memory.view(to, size & U32, write=True)
    object_at(machine, task, Task)
    if flags:
        return -errno.EINVAL
    try:
        view[:] = machine.memory.read(source, len(view))
    except Fault:
        view[:] = bytes(len(view))
        return -errno.EFAULT
    return 0


# ---- cgroups


@helper("get_current_ancestor_cgroup_id")
def get_current_ancestor_cgroup_id(machine: Machine, level: int) -> int:
    """An ancestor of the task's cgroup, 0 where it has none at that depth."""
    return machine.world.task.cgroup.ancestor(signed32(level))


@helper("get_cgroup_classid")
def get_cgroup_classid(machine: Machine, skb: int) -> int:
    """The net_cls class of the task."""
    return machine.world.task.classid


@helper("skb_cgroup_classid")
def skb_cgroup_classid(machine: Machine, skb: int) -> int:
    """The net_cls class of the packet's socket: no socket of the world has one."""
    owner(machine, skb, "__sk_buff")
    return 0


def _under(machine: Machine, found: VmMap, index: int, cgroup: Cgroup) -> int:
    if found.type != "cgroup_array":
        raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as cgroup_array")
    if index >= found.max_entries:
        return -errno.E2BIG
    raw = found.read(index.to_bytes(4, _ORDER))
    if raw is None:
        return -errno.EAGAIN
    return int(int.from_bytes(raw, _ORDER) in (*cgroup.ancestors, cgroup.id))


@helper("current_task_under_cgroup")
def current_task_under_cgroup(machine: Machine, map: int, index: int) -> int:
    """Whether the task is below a cgroup; the map's values are cgroups' ids."""
    found = machine.world.map_at(map)
    return _under(machine, found, index & U32, machine.world.task.cgroup)


@helper("skb_under_cgroup")
def skb_under_cgroup(machine: Machine, skb: int, map: int, index: int) -> int:
    """Whether the packet's socket is below a cgroup."""
    cgroup = cgroup_of(context_socket(machine, skb))
    if cgroup is None:
        return -errno.ENOENT
    return _under(machine, machine.world.map_at(map), index & U32, cgroup)


# ---- files


@helper("d_path")
def d_path(machine: Machine, path: int, buffer: int, size: int) -> int:
    """Copy a path's name; return its length with the zero byte."""
    view = machine.memory.view(buffer, size & U32, write=True)
    if not len(view):
        return 0
    found = machine.world.objects.at(path)
    if not isinstance(found, Path | File):
        where = describe(machine.memory, path)
        raise Fault("vm-helper", f"gives {where} where a path belongs")
    name = (found.name if isinstance(found, Path) else found.path).encode() + b"\0"
    if len(name) > len(view):
        return -errno.ENAMETOOLONG
    view[: len(name)] = name
    return len(name)


def _hash(view: memoryview, known: tuple[int, bytes] | None) -> int:
    if known is None:
        return -errno.EOPNOTSUPP
    number, digest = known
    kept = digest[: len(view)]
    view[: len(kept)] = kept
    return number


@helper("ima_inode_hash")
def ima_inode_hash(machine: Machine, inode: int, to: int, size: int) -> int:
    """Copy the hash that the test's Inode has; return its algorithm's number."""
    view = machine.memory.view(to, size & U32, write=True)
    found = object_at(machine, inode, Inode)
    return _hash(view, found.ima if found is not None else None)


@helper("ima_file_hash")
def ima_file_hash(machine: Machine, file: int, to: int, size: int) -> int:
    """Copy the hash that the test's File, or its Inode, has."""
    view = machine.memory.view(to, size & U32, write=True)
    found = object_at(machine, file, File)
    if found is None:
        return -errno.EOPNOTSUPP
    known = found.ima or (found.inode.ima if found.inode is not None else None)
    return _hash(view, known)


@helper("bprm_opts_set")
def bprm_opts_set(machine: Machine, bprm: int, flags: int) -> int:
    """Record the options of a program that is being executed."""
    if flags & ~_SECURE_EXEC:
        return -errno.EINVAL
    machine.world.events.append(Event("bprm_opts_set", flags=flags))
    return 0


# ---- traced functions


@helper("override_return")
def override_return(machine: Machine, regs: int, value: int) -> int:
    """Record what the probed function shall return."""
    machine.world.events.append(Event("override_return", key=value))
    return 0


def _arguments(machine: Machine, ctx: int) -> list[int]:
    """The arguments of a traced function: the context's numbers."""
    if ctx != machine.ctx.address:
        where = describe(machine.memory, ctx)
        raise Fault("vm-helper", f"gives {where} where the context belongs")
    host = machine.ctx.host
    return [int.from_bytes(host[at : at + 8], _ORDER) for at in range(0, len(host) - 7, 8)]


def _returns(machine: Machine) -> bool:
    """Whether the context's last number is what the function returned."""
    kind = machine.linked.program.attach_type
    return kind in ("trace_fexit", "modify_return", "trace_fsession")


@helper("get_func_arg")
def get_func_arg(machine: Machine, ctx: int, index: int, to: int) -> int:
    """Copy an argument of the traced function."""
    arguments = _arguments(machine, ctx)
    count = len(arguments) - _returns(machine)
    if index & U32 >= count:
        return -errno.EINVAL
    machine.memory.write(to, arguments[index & U32].to_bytes(8, _ORDER))
    return 0


@helper("get_func_ret")
def get_func_ret(machine: Machine, ctx: int, to: int) -> int:
    """Copy what the traced function returned: the last number of the context."""
    if not _returns(machine):
        return -errno.EOPNOTSUPP
    machine.memory.write(to, _arguments(machine, ctx)[-1].to_bytes(8, _ORDER))
    return 0


@helper("get_func_arg_cnt")
def get_func_arg_cnt(machine: Machine, ctx: int) -> int:
    """How many arguments the traced function has."""
    return len(_arguments(machine, ctx)) - _returns(machine)
