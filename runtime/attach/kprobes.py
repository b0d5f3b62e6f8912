"""Kprobes: one function by a perf event, or by tracefs; many at once by a kprobe_multi link."""

from __future__ import annotations

import errno
import itertools
import os
import platform
import re
import struct
from collections.abc import Iterable, Iterator
from fnmatch import translate
from typing import TYPE_CHECKING

from ebpfasm.asm.spelling import did_you_mean
from ebpfasm.errors import LoadError, NotSupported, unsupported
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links, syscall
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_attach_type,
    check_type,
    failed,
    impossible,
    in_kernel_types,
    no_links,
)
from ebpfasm.runtime.attach.numbers import packed_cookies
from ebpfasm.runtime.attach.perf import attach_to, no_symbol, open_or_fail
from ebpfasm.runtime.attach.tracefs import event_id, traceable_functions, tracefs
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.perf_event import TRACEPOINT, PerfEvent, pmu_shift, pmu_type
from ebpfasm.runtime.refusals import TRACING, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

_KALLSYMS = "/proc/kallsyms"
_GROUP = "ebpfasm"  # of the events that are made in tracefs
_counter = itertools.count()

_MULTI = struct.Struct("=IIQQQ")  # flags, count, symbols, addresses, cookies
_ALTERNATIVE = "use a tracepoint (--tracepoint), or a kernel built with CONFIG_KPROBES"

# What a system call's function is called: __x64_sys_openat (Documentation of SYSCALL_WRAPPER).
_WRAPPERS = {"x86_64": "x64", "aarch64": "arm64", "s390x": "s390x", "riscv64": "riscv",
             "i386": "ia32", "i686": "ia32"}  # fmt: skip


def attach_kprobe(
    program: Attachable, function: str, *, offset: int, retprobe: bool, cookie: int, via: str
) -> Link:
    """Attach to a function of the kernel; `Program.attach_kprobe` tells how."""
    name, _, tail = function.partition("+")
    try:
        offset += int(tail, 0) if tail else 0
    except ValueError:
        raise impossible(program, f"{function!r} is no function and offset") from None
    try:
        return _attach(program, name, offset, retprobe, cookie, via)
    except FileNotFoundError:
        raise no_function(program, name) from None


def attach_ksyscall(
    program: Attachable, name: str, *, retprobe: bool, cookie: int, via: str
) -> Link:
    """Attach to a system call's function; `Program.attach_ksyscall` tells how."""
    word = _WRAPPERS.get(platform.machine())
    candidates = ([f"__{word}_sys_{name}"] if word else []) + [f"sys_{name}", f"__se_sys_{name}"]
    for each in candidates:
        try:
            return _attach(program, each, 0, retprobe, cookie, via)
        except FileNotFoundError:
            continue
    hint = "name it without sys_, as in openat"
    raise no_symbol(program, f"this kernel has no system call {name}", hint)


def _attach(
    program: Attachable, name: str, offset: int, retprobe: bool, cookie: int, via: str
) -> Link:
    """Attach; raises FileNotFoundError where there is no such function."""
    check_type(program, "kprobe")
    if via not in ("auto", "perf", "tracefs"):
        raise ValueError(f"via is auto, perf or tracefs, not {via!r}")
    if retprobe and offset:
        raise impossible(program, "a function returns at no offset")
    kind = "kretprobe" if retprobe else "kprobe"
    where = f"{kind} {name}{f'+{offset:#x}' if offset else ''}"
    pmu = pmu_type("kprobe") if via != "tracefs" else None
    if pmu is not None:
        return _by_perf(program, pmu, name, offset, retprobe, cookie, where)
    if via == "perf":
        raise no_kprobes()
    return _by_tracefs(program, name, offset, retprobe, cookie, where)


def no_kprobes() -> NotSupported:
    """The error of a kernel without kprobes."""
    return unsupported("attaching to a kprobe (CONFIG_KPROBES)", hint=_ALTERNATIVE)


def _by_perf(
    program: Attachable,
    pmu: int,
    name: str,
    offset: int,
    retprobe: bool,
    cookie: int,
    where: str,
) -> Link:
    text = bytearray(name.encode() + b"\0")
    config = 1 << pmu_shift("kprobe", "retprobe") if retprobe else 0
    event = PerfEvent(pmu, config, syscall.address(text), offset)
    fd = _opened(program, event, name, where)
    return attach_to(program, fd, where, cookie=cookie)


def _opened(program: Attachable, event: PerfEvent, name: str, where: str) -> int:
    why = {
        errno.EINVAL: f"{name} may not be probed, or not at this offset",
        errno.EILSEQ: "no instruction begins at this offset",
        errno.EADDRNOTAVAIL: f"the kernel has several functions called {name}",
    }
    try:
        return open_or_fail(program, event, where, why=why)
    except LoadError as refusal:
        if refusal.errno != errno.ENOENT:
            raise
        raise FileNotFoundError(errno.ENOENT, name) from None


def no_function(program: Attachable, name: str) -> LoadError:
    """The error for a function that the kernel has not, with the nearest that it has."""
    hint = did_you_mean(name, near(name)) or f"{_KALLSYMS} lists them; some are compiled away"
    return no_symbol(program, f"the kernel has no function {name}", hint)


def near(name: str) -> list[str]:
    """Kernel functions that look like a name: those that begin or end like it."""
    text = _kallsyms()
    found = {
        *_names_at(text, [b" %c %b" % (kind, name[:4].encode()) for kind in b"tT"]),
        *_names_at(text, [b"%b%c" % (name[-4:].encode(), end) for end in b"\t\n"]),
    }
    return sorted(each for each in found if abs(len(each) - len(name)) <= 3)[:5000]


def _names_at(text: bytes, marks: list[bytes]) -> Iterator[str]:
    """The names of functions in whose lines one of the marks stands."""
    for mark in marks:
        at = text.find(mark)
        while at >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            fields = text[start : text.find(b"\n", at)].split(None, 3)
            if len(fields) > 2 and fields[1] in b"tT":
                yield fields[2].decode("ascii", "replace")
            at = text.find(mark, at + len(mark))


def is_function(name: str) -> bool:
    """Whether the kernel or a module has a function of that name; True where nobody tells."""
    text, spelled = _kallsyms(), name.encode("utf-8", "surrogateescape")
    return not text or any(b" %b%c" % (spelled, end) in text for end in b"\t\n")


def _kallsyms() -> bytes:
    try:
        with open(_KALLSYMS, "rb") as file:
            return file.read()
    except OSError:
        return b""


# By tracefs ------------------------------------------------------------------------------------


def _by_tracefs(
    program: Attachable, name: str, offset: int, retprobe: bool, cookie: int, where: str
) -> Link:
    place = tracefs() / "kprobe_events"
    if not place.exists():
        raise no_kprobes()
    event = f"probe_{os.getpid()}_{next(_counter)}"
    order = f"{'r' if retprobe else 'p'}:{_GROUP}/{event} {name}{f'+{offset}' if offset else ''}"
    try:
        write_probe(str(place), order)
    except OSError as refusal:
        number = refusal.errno or 0
        if number == errno.ENOENT or not is_function(name):
            raise FileNotFoundError(errno.ENOENT, name) from None
        why = f"{name} may not be probed, or not at this offset" if number == errno.EINVAL else ""
        raise failed(program, where, number, why=why, needs=TRACING) from None
    return attach_to_probe(program, str(place), event, where, cookie=cookie)


def attach_to_probe(
    program: Attachable, place: str, event: str, where: str, *, pid: int = -1, cookie: int = 0
) -> Link:
    """Attach to an event that was made in tracefs, and remove it again with the link."""

    def remove() -> None:
        try:
            write_probe(place, f"-:{_GROUP}/{event}")
        except OSError as refusal:
            number = refusal.errno or 0
            raise refused("attach-failed", f"remove {where}", number, needs=TRACING) from None

    try:
        number = event_id(_GROUP, event)
        opened = PerfEvent(TRACEPOINT, number, period=1)
        fd = open_or_fail(program, opened, where, pid=pid, cpu=0 if pid < 0 else -1)
    except BaseException:
        remove()
        raise
    return attach_to(program, fd, where, cookie=cookie, cleanup=remove)


def write_probe(place: str, order: str) -> None:
    """Add a line to kprobe_events or uprobe_events. Raises OSError."""
    fd = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
    try:
        os.write(fd, order.encode("utf-8", "surrogateescape"))
    finally:
        os.close(fd)


# Many at once ------------------------------------------------------------------------------------


def attach_kprobe_multi(
    program: Attachable,
    functions: str | Iterable[str],
    *,
    retprobe: bool,
    cookies: Iterable[int],
) -> Link:
    """Attach to many functions by one link; `Program.attach_kprobe_multi` tells how.

    Raises ValueError, LoadError, NotSupported.
    """
    check_type(program, "kprobe")
    check_attach_type(program, "trace_kprobe_multi", "trace_kprobe_session")
    names = _chosen(program, functions)
    values = list(cookies)
    if values and len(values) != len(names):
        raise ValueError(f"{len(values)} cookies were given for {len(names)} functions")
    session = program.spec.attach_type == "trace_kprobe_session"
    kind = "trace_kprobe_session" if session else "trace_kprobe_multi"
    texts = [bytearray(each.encode() + b"\0") for each in names]
    symbols = bytearray(struct.pack(f"={len(texts)}Q", *map(syscall.address, texts)))
    packed = packed_cookies(values)
    flags = CONSTANTS["BPF_F_KPROBE_MULTI_RETURN"] if retprobe else 0
    details = _MULTI.pack(flags, len(names), syscall.address(symbols), 0, syscall.address(packed))
    where = f"{len(names)} functions" if len(names) != 1 else names[0]
    try:
        fd = links.create(program.fd, 0, ATTACH_TYPES.by_name[kind].id, 0, details)
    except OSError as refusal:
        raise _multi_refusal(program, where, names, refusal.errno or 0) from None
    return BpfLink("kprobe_multi", fd, where)


def _chosen(program: Attachable, functions: str | Iterable[str]) -> list[str]:
    if not isinstance(functions, str):
        names = list(functions)
    elif not {"*", "?", "["} & set(functions):
        names = [functions]
    else:
        fits = re.compile(translate(functions)).match
        names = sorted({each for each in traceable_functions() if fits(each)})
    if not names:
        raise no_symbol(program, f"no function of the kernel fits {functions!r}", None)
    return names


def _multi_refusal(
    program: Attachable, where: str, names: list[str], number: int
) -> LoadError | NotSupported:
    if number in UNKNOWN and in_kernel_types("bpf_kprobe_multi_link") is False:
        hint = "attach to each function alone (section kprobe)"
        return no_links(
            "kprobe_multi", "attaching to many kprobes at once (CONFIG_FPROBE)", hint=hint
        )
    if number in (errno.ESRCH, errno.ENOENT):
        known = set(traceable_functions())
        missing = next((each for each in names if known and each not in known), names[0])
        return no_function(program, missing)
    return failed(program, where, number, needs=TRACING)
