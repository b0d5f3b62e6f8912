"""What the kernel says of a link: `struct bpf_link_info` of linux/bpf.h, by the link's type."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ebpfasm.isa.kinds import ATTACH_TYPES, LINK_TYPES
from ebpfasm.runtime import syscall
from ebpfasm.runtime.objects import object_info

# The whole of the structure, with what newer kernels may append, and where its parts begin.
_SIZE = 96
_HEAD = struct.Struct("=III")  # type, id, prog_id
_PART, _EVENT = 16, 24

_NAME_ROOM = 4096  # bytes: PATH_MAX, more than any other name

# enum bpf_perf_event_type
_EVENTS = ("unspec", "uprobe", "uretprobe", "kprobe", "kretprobe", "tracepoint", "event")
_PROBES = frozenset(_EVENTS[1:6])


@dataclass(frozen=True, slots=True)
class LinkInfo:
    """What the kernel says of an attachment. `id` is 0 where it is no kernel object (netlink).

    `ifindex` is 0 when the interface is gone, or where there is none. `details` are the fields
    that links of this type have besides (`struct bpf_link_info`), named as the kernel names
    them, attach types by name; those that this kernel does not tell are left out or 0.
    """

    id: int
    type: str
    program_id: int
    ifindex: int = 0
    details: Mapping[str, object] = field(default_factory=dict)


def read_link_info(fd: int) -> LinkInfo:
    """Ask the kernel about a link. Raises OSError."""
    raw = bytearray(_SIZE)
    object_info(fd, raw)
    kind, number, program = _HEAD.unpack_from(raw)
    type = LINK_TYPES.name_of(kind)
    reader = _READERS.get(type)
    details = reader(fd, raw) if reader is not None else {}
    ifindex = details.get("ifindex", 0)
    return LinkInfo(number, type, program, ifindex if isinstance(ifindex, int) else 0, details)


_Details = dict[str, object]


def _attach_type(number: int) -> str:
    return ATTACH_TYPES.name_of(number)


def _named(fd: int, raw: bytearray, place: int, length: int) -> str:
    """A name that the kernel writes where it is told to; `raw` is filled anew with the rest.

    Some kernels refuse it, where the file of a uprobe is out of sight for one: then it is empty.
    """
    name = bytearray(_NAME_ROOM)
    again = bytearray(_SIZE)
    struct.pack_into("=Q", again, place, syscall.address(name))
    struct.pack_into("=I", again, length, len(name))
    try:
        object_info(fd, again)
    except OSError as refusal:
        if refusal.errno == errno.EBADF:
            raise
        return ""
    raw[:] = again
    return name.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _raw_tracepoint(fd: int, raw: bytearray) -> _Details:
    name = _named(fd, raw, _PART, _PART + 8)
    (cookie,) = struct.unpack_from("=Q", raw, _PART + 16)
    return {"tp_name": name, "cookie": cookie}


def _tracing(fd: int, raw: bytearray) -> _Details:
    kind, target, btf, cookie = struct.unpack_from("=III4xQ", raw, _PART)
    return {
        "attach_type": _attach_type(kind),
        "target_obj_id": target,
        "target_btf_id": btf,
        "cookie": cookie,
    }


def _cgroup(fd: int, raw: bytearray) -> _Details:
    cgroup, kind = struct.unpack_from("=QI", raw, _PART)
    return {"cgroup_id": cgroup, "attach_type": _attach_type(kind)}


def _iter(fd: int, raw: bytearray) -> _Details:
    found: _Details = {"target_name": _named(fd, raw, _PART, _PART + 8)}
    match found["target_name"]:
        case "bpf_map_elem" | "bpf_sk_storage_map":
            found["map_id"] = struct.unpack_from("=I", raw, _PART + 12)[0]
        case "cgroup":
            cgroup, order = struct.unpack_from("=QI", raw, _PART + 16)
            found |= {"cgroup_id": cgroup, "order": order}
        case "task" | "task_file" | "task_vma":
            tid, pid = struct.unpack_from("=II", raw, _PART + 16)
            found |= {"tid": tid, "pid": pid}
        case _:
            pass
    return found


def _netns(fd: int, raw: bytearray) -> _Details:
    inode, kind = struct.unpack_from("=II", raw, _PART)
    return {"netns_ino": inode, "attach_type": _attach_type(kind)}


def _xdp(fd: int, raw: bytearray) -> _Details:
    return {"ifindex": struct.unpack_from("=I", raw, _PART)[0]}


def _on_interface(fd: int, raw: bytearray) -> _Details:
    ifindex, kind = struct.unpack_from("=II", raw, _PART)
    return {"ifindex": ifindex, "attach_type": _attach_type(kind)}


def _sockmap(fd: int, raw: bytearray) -> _Details:
    number, kind = struct.unpack_from("=II", raw, _PART)
    return {"map_id": number, "attach_type": _attach_type(kind)}


def _struct_ops(fd: int, raw: bytearray) -> _Details:
    return {"map_id": struct.unpack_from("=I", raw, _PART)[0]}


def _netfilter(fd: int, raw: bytearray) -> _Details:
    family, hook, priority, flags = struct.unpack_from("=IIiI", raw, _PART)
    return {"pf": family, "hooknum": hook, "priority": priority, "flags": flags}


def _kprobe_multi(fd: int, raw: bytearray) -> _Details:
    count, flags, missed = struct.unpack_from("=IIQ", raw, _PART + 8)
    return {"count": count, "flags": flags, "missed": missed}


def _uprobe_multi(fd: int, raw: bytearray) -> _Details:
    count, flags, pid = struct.unpack_from("=III", raw, _PART + 36)
    path = _named(fd, raw, _PART, _PART + 32)
    return {"path": path, "count": count, "flags": flags, "pid": pid}


def _tracing_multi(fd: int, raw: bytearray) -> _Details:
    kind, count, btf = struct.unpack_from("=III", raw, _PART)
    return {"attach_type": _attach_type(kind), "count": count, "btf_obj_id": btf}


def _perf_event(fd: int, raw: bytearray) -> _Details:
    (number,) = struct.unpack_from("=I", raw, _PART)
    kind = _EVENTS[number] if number < len(_EVENTS) else f"bpf_perf_event_type#{number}"
    if kind == "event":
        config, type, cookie = struct.unpack_from("=QI4xQ", raw, _EVENT)
        return {"event": kind, "config": config, "type": type, "cookie": cookie}
    if kind not in _PROBES:
        return {"event": kind}
    name = _named(fd, raw, _EVENT, _EVENT + 8)
    offset, *rest = struct.unpack_from("=IQQQ", raw, _EVENT + 12)
    match kind:
        case "tracepoint":
            return {"event": kind, "tp_name": name, "cookie": rest[0]}
        case "uprobe" | "uretprobe":
            return {"event": kind, "file_name": name, "offset": offset, "cookie": rest[0]}
        case _:
            address, missed, cookie = rest
            return {
                "event": kind, "func_name": name, "offset": offset, "addr": address,
                "missed": missed, "cookie": cookie,
            }  # fmt: skip


_READERS: dict[str, Callable[[int, bytearray], _Details]] = {
    "raw_tracepoint": _raw_tracepoint,
    "tracing": _tracing,
    "cgroup": _cgroup,
    "iter": _iter,
    "netns": _netns,
    "xdp": _xdp,
    "tcx": _on_interface,
    "netkit": _on_interface,
    "sockmap": _sockmap,
    "struct_ops": _struct_ops,
    "netfilter": _netfilter,
    "kprobe_multi": _kprobe_multi,
    "uprobe_multi": _uprobe_multi,
    "tracing_multi": _tracing_multi,
    "perf_event": _perf_event,
}
