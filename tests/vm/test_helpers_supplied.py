"""Helpers whose answers the test supplies: what no test run of the kernel can be asked."""

from __future__ import annotations

import struct
from typing import Any

import pytest

import ebpfasm
from ebpfasm.analysis.vm import (
    Cgroup,
    Event,
    File,
    Inode,
    Network,
    Path,
    Socket,
    Sysctl,
    Task,
    Transform,
    Tunnel,
    frames,
)
from ebpfasm.analysis.vm.helpers.stacks import jhash2
from ebpfasm.analysis.vm.helpers.syncookies import siphash
from ebpfasm.analysis.vm.objects import Area
from ebpfasm.native import native_core

NATIVE = [True, False] if native_core() is not None else [False]
U32 = 0xFFFFFFFF


def machines(body: str, section: str = "tc", maps: str = "", **options: Any) -> list[Any]:
    """A machine for each engine, with r6 = context."""
    text = f'.license "GPL"\n{maps}\n.section {section}\nm:\nr6 = r1\n{body}'
    spec = ebpfasm.assemble(text, name="p.s").programs["m"]
    return [ebpfasm.virtual_machine(spec, native=native, **options) for native in NATIVE]


def results(body: str, section: str = "tc", maps: str = "", **options: Any) -> int:
    """What both engines return of a program, which must be one number."""
    data, ctx = options.pop("data", bytes(64)), options.pop("ctx", None)
    found = {made.execute(data, ctx) for made in machines(body, section, maps, **options)}
    (r0,) = found
    return int(r0)


def errno(r0: int) -> int:
    return (r0 & U32 ^ 1 << 31) - (1 << 31)


# ---- sysctl

_ROOM = "*(u64 *)(r10 - 16) = 0; *(u64 *)(r10 - 8) = 0\nr1 = r6; r2 = r10; r2 += -16; "


def _sysctl(call: str, arguments: str = "r3 = 16", **more: Any) -> tuple[int, bytes]:
    body = _ROOM + f"{arguments}\ncall {call}\nr9 = r0\nr1 = a ll; r2 = r10; r2 += -20\n"
    body += (
        "*(u32 *)(r10 - 20) = 0; r3 = r10; r3 += -16; r4 = 0; call bpf_map_update_elem\n"
        "r0 = r9; exit"
    )
    maps = ".map a, array, key=u32, value_size=16, max_entries=1"
    ctx = {"write": more.pop("write", 0)}
    shown = set()
    for made in machines(body, "cgroup/sysctl", maps, **more):
        shown.add((made.execute(b"", ctx), bytes(made.maps["a"][0])))
    (found,) = shown
    return errno(found[0]), found[1]


def test_names_and_values_of_sysctls() -> None:
    given = Sysctl("net/ipv4/tcp_mem", b"1 2 3\n", b"4 5 6\n")
    name = "bpf_sysctl_get_name"
    assert _sysctl(name, "r3 = 16; r4 = 1", sysctl=given) == (7, b"tcp_mem".ljust(16, b"\0"))
    assert _sysctl(name, "r3 = 16; r4 = 0", sysctl=given) == (-7, b"net/ipv4/tcp_me\0")
    assert _sysctl(name, "r3 = 4; r4 = 1", sysctl=given) == (-7, b"tcp".ljust(16, b"\0"))
    current = "bpf_sysctl_get_current_value"
    assert _sysctl(current, sysctl=given) == (6, b"1 2 3\n".ljust(16, b"\0"))
    assert _sysctl(current, "r3 = 4", sysctl=given) == (-7, b"1 2".ljust(16, b"\0"))
    assert _sysctl(current, sysctl=Sysctl()) == (-22, bytes(16))
    assert _sysctl("bpf_sysctl_get_new_value", sysctl=given) == (-22, bytes(16))
    written = _sysctl("bpf_sysctl_get_new_value", sysctl=given, write=1)
    assert written == (6, b"4 5 6\n".ljust(16, b"\0"))
    assert (
        _sysctl(
            "bpf_sysctl_set_new_value", "*(u16 *)(r2 + 0) = 0x3039; r3 = 2", sysctl=given, write=1
        )[0]
        == 0
    )
    assert given.new == b"90"
    assert _sysctl("bpf_sysctl_set_new_value", sysctl=given)[0] == -22


# ---- sockets that are set up

_OPTION = (
    "*(u32 *)(r10 - 4) = {value}\nr1 = r6; r2 = {level}; r3 = {name}; r4 = r10; "
    "r4 += -4; r5 = {size}\ncall bpf_{call}sockopt\n"
)


def _option(
    call: str, level: int, name: int, value: int = 0, size: int = 4, **more: Any
) -> tuple[int, int]:
    body = _OPTION.format(call=call, level=level, name=name, value=value, size=size)
    body += "r9 = r0; r9 <<= 32; r1 = *(u32 *)(r10 - 4); r9 |= r1; r0 = r9; exit"
    r0 = results(body, "sockops", data=b"", **more)
    return errno(r0 >> 32), r0 & U32


def test_socket_options_are_kept_in_the_socket() -> None:
    socket = Socket(options={(6, 13): b"cubic\0"})
    ctx = {"sk": socket}
    assert _option("set", 1, 36, 9, ctx=ctx)[0] == 0
    assert socket.mark == 9
    assert _option("get", 1, 36, ctx=ctx) == (0, 9)
    assert _option("set", 1, 36, 9, size=2, ctx=ctx)[0] == -22
    assert _option("set", 0, 1, 300, ctx=ctx)[0] == -22
    assert _option("set", 0, 1, 16, ctx=ctx)[0] == 0
    assert _option("get", 0, 1, ctx=ctx) == (0, 16)
    assert _option("get", 41, 67, 5, ctx=ctx) == (-22, 0)
    assert _option("get", 6, 13, ctx=ctx) == (0, int.from_bytes(b"cub\0", "little"))
    assert _option("get", 99, 1, 5, ctx=ctx) == (-22, 0)
    assert _option("set", 6, 5, 0, ctx=ctx)[0] == -22
    assert _option("set", 6, 28, 0, ctx=ctx)[0] == -22


def test_a_saved_syn_is_copied_and_cut() -> None:
    socket = Socket(saved_syn=b"abcdef")
    assert _option("get", 6, 1005, ctx={"sk": socket}) == (-28, int.from_bytes(b"abcd", "little"))
    assert _option("get", 6, 1005, 7, ctx={"sk": Socket()}) == (-2, 0)


def test_callbacks_are_chosen() -> None:
    socket = Socket()
    body = (
        "r1 = r6; r2 = 0x105; call bpf_sock_ops_cb_flags_set; r1 = *(u32 *)(r6 + 84); "
        "r0 *= 10; r0 += r1; exit"
    )
    assert results(body, "sockops", data=b"", ctx={"sk": socket}) == 0x100 * 10 + 5
    assert socket.callbacks == 5


def test_an_address_is_bound() -> None:
    body = (
        "*(u64 *)(r10 - 16) = {family}; *(u64 *)(r10 - 8) = 0\n"
        "r1 = r6; r2 = r10; r2 += -16; r3 = {size}; call bpf_bind; exit"
    )
    for family, size, expected in (
        (2, 16, 0),
        (2, 8, -22),
        (1, 16, -97),
        (10, 16, -22),
        (2, 1, -22),
    ):
        text = body.format(family=family, size=size)
        for made in machines(text, "cgroup/connect4"):
            assert errno(made.execute(b"", {"user_family": 2})) == expected
            sent = [each.kind for each in made.world.events]
            assert sent == (["bind"] if expected == 0 else [])


_TCP = bytes(12) + b"\x70" + bytes(7) + bytes.fromhex("0204 05b4 0303 07 00")
_WRITE_CB, _LENGTH_CB, _PARSE_CB = 15, 14, 13


def _header(body: str, op: int, data: bytes = _TCP, **more: Any) -> int:
    return errno(results(body, "sockops", data=data, ctx={"op": op, "sk": Socket(**more)}))


def test_options_of_tcp_headers() -> None:
    find = (
        "*(u64 *)(r10 - 8) = {what}\nr1 = r6; r2 = r10; r2 += -8; r3 = {size}; r4 = {flags}\n"
        "call bpf_load_hdr_opt\nif r0 s< 0 goto out\nr1 = *(u16 *)(r10 - 6); r0 *= 0x10000; "
        "r0 += r1\nout: exit"
    )
    assert _header(find.format(what=2, size=8, flags=0), _PARSE_CB) == 4 * 0x10000 + 0xB405
    assert _header(find.format(what=2, size=3, flags=0), _PARSE_CB) == -28
    assert _header(find.format(what=5, size=8, flags=0), _PARSE_CB) == -42
    assert _header(find.format(what=0x302, size=8, flags=0), _PARSE_CB) == -22
    assert _header(find.format(what=1, size=8, flags=0), _PARSE_CB) == -22
    assert _header(find.format(what=2, size=8, flags=4), _PARSE_CB) == -22
    assert _header(find.format(what=2, size=8, flags=0), _LENGTH_CB) == -1
    assert _header(find.format(what=2, size=8, flags=1), _PARSE_CB) == -2
    assert (
        _header(find.format(what=3, size=8, flags=1), _PARSE_CB, b"", saved_syn=_TCP)
        == 3 * 0x10000 + 7
    )
    assert _header(find.format(what=0xFD, size=8, flags=0), _PARSE_CB) == -22


def test_options_are_reserved_and_written() -> None:
    reserve = "r1 = r6; r2 = {size}; r3 = 0; call bpf_reserve_hdr_opt; exit"
    assert _header(reserve.format(size=40), _LENGTH_CB) == 0
    assert _header(reserve.format(size=41), _LENGTH_CB) == -28
    assert _header(reserve.format(size=1), _LENGTH_CB) == -22
    assert _header(reserve.format(size=4), _WRITE_CB) == -1
    store = (
        "*(u64 *)(r10 - 8) = {what}\nr1 = r6; r2 = r10; r2 += -8; r3 = {size}; r4 = 0; "
        "call bpf_store_hdr_opt; exit"
    )
    whole = _TCP[:27] + b"\1"
    for made in machines(store.format(what=0x09080405, size=4), "sockops"):
        found = made.run(whole, {"op": _WRITE_CB})
        assert (found.retval, found.data_out) == (0, whole + bytes.fromhex("05040809"))
    assert _header(store.format(what=0x09080402, size=4), _WRITE_CB, whole) == -17
    assert _header(store.format(what=0x09080405, size=4), _WRITE_CB) == -28  # the list has ended
    assert _header(store.format(what=0x5005, size=8), _WRITE_CB, whole) == -22
    assert _header(store.format(what=0x09080405, size=4), _PARSE_CB, whole) == -1


# ---- messages


def _message(body: str, data: bytes, **more: Any) -> tuple[int, bytes]:
    shown = set()
    for made in machines(body, "sk_msg", **more):
        found = made.run(data)
        shown.add((errno(found.retval), found.data_out))
    (one,) = shown
    return one


_SEEN = "r2 = *(u64 *)(r6 + 0); r3 = *(u64 *)(r6 + 8); r3 -= r2; r1 = *(u32 *)(r6 + 68)\n"


def test_messages_are_pulled_pushed_and_popped() -> None:
    def call(what: str, start: int, end: int, flags: int = 0) -> str:
        return (
            f"r1 = r6; r2 = {start}; r3 = {end}; r4 = {flags}; call bpf_msg_{what}_data; r9 = r0\n"
        )

    def told(*calls: str) -> tuple[int, bytes]:
        end = (
            _SEEN
            + "if r9 != 0 goto wrong\nr0 = r3; r0 *= 100; r0 += r1; exit\nwrong: r0 = r9; exit"
        )
        return _message("".join(calls) + end, b"abcdefgh")

    assert told(call("pull", 2, 5)) == (308, b"abcdefgh")
    assert told(call("pull", 5, 5)) == (-22, b"abcdefgh")
    assert told(call("pull", 5, 9)) == (-22, b"abcdefgh")
    assert told(call("pull", 2, 5, 1)) == (-22, b"abcdefgh")
    assert told(call("push", 0, 2)) == (210, b"\0\0abcdefgh")
    assert told(call("push", 3, 2)) == (310, b"abc\0\0defgh")
    assert told(call("push", 8, 2)) == (810, b"abcdefgh\0\0")
    assert told(call("push", 9, 2)) == (-22, b"abcdefgh")
    assert told(call("push", 3, 0)) == (808, b"abcdefgh")
    assert told(call("pop", 0, 2)) == (606, b"cdefgh")
    assert told(call("pop", 3, 2)) == (306, b"abcfgh")
    assert told(call("pop", 3, 6)) == (-22, b"abcdefgh")
    assert told(call("push", 3, 2), call("pull", 1, 8)) == (710, b"abc\0\0defgh")
    assert told(call("push", 3, 2), call("pop", 2, 4)) == (206, b"abefgh"[:6])
    big = _message(call("push", 3, 5000) + "r0 = *(u32 *)(r6 + 68); exit", b"abcdefgh")
    assert big == (5008, b"abc" + bytes(5000) + b"defgh")


def test_a_verdict_holds_for_some_bytes() -> None:
    body = (
        "r1 = r6; r2 = 9; call bpf_msg_apply_bytes; r1 = r6; r2 = 7; "
        "call bpf_msg_cork_bytes; r0 = 1; exit"
    )
    for made in machines(body, "sk_msg"):
        expected = (Event("msg_apply_bytes", key=9), Event("msg_cork_bytes", key=7))
        assert made.run(b"x").events == expected


# ---- maps of sockets

_SOCKMAP = ".map s, sockmap, key=u32, value=u64, max_entries=4"
_SOCKHASH = ".map h, sockhash, key=u64, value=u64, max_entries=4"


def test_redirects_name_the_socket() -> None:
    cases = (
        (
            "sk_skb/stream_verdict",
            "sk_redirect_map",
            "r2 = s ll; r3 = 1",
            _SOCKMAP,
            "s",
            "sk_redirect",
        ),
        ("sk_msg", "msg_redirect_map", "r2 = s ll; r3 = 1", _SOCKMAP, "s", "msg_redirect"),
        (
            "sk_skb/stream_verdict",
            "sk_redirect_hash",
            "*(u64 *)(r10 - 8) = 1; r2 = h ll; r3 = r10; r3 += -8",
            _SOCKHASH,
            "h",
            "sk_redirect",
        ),
        (
            "sk_msg",
            "msg_redirect_hash",
            "*(u64 *)(r10 - 8) = 1; r2 = h ll; r3 = r10; r3 += -8",
            _SOCKHASH,
            "h",
            "msg_redirect",
        ),
    )
    for section, helper, arguments, text, name, kind in cases:
        for flags, expected in ((0, 1), (1, 1), (2, 0)):
            body = f"r1 = r6; {arguments}; r4 = {flags}; call bpf_{helper}; exit"
            for made in machines(body, section, text):
                assert made.execute(bytes(64)) == 0  # there is no such socket
                made.maps[name][1] = Socket(state=1, cookie=55)
                found = made.run(bytes(64))
                sent = (Event(kind, name, key=55, flags=flags),) if expected else ()
                assert (found.retval, found.events) == (expected, sent)
                assert made.maps[name].snapshot() == {1: 55}


def test_sockets_are_put_into_maps_by_programs() -> None:
    body = (
        "*(u64 *)(r10 - 8) = 2; r1 = r6; r2 = {map} ll; r3 = r10; r3 += -8; r4 = {flags}; "
        "call bpf_sock_{kind}_update; exit"
    )
    for text, map, kind in ((_SOCKMAP, "s", "map"), (_SOCKHASH, "h", "hash")):
        for flags, expected in ((0, 0), (1, 0), (2, -2), (9, -22)):
            for made in machines(body.format(map=map, kind=kind, flags=flags), "sockops", text):
                socket = Socket()
                assert errno(made.execute(b"", {"sk": socket})) == expected
                there = made.maps[map].snapshot()
                assert there == ({2: socket.cookie} if expected == 0 else {})


def test_a_socket_of_a_group_is_chosen() -> None:
    body = (
        "*(u32 *)(r10 - 4) = 1; r1 = r6; r2 = g ll; r3 = r10; r3 += -4; r4 = {flags}; "
        "call bpf_sk_select_reuseport; exit"
    )
    maps = ".map g, reuseport_sockarray, key=u32, value=u64, max_entries=4"
    for made in machines(body.format(flags=0), "sk_reuseport", maps):
        assert errno(made.execute(b"x")) == -2
        made.maps["g"][1] = Socket(cookie=5)
        assert made.run(b"x").events == (Event("sk_select_reuseport", "g", key=5),)
    assert errno(results(body.format(flags=1), "sk_reuseport", maps)) == -22


def test_sockets_must_be_given_back() -> None:
    take = "*(u32 *)(r10 - 4) = 1; r1 = s ll; r2 = r10; r2 += -4; call bpf_map_lookup_elem\n"
    for made in machines(take + "r0 = 0; exit", "sk_skb/stream_verdict", _SOCKMAP):
        assert made.execute(bytes(64)) == 0
        made.maps["s"][1] = Socket()
        with pytest.raises(ebpfasm.VmError, match="not given back"):
            made.execute(bytes(64))
    twice = (
        take + "if r0 == 0 goto out\nr7 = r0; r1 = r7; call bpf_sk_release; r1 = r7; "
        "call bpf_sk_release\nout: r0 = 0; exit"
    )
    for made in machines(twice, "sk_skb/stream_verdict", _SOCKMAP):
        made.maps["s"][1] = Socket()
        with pytest.raises(ebpfasm.VmError, match="which was not taken"):
            made.execute(bytes(64))


# ---- storage


def test_values_live_with_inodes_and_cgroups() -> None:
    for kind, item, key in (("inode", Inode(77), 77), ("cgrp", Cgroup(5), 5)):
        body = (
            "r7 = *(u64 *)(r6 + 0); r1 = s ll; r2 = r7; r3 = 0; r4 = 1; "
            f"call bpf_{kind}_storage_get\n"
            "if r0 == 0 goto none\nr1 = *(u64 *)(r0 + 0); r1 += 3; *(u64 *)(r0 + 0) = r1; "
            "r0 = r1; exit\n"
            f"none: r1 = s ll; r2 = r7; call bpf_{kind}_storage_delete; exit"
        )
        maps = f".map s, {kind}_storage, key=s32, value=u64, flags=1"
        for made in machines(body, "raw_tp/sched_switch", maps):
            assert [made.execute(b"", (item,)) for _ in range(2)] == [3, 6]
            assert made.maps["s"].snapshot() == {key: 6}
            made.maps["s"][item] = 10
            assert made.execute(b"", (item,)) == 13
            assert errno(made.execute(b"", (None,))) == -22
            with pytest.raises(ebpfasm.VmError, match="belongs"):
                made.execute(b"", (Path("x"),))


# ---- tunnels


def test_a_received_tunnel_is_told() -> None:
    tunnel = Tunnel(id=7, tos=1, ttl=64, local="10.0.0.1", remote="10.0.0.2", options=b"abcd")
    network = Network(tunnel=tunnel, transforms=(Transform(5, 9, "10.0.0.3"),))
    body = (
        "r1 = r6; r2 = r10; r2 += -48; r3 = 44; r4 = 0; call bpf_skb_get_tunnel_key\n"
        "if r0 != 0 goto out\nr0 = *(u32 *)(r10 - 48); r1 = *(u32 *)(r10 - 44); r0 += r1\n"
        "r1 = *(u32 *)(r10 - 20); r0 *= 3; r0 += r1\nout: exit"
    )
    assert results(body, network=network) == (7 + 0x0A000002) * 3 + 0x0A000001
    options = (
        "r1 = r6; r2 = r10; r2 += -8; r3 = 8; call bpf_skb_get_tunnel_opt; "
        "r1 = *(u64 *)(r10 - 8); r0 *= 2; r0 += r1; exit"
    )
    assert results(options, network=network) == 8 + int.from_bytes(b"abcd", "little")
    state = (
        "r1 = r6; r2 = 0; r3 = r10; r3 += -32; r4 = 28; r5 = 0; call bpf_skb_get_xfrm_state\n"
        "r1 = *(u32 *)(r10 - 32); r0 += r1; r1 = *(u32 *)(r10 - 28); r1 = be32 r1; r0 += r1\n"
        "r1 = *(u32 *)(r10 - 20); r1 = be32 r1; r0 += r1; exit"
    )
    assert results(state, network=network) == 5 + 9 + 0x0A000003


# ---- cookies


def test_siphash_is_that_of_its_authors() -> None:
    key = bytes(range(16))  # the first vectors of the reference implementation
    assert siphash(b"", key) == 0x726FDB47DD0E0E31
    assert siphash(bytes(range(15)), key) == 0xA129CA6149BE45E5


@pytest.mark.parametrize("version", [4, 6])
def test_a_cookie_is_good_for_two_minutes(version: int) -> None:
    host = ("10.0.0.2", "10.0.0.1") if version == 4 else ("fd00::2", "fd00::1")
    ip = 14 + (20 if version == 4 else 40)
    make = (
        f"r7 = *(u32 *)(r6 + 0); r1 = r7; r1 += 14; r2 = r7; r2 += {ip}; r3 = 20\n"
        f"call bpf_tcp_raw_gen_syncookie_ipv{version}; exit"
    )
    check = (
        f"r7 = *(u32 *)(r6 + 0); r1 = r7; r1 += 14; r2 = r7; r2 += {ip}\n"
        f"call bpf_tcp_raw_check_syncookie_ipv{version}; exit"
    )
    minute = 60_000_000_000
    syn = frames.tcp(*host, flags="S", seq=1000)
    cookie = results(make, "xdp", data=syn, now=5 * minute) & U32
    ack = frames.tcp(*host, flags="A", seq=1001, ack=cookie + 1 & U32)
    for now, expected in ((5, 0), (6, 0), (7, -13), (4, -13)):
        assert errno(results(check, "xdp", data=ack, now=now * minute)) == expected
    other = frames.tcp(*host, flags="A", seq=1001, ack=cookie + 100 & U32)
    assert errno(results(check, "xdp", data=other, now=5 * minute)) == -13


# ---- tasks, stacks, files


def test_stacks_are_of_frames_or_of_the_test() -> None:
    text = (
        "call f\nexit\n.text\nf:\n*(u64 *)(r10 - 32) = 0; *(u64 *)(r10 - 24) = 0\n"
        "r1 = r1; r2 = r10; r2 += -32; r3 = 32; r4 = 0; call bpf_get_stack\n"
        "r1 = *(u64 *)(r10 - 32); r2 = *(u64 *)(r10 - 24)\nif r1 == r2 goto same\n"
        "r2 = *(u64 *)(r10 - 16)\nif r2 == 0 goto fine\nsame: r0 = -1\nfine: exit"
    )
    assert results("r1 = r6\n" + text, "raw_tp/x", data=b"", ctx=(1,)) == 16
    task = Task(stack=(11, 22, 33), user_stack=(44, 55))
    body = (
        "r1 = r6; r2 = r10; r2 += -16; r3 = 16; r4 = {flags}; call bpf_get_stack\n"
        "r1 = *(u64 *)(r10 - 16); r2 = *(u64 *)(r10 - 8); r0 *= 1000; r0 += r1; r0 += r2; exit"
    )
    for flags, expected in ((0, 16033), (1, 16055), (2, 8033), (256, 16099), (257, 8055)):
        assert (
            results(body.format(flags=flags), "raw_tp/x", data=b"", ctx=(1,), task=task) == expected
        )


def test_stacks_are_kept_by_their_hash() -> None:
    body = "r1 = r6; r2 = s ll; r3 = {flags}; call bpf_get_stackid; exit"
    maps = ".map s, stack_trace, key=u32, value_size=16, max_entries=16"
    for made in machines(body.format(flags=0), "raw_tp/x", maps, task=Task(stack=(11, 22, 33))):
        number = made.execute(b"", (1,))
        assert number == jhash2(struct.pack("=QQ", 11, 22)) & 15
        assert made.maps["s"][number] == (11, 22)
        assert made.execute(b"", (1,)) == number
        made.maps["s"].stacks[number] = (5, (9,))
        assert errno(made.execute(b"", (1,))) == -17
    for made in machines(body.format(flags=1 << 10), "raw_tp/x", maps, task=Task(stack=(11, 22))):
        made.maps["s"].stacks[jhash2(struct.pack("=QQ", 11, 22)) & 15] = (5, (9,))
        assert made.maps["s"][made.execute(b"", (1,))] == (11, 22)


@pytest.mark.kernel
def test_ids_of_stacks_are_those_of_the_kernel() -> None:
    text = """.license "GPL"
    .map s, stack_trace, key=u32, value_size=256, max_entries=1024
    .section raw_tp/sched_switch
    m: r6 = r1
    r1 = r6; r2 = s ll; r3 = 0; call bpf_get_stackid; exit"""
    with ebpfasm.load(ebpfasm.assemble(text)) as live:
        number = live.programs["m"].test_run().retval
        raw = live.maps["s"].lookup_bytes(number.to_bytes(4, "little"))
    assert raw is not None
    whole = bytes(raw).rstrip(b"\0")
    stack = whole.ljust(-(-len(whole) // 8) * 8, b"\0")
    assert len(stack) >= 24
    assert jhash2(stack) & 1023 == number


def test_the_task_says_what_the_test_set() -> None:
    task = Task(
        cgroup_id=9, cgroup_ancestors=(1, 4), namespaces={(3, 4): (5, 6)}, memory=b"\7" + bytes(7),
        areas=(Area(100, 200, b"\5" + bytes(7)),),
        registers=bytes(112) + (66).to_bytes(8, "little"),
    )  # fmt: skip
    levels = "r1 = {}; call bpf_get_current_ancestor_cgroup_id; exit"
    assert [results(levels.format(n), task=task) for n in (0, 1, 2, 3, -1)] == [1, 4, 9, 0, 0]
    namespace = (
        "r1 = 3; r2 = {}; r3 = r10; r3 += -8; r4 = 8; "
        "call bpf_get_ns_current_pid_tgid; r1 = *(u64 *)(r10 - 8); r0 += r1; exit"
    )
    assert results(namespace.format(4), task=task) == 6 << 32 | 5
    assert errno(results(namespace.format(5), task=task)) == -22
    assert results("call bpf_get_current_task_btf; r0 = *(u64 *)(r0 + 0); exit", task=task) == 7
    area = (
        "call bpf_get_current_task_btf; *(u64 *)(r10 - 8) = 0; r1 = r0; r2 = {}; "
        "r3 = each ll; r4 = r10\n"
        "r4 += -8; r5 = 0; call bpf_find_vma; r1 = *(u64 *)(r10 - 8); r0 += r1; exit\n"
        ".text\neach: r1 = *(u64 *)(r2 + 0); *(u64 *)(r3 + 0) = r1; r0 = 0; exit"
    )
    assert results(area.format(150), task=task) == 5
    assert errno(results(area.format(200), task=task)) == -2
    registers = (
        "call bpf_get_current_task_btf; r1 = r0; call bpf_task_pt_regs; "
        "r0 = *(u64 *)(r0 + 112); exit"
    )
    assert results(registers, task=task) == 66
    with pytest.raises(ebpfasm.VmError, match="struct task_struct"):
        results("call bpf_get_current_task_btf; r0 = *(u64 *)(r0 + 8); exit", task=task)


def test_tasks_are_below_cgroups() -> None:
    body = "r1 = c ll; r2 = {}; call bpf_current_task_under_cgroup; exit"
    maps = ".map c, cgroup_array, key=u32, value=u32, max_entries=4"
    task = Task(cgroup_id=9, cgroup_ancestors=(1, 4))
    found = [errno(results(body.format(n), maps=maps, task=task)) for n in (0, 9)]
    assert found == [-11, -7]
    for made in machines(body.format(1), "tc", maps, task=task):
        made.maps["c"][1] = 4
        assert made.execute(bytes(64)) == 1
        made.maps["c"][1] = 5
        assert made.execute(bytes(64)) == 0


def test_names_and_hashes_of_files() -> None:
    body = (
        "r7 = *(u64 *)(r6 + 0); r1 = r7; r2 = r10; r2 += -16; r3 = {}; call bpf_d_path; "
        "r9 = r0; r1 = *(u64 *)(r10 - 16); r9 <<= 32; r9 ^= r1; r0 = r9; exit"
    )
    name = int.from_bytes(b"/a/b\0\0\0\0", "little")
    for item in (Path("/a/b"), File("/a/b")):
        text = "*(u64 *)(r10 - 16) = 0\n" + body.format(16)
        assert results(text, "raw_tp/x", data=b"", ctx=(item,)) == 5 << 32 ^ name
    short = "*(u64 *)(r10 - 16) = 0\n" + body.format(3)
    assert errno(results(short, "raw_tp/x", data=b"", ctx=(Path("/a/b"),)) >> 32) == -36
    digest = (
        "r7 = *(u64 *)(r6 + 0); *(u64 *)(r10 - 8) = 0; r1 = r7; r2 = r10; r2 += -8; "
        "r3 = 8; call bpf_ima_{}_hash; r1 = *(u64 *)(r10 - 8); r0 += r1; exit"
    )
    inode = Inode(1, ima=(4, b"\x10"))
    assert results(digest.format("inode"), "raw_tp/x", data=b"", ctx=(inode,)) == 20
    assert results(digest.format("file"), "raw_tp/x", data=b"", ctx=(File("x", inode),)) == 20
    assert errno(results(digest.format("inode"), "raw_tp/x", data=b"", ctx=(Inode(1),))) == -95


def test_arguments_of_a_traced_function_by_number() -> None:
    argument = (
        "r1 = r6; r2 = {}; r3 = r10; r3 += -8; *(u64 *)(r10 - 8) = 0; "
        "call bpf_get_func_arg; r1 = *(u64 *)(r10 - 8); r0 += r1; exit"
    )
    assert results(argument.format(1), "fentry/x", data=b"", ctx=(5, 6)) == 6
    assert errno(results(argument.format(2), "fentry/x", data=b"", ctx=(5, 6))) == -22
    assert errno(results(argument.format(2), "fexit/x", data=b"", ctx=(5, 6, 7))) == -22
    result = (
        "r1 = r6; r2 = r10; r2 += -8; *(u64 *)(r10 - 8) = 0; call bpf_get_func_ret; "
        "r1 = *(u64 *)(r10 - 8); r0 += r1; exit"
    )
    assert results(result, "fexit/x", data=b"", ctx=(5, 6, 7)) == 7
    assert errno(results(result, "fentry/x", data=b"", ctx=(5, 6, 7))) == -95
    count = "r1 = r6; call bpf_get_func_arg_cnt; exit"
    assert results(count, "fentry/x", data=b"", ctx=(5, 6)) == 2
    assert results(count, "fexit/x", data=b"", ctx=(5, 6, 7)) == 2


# ---- the kernel's memory, counters, branches


def test_kernel_variables_are_supplied() -> None:
    body = (
        "r1 = *(u64 *)(r6 + 0); r2 = {}; call bpf_per_cpu_ptr\nif r0 == 0 goto none\n"
        "r0 = *(u32 *)(r0 + 0)\nnone: exit"
    )
    for made in machines(body.format(1), "raw_tp/x", symbols={"v": b"\5\0\0\0"}, cpus=2):
        assert made.execute(b"", (made.world.symbol("v"),)) == 5
        with pytest.raises(ebpfasm.VmError, match="per-CPU variable"):
            made.execute(b"", (5,))
    for made in machines(body.format(2), "raw_tp/x", symbols={"v": b"\5\0\0\0"}, cpus=2):
        assert made.execute(b"", (made.world.symbol("v"),)) == 0
    this = "r1 = *(u64 *)(r6 + 0); call bpf_this_cpu_ptr; r0 = *(u32 *)(r0 + 0); exit"
    for made in machines(this, "raw_tp/x", symbols={"v": b"\5\0\0\0"}):
        assert made.execute(b"", (made.world.symbol("v"),)) == 5
    look = (
        "*(u64 *)(r10 - 8) = 0x61; r1 = r10; r1 += -8; r2 = 2; r3 = 0; r4 = r10; r4 += -16\n"
        "*(u64 *)(r10 - 16) = 9; call bpf_kallsyms_lookup_name; r1 = *(u64 *)(r10 - 16); "
        "r0 += r1; exit"
    )
    assert results(look, "syscall", data=b"", symbols={"a": 1234}) == 1234
    assert errno(results(look, "syscall", data=b"")) == -2


def test_counters_and_branches_are_supplied() -> None:
    maps = ".map e, perf_event_array, max_entries=4"
    counters = {("e", 1): (7, 8, 9), ("", 0): (1, 2, 3)}
    read = "r1 = e ll; r2 = {}; call bpf_perf_event_read; exit"
    assert results(read.format(1), maps=maps, counters=counters) == 7
    assert errno(results(read.format(2), maps=maps, counters=counters)) == -2
    value = (
        "r1 = e ll; r2 = 1; r3 = r10; r3 += -24; r4 = 24; "
        "call bpf_perf_event_read_value; r0 = *(u64 *)(r10 - 8); exit"
    )
    assert results(value, maps=maps, counters=counters) == 9
    own = (
        "r1 = r6; r2 = r10; r2 += -24; r3 = 24; call bpf_perf_prog_read_value; "
        "r0 = *(u64 *)(r10 - 16); exit"
    )
    assert results(own, "perf_event", data=b"", counters=counters) == 2
    size = "r1 = r6; r2 = 0; r3 = 0; r4 = 1; call bpf_read_branch_records; exit"
    assert results(size, "perf_event", data=b"", branches=bytes(48)) == 48
    snapshot = "r1 = r10; r1 += -48; r2 = 48; r3 = 0; call bpf_get_branch_snapshot; exit"
    assert results(snapshot, branches=bytes(24)) == 24


def test_effects_outside_the_machine_are_recorded() -> None:
    cases = {
        (
            "lirc_mode2",
            "r1 = r6; r2 = 1; r3 = 5; r4 = 1; call bpf_rc_keydown; r0 = 0; exit",
        ): "rc_keydown",
        ("lirc_mode2", "r1 = r6; call bpf_rc_repeat; r0 = 0; exit"): "rc_repeat",
        (
            "lirc_mode2",
            "r1 = r6; r2 = 1; r3 = -5; call bpf_rc_pointer_rel; r0 = 0; exit",
        ): "rc_pointer_rel",
        ("syscall", "r1 = 5; call bpf_sys_close; r0 = 0; exit"): "sys_close",
        ("kprobe/x", "r1 = r6; r2 = 5; call bpf_override_return; r0 = 0; exit"): "override_return",
        ("lsm/x", "r1 = 0; r2 = 1; call bpf_bprm_opts_set; r0 = 0; exit"): "bprm_opts_set",
    }
    for (section, body), kind in cases.items():
        for made in machines(body, section):
            assert [each.kind for each in made.run(bytes(64)).events] == [kind]
    text = (
        "*(u64 *)(r10 - 8) = 0x6425; *(u64 *)(r10 - 16) = 5; r1 = 0; r2 = r10; r2 += -8; "
        "r3 = 3; r4 = r10; r4 += -16; r5 = 8; call bpf_seq_printf; r1 = 0; r2 = r10; "
        "r2 += -8; r3 = 1; call bpf_seq_write; r0 = 0; exit"
    )
    for made in machines(text, "iter/task"):
        assert made.run(bytes(8)).events == (Event("output", data=b"5"), Event("output", data=b"%"))


def test_what_cannot_be_supplied_is_refused_with_advice() -> None:
    for helper in ("bpf_sys_bpf", "bpf_snprintf_btf", "bpf_btf_find_by_name_kind"):
        body = f"r1 = 0; r2 = 0; r3 = 0; r4 = 0; r5 = 0; call {helper}; exit"
        for made in machines(body, "syscall"):
            with pytest.raises(ebpfasm.VmError) as raised:
                made.execute(bytes(8))
            assert f"calls {helper}, which needs a kernel" in str(raised.value)
            assert f'hint: give a Python function: functions={{"{helper}":' in str(raised.value)
