"""Socket options that bpf_setsockopt and bpf_getsockopt know, a row each.

Those of Linux 6.18 (net/core/filter.c, `sol_socket_sockopt` and its kin); numbers as the generic
headers have them (asm-generic/socket.h, linux/in.h, linux/in6.h, linux/tcp.h, linux/bpf.h).
"""

from __future__ import annotations

from ebpfasm.frozen import dataclass
from ebpfasm.isa.constants import CONSTANTS

SOL_IP, SOL_SOCKET, SOL_TCP, SOL_IPV6 = 0, 1, 6, 41


@dataclass(frozen=True, slots=True)
class SocketOption:
    """One option: its level and number, its name, and what may be done with it.

    `size` is the value's bytes, 0 where the length may be any. `field` is the bpf_sock field that
    holds the value too. `low` to `high` are the numbers that the kernel takes.
    """

    level: int
    number: int
    name: str
    size: int = 4
    settable: bool = True
    gettable: bool = True
    field: str = ""
    low: int = -(1 << 31)
    high: int = (1 << 31) - 1


_O = SocketOption

# fmt: off
OPTIONS: tuple[SocketOption, ...] = (
    _O(SOL_SOCKET, 2,    "SO_REUSEADDR"),
    _O(SOL_SOCKET, 7,    "SO_SNDBUF"),
    _O(SOL_SOCKET, 8,    "SO_RCVBUF"),
    _O(SOL_SOCKET, 9,    "SO_KEEPALIVE"),
    _O(SOL_SOCKET, 12,   "SO_PRIORITY", field="priority"),
    _O(SOL_SOCKET, 15,   "SO_REUSEPORT"),
    _O(SOL_SOCKET, 18,   "SO_RCVLOWAT"),
    _O(SOL_SOCKET, 25,   "SO_BINDTODEVICE", size=0),
    _O(SOL_SOCKET, 36,   "SO_MARK", field="mark"),
    _O(SOL_SOCKET, 47,   "SO_MAX_PACING_RATE"),
    _O(SOL_SOCKET, 62,   "SO_BINDTOIFINDEX", field="bound_dev_if"),
    _O(SOL_SOCKET, 74,   "SO_TXREHASH", low=-1, high=1),
    _O(SOL_IP,     1,    "IP_TOS", low=-1, high=255),
    _O(SOL_IPV6,   67,   "IPV6_TCLASS", low=-1, high=255),
    _O(SOL_IPV6,   70,   "IPV6_AUTOFLOWLABEL"),
    _O(SOL_TCP,    1,    "TCP_NODELAY"),
    _O(SOL_TCP,    2,    "TCP_MAXSEG"),
    _O(SOL_TCP,    4,    "TCP_KEEPIDLE", low=1, high=32767),
    _O(SOL_TCP,    5,    "TCP_KEEPINTVL", low=1, high=32767),
    _O(SOL_TCP,    6,    "TCP_KEEPCNT", low=1, high=127),
    _O(SOL_TCP,    7,    "TCP_SYNCNT", low=1, high=127),
    _O(SOL_TCP,    10,   "TCP_WINDOW_CLAMP"),
    _O(SOL_TCP,    13,   "TCP_CONGESTION", size=0),
    _O(SOL_TCP,    16,   "TCP_THIN_LINEAR_TIMEOUTS"),
    _O(SOL_TCP,    18,   "TCP_USER_TIMEOUT", low=0),
    _O(SOL_TCP,    25,   "TCP_NOTSENT_LOWAT"),
    _O(SOL_TCP,    27,   "TCP_SAVE_SYN", low=0, high=1),
    _O(SOL_TCP,    28,   "TCP_SAVED_SYN", size=0, settable=False),
    _O(SOL_TCP,    44,   "TCP_RTO_MAX_MS", low=1000, high=120000),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_IW"], "TCP_BPF_IW", gettable=False, low=1),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_SNDCWND_CLAMP"], "TCP_BPF_SNDCWND_CLAMP", gettable=False, low=1),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_DELACK_MAX"], "TCP_BPF_DELACK_MAX"),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_RTO_MIN"], "TCP_BPF_RTO_MIN"),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_SYN"], "TCP_BPF_SYN", size=0, settable=False),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_SYN_IP"], "TCP_BPF_SYN_IP", size=0, settable=False),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_SYN_MAC"], "TCP_BPF_SYN_MAC", size=0, settable=False),
    _O(SOL_TCP, CONSTANTS["TCP_BPF_SOCK_OPS_CB_FLAGS"], "TCP_BPF_SOCK_OPS_CB_FLAGS"),
)
# fmt: on

_BY_NUMBER = {(each.level, each.number): each for each in OPTIONS}


def find(level: int, number: int) -> SocketOption | None:
    """The option, None where these helpers do not know it."""
    return _BY_NUMBER.get((level, number))
