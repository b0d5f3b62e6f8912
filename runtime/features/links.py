"""Attach types and link types: a link is asked for to what cannot exist, and the errno tells.

A kernel that can attach so complains of the target (EBADF for a descriptor, ENODEV for an
interface); one that cannot complains of the question (EINVAL, EOPNOTSUPP). Only trampolines are
attached for a moment, to functions that the kernel has for tests where it has them.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from types import MappingProxyType

from ebpfasm.frozen import dataclass
from ebpfasm.isa.kinds import ATTACH_TYPES, LINK_TYPES, AttachType, LinkType
from ebpfasm.isa.sections import SECTIONS
from ebpfasm.runtime import syscall
from ebpfasm.runtime.features.answer import (
    Answer,
    enumerators,
    name_of,
    not_allowed,
    undeclared,
)
from ebpfasm.runtime.features.attempt import Attempt, call, loaded, return_number
from ebpfasm.runtime.features.programs import Loading, loadable
from ebpfasm.runtime.refusals import ENOTSUPP

_NO_FD = 0xFFFF_FFFF
_NO_INTERFACE = 0x7FFF_FFFF
_TOO_MANY = 0xFFFF_FFFF
_NOWHERE = {errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP, errno.ENOSYS}
_NO_SYMBOL = b"ebpfasm_no_such_function\0"

Ask = Callable[[int, int], Attempt]  # a program's descriptor and an attach type's number


def _attach(program: int, attach: int) -> Attempt:
    return call(syscall.PROG_ATTACH, struct.pack("=IIII", _NO_FD, program, attach, 0))


def _link(program: int, attach: int) -> Attempt:
    return call(syscall.LINK_CREATE, struct.pack("=IIII", program, _NO_FD, attach, 0))


def _interface(program: int, attach: int) -> Attempt:
    return call(syscall.LINK_CREATE, struct.pack("=IIII", program, _NO_INTERFACE, attach, 0))


def _open(program: int, attach: int) -> Attempt:
    del attach
    return call(syscall.RAW_TRACEPOINT_OPEN, struct.pack("=QI4x", 0, program))


def _iterator(program: int, attach: int) -> Attempt:
    return call(syscall.LINK_CREATE, struct.pack("=IIII", program, 0, attach, 0))


def _functions(program: int, attach: int) -> Attempt:
    name = bytearray(_NO_SYMBOL)
    names = bytearray(struct.pack("=Q", syscall.address(name)))
    head = struct.pack("=IIII", program, 0, attach, 0)
    more = struct.pack("=IIQQQ", 0, 1, syscall.address(names), 0, 0)
    return call(syscall.LINK_CREATE, head + more)


def _types(program: int, attach: int) -> Attempt:
    ids = bytearray(4)
    head = struct.pack("=IIII", program, 0, attach, 0)
    more = struct.pack("=QQI4x", syscall.address(ids), 0, _TOO_MANY)
    return call(syscall.LINK_CREATE, head + more)


def _uprobes(program: int, attach: int) -> Attempt:
    path, offsets = bytearray(b"/\0"), bytearray(8)
    head = struct.pack("=IIII", program, _NO_FD, attach, 0)
    more = struct.pack(
        "=QQQQIIII", syscall.address(path), syscall.address(offsets), 0, 0, 1, 0, 0, 0
    )
    return call(syscall.LINK_CREATE, head + more)


def _family(program: int, attach: int) -> Attempt:
    head = struct.pack("=IIII", program, 0, attach, 0)
    return call(syscall.LINK_CREATE, head + struct.pack("=IIiI", 0xFF, 0, 0, 0))


def _none(program: int, attach: int) -> Attempt:
    """Nothing to ask: such programs are put into a map or a socket."""
    del program, attach
    return Attempt(0)


@dataclass(frozen=True, slots=True)
class Way:
    """How an attach type is asked for, and the errnos that are a yes (0: it was attached)."""

    ask: Ask
    yes: frozenset[int]
    what: str


_BADF = frozenset({errno.EBADF})
_BY_CGROUP = Way(_attach, _BADF, "attaching to a cgroup that is none")
_BY_MAP = Way(_attach, _BADF, "attaching to a socket map that is none")
_BY_NETNS = Way(_link, _BADF, "a link to a network namespace that is none")
_BY_INTERFACE = Way(
    _interface, frozenset({errno.ENODEV, errno.ENXIO}), "a link to an interface that is none"
)
_BY_TRAMPOLINE = Way(_open, frozenset({0}), "attaching to a kernel function")
_BY_TYPES = Way(_types, frozenset({errno.E2BIG}), "a link to more functions than there are")
_LOADED = Way(_none, frozenset({0}), "a program was loaded for it")

_WAYS: Mapping[str, Way] = MappingProxyType({
    "sk_skb_stream_parser": _BY_MAP, "sk_skb_stream_verdict": _BY_MAP, "sk_skb_verdict": _BY_MAP,
    "sk_msg_verdict": _BY_MAP,
    "lirc_mode2": Way(_attach, _BADF, "attaching to an infrared device that is none"),
    "flow_dissector": _BY_NETNS, "sk_lookup": _BY_NETNS,
    "tcx_ingress": _BY_INTERFACE, "tcx_egress": _BY_INTERFACE,
    "netkit_primary": _BY_INTERFACE, "netkit_peer": _BY_INTERFACE,
    "perf_event": Way(_link, _BADF, "a link to a perf event that is none"),
    "trace_raw_tp": _BY_TRAMPOLINE, "trace_fentry": _BY_TRAMPOLINE, "trace_fexit": _BY_TRAMPOLINE,
    "trace_fsession": _BY_TRAMPOLINE, "modify_return": _BY_TRAMPOLINE,
    "lsm_mac": _BY_TRAMPOLINE,
    "trace_fentry_multi": _BY_TYPES, "trace_fexit_multi": _BY_TYPES,
    "trace_fsession_multi": _BY_TYPES,
    "trace_iter": Way(_iterator, frozenset({0, errno.EBADF}), "a link to an iterator"),
    "trace_kprobe_multi": Way(
        _functions, frozenset({errno.ESRCH, errno.ENOENT}), "a link to a function that is none"
    ),
    "trace_kprobe_session": Way(
        _functions, frozenset({errno.ESRCH, errno.ENOENT}), "a link to a function that is none"
    ),
    "trace_uprobe_multi": Way(_uprobes, _BADF, "a link to a file that is a folder"),
    "trace_uprobe_session": Way(_uprobes, _BADF, "a link to a file that is a folder"),
    "netfilter": Way(
        _family, frozenset({errno.EAFNOSUPPORT}), "a link to a protocol family that is none"
    ),
    "struct_ops": Way(_link, _BADF, "a link to a map that is none"),
})  # fmt: skip

# Attach types that no section of libbpf's names, and the program type that they are for.
_OTHER_TYPES: Mapping[str, str] = MappingProxyType({"perf_event": "tracepoint"})


def attach_type(row: AttachType) -> Answer:
    """Whether programs can be attached so."""
    no = undeclared("bpf_attach_type", row.c_name, row.since)
    if no is not None:
        return no
    if row.name == "struct_ops":
        return _judged(row, _WAYS[row.name], _WAYS[row.name].ask(_NO_FD, row.id))
    way, attempt = loadable(row, _program_type(row.name))
    if row.name == "perf_event":
        way, attempt = Loading(way.program_type), Attempt(0)
    if not attempt.done:
        said = f": {attempt.reason}" if attempt.reason else ""
        evidence = f"loading a program for it answers {name_of(attempt.errno)}{said}"
        unclear = not_allowed(attempt.errno) or attempt.errno == errno.ENOENT
        return Answer(None if unclear else False, evidence, row.since)
    asked = _WAYS.get(row.name) or (_BY_CGROUP if "cgroup" in row.name else _LOADED)
    with ExitStack() as stack:
        _, fd = stack.enter_context(
            loaded(way.nothing, way.program_type, way.attach_type, btf_id=way.btf_id,
                   flags=way.flags)
        )  # fmt: skip
        return _judged(row, asked, asked.ask(fd, row.id))


def _judged(row: AttachType | LinkType, way: Way, attempt: Attempt) -> Answer:
    if way is _LOADED:
        # Kernels look at most of these numbers only since they know them all.
        known = enumerators("bpf_attach_type") is not None
        return Answer(True if known else None, way.what, row.since)
    outcome = "succeeds" if attempt.done else f"answers {name_of(attempt.errno)}"
    evidence = f"{way.what} {outcome}"
    if attempt.errno in way.yes:
        return Answer(True, evidence, row.since)
    if attempt.errno in _NOWHERE:
        return Answer(False, evidence, row.since)
    return Answer(None, evidence, row.since)


def _program_type(attach: str) -> str:
    found = (row.program_type for row in SECTIONS if row.attach_type == attach)
    return next(found, None) or _OTHER_TYPES.get(attach, "")


# The attach type whose answer is a link type's too.
_LINKS: Mapping[str, str] = MappingProxyType({
    "tracing": "trace_raw_tp", "iter": "trace_iter", "netns": "sk_lookup", "xdp": "xdp",
    "perf_event": "perf_event", "kprobe_multi": "trace_kprobe_multi", "struct_ops": "struct_ops",
    "netfilter": "netfilter", "tcx": "tcx_ingress", "uprobe_multi": "trace_uprobe_multi",
    "netkit": "netkit_primary", "tracing_multi": "trace_fentry_multi",
})  # fmt: skip


def link_type(row: LinkType, attach: Callable[[str], Answer]) -> Answer:
    """Whether there are links of a type; `attach` answers for an attach type."""
    no = undeclared("bpf_link_type", row.c_name, row.since)
    if no is not None:
        return no
    match row.name:
        case "raw_tracepoint":
            return _raw_tracepoint(row)
        case "cgroup":
            way = Way(_link, _BADF, "a link to a cgroup that is none")
            return _asked(row, way, "cgroup_skb", "cgroup_inet_ingress")
        case "sockmap":
            way = Way(_link, _BADF, "a link to a socket map that is none")
            return _asked(row, way, "sk_msg", "sk_msg_verdict")
        case name:
            found = attach(_LINKS[name])
            return Answer(found.supported, found.evidence, row.since)


def _asked(row: LinkType, way: Way, program_type: str, attach: str) -> Answer:
    with loaded(return_number(), program_type, attach) as (attempt, fd):
        if not attempt.done:
            return Answer(None, f"loading a program answers {name_of(attempt.errno)}", row.since)
        return _judged(row, way, way.ask(fd, ATTACH_TYPES.by_name[attach].id))


def _raw_tracepoint(row: LinkType) -> Answer:
    def ask(program: int, attach: int) -> Attempt:
        name = bytearray(_NO_SYMBOL)
        attributes = struct.pack("=QI4x", syscall.address(name), program)
        return call(syscall.RAW_TRACEPOINT_OPEN, attributes)

    way = Way(ask, frozenset({errno.ENOENT}), "opening a tracepoint that is none")
    with loaded(return_number(), "raw_tracepoint") as (attempt, fd):
        if not attempt.done:
            return Answer(None, f"loading a program answers {name_of(attempt.errno)}", row.since)
        return _judged(row, way, ask(fd, 0))


LINK_ROWS: Mapping[str, LinkType] = MappingProxyType(
    {row.name: row for row in LINK_TYPES if row.name != "unspec"}
)
