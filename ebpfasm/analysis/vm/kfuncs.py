"""Kernel functions of the machine: those that mean something without a kernel.

A test gives others by name, as it does for helpers: functions={"bpf_task_from_pid": f}.
"""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm import graph
from ebpfasm.analysis.vm.faults import Fault
from ebpfasm.analysis.vm.helpers import dynptrs
from ebpfasm.analysis.vm.helpers.control import MAX_LOOPS
from ebpfasm.analysis.vm.helpers.packets import owner
from ebpfasm.analysis.vm.helpers.registry import U32, signed32
from ebpfasm.analysis.vm.kfunc_table import KFUNCS, kfunc
from ebpfasm.analysis.vm.machine import Dynptr, Machine
from ebpfasm.analysis.vm.maps.streams import ArenaMap
from ebpfasm.analysis.vm.world import Timer

__all__ = ["KFUNCS", "call_kfunc", "graph"]


def call_kfunc(machine: Machine, name: str, arguments: list[int]) -> int:
    """Call a kernel function: the test's own where it gave one. Raises Fault."""
    own = machine.world.kfuncs.get(name)
    if own is not None:
        return int(own(machine, *arguments) or 0)
    found = KFUNCS.get(name)
    if found is None:
        raise Fault("not-supported", f"calls {name}, which exists only in a kernel")
    function, arity = found
    return function(machine, *arguments[:arity])


# ---- counting loops: struct bpf_iter_num holds the number at hand and the end


def _set_number(machine: Machine, place: int, at: int, end: int) -> None:
    raw = b"".join(each.to_bytes(4, _ORDER, signed=True) for each in (at, end))
    machine.memory.write(place, raw)


@kfunc("bpf_iter_num_new", 3)
def iter_num_new(machine: Machine, place: int, start: int, end: int) -> int:
    """Begin to count."""
    start, end = signed32(start), signed32(end)
    _set_number(machine, place, 0, 0)
    if start > end:
        return -errno.EINVAL
    if end - start > MAX_LOOPS:
        return -errno.E2BIG
    _set_number(machine, place, signed32(start - 1), end)
    return 0


@kfunc("bpf_iter_num_next", 1)
def iter_num_next(machine: Machine, place: int) -> int:
    """The address of the next number, null at the end."""
    raw = machine.memory.read(place, 8)
    at, end = (int.from_bytes(raw[i : i + 4], _ORDER, signed=True) for i in (0, 4))
    if signed32(at + 1) >= end:
        _set_number(machine, place, 0, 0)
        return 0
    _set_number(machine, place, signed32(at + 1), end)
    return place


@kfunc("bpf_iter_num_destroy", 1)
def iter_num_destroy(machine: Machine, place: int) -> int:
    """Stop counting."""
    _set_number(machine, place, 0, 0)
    return 0


# ---- sections of code in which nothing else runs: here nothing else ever does


def _enter(name: str) -> None:
    @kfunc(name, 0)
    def nothing(machine: Machine) -> int:
        return 0


for _name in ("rcu_read_lock", "rcu_read_unlock", "preempt_disable", "preempt_enable"):
    _enter(f"bpf_{_name}")


# ---- dynptrs


def _from_packet(machine: Machine, ctx: int, flags: int, place: int, kind: str) -> int:
    owner(machine, ctx, "xdp_md" if kind == "xdp" else "__sk_buff")
    if flags:
        dynptrs.make(machine, place, dynptrs.nothing())
        return -errno.EINVAL
    read_only = kind == "skb" and machine.linked.type not in _WRITE_PACKETS
    made = Dynptr(kind, 0, machine.packet.length, read_only=read_only)
    dynptrs.make(machine, place, made)
    return 0


# Types that may write packets directly, of those that see an skb.
_WRITE_PACKETS = frozenset({"sched_cls", "sched_act", "lwt_xmit", "sk_skb", "cgroup_skb"})


@kfunc("bpf_dynptr_from_skb", 3)
def dynptr_from_skb(machine: Machine, ctx: int, flags: int, place: int) -> int:
    """A dynptr about the packet."""
    return _from_packet(machine, ctx, flags, place, "skb")


@kfunc("bpf_dynptr_from_xdp", 3)
def dynptr_from_xdp(machine: Machine, ctx: int, flags: int, place: int) -> int:
    """A dynptr about the frame."""
    return _from_packet(machine, ctx, flags, place, "xdp")


def _slice(machine: Machine, place: int, offset: int, length: int, *, write: bool) -> int:
    found = dynptrs.dynptr_at(machine, place)
    offset, length = offset & U32, length & U32
    if found.kind == "null" or dynptrs.outside(found, offset, length):
        return 0
    if write and found.read_only:
        return 0
    if dynptrs.is_packet(found):
        return machine.packet.address(machine.packet.data + found.offset + offset)
    return found.address + found.offset + offset


@kfunc("bpf_dynptr_slice", 4)
def dynptr_slice(machine: Machine, place: int, offset: int, buffer: int, length: int) -> int:
    """The address of a slice: all of it is in one piece here, and no buffer is needed."""
    return _slice(machine, place, offset, length, write=False)


@kfunc("bpf_dynptr_slice_rdwr", 4)
def dynptr_slice_rdwr(machine: Machine, place: int, offset: int, buffer: int, length: int) -> int:
    """The same, of memory that may be written."""
    return _slice(machine, place, offset, length, write=True)


@kfunc("bpf_dynptr_size", 1)
def dynptr_size(machine: Machine, place: int) -> int:
    """How many bytes it stands for."""
    found = dynptrs.dynptr_at(machine, place)
    return found.size if found.kind != "null" else -errno.EINVAL


@kfunc("bpf_dynptr_is_null", 1)
def dynptr_is_null(machine: Machine, place: int) -> int:
    """Whether it stands for no memory."""
    return int(dynptrs.dynptr_at(machine, place).kind == "null")


@kfunc("bpf_dynptr_is_rdonly", 1)
def dynptr_is_rdonly(machine: Machine, place: int) -> int:
    """Whether it can only be read."""
    found = dynptrs.dynptr_at(machine, place)
    return int(found.kind != "null" and found.read_only)


@kfunc("bpf_dynptr_adjust", 3)
def dynptr_adjust(machine: Machine, place: int, start: int, end: int) -> int:
    """Let it stand for a part only."""
    found = dynptrs.dynptr_at(machine, place)
    start, end = start & U32, end & U32
    if found.kind == "null" or start > end:
        return -errno.EINVAL
    if start > found.size or end > found.size:
        return -errno.ERANGE
    found.offset += start
    found.size = end - start
    dynptrs.make(machine, place, found)
    return 0


@kfunc("bpf_dynptr_clone", 2)
def dynptr_clone(machine: Machine, place: int, clone: int) -> int:
    """Make a second one about the same memory."""
    found = dynptrs.dynptr_at(machine, place)
    if found.kind == "null":
        dynptrs.make(machine, clone, dynptrs.nothing())
        return -errno.EINVAL
    copy = Dynptr(found.kind, found.address, found.size, found.offset, found.read_only)
    dynptrs.make(machine, clone, copy)
    return 0


# ---- arenas


def _arena(machine: Machine, address: int) -> ArenaMap:
    found = machine.world.map_at(address)
    if not isinstance(found, ArenaMap):
        raise Fault("vm-map", f"uses map {found.name!r}, of type {found.type}, as an arena")
    return found


@kfunc("bpf_arena_alloc_pages", 5)
def arena_alloc_pages(
    machine: Machine, map: int, wanted: int, count: int, node: int, flags: int
) -> int:
    """The address of pages in a row, null where there are none."""
    found, count = _arena(machine, map), count & U32
    if flags or not count or wanted % 4096:
        return 0
    return found.allocate(wanted, count)


@kfunc("bpf_arena_free_pages", 3)
def arena_free_pages(machine: Machine, map: int, address: int, count: int) -> int:
    """Give pages back."""
    _arena(machine, map).release(address, count & U32)
    return 0


# ---- work that is done later: when the test lets time pass


@kfunc("bpf_wq_init", 3)
def wq_init(machine: Machine, work: int, map: int, flags: int) -> int:
    """Make a work item in a map's value."""
    machine.memory.view(work, 16, write=True)
    machine.world.map_at(map)
    if flags:
        return -errno.EINVAL
    if work in machine.world.timers:
        return -errno.EBUSY
    machine.world.timers[work] = Timer(map)
    return 0


@kfunc("bpf_wq_set_callback_impl", 3)
def wq_set_callback(machine: Machine, work: int, callback: int, flags: int) -> int:
    """Say what the work is."""
    found = machine.world.timers.get(work)
    if flags or found is None:
        return -errno.EINVAL
    machine.function_at(callback)
    found.callback = callback
    return 0


@kfunc("bpf_wq_start", 2)
def wq_start(machine: Machine, work: int, flags: int) -> int:
    """Have it done."""
    found = machine.world.timers.get(work)
    if flags or found is None or not found.callback:
        return -errno.EINVAL
    found.due = machine.world.now
    return 0
