"""Which queues an interface has (ETHTOOL_GCHANNELS), in the thread's network namespace."""

from __future__ import annotations

import array
import errno
import fcntl
import socket
import struct

from ebpfasm.frozen import dataclass
from ebpfasm.runtime.attach.interfaces import interface
from ebpfasm.runtime.refusals import refused

_SIOCETHTOOL = 0x8946
_GCHANNELS = 0x3C
_CHANNELS = struct.Struct("=9I")  # struct ethtool_channels
_IFREQ = struct.Struct("=16sQ16x") if struct.calcsize("P") == 8 else struct.Struct("=16sI12x")


@dataclass(frozen=True, slots=True)
class Channels:
    """Queues in use, and how many there can be (`ethtool -l`).

    A combined queue receives and sends. `ethtool -L IFACE combined N` sets how many.
    """

    rx: int
    tx: int
    combined: int
    max_rx: int
    max_tx: int
    max_combined: int

    @property
    def receive(self) -> int:
        """Queues that receive: numbers 0 to this less one are bound to."""
        return self.rx + self.combined

    @property
    def send(self) -> int:
        """Queues that send."""
        return self.tx + self.combined


def channels(iface: str | int) -> Channels:
    """Ask the driver; where it cannot say, the stack, by netlink. Raises LoadError."""
    ifindex, name = interface(iface)
    buffer = array.array("B", _CHANNELS.pack(_GCHANNELS, *[0] * 8))
    request = _IFREQ.pack(name.encode(), buffer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as asking:
        try:
            fcntl.ioctl(asking, _SIOCETHTOOL, request)
        except OSError as refusal:
            if refusal.errno not in (errno.EOPNOTSUPP, errno.ENOTTY):
                number = refusal.errno or 0
                raise refused("xsk-open", f"ask for the queues of {name}", number) from None
            return _by_netlink(ifindex)
    _, max_rx, max_tx, _, max_combined, rx, tx, _, combined = _CHANNELS.unpack(buffer)
    return Channels(rx, tx, combined, max_rx, max_tx, max_combined)


def _by_netlink(ifindex: int) -> Channels:
    from ebpfasm.runtime.network.netlink import with_netlink

    (link,) = with_netlink(lambda netlink: netlink.get_links(ifindex))
    rx, tx = (link.get_attr(f"IFLA_NUM_{which}_QUEUES") or 1 for which in ("RX", "TX"))
    return Channels(rx, tx, 0, rx, tx, 0)
