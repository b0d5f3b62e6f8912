"""Uprobes: functions of programs and libraries, one by a perf event or many by a link; USDT."""

from __future__ import annotations

import errno
import itertools
import os
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ebpfasm.errors import unsupported
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links, syscall
from ebpfasm.runtime.attach.binaries import Place, find_binary, find_function, find_functions
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_attach_type,
    check_type,
    failed,
    has_link_type,
    impossible,
    no_links,
)
from ebpfasm.runtime.attach.kprobes import attach_to_probe, write_probe
from ebpfasm.runtime.attach.numbers import packed_cookies
from ebpfasm.runtime.attach.perf import attach_to, open_or_fail
from ebpfasm.runtime.attach.tracefs import tracefs
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.perf_event import PerfEvent, pmu_shift, pmu_type
from ebpfasm.runtime.refusals import TRACING

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_counter = itertools.count()
# path, offsets, reference counters, cookies, count, flags, process
_MULTI = struct.Struct("=QQQQIIII")


def attach_uprobe(
    program: Attachable,
    binary: str | os.PathLike[str],
    function: str | int,
    *,
    pid: int | None,
    retprobe: bool,
    cookie: int,
    via: str,
) -> Link:
    """Attach to a function in user space; `Program.attach_uprobe` tells how. Raises ValueError."""
    check_type(program, "kprobe")
    if via not in ("auto", "perf", "tracefs"):
        raise ValueError(f"via is auto, perf or tracefs, not {via!r}")
    path = find_binary(program, os.fspath(binary), pid)
    name = function if isinstance(function, str) else hex(function)
    place = find_function(program, path, name)
    return attach_at(program, place, pid=pid, retprobe=retprobe, cookie=cookie, via=via)


def attach_at(
    program: Attachable,
    place: Place,
    *,
    pid: int | None,
    retprobe: bool = False,
    cookie: int = 0,
    counter: int = 0,
    via: str = "auto",
) -> Link:
    """Attach at a place in a file; `counter` is the place there of a reference counter.

    Raises LoadError, NotSupported.
    """
    kind = "uretprobe" if retprobe else "uprobe"
    where = f"{kind} {place.path}:{place.name}"
    pmu = pmu_type("uprobe") if via != "tracefs" else None
    if pmu is not None:
        fd = _open(program, pmu, place, pid, retprobe, counter, where)
        return attach_to(program, fd, where, cookie=cookie)
    if via == "perf":
        raise unsupported("attaching to a uprobe by perf_event_open (Linux 4.17)")
    return _by_tracefs(program, place, pid, retprobe, cookie, counter, where)


def _open(
    program: Attachable,
    pmu: int,
    place: Place,
    pid: int | None,
    retprobe: bool,
    counter: int,
    where: str,
) -> int:
    text = bytearray(os.fsencode(place.path) + b"\0")
    config = 1 << pmu_shift("uprobe", "retprobe") if retprobe else 0
    if counter:
        config |= counter << pmu_shift("uprobe", "ref_ctr_offset")
    event = PerfEvent(pmu, config, syscall.address(text), place.offset)
    why = {errno.EINVAL: "there is no code at this place in the file, or none to be probed"}
    process, cpu = (-1, 0) if pid is None else (pid, -1)
    return open_or_fail(program, event, where, pid=process, cpu=cpu, why=why)


def _by_tracefs(
    program: Attachable,
    place: Place,
    pid: int | None,
    retprobe: bool,
    cookie: int,
    counter: int,
    where: str,
) -> Link:
    control = tracefs() / "uprobe_events"
    if not control.exists():
        hint = "use a kernel built with CONFIG_UPROBES"
        raise unsupported("attaching to a uprobe (CONFIG_UPROBES)", hint=hint)
    event = f"uprobe_{os.getpid()}_{next(_counter)}"
    counted = f"({counter:#x})" if counter else ""
    order = f"{'r' if retprobe else 'p'}:ebpfasm/{event} {place.path}:{place.offset:#x}{counted}"
    try:
        write_probe(str(control), order)
    except OSError as refusal:
        raise failed(program, where, refusal.errno or 0, needs=TRACING) from None
    process = -1 if pid is None else pid
    return attach_to_probe(program, str(control), event, where, pid=process, cookie=cookie)


def attach_uprobe_multi(
    program: Attachable,
    binary: str | os.PathLike[str],
    functions: str | Iterable[str],
    *,
    pid: int | None,
    retprobe: bool,
    cookies: Iterable[int],
) -> Link:
    """Attach to many functions by one link; `Program.attach_uprobe_multi` tells how."""
    check_type(program, "kprobe")
    check_attach_type(program, "trace_uprobe_multi", "trace_uprobe_session")
    path = find_binary(program, os.fspath(binary), pid)
    places = find_functions(program, path, functions)
    return attach_multi(
        program, path, places, pid=pid, retprobe=retprobe, cookies=list(cookies), counters=[]
    )


def attach_multi(
    program: Attachable,
    path: str,
    places: list[Place],
    *,
    pid: int | None,
    retprobe: bool,
    cookies: list[int],
    counters: list[int],
) -> Link:
    """Make a uprobe_multi link. Raises LoadError, ValueError, NotSupported before Linux 6.6."""
    if cookies and len(cookies) != len(places):
        raise ValueError(f"{len(cookies)} cookies were given for {len(places)} functions")
    session = program.spec.attach_type == "trace_uprobe_session"
    kind = "trace_uprobe_session" if session else "trace_uprobe_multi"
    text = bytearray(os.fsencode(path) + b"\0")
    tables = [_words([each.offset for each in places]), _words(counters), packed_cookies(cookies)]
    flags = CONSTANTS["BPF_F_UPROBE_MULTI_RETURN"] if retprobe else 0
    details = _MULTI.pack(
        syscall.address(text), *map(syscall.address, tables), len(places), flags, pid or 0, 0
    )
    names = places[0].name if len(places) == 1 else f"{len(places)} functions"
    where = f"uprobes {path}:{names}"
    try:
        fd = links.create(program.fd, 0, ATTACH_TYPES.by_name[kind].id, 0, details)
    except OSError as refusal:
        number = refusal.errno or 0
        if number in UNKNOWN and has_link_type("uprobe_multi") is False:
            hint = "attach to each function alone (section uprobe)"
            feature = "attaching to many uprobes at once"
            raise no_links("uprobe_multi", feature, hint=hint) from None
        why = f"there is no process {pid}" if number == errno.ESRCH else ""
        raise failed(program, where, number, why=why, needs=TRACING) from None
    return BpfLink("uprobe_multi", fd, where)


def _words(numbers: list[int]) -> bytearray:
    return bytearray(struct.pack(f"={len(numbers)}Q", *numbers))


def split_target(program: Attachable, target: str, example: str) -> tuple[str, str]:
    """Cut "binary:function" in two. Raises LoadError."""
    binary, mark, function = target.rpartition(":")
    if not mark or not binary or not function:
        raise impossible(program, f"{target!r} names no function", hint=f"write {example}")
    return binary, function
