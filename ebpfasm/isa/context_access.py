"""Which fields of its context a program may write, by program type and attach type.

The rows follow the kernel's `is_valid_access` of each type (net/core/filter.c,
kernel/bpf/cgroup.c, kernel/trace/bpf_trace.c) as of Linux 6.18. Fields are those of
ebpfasm.isa.contexts.

>>> sorted(writable_fields("cgroup_sock_addr", "cgroup_inet4_bind"))
['user_ip4', 'user_port']
>>> writable_fields("xdp", "xdp")
frozenset()
"""

from __future__ import annotations

from ebpfasm.isa import contexts

_NONE: frozenset[str] = frozenset()
_PACKET = frozenset({"mark", "priority", "cb"})
_CLASSIFIER = _PACKET | {"queue_mapping", "tc_index", "tc_classid", "tstamp"}
_SOCKET = frozenset({"bound_dev_if", "mark", "priority"})

# Types that the kernel lets write the whole context: a system call program's is its own memory,
# uprobes may change registers since 6.18, and bare code has no type.
_EVERYTHING = frozenset({"syscall", "kprobe", "ext", "unspec", ""})

_BY_TYPE: dict[str, frozenset[str]] = {
    "socket_filter": frozenset({"cb"}),
    "sched_cls": _CLASSIFIER,
    "sched_act": _CLASSIFIER,
    "cgroup_skb": _PACKET | {"tstamp"},
    "lwt_in": _PACKET,
    "lwt_out": _PACKET,
    "lwt_xmit": _PACKET,
    "lwt_seg6local": _PACKET,
    "sk_skb": frozenset({"priority", "tc_index"}),
    "sock_ops": frozenset({"reply", "replylong", "sk_txhash"}),
    "cgroup_sock": _SOCKET,
    "cgroup_sysctl": frozenset({"file_pos"}),
    "cgroup_sockopt": frozenset({"optlen"}),
    "cgroup_sock_addr": frozenset({"user_port"}),
}  # fmt: skip

# What an attach type adds.
_MORE: dict[str, frozenset[str]] = {
    **dict.fromkeys(
        (f"cgroup_{hook}" for hook in (
            "inet4_bind", "inet4_connect", "inet4_getpeername", "inet4_getsockname",
            "udp4_sendmsg", "udp4_recvmsg",
        )),
        frozenset({"user_ip4"}),
    ),
    **dict.fromkeys(
        (f"cgroup_{hook}" for hook in (
            "inet6_bind", "inet6_connect", "inet6_getpeername", "inet6_getsockname",
            "udp6_sendmsg", "udp6_recvmsg",
        )),
        frozenset({"user_ip6"}),
    ),
    "cgroup_getsockopt": frozenset({"retval"}),
    "cgroup_setsockopt": frozenset({"level", "optname"}),
}  # fmt: skip
_MORE["cgroup_udp4_sendmsg"] |= {"msg_src_ip4"}
_MORE["cgroup_udp6_sendmsg"] |= {"msg_src_ip6"}

# Hooks that only look on.
_READ_ONLY = frozenset({"cgroup_inet4_post_bind", "cgroup_inet6_post_bind"})


def writable_fields(program_type: str, attach_type: str = "") -> frozenset[str] | None:
    """Name the fields that a program may write; None where it may write every byte."""
    if program_type in _EVERYTHING:
        return None
    if attach_type in _READ_ONLY:
        return _NONE
    return _BY_TYPE.get(program_type, _NONE) | _MORE.get(attach_type, _NONE)


def writable_ranges(
    program_type: str, attach_type: str, struct: str
) -> tuple[tuple[int, int], ...] | None:
    """The same as offsets in the struct: (first, past the last) of each field or union."""
    names = writable_fields(program_type, attach_type)
    if names is None:
        return None
    found: list[tuple[int, int]] = []
    owner = contexts.struct(struct)
    fields = owner.fields if owner is not None else ()
    for field in sorted(fields, key=lambda each: each.offset):
        if field.name not in names:
            continue
        low, high = field.offset, field.offset + field.size
        if found and low < found[-1][1]:
            low, high = found[-1][0], max(high, found.pop()[1])
        found.append((low, high))
    return tuple(found)
