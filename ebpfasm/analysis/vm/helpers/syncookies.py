"""SYN cookies by the kernel's algorithm, with secrets and a clock that the test sets.

net/ipv4/syncookies.c and net/ipv6/syncookies.c; the hash is SipHash-2-4. A kernel's own secrets
are random, so its cookies are others; the segment sizes in the answers are the same.
"""

from __future__ import annotations

from sys import byteorder as _ORDER

from ebpfasm.analysis.vm import errnos as errno
from ebpfasm.analysis.vm.helpers.registry import U32, helper
from ebpfasm.analysis.vm.helpers.sockets import socket_at
from ebpfasm.analysis.vm.machine import Machine
from ebpfasm.analysis.vm.network import Network
from ebpfasm.analysis.vm.objects import AF_INET6, LISTEN, TCP, Socket

_SIZES_V4, _SIZES_V6 = (536, 1300, 1440, 1460), (1220, 1420, 1440, 8940)
_DEFAULT_V4, _DEFAULT_V6 = 536, 1220  # TCP_MSS_DEFAULT, and IPV6_MIN_MTU less the headers
_BITS, _MASK = 24, (1 << 24) - 1
_AGE = 2  # minutes that a cookie is good for
_HEADER, _IPV4, _IPV6 = 20, 20, 40  # bytes of the headers
_FIN, _SYN, _RST, _ACK = 1, 2, 4, 16
_U64 = (1 << 64) - 1


def siphash(content: bytes, key: bytes) -> int:
    """SipHash-2-4 of bytes with a key of 16 bytes, by words as the host has them."""
    k0, k1 = (int.from_bytes(key[at : at + 8], _ORDER) for at in (0, 8))
    v = [
        k0 ^ 0x736F6D6570736575, k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261, k1 ^ 0x7465646279746573,
    ]  # fmt: skip
    whole = len(content) - len(content) % 8
    for at in range(0, whole, 8):
        word = int.from_bytes(content[at : at + 8], _ORDER)
        v[3] ^= word
        _rounds(v, 2)
        v[0] ^= word
    last = int.from_bytes(content[whole:], "little") | (len(content) & 0xFF) << 56
    v[3] ^= last
    _rounds(v, 2)
    v[0] ^= last
    v[2] ^= 0xFF
    _rounds(v, 4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def _rounds(v: list[int], count: int) -> None:
    def left(value: int, by: int) -> int:
        return (value << by | value >> 64 - by) & _U64

    for _ in range(count):
        v[0] = v[0] + v[1] & _U64
        v[1] = left(v[1], 13) ^ v[0]
        v[0] = left(v[0], 32)
        v[2] = v[2] + v[3] & _U64
        v[3] = left(v[3], 16) ^ v[2]
        v[0] = v[0] + v[3] & _U64
        v[3] = left(v[3], 21) ^ v[0]
        v[2] = v[2] + v[1] & _U64
        v[1] = left(v[1], 17) ^ v[2]
        v[2] = left(v[2], 32)


class _Segment:
    """The headers that a cookie is about."""

    def __init__(self, machine: Machine, ip: bytes, tcp: bytes) -> None:
        self.ipv6 = len(ip) >= _IPV6
        self.addresses = ip[8:40] if self.ipv6 else ip[12:20]
        self.ports = tcp[0:4]
        self.sequence = int.from_bytes(tcp[4:8], "big")
        self.acknowledged = int.from_bytes(tcp[8:12], "big")
        self.network = machine.world.network
        self.minutes = machine.world.now // 60_000_000_000 & U32
        self.sizes = _SIZES_V6 if self.ipv6 else _SIZES_V4

    def _hash(self, minutes: int, secret: int) -> int:
        count = minutes.to_bytes(4, _ORDER)
        if self.ipv6:
            content = self.addresses + count + self.ports
        else:
            # siphash_4u32 takes the ports as one number: the source's in the upper half.
            both = int.from_bytes(self.ports[0:2], _ORDER) << 16
            both |= int.from_bytes(self.ports[2:4], _ORDER)
            content = self.addresses + both.to_bytes(4, _ORDER) + count
        return siphash(content, self.network.secrets[secret]) & U32

    def cookie(self, size: int) -> tuple[int, int]:
        """The cookie, and the segment size that it stands for."""
        index = next((i for i in range(len(self.sizes) - 1, 0, -1) if size >= self.sizes[i]), 0)
        head = self._hash(0, 0) + self.sequence + (self.minutes << _BITS)
        cookie = head + (self._hash(self.minutes, 1) + index & _MASK) & U32
        return cookie, self.sizes[index]

    def check(self) -> int:
        """The segment size of the cookie that is acknowledged, 0 where it is none."""
        cookie = self.acknowledged - 1 - self._hash(0, 0) - (self.sequence - 1) & U32
        age = self.minutes - (cookie >> _BITS) & 0xFF
        if age >= _AGE:
            return 0
        index = cookie - self._hash(self.minutes - age & U32, 1) & _MASK
        return self.sizes[index] if index < len(self.sizes) else 0


def _segment_size(tcp: bytes) -> int:
    """The MSS option of a header, 0 where there is none."""
    place = _HEADER
    while place < len(tcp):
        kind = tcp[place]
        if kind == 0 or (kind != 1 and place + 1 >= len(tcp)):
            return 0
        if kind == 1:
            place += 1
            continue
        length = tcp[place + 1]
        if length < 2 or place + length > len(tcp):
            return 0
        if kind == 2 and length == 4:
            return int.from_bytes(tcp[place + 2 : place + 4], "big")
        place += length
    return 0


def _raw_gen(machine: Machine, ip: int, tcp: int, length: int, *, ipv6: bool) -> int:
    content = machine.memory.read(tcp, length & U32)
    header = machine.memory.read(ip, _IPV6 if ipv6 else _IPV4)
    if len(content) < _HEADER or len(content) != content[12] >> 4 << 2:
        return -errno.EINVAL
    size = _segment_size(content) or (_DEFAULT_V6 if ipv6 else _DEFAULT_V4)
    cookie, size = _Segment(machine, header, content).cookie(size)
    return cookie | size << 32


@helper("tcp_raw_gen_syncookie_ipv4")
def tcp_raw_gen_syncookie_ipv4(machine: Machine, ip: int, tcp: int, length: int) -> int:
    """A cookie for a SYN over IPv4, and its segment size in the upper half."""
    return _raw_gen(machine, ip, tcp, length, ipv6=False)


@helper("tcp_raw_gen_syncookie_ipv6")
def tcp_raw_gen_syncookie_ipv6(machine: Machine, ip: int, tcp: int, length: int) -> int:
    """A cookie for a SYN over IPv6, and its segment size in the upper half."""
    return _raw_gen(machine, ip, tcp, length, ipv6=True)


@helper("tcp_raw_check_syncookie_ipv4")
def tcp_raw_check_syncookie_ipv4(machine: Machine, ip: int, tcp: int) -> int:
    """Whether an ACK over IPv4 has a good cookie."""
    header, content = machine.memory.read(ip, _IPV4), machine.memory.read(tcp, _HEADER)
    return 0 if _Segment(machine, header, content).check() else -errno.EACCES


@helper("tcp_raw_check_syncookie_ipv6")
def tcp_raw_check_syncookie_ipv6(machine: Machine, ip: int, tcp: int) -> int:
    """Whether an ACK over IPv6 has a good cookie."""
    header, content = machine.memory.read(ip, _IPV6), machine.memory.read(tcp, _HEADER)
    return 0 if _Segment(machine, header, content).check() else -errno.EACCES


def _version(socket: Socket, header: bytes) -> int:
    """The bytes of the IP header, or a negative errno."""
    match header[0] >> 4:
        case 4 if not (socket.family == AF_INET6 and socket.only_ipv6):
            return _IPV4
        case 6 if len(header) >= _IPV6 and socket.family == AF_INET6:
            return _IPV6
        case 4 | 6:
            return -errno.EINVAL
        case _:
            return -errno.EPROTONOSUPPORT


@helper("tcp_gen_syncookie")
def tcp_gen_syncookie(
    machine: Machine, socket: int, ip: int, ip_length: int, tcp: int, length: int
) -> int:
    """A cookie for a listener's SYN, where it was flooded lately or always makes them."""
    found, header, content = _listener(machine, socket, ip, ip_length, tcp, length)
    network = machine.world.network
    if found is None or len(content) != content[12] >> 4 << 2:
        return -errno.EINVAL
    if not network.syncookies:
        return -errno.ENOENT
    if content[13] & (_SYN | _ACK | _FIN | _RST) != _SYN or len(header) < _IPV4:
        return -errno.EINVAL
    width = _version(found, header)
    if width < 0:
        return width
    if not _makes_cookies(network):
        return -errno.ENOENT
    default = _DEFAULT_V6 if width == _IPV6 else _DEFAULT_V4
    size = _segment_size(content) or default
    cookie, size = _Segment(machine, header[:width], content).cookie(size)
    return cookie | size << 32


def _makes_cookies(network: Network) -> bool:
    return network.syncookies == 2 or network.flooded


@helper("tcp_check_syncookie")
def tcp_check_syncookie(
    machine: Machine, socket: int, ip: int, ip_length: int, tcp: int, length: int
) -> int:
    """Whether an ACK to a listener has a good cookie."""
    found, header, content = _listener(machine, socket, ip, ip_length, tcp, length)
    network = machine.world.network
    if found is None or not network.syncookies:
        return -errno.EINVAL
    if content[13] & (_ACK | _RST | _SYN) != _ACK:
        return -errno.ENOENT
    if len(header) < _IPV4:
        return -errno.EINVAL
    if not network.flooded:
        return -errno.ENOENT
    width = _version(found, header)
    if width < 0:
        return width
    return 0 if _Segment(machine, header[:width], content).check() else -errno.ENOENT


def _listener(
    machine: Machine, socket: int, ip: int, ip_length: int, tcp: int, length: int
) -> tuple[Socket | None, bytes, bytes]:
    found = socket_at(machine, socket)
    header = machine.memory.read(ip, ip_length & U32)
    content = machine.memory.read(tcp, length & U32)
    listens = found is not None and found.protocol == TCP and found.state == LISTEN
    return (found if listens and len(content) >= _HEADER else None), header, content
