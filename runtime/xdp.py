"""Attaching XDP programs: by a BPF link, or by netlink where there are none."""

from __future__ import annotations

import errno
import os
import socket
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from ebpfasm.errors import LoadError, error
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.links import BpfLink, Link, LinkInfo, Mode, Via
from ebpfasm.runtime.refusals import NETWORK, meaning, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.programs import Program

# XDP_FLAGS_* of linux/if_link.h
UPDATE_IF_NOEXIST = 1
REPLACE = 16
MODES: dict[str, int] = {"auto": 0, "generic": 2, "native": 4, "offload": 8}

# What kernels without XDP links answer, and others for other reasons.
_NO_LINKS = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS)
_XDP = ATTACH_TYPES.by_name["xdp"].id


def attach(
    program: Program,
    iface: str | int,
    mode: Mode = "auto",
    *,
    replace: bool = False,
    via: Via = "auto",
) -> Link:
    """Attach a loaded program; `Program.attach_xdp` tells how."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    if via not in ("auto", "link", "netlink"):
        raise ValueError(f"via is auto, link or netlink, not {via!r}")
    if program.type != "xdp":
        message = f"cannot attach {program.name!r}: it is of type {program.type}, not xdp"
        raise LoadError(error("attach-failed", message, program.spec.span), errno=errno.EINVAL)
    ifindex, name = _interface(iface)
    by_netlink = via == "netlink" or (replace and via == "auto" and bool(_attached(ifindex)))
    if not by_netlink:
        try:
            return BpfLink("xdp", links.create(program.fd, ifindex, _XDP, MODES[mode]))
        except OSError as refusal:
            number = refusal.errno or 0
        if via == "link" or number not in _NO_LINKS or _has_xdp_links() is True:
            _fail(program, ifindex, name, mode, number)
    return _attach_netlink(program, ifindex, name, mode, replace)


class NetlinkLink(Link):
    """An XDP program set on an interface by netlink: it stays until it is taken off.

    It is detached with the flags that it was attached with, in the network namespace where it
    was attached, and only where it is still the program on the hook. A process that is killed
    cannot do that; a BPF link is better where the kernel has it.
    """

    kind = "xdp-netlink"

    def __init__(self, program: Program, ifindex: int, mode: Mode) -> None:
        # Copies of its own: both must outlast the Program object and the caller's namespace.
        self._program_id = program.id
        self._namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._program = os.dup(program.fd)
        except OSError:
            os.close(self._namespace)
            raise
        self._ifindex = ifindex
        self._flags = MODES[mode]
        super().__init__()

    def info(self) -> LinkInfo:
        """Ask the kernel about the attachment. Raises LoadError, ValueError after detach()."""
        self._check_open()
        present = self._program_id in self._attached_ids()
        return LinkInfo(0, "xdp", self._program_id if present else 0, self._ifindex)

    def set(self, replace: bool) -> None:
        """Put the program on the hook. Raises OSError."""
        from ebpfasm.runtime.netlink import set_xdp

        flags = self._flags | (0 if replace else UPDATE_IF_NOEXIST)
        set_xdp(self._ifindex, self._program, flags, namespace=self._namespace)

    def forget(self) -> None:
        """Give up without touching the hook, after set() failed."""
        self._program_id = 0
        self.close()

    def _attached_ids(self) -> tuple[int, ...]:
        from ebpfasm.runtime.netlink import xdp_programs

        return tuple(xdp_programs(self._ifindex, namespace=self._namespace).values())

    def close(self) -> None:
        """Detach: without a kernel object, giving it up and leaving it attached would be a leak."""
        self._end(detach=True)

    def _release(self, *, detach: bool) -> None:
        try:
            if detach and self._program_id:
                self._clear()
        except OSError as refusal:
            number = refusal.errno or 0
            if number != errno.ENODEV:  # the interface went, and the program with it
                what = f"detach the XDP program from interface {self._ifindex}"
                raise refused("attach-failed", what, number, needs=("CAP_NET_ADMIN",)) from None
        finally:
            os.close(self._program)
            os.close(self._namespace)

    def _clear(self) -> None:
        from ebpfasm.runtime.netlink import set_xdp

        if self._program_id not in self._attached_ids():
            return  # somebody put another one there
        flags = self._flags
        try:
            # The kernel compares once more, without a gap (Linux 5.7).
            set_xdp(self._ifindex, -1, flags | REPLACE, expected=self._program,
                    namespace=self._namespace)  # fmt: skip
        except OSError as refusal:
            if refusal.errno == errno.EEXIST:
                return
            if refusal.errno != errno.EINVAL:
                raise
            set_xdp(self._ifindex, -1, flags, namespace=self._namespace)


def _attach_netlink(
    program: Program, ifindex: int, name: str, mode: Mode, replace: bool
) -> NetlinkLink:
    # The link is known to the exit handler before the program is on the hook: a Ctrl-C in
    # between finds something to detach.
    link = NetlinkLink(program, ifindex, mode)
    try:
        link.set(replace)
    except OSError as refusal:
        link.forget()
        _fail(program, ifindex, name, mode, refusal.errno or 0)
    except BaseException:
        link.detach()
        raise
    return link


def _interface(iface: str | int) -> tuple[int, str]:
    """Index and name of an interface in the calling thread's namespace. Raises LoadError."""
    try:
        if isinstance(iface, int):
            return iface, socket.if_indextoname(iface)
        return socket.if_nametoindex(iface), iface
    except (OSError, OverflowError, ValueError):
        pass
    if isinstance(iface, int):
        message = f"there is no network interface with index {iface}"
        raise LoadError(error("interface-missing", message), errno=errno.ENODEV) from None
    names = [name for _, name in socket.if_nameindex()]
    near = get_close_matches(iface, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}"
    message = f"there is no network interface {iface!r}"
    raise LoadError(error("interface-missing", message, hint=hint), errno=errno.ENODEV)


def _fail(program: Program, ifindex: int, name: str, mode: Mode, number: int) -> NoReturn:
    what = f"attach {program.name!r} to {name}"
    why, hint = "", None
    match number:
        case errno.EBUSY | errno.EEXIST:
            there = _attached(ifindex)
            ids = " and ".join(str(each) for each in sorted(set(there.values())))
            why = f"an XDP program is there already (id {ids})" if ids else "its XDP hook is busy"
            hint = f"detach it (ip link set {name} xdp off ends one without a link)"
            if ids:
                hint = f"bpftool prog show id {ids.split()[0]} tells which it is; {hint}"
        case errno.EOPNOTSUPP | errno.EINVAL if mode in ("offload", "native"):
            why = f"its driver does not take programs in {mode} mode: {meaning(number)}"
            hint = 'use mode "generic", which every interface has'
        case errno.EINVAL:
            why = f"the kernel does not take this program on this interface: {meaning(number)}"
        case errno.ENODEV:
            why = f"the interface is gone: {meaning(number)}"
        case _:
            pass
    if why:
        message = f"cannot {what}: {why}"
        raise LoadError(error("attach-failed", message, hint=hint), errno=number)
    raise refused("attach-failed", what, number, needs=NETWORK)


def _attached(ifindex: int) -> dict[str, int]:
    """Ids of the programs on an interface by mode; none where netlink does not tell."""
    from ebpfasm.runtime.netlink import xdp_programs

    try:
        return xdp_programs(ifindex)
    except OSError:
        return {}


def _has_xdp_links() -> bool | None:
    """Ask the kernel's BTF whether XDP links exist; None where it has no BTF."""
    try:
        with open("/sys/kernel/btf/vmlinux", "rb") as file:
            return b"\0BPF_LINK_TYPE_XDP\0" in file.read()
    except OSError:
        return None
