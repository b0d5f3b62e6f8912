"""Tracepoints: formatted (perf event), raw (BPF_RAW_TRACEPOINT_OPEN), and with BTF types."""

from __future__ import annotations

import errno
import struct
from typing import TYPE_CHECKING

from ebpfasm.errors import unsupported
from ebpfasm.runtime import syscall
from ebpfasm.runtime.attach.failures import check_type, failed, impossible
from ebpfasm.runtime.attach.numbers import check_cookie
from ebpfasm.runtime.attach.perf import attach_to, open_or_fail
from ebpfasm.runtime.attach.tracefs import event_id, no_tracepoint
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.perf_event import TRACEPOINT, PerfEvent
from ebpfasm.runtime.refusals import TRACING

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_OPEN = struct.Struct("=QI4xQ")  # name, program, cookie
_OPEN_SHORT = struct.Struct("=QI")  # before Linux 6.10


def attach_tracepoint(program: Attachable, category: str, name: str, *, cookie: int) -> Link:
    """Attach to a tracepoint; `Program.attach_tracepoint` tells how."""
    check_type(program, "tracepoint")
    where = f"tracepoint {category}/{name}"
    event = PerfEvent(TRACEPOINT, event_id(category, name), period=1)
    return attach_to(program, open_or_fail(program, event, where), where, cookie=cookie)


def attach_raw_tracepoint(program: Attachable, name: str, *, cookie: int) -> Link:
    """Attach to a raw tracepoint; `Program.attach_raw_tracepoint` tells how."""
    check_type(program, "raw_tracepoint", "raw_tracepoint_writable", "tracing")
    if program.type == "tracing":
        if program.spec.attach_type not in ("trace_raw_tp", ""):
            raise impossible(program, f"it was loaded for {program.spec.attach_type}")
        if name and name != program.spec.attach_target:
            target = program.spec.attach_target
            raise impossible(program, f"it was loaded for the tracepoint {target}, not {name}")
        where = f"raw tracepoint {program.spec.attach_target}"
        return BpfLink("raw_tracepoint", open_by_name(program, "", where, cookie), where)
    plain = name.rpartition("/")[2]  # the category is no part of a raw tracepoint's name
    where = f"raw tracepoint {plain}"
    try:
        fd = open_by_name(program, plain, where, cookie)
    except OSError:
        raise no_tracepoint(plain) from None
    return BpfLink("raw_tracepoint", fd, where)


def open_by_name(program: Attachable, name: str, where: str, cookie: int = 0) -> int:
    """Call BPF_RAW_TRACEPOINT_OPEN; without a name for what the program was loaded for.

    Raises FileNotFoundError where there is no such tracepoint, LoadError for other reasons,
    NotSupported for a cookie before Linux 6.10, ValueError for none.
    """
    check_cookie(cookie)
    text = bytearray(name.encode() + b"\0") if name else bytearray()
    place = syscall.address(text)
    packed = (
        _OPEN.pack(place, program.fd, cookie) if cookie else _OPEN_SHORT.pack(place, program.fd)
    )
    try:
        return syscall.bpf(syscall.RAW_TRACEPOINT_OPEN, bytearray(packed))
    except FileNotFoundError:
        raise
    except OSError as refusal:
        number = refusal.errno or 0
        if cookie and number in (errno.EINVAL, errno.E2BIG):
            raise unsupported("a cookie for a raw tracepoint", "6.10") from None
        why = ""
        if number == errno.EINVAL and name:
            why = "the program reads or writes more than this tracepoint passes"
        raise failed(program, where, number, why=why, needs=TRACING) from None
