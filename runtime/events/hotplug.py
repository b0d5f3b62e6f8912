"""CPUs that come online while a perf buffer is read: the kernel's own messages tell of them."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

from ebpfasm.closing import Closing

_UEVENT = 15  # NETLINK_KOBJECT_UEVENT of linux/netlink.h
_KERNEL = 1  # the group that the kernel sends to
_LONGEST = 1 << 16
_ONLINE = re.compile(rb"online@/devices/system/cpu/cpu(\d+)\0")


class CpuWatch(Closing):
    """A socket on which the kernel says that a CPU came online.

    Container managers may keep those messages away: then there are none. Raises OSError.
    """

    def __init__(self) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_NETLINK, kind, _UEVENT)
        try:
            self._socket.bind((0, _KERNEL))
        except BaseException:
            self._socket.close()
            raise

    def fileno(self) -> int:
        """Readable while there are messages, of other devices too."""
        return self._socket.fileno()

    def came_online(self, otherwise: Callable[[], list[int]]) -> list[int]:
        """CPUs that came online since the last call; `otherwise` where messages were dropped."""
        found: list[int] = []
        while True:
            try:
                message = self._socket.recv(_LONGEST)
            except BlockingIOError:
                return found
            except OSError:  # ENOBUFS: there were more than the socket holds
                return otherwise()
            if match := _ONLINE.match(message):
                found.append(int(match[1]))

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()
