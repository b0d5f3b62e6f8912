"""Attaching XDP programs: by a BPF link, or by netlink where there are none."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, NoReturn

from ebpfasm.errors import LoadError, error, unsupported
from ebpfasm.isa.constants import CONSTANTS
from ebpfasm.isa.kinds import ATTACH_TYPES
from ebpfasm.runtime import links
from ebpfasm.runtime.attach.failures import UNKNOWN, check_type, has_link_type
from ebpfasm.runtime.attach.held import Held
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.info.link import LinkInfo
from ebpfasm.runtime.info.program import read_program_info
from ebpfasm.runtime.links import Attachment, BpfLink, Link, Mode, Via
from ebpfasm.runtime.refusals import NETWORK, meaning, refused

if TYPE_CHECKING:
    from ebpfasm.runtime.attach.methods import Attachable

# XDP_FLAGS_* of linux/if_link.h
UPDATE_IF_NOEXIST = 1
REPLACE = 16
MODES: dict[str, int] = {"auto": 0, "generic": 2, "native": 4, "offload": 8}

_BOUND = CONSTANTS["BPF_F_XDP_DEV_BOUND_ONLY"]
_XDP = ATTACH_TYPES.by_name["xdp"].id


def attach(
    program: Attachable,
    iface: str | int,
    mode: Mode = "auto",
    *,
    replace: bool | Attachable = False,
    via: Via = "auto",
) -> Link:
    """Attach a loaded program; `Program.attach_xdp` tells how. Raises ValueError."""
    if mode not in MODES:
        raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
    if via not in ("auto", "link", "netlink"):
        raise ValueError(f"via is auto, link or netlink, not {via!r}")
    check_type(program, "xdp")
    ifindex, name = interface(iface)
    if mode == "auto" and _offloaded(program):
        mode = "offload"
    occupied = bool(replace) and via == "auto" and bool(_attached(ifindex))
    by_netlink = via == "netlink" or occupied or not isinstance(replace, bool)
    if not by_netlink:
        try:
            return BpfLink("xdp", links.create(program.fd, ifindex, _XDP, MODES[mode]), name)
        except OSError as refusal:
            number = refusal.errno or 0
        if via == "link" or number not in UNKNOWN or has_link_type("xdp") is True:
            _fail(program, ifindex, name, mode, number)
    return _attach_netlink(program, ifindex, name, mode, replace)


class NetlinkLink(Attachment):
    """An XDP program set on an interface by netlink: it stays until it is taken off.

    It is detached with the flags that it was attached with, in the network namespace where it
    was attached, and only where it is still the program on the hook. A process that is killed
    cannot do that; a BPF link is better where the kernel has it.
    """

    kind = "xdp-netlink"

    def __init__(self, program: Attachable, ifindex: int, mode: Mode, name: str = "") -> None:
        self.where = name
        self._held = Held(program)
        self._ifindex = ifindex
        self._flags = MODES[mode]
        self._set = True
        super().__init__()

    def info(self) -> LinkInfo:
        """Ask the kernel about the attachment. Raises LoadError, ValueError after detach()."""
        self._check_open()
        number = self._held.program_id
        try:
            present = number in self._attached_ids()
        except OSError:
            present = False  # the interface is gone
        return LinkInfo(0, "xdp", number if present else 0, self._ifindex)

    def set(self, replace: bool | Attachable) -> None:
        """Put the program on the hook. Raises OSError."""
        if replace is False or replace is True:
            self._put(self._held.program, 0 if replace else UPDATE_IF_NOEXIST)
        else:
            self._put(self._held.program, REPLACE, replace.fd)

    def update(self, program: Attachable, *, expected: Attachable | None = None) -> None:
        """Put another program in place (Linux 5.7). Raises as Link.update does."""
        self._check_open()
        check_type(program, "xdp")
        try:
            self._put(program.fd, REPLACE, self._held.program if expected is None else expected.fd)
        except OSError as refusal:
            number = refusal.errno or 0
            if number == errno.EINVAL:
                raise unsupported("replacing just one XDP program", "5.7") from None
            why = "the program in place is another one" if number == errno.EEXIST else ""
            what = f"put {program.name!r} in place on {self.where}"
            raise refused("attach-failed", what, number, why=why, needs=NETWORK) from None
        self._held.take(program)

    def _put(self, fd: int, flags: int, expected: int | None = None) -> None:
        from ebpfasm.runtime.network.netlink import set_xdp

        set_xdp(self._ifindex, fd, self._flags | flags, expected=expected,
                namespace=self._held.namespace)  # fmt: skip

    def forget(self) -> None:
        """Give up without touching the hook, after set() failed."""
        self._set = False
        self.close()

    def _attached_ids(self) -> tuple[int, ...]:
        from ebpfasm.runtime.network.netlink import xdp_programs

        return tuple(xdp_programs(self._ifindex, namespace=self._held.namespace).values())

    def _release(self, *, detach: bool) -> None:
        try:
            if detach and self._set:
                self._clear()
        except OSError as refusal:
            number = refusal.errno or 0
            if number != errno.ENODEV:  # the interface went, and the program with it
                what = f"detach the XDP program from interface {self._ifindex}"
                raise refused("attach-failed", what, number, needs=("CAP_NET_ADMIN",)) from None
        finally:
            self._held.close()

    def _clear(self) -> None:
        if self._held.program_id not in self._attached_ids():
            return  # somebody put another one there
        try:
            # The kernel compares once more, without a gap (Linux 5.7).
            self._put(-1, REPLACE, self._held.program)
        except OSError as refusal:
            if refusal.errno == errno.EEXIST:
                return
            if refusal.errno != errno.EINVAL:
                raise
            self._put(-1, 0)


def _attach_netlink(
    program: Attachable, ifindex: int, name: str, mode: Mode, replace: bool | Attachable
) -> NetlinkLink:
    # The link is known to the exit handler before the program is on the hook: a Ctrl-C in
    # between finds something to detach.
    link = NetlinkLink(program, ifindex, mode, name)
    try:
        link.set(replace)
    except OSError as refusal:
        link.forget()
        expected = not isinstance(replace, bool)
        _fail(program, ifindex, name, mode, refusal.errno or 0, expected=expected)
    except BaseException:
        link.detach()
        raise
    return link


def _fail(
    program: Attachable, ifindex: int, name: str, mode: Mode, number: int, *, expected: bool = False
) -> NoReturn:
    what = f"attach {program.name!r} to {name}"
    why, hint = "", None
    match number:
        case errno.EEXIST if expected:
            why = "the program that it is to replace is not there"
        case errno.EBUSY | errno.EEXIST:
            there = _attached(ifindex)
            ids = " and ".join(str(each) for each in sorted(set(there.values())))
            why = f"an XDP program is there already (id {ids})" if ids else "its XDP hook is busy"
            hint = f"detach it (ip link set {name} xdp off ends one without a link)"
            if ids:
                hint = f"bpftool prog show id {ids.split()[0]} tells which it is; {hint}"
        case errno.EINVAL if program.spec.flags & _BOUND:
            why = "it was loaded for one interface, and runs in that one's driver only (EINVAL)"
        case errno.EINVAL if mode == "offload":
            why = "it was not loaded for this interface's card (EINVAL)"
            hint = f"load(..., device={name!r}, offload=True) does so where the card can"
        case errno.EINVAL if mode != "offload" and _offloaded(program):
            why = f"it was loaded for a card, and cannot run in {mode} mode (EINVAL)"
            hint = 'use mode "offload"'
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


def _offloaded(program: Attachable) -> bool:
    """Whether a card runs the program."""
    try:
        return read_program_info(program.fd).ifindex != 0
    except OSError:
        return False


def _attached(ifindex: int) -> dict[str, int]:
    """Ids of the programs on an interface by mode; none where netlink does not tell."""
    from ebpfasm.runtime.network.netlink import xdp_programs

    try:
        return xdp_programs(ifindex)
    except OSError:
        return {}
