"""Sockets: filters, reuseport groups, sockmaps, and the hooks of a network namespace."""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Protocol

from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import (
    UNKNOWN,
    check_type,
    failed,
    has_link_type,
    impossible,
)
from ebpfasm.runtime.attach.prog_attach import ProgAttachment
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.links import Attachment, BpfLink, Link
from ebpfasm.runtime.refusals import NETWORK, meaning, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable
    from ebpfasm.runtime.maps import Map

# asm-generic/socket.h
_ATTACH_BPF, _DETACH_FILTER = 50, 27
_ATTACH_REUSEPORT, _DETACH_REUSEPORT = 52, 68


class HasFileno(Protocol):
    """A socket, or what stands for one: asyncio's transports give such."""

    def fileno(self) -> int:
        """Its descriptor, negative when it is closed."""


class SocketLink(Attachment):
    """A program set on a socket by setsockopt(2): it goes with the socket."""

    def __init__(self, kind: str, program: Attachable, target: HasFileno, detach: int) -> None:
        self.kind = kind
        self.where = f"socket {target.fileno()}"
        self._program_id = program.id
        self._socket = target
        self._detach = detach
        super().__init__()

    def info(self) -> LinkInfo:
        """What is known of the attachment; the kernel has no object for it."""
        self._check_open()
        return LinkInfo(0, self.kind, self._program_id)

    def _release(self, *, detach: bool) -> None:
        if not detach or _fileno(self._socket) < 0:
            return
        try:
            _set(self._socket, self._detach, 0)
        except OSError as refusal:
            number = refusal.errno or 0
            if number not in (errno.ENOENT, errno.EBADF, errno.ENOTSOCK):
                what = f"detach the program from {self.where}"
                raise refused("attach-failed", what, number) from None


def attach_socket(program: Attachable, target: HasFileno) -> Link:
    """Attach to a socket; `Program.attach_socket` tells how."""
    check_type(program, "socket_filter", "sk_reuseport")
    if _fileno(target) < 0:
        raise impossible(program, "the socket is closed")
    if program.type == "sk_reuseport":
        kind, set_option, detach = "reuseport", _ATTACH_REUSEPORT, _DETACH_REUSEPORT
    else:
        kind, set_option, detach = "socket-filter", _ATTACH_BPF, _DETACH_FILTER
    return _attach(program, target, kind, set_option, detach)


def attach_reuseport(program: Attachable, target: HasFileno) -> Link:
    """Have a program choose the socket of a group; `Program.attach_reuseport` tells how."""
    check_type(program, "socket_filter", "sk_reuseport")
    if _fileno(target) < 0:
        raise impossible(program, "the socket is closed")
    return _attach(program, target, "reuseport", _ATTACH_REUSEPORT, _DETACH_REUSEPORT)


def _attach(
    program: Attachable, target: HasFileno, kind: str, set_option: int, detach: int
) -> Link:
    link = SocketLink(kind, program, target, detach)
    try:
        _set(target, set_option, program.fd)
    except OSError as refusal:
        number = refusal.errno or 0
        where = link.where
        link._end(detach=False)
        why = ""
        match number:
            case errno.EINVAL if kind == "reuseport":
                why = "it has no SO_REUSEPORT, or is no socket that can share a port"
            case errno.EPERM:
                why = "its filter is locked (SO_LOCK_FILTER)"
            case _:
                pass
        raise failed(program, where, number, why=why) from None
    return link


def _fileno(target: HasFileno) -> int:
    try:
        return target.fileno()
    except (OSError, ValueError):
        return -1


def _set(target: HasFileno, option: int, value: int) -> None:
    fd = os.dup(target.fileno())
    try:
        copy = socket.socket(fileno=fd)
    except OSError:
        os.close(fd)  # it is no socket
        raise
    with copy:
        copy.setsockopt(socket.SOL_SOCKET, option, struct.pack("=i", value))


# Sockmaps ----------------------------------------------------------------------------------------


def attach_sockmap(program: Attachable, map: Map, *, via: str) -> Link:
    """Attach to the sockets in a map; `Program.attach_sockmap` tells how. Raises ValueError."""
    check_type(program, "sk_msg", "sk_skb")
    if via not in ("auto", "link", "attach"):
        raise ValueError(f"via is auto, link or attach, not {via!r}")
    kind = program.spec.attach_type or ("sk_msg_verdict" if program.type == "sk_msg" else "")
    if not kind:
        hint = "its section says: sk_skb/stream_verdict, sk_skb/stream_parser or sk_skb/verdict"
        raise impossible(program, "which of the hooks of a sockmap?", hint=hint)
    where = f"map {map.name} ({kind})"
    number = ATTACH_TYPES.by_name[kind].id
    if via != "attach":
        try:
            return BpfLink("sockmap", links.create(program.fd, map.fd, number), where)
        except OSError as refusal:
            code = refusal.errno or 0
        if via == "link" or code not in UNKNOWN or has_link_type("sockmap") is True:
            raise _sockmap_refusal(program, where, code)
    link = ProgAttachment("sockmap-attach", program, map.fd, kind, where)
    try:
        link.set()
    except OSError as refusal:
        raise _sockmap_refusal(program, where, refusal.errno or 0) from None
    return link


def _sockmap_refusal(program: Attachable, where: str, number: int) -> Exception:
    why = "it is no sockmap or sockhash" if number in (errno.EINVAL, errno.EOPNOTSUPP) else ""
    return failed(program, where, number, why=why, needs=NETWORK)


# Network namespaces ------------------------------------------------------------------------------


def attach_netns(program: Attachable, namespace: HasFileno | int | str | None) -> Link:
    """Attach to a network namespace; `Program.attach_netns` tells how."""
    check_type(program, "sk_lookup", "flow_dissector")
    kind = ATTACH_TYPES.by_name[program.type]
    match namespace:
        case int():
            try:
                fd, name = os.dup(namespace), f"network namespace {namespace}"
            except OSError as problem:
                why = meaning(problem.errno or 0)
                raise impossible(program, f"no namespace {namespace}: {why}") from None
        case None | str():
            path = namespace or "/proc/thread-self/ns/net"
            try:
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError as problem:
                number = problem.errno or 0
                raise impossible(program, f"no namespace {path!r}: {meaning(number)}") from None
            name = f"network namespace {namespace}" if namespace else "this network namespace"
        case _:
            fd = os.dup(namespace.fileno())
            name = f"network namespace {namespace.fileno()}"
    where = f"{name} ({kind.name})"
    try:
        return BpfLink("netns", links.create(program.fd, fd, kind.id), where)
    except OSError as refusal:
        number = refusal.errno or 0
        why = ""
        if number == errno.E2BIG:
            alone = program.type == "flow_dissector"
            why = "another program is there" if alone else "64 programs are there already"
        raise failed(program, where, number, why=why, needs=NETWORK) from None
    finally:
        os.close(fd)


def attach_lirc(program: Attachable, device: str) -> Link:
    """Attach to an infrared receiver; `Program.attach_lirc` tells how."""
    check_type(program, "lirc_mode2")
    try:
        fd = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        raise impossible(program, f"no device {device!r}: {meaning(problem.errno or 0)}") from None
    try:
        link = ProgAttachment("lirc-attach", program, fd, "lirc_mode2", device)
        link.set()
    except OSError as refusal:
        raise failed(program, device, refusal.errno or 0, needs=NETWORK) from None
    finally:
        os.close(fd)
    return link
