"""Perf events that run a program: by a BPF link, or by an ioctl before Linux 5.15."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import LoadError, error
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_type,
    failed,
    has_link_type,
    impossible,
    no_links,
)
from ebpfasm.runtime.attach.numbers import check_cookie, check_number, check_pid
from ebpfasm.runtime.cpus import online_cpus
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.links import BpfLink, Link, Links
from ebpfasm.runtime.perf_event import (
    EVENTS,
    PerfEvent,
    disable,
    enable,
    open_event,
    set_program,
)
from ebpfasm.runtime.refusals import TRACING

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_MOST_CPUS, _U64_MAX = (1 << 31) - 1, (1 << 64) - 1
_PERF_EVENT = ATTACH_TYPES.by_name["perf_event"].id


class PerfLink(BpfLink):
    """A BPF link on a perf event. It keeps the event, to silence it where others hold the link.

    The kernel takes no such link off by force, and runs the program at a tracepoint or probe though
    the event is silent: where a forked child holds the link, the end of the child is its end.
    """

    def __init__(self, fd: int, event: int, where: str, cleanup: Callable[[], None] | None) -> None:
        self._event = event
        self._cleanup = cleanup
        super().__init__("perf_event", fd, where)

    def _release(self, *, detach: bool) -> None:
        try:
            if detach:
                disable(self._event)
            super()._release(detach=detach)
        finally:
            os.close(self._event)
            if detach and self._cleanup is not None:
                self._cleanup()


class PerfIoctl(Link):
    """A program set on a perf event by ioctl(2): it goes with the event's last descriptor."""

    kind = "perf-ioctl"

    def __init__(
        self, program: Attachable, event: int, where: str, cleanup: Callable[[], None] | None
    ) -> None:
        self.where = where
        self._program_id = program.id
        self._event = event
        self._cleanup = cleanup
        super().__init__()

    def info(self) -> LinkInfo:
        """What is known of the attachment; the kernel has no object for it."""
        self._check_open()
        return LinkInfo(0, "perf_event", self._program_id)

    def _release(self, *, detach: bool) -> None:
        try:
            if detach:
                disable(self._event)
        finally:
            os.close(self._event)
            if detach and self._cleanup is not None:
                self._cleanup()


def attach_to(
    program: Attachable,
    event: int,
    where: str,
    *,
    cookie: int = 0,
    cleanup: Callable[[], None] | None = None,
) -> Link:
    """Attach to an open perf event, which the link owns from here on, whatever happens.

    `cleanup` is called when the event is gone. Raises LoadError, NotSupported.
    """
    try:
        return _attach(program, event, where, cookie, cleanup)
    except BaseException:
        os.close(event)
        if cleanup is not None:
            cleanup()
        raise


def _attach(
    program: Attachable,
    event: int,
    where: str,
    cookie: int,
    cleanup: Callable[[], None] | None,
) -> Link:
    check_cookie(cookie)
    by_link = has_link_type("perf_event")
    if by_link is not False:
        try:
            details = struct.pack("=Q", cookie)
            fd = links.create(program.fd, event, _PERF_EVENT, 0, details)
        except OSError as refusal:
            number = refusal.errno or 0
            if by_link or number not in UNKNOWN:
                raise _refusal(program, where, number) from None
        else:
            return _enabled(program, fd, event, where, cleanup)
    if cookie:
        raise no_links("perf_event", "a cookie for a perf event")
    try:
        set_program(event, program.fd)
        enable(event)
    except OSError as refusal:
        raise _refusal(program, where, refusal.errno or 0) from None
    return PerfIoctl(program, event, where, cleanup)


def _enabled(
    program: Attachable, fd: int, event: int, where: str, cleanup: Callable[[], None] | None
) -> Link:
    try:
        enable(event)
    except OSError as refusal:
        os.close(fd)
        raise _refusal(program, where, refusal.errno or 0) from None
    return PerfLink(fd, event, where, cleanup)


def _refusal(program: Attachable, where: str, number: int) -> LoadError:
    why = ""
    if number == errno.EINVAL:
        why = f"programs of type {program.type} do not run there, or not with these helpers"
    return failed(program, where, number, why=why, needs=TRACING)


def open_or_fail(
    program: Attachable,
    event: PerfEvent,
    where: str,
    *,
    pid: int = -1,
    cpu: int = 0,
    why: dict[int, str] | None = None,
    hint: str | None = None,
) -> int:
    """Open a perf event. Raises LoadError in words; `why` explains what an errno means here."""
    try:
        return open_event(event, pid=pid, cpu=cpu)
    except OSError as refusal:
        number = refusal.errno or 0
        if number == errno.EACCES:  # kernel.perf_event_paranoid
            number = errno.EPERM
        reason = (why or {}).get(number, "")
        if number == errno.ESRCH:
            reason = f"there is no process {pid}"
        raise failed(program, where, number, why=reason, needs=TRACING, hint=hint) from None


def attach_perf_event(
    program: Attachable,
    event: str | int | PerfEvent,
    *,
    period: int,
    frequency: int,
    cpu: int | None,
    pid: int | None,
    cookie: int,
) -> Link:
    """Attach to a sampled event; `Program.attach_perf_event` tells how. Raises ValueError."""
    check_type(program, "perf_event")
    check_pid(pid)
    check_number("cpu", 0 if cpu is None else cpu, 0, _MOST_CPUS)
    check_number("period", period, 0, _U64_MAX)
    check_number("frequency", frequency, 0, _U64_MAX)
    if isinstance(event, int):
        return attach_to(program, os.dup(event), f"perf event {event}", cookie=cookie)
    sampled = _sampled(program, event, period, frequency)
    name = event if isinstance(event, str) else f"perf event {event.type}:{event.config}"
    if pid is not None or cpu is not None:
        where = f"{name} of process {pid}" if pid is not None else f"{name} on CPU {cpu}"
        fd = _open_sampled(program, sampled, where, pid, -1 if cpu is None else cpu)
        return attach_to(program, fd, where, cookie=cookie)
    made: list[Link] = []
    try:
        for each in online_cpus():
            where = f"{name} on CPU {each}"
            fd = _open_sampled(program, sampled, where, None, each)
            made.append(attach_to(program, fd, where, cookie=cookie))
    except BaseException:
        for link in made:
            with suppress(LoadError):
                link.detach()
        raise
    return Links(made[0].kind, made, f"{name} on {len(made)} CPUs")


def _open_sampled(
    program: Attachable, event: PerfEvent, where: str, pid: int | None, cpu: int
) -> int:
    no_counter = "this machine has no such counter; a virtual one often has none"
    why = {
        errno.ENOENT: no_counter,
        errno.EOPNOTSUPP: no_counter,
        errno.ENODEV: f"there is no CPU {cpu} online",
        errno.EINVAL: "the kernel does not take this event, period or CPU",
    }
    hint = "cpu-clock is there on every machine"
    process = -1 if pid is None else pid
    return open_or_fail(program, event, where, pid=process, cpu=cpu, why=why, hint=hint)


def _sampled(program: Attachable, event: str | PerfEvent, period: int, frequency: int) -> PerfEvent:
    if period and frequency:
        raise ValueError("give a period or a frequency, not both")
    if isinstance(event, PerfEvent):
        kind = event
    elif event in EVENTS:
        kind = PerfEvent(*EVENTS[event])
    else:
        hint = did_you_mean(event, EVENTS) or f"there are {', '.join(EVENTS)}"
        raise impossible(program, f"there is no perf event {event!r}", hint=hint)
    often = bool(frequency) or not (period or kind.period)
    return replace(
        kind,
        period=frequency or period or kind.period or _DEFAULT_FREQUENCY,
        frequency=often or (kind.frequency and not period),
    )


# Samples a second: no multiple of what timers use, so that samples do not march in step with them.
_DEFAULT_FREQUENCY = 99


def no_symbol(program: Attachable, message: str, hint: str | None) -> LoadError:
    """The error for a function that is not there."""
    text = f"cannot attach {program.name!r}: {message}"
    return LoadError(error("attach-failed", text, program.spec.span, hint=hint), errno=errno.ENOENT)
