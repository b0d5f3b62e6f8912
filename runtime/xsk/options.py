"""What a socket can be asked for and asked about: the values, and the kernel's numbers for them.

The numbers are those of linux/if_xdp.h and asm-generic/socket.h.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Literal

from ebpfasm.frozen import dataclass

Copy = Literal["auto", "copy", "zero-copy"]
XdpMode = Literal["auto", "native", "generic", "offload"]

AF_XDP = 44
SOL_XDP = 283
_STATISTICS, _OPTIONS = 7, 8  # of SOL_XDP
_OPTIONS_ZEROCOPY = 1

# sxdp_flags of bind
COPY = {"auto": 0, "copy": 1 << 1, "zero-copy": 1 << 2}
USE_NEED_WAKEUP = 1 << 3
USE_SG = 1 << 4

# flags of XDP_UMEM_REG
UNALIGNED_CHUNKS = 1 << 0
TX_SW_CSUM = 1 << 1
TX_METADATA_LEN = 1 << 2

# options of a descriptor
PKT_CONTD = 1 << 0
TX_METADATA = 1 << 1

DESC = struct.Struct("=QII")  # struct xdp_desc: address, length, options

PACKET_HEADROOM = 256  # bytes that the kernel keeps before received data
MOST_FRAGMENTS = 32  # more than a packet has: MAX_SKB_FRAGS + 1 of them at most


@dataclass(frozen=True, slots=True)
class BusyPoll:
    """Let receiving and sending drive the device from the caller's thread (Linux 5.11).

    `microseconds` is how long a call looks for frames, `budget` how many it takes at most.
    """

    microseconds: int = 20
    budget: int = 64


@dataclass(frozen=True, slots=True)
class Statistics:
    """What the kernel counted on the socket (XDP_STATISTICS). The last three are new in 5.9.

    `rx_dropped`: no frame in the fill ring, or one too small. `rx_ring_full`: nobody received.
    `rx_invalid_descs` and `tx_invalid_descs`: addresses outside the UMEM in the rings.
    `rx_fill_ring_empty_descs` and `tx_ring_empty_descs`: how often these rings were found empty.
    """

    rx_dropped: int
    rx_invalid_descs: int
    tx_invalid_descs: int
    rx_ring_full: int
    rx_fill_ring_empty_descs: int
    tx_ring_empty_descs: int

    @property
    def dropped(self) -> int:
        """Frames that were meant for the socket and did not reach it."""
        return self.rx_dropped + self.rx_ring_full


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets and bytes that went through the socket's rings since it was opened.

    `tx_dropped` of those sent were thrown away by the device's queue. Frames that `Frame.send`
    put into the ring are sent though the kernel has yet to look at them.
    """

    received: int
    received_bytes: int
    sent: int
    sent_bytes: int
    tx_dropped: int


def statistics(fd: int) -> Statistics:
    """Ask the kernel. Raises OSError."""
    raw = _option(fd, _STATISTICS, 48)
    words = struct.unpack(f"={len(raw) // 8}Q", raw)
    return Statistics(*words, *[0] * (6 - len(words)))


def is_zero_copy(fd: int) -> bool:
    """Whether frames go between device and UMEM without a copy (XDP_OPTIONS, Linux 5.3)."""
    (flags,) = struct.unpack("=I", _option(fd, _OPTIONS, 4))
    return bool(flags & _OPTIONS_ZEROCOPY)


def _option(fd: int, name: int, size: int) -> bytes:
    # With all three given, Python does not ask the socket for an address, which it has not.
    with socket.socket(AF_XDP, socket.SOCK_RAW, 0, fileno=os.dup(fd)) as asked:
        return asked.getsockopt(SOL_XDP, name, size)
