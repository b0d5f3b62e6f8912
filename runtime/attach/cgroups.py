"""Cgroups: by a BPF link, or by BPF_PROG_ATTACH before Linux 5.7 and on request."""

from __future__ import annotations

import errno
import os
import struct
from typing import TYPE_CHECKING

from ebpfasm.errors import LoadError, error
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import UNKNOWN, failed, has_link_type, impossible
from ebpfasm.runtime.attach.order import Neighbour, placing
from ebpfasm.runtime.attach.prog_attach import ProgAttachment
from ebpfasm.runtime.links import BpfLink, Link
from ebpfasm.runtime.refusals import NETWORK, meaning

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

# What each of the two ways of BPF_PROG_ATTACH lets cgroups below do.
_SHARING = {
    "multi": CONSTANTS["BPF_F_ALLOW_MULTI"],
    "override": CONSTANTS["BPF_F_ALLOW_OVERRIDE"],
    "exclusive": 0,
}
# Programs whose section leaves the direction open.
_DIRECTIONS = {"ingress": "cgroup_inet_ingress", "egress": "cgroup_inet_egress"}


def attach_cgroup(
    program: Attachable,
    cgroup: str | os.PathLike[str] | int,
    attach_type: str,
    *,
    via: str,
    sharing: str,
    replace: Attachable | None,
    before: Neighbour,
    after: Neighbour,
) -> Link:
    """Attach to a cgroup; `Program.attach_cgroup` tells how. Raises ValueError."""
    if via not in ("auto", "link", "attach"):
        raise ValueError(f"via is auto, link or attach, not {via!r}")
    if sharing not in _SHARING:
        raise ValueError(f"sharing is one of {', '.join(_SHARING)}, not {sharing!r}")
    kind = _attach_type(program, attach_type)
    where = f"cgroup {cgroup if isinstance(cgroup, int) else os.fspath(cgroup)} ({kind})"
    fd = _opened(program, cgroup)
    try:
        flags, neighbour = placing(before, after)
        by_link = via == "link" or (via == "auto" and sharing == "multi" and replace is None)
        if by_link:
            made = _by_link(program, fd, kind, flags, neighbour, where, must=via == "link")
            if made is not None:
                return made
        flags |= _SHARING[sharing] | (CONSTANTS["BPF_F_REPLACE"] if replace is not None else 0)
        return _by_attach(program, fd, kind, flags, neighbour, replace, where)
    finally:
        os.close(fd)


def _attach_type(program: Attachable, word: str) -> str:
    loaded = program.spec.attach_type
    name = _DIRECTIONS.get(word, word) or loaded
    if not name:
        hint = 'give attach_type, such as "ingress" or "egress"'
        raise impossible(program, "its section does not say to which hook of a cgroup", hint=hint)
    if ATTACH_TYPES.id_of(name) is None:
        raise impossible(program, f"there is no attach type {name!r}")
    if loaded and name != loaded and program.type != "cgroup_skb":
        raise impossible(program, f"it was loaded for {loaded}, not {name}")
    return name


def _opened(program: Attachable, cgroup: str | os.PathLike[str] | int) -> int:
    path = f"descriptor {cgroup}" if isinstance(cgroup, int) else os.fspath(cgroup)
    try:
        if isinstance(cgroup, int):
            return os.dup(cgroup)
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as problem:
        number = problem.errno or 0
        message = f"cannot attach {program.name!r}: no cgroup {path!r}: {meaning(number)}"
        hint = "cgroups are folders below /sys/fs/cgroup"
        wrong = error("attach-failed", message, program.spec.span, hint=hint)
        raise LoadError(wrong, errno=number) from None
    return fd


def _by_link(
    program: Attachable, fd: int, kind: str, flags: int, neighbour: int, where: str, *, must: bool
) -> Link | None:
    """A link; None where the kernel has none for cgroups and another way may be tried."""
    number = ATTACH_TYPES.id_of(kind) or 0
    details = struct.pack("=I4xQ", neighbour, 0) if flags else b""
    try:
        return BpfLink("cgroup", links.create(program.fd, fd, number, flags, details), where)
    except OSError as refusal:
        failure = refusal.errno or 0
    if not must and failure in UNKNOWN and has_link_type("cgroup") is not True:
        return None
    raise _refusal(program, where, failure)


def _by_attach(
    program: Attachable,
    fd: int,
    kind: str,
    flags: int,
    neighbour: int,
    replace: Attachable | None,
    where: str,
) -> Link:
    link = ProgAttachment("cgroup-attach", program, fd, kind, where)
    replaced = 0 if replace is None else replace.fd
    try:
        link.set(flags=flags, neighbour=neighbour, replaced=replaced)
    except OSError as refusal:
        raise _refusal(program, where, refusal.errno or 0) from None
    return link


def _refusal(program: Attachable, where: str, number: int) -> LoadError:
    why, hint = "", None
    match number:
        case errno.EBADF | errno.EINVAL:
            why = f"it is no cgroup of version 2, or takes no program of type {program.type} so"
            hint = "cgroup2 is mounted at /sys/fs/cgroup, or at /sys/fs/cgroup/unified"
        case errno.EPERM if os.geteuid() == 0:
            why = "a program that must stay alone is there, or in a cgroup above"
            return failed(program, where, errno.EBUSY, why=why)
        case errno.E2BIG:
            why = "64 programs are there already"
        case _:
            pass
    return failed(program, where, number, why=why, hint=hint, needs=NETWORK)
