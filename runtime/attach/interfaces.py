"""Network interfaces by name or index, in the calling thread's namespace."""

from __future__ import annotations

import errno
import socket
from difflib import get_close_matches

from ebpfasm.errors import LoadError, error


def interface(iface: str | int) -> tuple[int, str]:
    """Index and name of an interface. Raises LoadError of the code "interface-missing"."""
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
