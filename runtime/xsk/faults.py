"""What goes wrong with AF_XDP, in words."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

from ebpfasm.errors import EbpfError, LoadError, error, unsupported
from ebpfasm.native import native_core
from ebpfasm.runtime.refusals import refused
from ebpfasm.runtime.release import kernel_version

if TYPE_CHECKING:
    from ebpfasm.runtime.xsk.rings import Settings
    from ebpfasm.runtime.xsk.umem import Umem

_RIGHTS = ("CAP_NET_RAW", "CAP_NET_ADMIN")
_STEPS = {  # of ebpfasm_xsk_open
    1: "open an AF_XDP socket",
    2: "register the UMEM",
    3: "make the rings",
    4: "map the rings",
    5: "bind to {where}",
    6: "set busy polling",
    7: "open an AF_XDP socket",
}
_UMEM = 2


def core() -> Any:
    """The native core, which AF_XDP cannot do without. Raises NotSupported."""
    found = native_core()
    if found is None:
        hint = "build the native core with a C compiler, and unset EBPFASM_NO_NATIVE"
        raise unsupported("AF_XDP without the native core", hint=hint)
    return found


def open_failed(step: int, number: int, settings: Settings, umem: Umem, shared: bool) -> EbpfError:
    """Say why ebpfasm_xsk_open failed."""
    if (lacking := _lacking(step, number, settings, umem)) is not None:
        return lacking
    where = settings.where
    why, hint = _reason(step, number, settings.copy, shared)
    if number in (errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT) and step == 1:
        return unsupported("AF_XDP", "4.18", hint="the kernel needs CONFIG_XDP_SOCKETS")
    if number == errno.ENODEV:
        message = f"cannot bind to {where}: the interface is gone"
        return LoadError(error("interface-missing", message), errno=number)
    what = _STEPS[step].format(where=where)
    code = "xsk-umem" if step == _UMEM else "xsk-open"
    return refused(code, what, number, why=why, needs=_RIGHTS, hint=hint)


def _lacking(step: int, number: int, settings: Settings, umem: Umem) -> EbpfError | None:
    """What was asked for and came with a later kernel, which says no more than EINVAL."""
    match step, number:
        case 2, errno.EINVAL if umem.metadata and kernel_version() < 0x060B00:
            return unsupported("metadata of AF_XDP frames to be sent (tx_metadata)", "6.11")
        case 5, errno.EINVAL if settings.multi_buffer and kernel_version() < 0x060600:
            return unsupported("AF_XDP with packets of several frames (multi_buffer)", "6.6")
        case 6, errno.ENOPROTOOPT:
            return unsupported("busy polling of AF_XDP sockets", "5.11")
        case _:
            return None


def _reason(step: int, number: int, copy: str, shared: bool) -> tuple[str, str | None]:
    match step, number:
        case 2, errno.ENOBUFS:
            hint = "raise it (ulimit -l unlimited), give CAP_IPC_LOCK, or ask for fewer frames"
            return "it is more memory than may be locked", hint
        case 2, errno.EINVAL:
            return "this kernel does not take frames of this size, headroom or kind", None
        case 3, errno.EINVAL:
            return "ring sizes are powers of two", None
        case 4, errno.EOPNOTSUPP:
            return "this kernel is older than 5.4", None
        case 5, errno.EBUSY:
            hint = "one socket a queue; to put more on it, give them the umem of the first"
            return "another socket, or driver, has the queue", hint
        case 5, errno.EINVAL if shared:
            return "there is no such queue, or the UMEM's sockets are bound in another way", None
        case 5, errno.EINVAL:
            return "there is no such queue, or it cannot be bound in this way", None
        case 5, errno.EOPNOTSUPP if copy == "zero-copy":
            return "the driver cannot do zero-copy", 'leave it to the kernel: copy="auto"'
        case 5, errno.EOPNOTSUPP:
            return "the driver cannot do this", None
        case 6, errno.EPERM:
            return "busy polling longer than net.core.busy_read takes CAP_NET_ADMIN", None
        case _:
            return "", None


def failed(number: int, where: str) -> Exception:
    """Say what a ring operation's errno means for a socket."""
    match number:
        case errno.ECANCELED:
            return ValueError("XskSocket is closed")
        case errno.ENETDOWN:
            message = f"{where} is down"
            hint = "the socket goes on when it is up again: ip link set dev NAME up"
            return LoadError(error("xsk-interface", message, hint=hint), errno=number)
        case errno.ENXIO | errno.ENODEV:
            message = f"the interface of {where} is gone, and the socket with it"
            return LoadError(error("xsk-interface", message), errno=errno.ENODEV)
        case errno.ENOBUFS:
            message = f"the socket on {where} has no ring for this direction"
            hint = "open it with rx=True and tx=True"
            return LoadError(error("xsk-ring", message, hint=hint), errno=number)
        case _:
            return refused("xsk-ring", f"go on with {where}", number)


def bad_frame(message: str, hint: str | None = None) -> LoadError:
    """A frame that cannot be sent or given back."""
    return LoadError(error("xsk-frame", message, hint=hint), errno=errno.EINVAL)


def cannot_write(path: str | os.PathLike[str], reason: int) -> EbpfError:
    """A capture that cannot be written."""
    words = os.strerror(reason).lower()
    return EbpfError(error("file-write", f"{os.fspath(path)} cannot be written: {words}"))
