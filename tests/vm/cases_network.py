"""Programs that ask about sockets, tunnels, headers and lengths, for the kernel to judge."""

from __future__ import annotations

from ebpfasm.analysis.vm import frames
from tests.vm.cases import Case, tc, with_maps, xdp

_V6 = frames.udp("fd00::1", "fd00::2", payload=bytes(20))
_TCP = frames.tcp(flags="S", payload=bytes(20))


def skb(name: str, section: str, type: str, body: str, **more: object) -> Case:
    """A program of any type that sees packets, with r6 = context."""
    text = f'.license "GPL"\n{{maps}}\n.section {section}\nmain:\nr6 = r1\n{body}'
    return Case(name, text, type=type, **more)  # type: ignore[arg-type]


def _key(setup: str, call: str, size: int = 44) -> str:
    """Set a tunnel's key, read it back, and sum up what was read."""
    words = "".join(f"*(u32 *)(r10 - {44 - at}) = 0\n" for at in range(0, 44, 4))
    total = "".join(
        f"r1 = *(u32 *)(r10 - {44 - at}); r9 *= 31; r9 += r1\n" for at in range(0, size, 4)
    )
    return f"{words}{setup}{call}{total}r0 = r9; exit"


_SET = "r1 = r6; r2 = r10; r2 += -44; r3 = {size}; r4 = {flags}; call bpf_skb_set_tunnel_key\n"
_GET = "r1 = r6; r2 = r10; r2 += -44; r3 = {size}; r4 = {flags}; call bpf_skb_get_tunnel_key\n"
_FIELDS = (
    "*(u32 *)(r10 - 44) = 77; *(u32 *)(r10 - 40) = 0x0a000001; *(u32 *)(r10 - 16) = 0x0a000002\n"
    "*(u8 *)(r10 - 24) = 3; *(u8 *)(r10 - 23) = 64\n"
)


def _tunnel(flags_in: int, flags_out: int, size: int = 44, setup: str = _FIELDS) -> str:
    call = _SET.format(size=size, flags=flags_in) + "r9 = r0\n"
    call += _GET.format(size=size, flags=flags_out) + "r9 *= 1000; r9 += r0\n"
    return _key(setup, call, size - size % 4)


_HEADER = (
    "r1 = 0x0000001400000045 ll; *(u64 *)(r10 - 24) = r1; r1 = 0x0100000a00000440 ll\n"
    "*(u64 *)(r10 - 16) = r1; *(u32 *)(r10 - 8) = 0x0200000a\n"
)

SKB = [
    tc("congestion mark", "r1 = r6; call bpf_skb_ecn_set_ce; exit"),
    *(
        tc(
            f"congestion mark over ECN {ecn}",
            "r1 = r6; call bpf_skb_ecn_set_ce; exit",
            data=frames.udp()[:15] + bytes([ecn]) + frames.udp()[16:],
        )
        for ecn in (1, 2, 3)
    ),
    tc("congestion mark of IPv6", "r1 = r6; call bpf_skb_ecn_set_ce; exit", data=_V6),
    tc(
        "congestion mark of IPv6 that is able",
        "r1 = r6; call bpf_skb_ecn_set_ce; exit",
        data=_V6[:15] + b"\x20" + _V6[16:],
    ),
    tc("4 to 6", "r1 = r6; r2 = 0xdd86; r3 = 0; call bpf_skb_change_proto; exit"),
    tc("6 to 4", "r1 = r6; r2 = 8; r3 = 0; call bpf_skb_change_proto; exit", data=_V6),
    tc("4 to 4", "r1 = r6; r2 = 8; r3 = 0; call bpf_skb_change_proto; exit"),
    tc("4 to 6 with flags", "r1 = r6; r2 = 0xdd86; r3 = 1; call bpf_skb_change_proto; exit"),
    tc(
        "protocol after the change",
        "r1 = r6; r2 = 0xdd86; r3 = 0; call bpf_skb_change_proto; r0 = *(u32 *)(r6 + 16); exit",
    ),
    *(
        tc(
            f"time stamp {time} of clock {clock}",
            f"r1 = r6; r2 = {time}; r3 = {clock}; call bpf_skb_set_tstamp; exit",
        )
        for time, clock in ((5, 0), (0, 0), (5, 1), (0, 1), (5, 2), (0, 2), (5, 3))
    ),
    tc(
        "time stamp of ARP",
        "r1 = r6; r2 = 5; r3 = 1; call bpf_skb_set_tstamp; exit",
        data=frames.arp(),
    ),
    tc("tunnel key", _tunnel(0, 0)),
    tc("tunnel key's flags", _tunnel(0x2, 0x10)),
    tc("tunnel key's other flags", _tunnel(0x4 | 0x8, 0x10)),
    tc("tunnel key without key", _tunnel(0x10, 0x10)),
    tc("tunnel key of IPv6", _tunnel(0x1, 0x1, setup=_FIELDS + "*(u32 *)(r10 - 20) = "
                                                               "0x12345678\n")),
    tc("tunnel key of the other family", _tunnel(0, 1)),
    tc("tunnel key with a label", _tunnel(0, 0, setup=_FIELDS + "*(u32 *)(r10 - 20) = 5\n")),
    tc("tunnel key with unknown flags", _tunnel(0x400, 0)),
    tc("tunnel key read with unknown flags", _tunnel(0, 0x400)),
    *(tc(f"tunnel key of {size} bytes", _tunnel(0, 0, size)) for size in (28, 24, 22, 8, 12)),
    tc("no tunnel", _key(_FIELDS, _GET.format(size=44, flags=0) + "r9 = r0\n")),
    tc(
        "tunnel options without key",
        "*(u64 *)(r10 - 8) = 5; r1 = r6; r2 = r10; r2 += -8; r3 = 8\n"
        "call bpf_skb_set_tunnel_opt; r9 = r0\n"
        "r1 = r6; r2 = r10; r2 += -8; r3 = 8; call bpf_skb_get_tunnel_opt; r9 *= 100; r9 += r0\n"
        "r1 = *(u64 *)(r10 - 8); r9 += r1; r0 = r9; exit",
    ),
    *(
        tc(
            f"tunnel options of {size} bytes, read as {room}",
            "".join(f"*(u32 *)(r10 - {44 - at}) = 0\n" for at in range(0, 44, 4))
            + _FIELDS
            + _SET.format(size=44, flags=0)
            + f"""
            *(u64 *)(r10 - 56) = 0x0102030405 ll
            r1 = r6; r2 = r10; r2 += -56; r3 = {size}; call bpf_skb_set_tunnel_opt; r9 = r0
            *(u64 *)(r10 - 64) = -1; *(u64 *)(r10 - 72) = -1
            r1 = r6; r2 = r10; r2 += -72; r3 = {room}; call bpf_skb_get_tunnel_opt
            r9 *= 100; r9 += r0; r1 = *(u64 *)(r10 - 72); r9 += r1; r1 = *(u64 *)(r10 - 64)
            r9 ^= r1; r0 = r9; exit
            """.replace("*(u64 *)(r10 - 56) = 0x0102030405 ll", "*(u64 *)(r10 - 56) = 0x01020304"),
        )
        for size, room in ((8, 8), (8, 16), (8, 4), (6, 8))
    ),
    tc(
        "no IPsec state",
        "*(u64 *)(r10 - 32) = -1; *(u64 *)(r10 - 24) = -1; *(u64 *)(r10 - 16) = -1\n"
        "*(u64 *)(r10 - 8) = -1\n"
        "r1 = r6; r2 = 0; r3 = r10; r3 += -32; r4 = 28; r5 = 0; call bpf_skb_get_xfrm_state\n"
        "r9 = *(u64 *)(r10 - 16); r0 += r9; exit",
    ),
    tc("MTU", "*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 0; r3 = r10; r3 += -4; r4 = 0; r5 = 0\n"
       "call bpf_check_mtu; r1 = *(u32 *)(r10 - 4); r0 += r1; exit"),
    tc("MTU of a length", "*(u32 *)(r10 - 4) = 65537; r1 = r6; r2 = 1; r3 = r10; r3 += -4\n"
       "r4 = 0; r5 = 0; call bpf_check_mtu; r1 = *(u32 *)(r10 - 4); r0 += r1; exit"),
    tc("MTU with a difference", "*(u32 *)(r10 - 4) = 65530; r1 = r6; r2 = 1; r3 = r10; r3 += -4\n"
       "r4 = 7; r5 = 0; call bpf_check_mtu; r1 = *(u32 *)(r10 - 4); r0 += r1; exit"),
    tc("MTU of nothing", "*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 99999; r3 = r10; r3 += -4\n"
       "r4 = 0; r5 = 0; call bpf_check_mtu; exit"),
    tc("MTU of segments", "*(u32 *)(r10 - 4) = 5; r1 = r6; r2 = 0; r3 = r10; r3 += -4\n"
       "r4 = 0; r5 = 1; call bpf_check_mtu; exit"),
    xdp("MTU of a frame", "*(u32 *)(r10 - 4) = 65537; r1 = r6; r2 = 0; r3 = r10; r3 += -4\n"
        "r4 = 0; r5 = 0; call bpf_check_mtu; r1 = *(u32 *)(r10 - 4); r0 += r1; exit"),
    xdp("MTU of a frame with flags", "*(u32 *)(r10 - 4) = 0; r1 = r6; r2 = 0; r3 = r10; r3 += -4\n"
        "r4 = 0; r5 = 1; call bpf_check_mtu; exit"),
    skb("push a header", "lwt_in", "lwt_in", _HEADER + "r1 = r6; r2 = 2; r3 = r10; r3 += -24\n"
        "r4 = 20; call bpf_lwt_push_encap; exit"),
    skb("push a header that is cut", "lwt_in", "lwt_in", _HEADER + "r1 = r6; r2 = 2; r3 = r10\n"
        "r3 += -24; r4 = 16; call bpf_lwt_push_encap; exit"),
    skb("push an unknown header", "lwt_in", "lwt_in", "*(u64 *)(r10 - 24) = 0x55\n"
        "*(u64 *)(r10 - 16) = 0; *(u64 *)(r10 - 8) = 0; r1 = r6; r2 = 2; r3 = r10; r3 += -24\n"
        "r4 = 24; call bpf_lwt_push_encap; exit"),
    skb("push a header as nothing", "lwt_in", "lwt_in", _HEADER + "r1 = r6; r2 = 9; r3 = r10\n"
        "r3 += -24; r4 = 20; call bpf_lwt_push_encap; exit"),
]  # fmt: skip

_WITH_SOCKET = "r7 = *(u64 *)(r6 + 168)\nif r7 == 0 goto none\n"
_NONE = "\nnone: r0 = 1111; exit"


def _sock(name: str, body: str, data: bytes = frames.udp(), maps: str = "") -> Case:
    """A classifier with r7 = the socket of the kernel's test run."""
    return with_maps(tc(name, _WITH_SOCKET + body + _NONE, data=data), maps)


_LOOK_UP = (
    "r1 = r6; r2 = r10; r2 += -40; r3 = {size}; r4 = {netns}; r5 = {flags}; call {helper}\n"
    "if r0 == 0 goto out\nr1 = r0; call bpf_sk_release; r0 = 7\nout: exit"
)
_ZEROS = "".join(f"*(u64 *)(r10 - {at}) = 0\n" for at in range(8, 48, 8))

SOCKETS = [
    _sock("socket's family", "r0 = *(u32 *)(r7 + 4); exit"),
    _sock("socket's family of IPv6", "r0 = *(u32 *)(r7 + 4); exit", _V6),
    _sock("socket's family of ARP", "r0 = *(u32 *)(r7 + 4); exit", frames.arp()),
    _sock(
        "socket's addresses",
        "r0 = *(u32 *)(r7 + 24); r1 = *(u32 *)(r7 + 52); r0 *= 3\nr0 += r1; exit",
    ),
    _sock("socket's state", "r0 = *(u32 *)(r7 + 72); exit"),
    _sock(
        "full socket",
        "r1 = r7; call bpf_sk_fullsock; if r0 == 0 goto none\n"
        "r1 = *(u32 *)(r0 + 8); r2 = *(u32 *)(r0 + 12); r1 *= 10; r1 += r2\n"
        "r2 = *(u32 *)(r0 + 16); r1 *= 10; r1 += r2; r2 = *(u32 *)(r0 + 76); r1 += r2\n"
        "r0 = r1; exit",
    ),
    _sock("no TCP socket", "r1 = r7; call bpf_tcp_sock; if r0 != 0 goto none\nr0 = 5; exit"),
    _sock("no listener", "r1 = r7; call bpf_get_listener_sock; if r0 != 0 goto none\nr0 = 5; exit"),
    _sock("socket's owner", "r1 = r6; call bpf_get_socket_uid; exit"),
    _sock(
        "no tuple", _ZEROS + _LOOK_UP.format(size=16, netns=-1, flags=0, helper="bpf_sk_lookup_tcp")
    ),
    _sock(
        "lookup with flags",
        _ZEROS + _LOOK_UP.format(size=12, netns=-1, flags=1, helper="bpf_sk_lookup_tcp"),
    ),
    _sock(
        "lookup of nothing",
        _ZEROS + _LOOK_UP.format(size=12, netns=-1, flags=0, helper="bpf_sk_lookup_udp"),
    ),
    _sock(
        "lookup of nothing over IPv6",
        _ZEROS + _LOOK_UP.format(size=36, netns=-1, flags=0, helper="bpf_skc_lookup_tcp"),
    ),
    _sock(
        "lookup elsewhere",
        _ZEROS + _LOOK_UP.format(size=12, netns=4711, flags=0, helper="bpf_skc_lookup_tcp"),
    ),
]


def _cookie(version: int, what: str, body: str, frame: bytes, tcp: int = 20) -> Case:
    """An XDP program with r1 = the IP header and r2 = the TCP header, of `tcp` bytes."""
    ip = {4: 20, 6: 40}[version]
    need = 14 + ip + tcp
    head = (
        f"r1 = r7; r1 += {need}\nif r1 > r8 goto none\nr1 = r7; r1 += 14; r2 = r7; "
        f"r2 += {14 + ip}\n"
    )
    return xdp(f"{what} of IPv{version}", head + body + "\nexit\nnone: r0 = 3333; exit", data=frame)


def _syn(version: int, options: bytes = b"", offset: int | None = None) -> bytes:
    host = ("10.0.0.2", "10.0.0.1") if version == 4 else ("fd00::2", "fd00::1")
    frame = frames.tcp(*host, flags="S", seq=1234, payload=options + bytes(8))
    place = 14 + (20 if version == 4 else 40) + 12
    words = 5 + len(options) // 4 if offset is None else offset
    return frame[:place] + bytes([words << 4]) + frame[place + 1 :]


# Kernels have secrets of their own: only the segment's size, in the upper half, is compared.
_GEN = (
    "r3 = {length}; call bpf_tcp_raw_gen_syncookie_ipv{version}\nif r0 s< 0 goto wrong\n"
    "r0 >>= 32\nwrong:"
)
COOKIES = [
    *(
        _cookie(
            v,
            f"cookie with options {options.hex()}",
            _GEN.format(length=20 + len(options), version=v),
            _syn(v, options),
            20 + len(options),
        )
        for v in (4, 6)
        for options in (
            b"",
            bytes.fromhex("020405b4"),
            bytes.fromhex("02040500"),
            bytes.fromhex("0101020405a0")[:4],
            bytes.fromhex("0302010102040578"),
            bytes.fromhex("02030000"),
        )
    ),
    *(
        _cookie(v, "cookie of a wrong length", _GEN.format(length=20, version=v), _syn(v, b"", 6))
        for v in (4, 6)
    ),
    *(_cookie(v, "no cookie", f"call bpf_tcp_raw_check_syncookie_ipv{v}", _syn(v)) for v in (4, 6)),
]
