"""What is around a program: tasks, routes and sockets of the kernel, and the same in a world."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Interface, Network, Route, Socket, Task, frames
from ebpfasm.isa.constants import ROWS
from ebpfasm.native import native_core
from ebpfasm.runtime.running.once import Engine, run
from tests.needed import need
from tests.support import kernel_release, release_of

ENGINES: tuple[Engine, ...] = ("vm", "reference") if native_core() is not None else ("reference",)


def program(body: str, section: str = "tc", maps: str = "") -> ebpfasm.ProgramSpec:
    text = f'.license "GPL"\n{maps}\n.section {section}\nmain:\nr6 = r1\n{body}'
    return ebpfasm.assemble(text, name="p.s").programs["main"]


def agree(spec: ebpfasm.ProgramSpec, data: bytes, **options: Any) -> ebpfasm.RunResult:
    """Run in the kernel and in both engines; return the kernel's result."""
    need(spec)
    kernel = run(spec, data, engine="kernel")
    for engine in ENGINES:
        ours = run(spec, data, engine=engine, **options)
        assert (ours.retval, ours.data_out.hex()) == (kernel.retval, kernel.data_out.hex())
    return kernel


@pytest.mark.kernel
@pytest.mark.needs("tracing helpers in all programs")
def test_the_task_is_this_thread_for_the_kernel() -> None:
    comm = Path("/proc/thread-self/comm").read_bytes().rstrip()
    task = Task(
        pid=threading.get_native_id(), tgid=os.getpid(), uid=os.getuid(), gid=os.getgid(), comm=comm
    )
    body = (
        "call bpf_get_current_pid_tgid; r9 = r0; r0 >>= 32; r9 *= 7; r9 += r0\n"
        "call bpf_get_current_uid_gid; r9 *= 7; r9 += r0\n"
        "r1 = r10; r1 += -16; r2 = 16; call bpf_get_current_comm; r9 *= 7; r9 += r0\n"
        "r1 = *(u64 *)(r10 - 16); r9 ^= r1; r1 = *(u64 *)(r10 - 8); r9 += r1\n"
        "call bpf_get_numa_node_id; r9 += r0\nr0 = r9; exit"
    )
    agree(program(body), frames.udp(), task=task)


# ---- a namespace with an interface, routes, neighbours and sockets


@pytest.fixture(scope="module")
def surrounded() -> Iterator[Network]:
    """A thread in a network namespace of its own, and a Network that says the same."""
    if os.geteuid() != 0:
        pytest.skip("making a namespace needs root")
    from ebpfasm.runtime.network.netns import Namespace

    with Namespace() as namespace, namespace.entered():
        commands = (
            "link set lo up", "link add d0 type veth peer name d1", "link set d1 up",
            "link set d0 address 02:00:00:00:00:55",
            "link set d0 mtu 1400 up", "addr add 10.1.0.1/24 dev d0",
            "addr add fd01::1/64 dev d0 nodad",
            "route add 10.2.0.0/16 via 10.1.0.9 dev d0 metric 7",
            "route add 10.3.0.0/16 via 10.1.0.8 dev d0", "route add blackhole 10.4.0.0/16",
            "route add unreachable 10.5.0.0/16", "route add prohibit 10.6.0.0/16",
            "route add fd02::/64 via fd01::9 dev d0",
            "neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev d0 nud permanent",
            "neigh add fd01::9 lladdr 02:00:00:00:00:19 dev d0 nud permanent",
        )  # fmt: skip
        for command in commands:
            subprocess.run(["ip", *command.split()], check=True, capture_output=True)
        for name in ("ipv4/conf/all/forwarding", "ipv6/conf/all/forwarding"):
            Path("/proc/sys/net", name).write_text("1")
        yield _network(socket.if_nametoindex("d0"))


def _network(index: int) -> Network:
    return Network(
        interfaces={
            1: Interface(mtu=65536),
            index: Interface(mtu=1400, mac=bytes.fromhex("020000000055")),
        },
        routes=[
            Route("10.1.0.0/24", index, source="10.1.0.1"),
            Route("10.2.0.0/16", index, "10.1.0.9", metric=7, source="10.1.0.1"),
            Route("10.3.0.0/16", index, "10.1.0.8", source="10.1.0.1"),
            Route("10.4.0.0/16", type="blackhole"), Route("10.5.0.0/16", type="unreachable"),
            Route("10.6.0.0/16", type="prohibit"),
            Route("fd01::/64", index, metric=256, source="fd01::1"),
            Route("fd02::/64", index, "fd01::9", metric=1024, source="fd01::1"),
        ],
        neighbours={
            (index, "10.1.0.9"): bytes.fromhex("020000000009"),
            (index, "fd01::9"): bytes.fromhex("020000000019"),
        },
    )  # fmt: skip


def _look_up(family: int, destination: str, index: int, flags: int, length: int) -> str:
    """Ask for a route, and return the answer with every byte of the parameters mixed in."""
    raw = bytearray(64)
    raw[0], raw[6:8], raw[8:12] = family, length.to_bytes(2, "little"), index.to_bytes(4, "little")
    width = {2: 4, 10: 16}[family]
    raw[16 : 16 + width] = socket.inet_pton(family, {2: "192.0.2.1", 10: "fd09::1"}[family])
    raw[32 : 32 + width] = socket.inet_pton(family, destination)
    lines = []
    for at in range(0, 64, 4):
        word = int.from_bytes(raw[at : at + 4], "little", signed=True)
        lines.append(f"*(u32 *)(r10 - {64 - at}) = {word}")
    lines.append(f"r1 = r6; r2 = r10; r2 += -64; r3 = 64; r4 = {flags}; call bpf_fib_lookup")
    lines.append("r9 = r0")
    lines += [
        f"r1 = *(u64 *)(r10 - {64 - at}); r9 *= 0x01000193; r9 ^= r1" for at in range(0, 64, 8)
    ]
    return "\n".join([*lines, "r0 = r9; exit"])


NONSENSE = 1 << 20  # a flag that no kernel knows
ROUTES = [
    (2, "10.2.3.4", 0, 0), (2, "10.2.3.4", 0, 1000), (2, "10.2.3.4", 0, 1500),
    (2, "10.3.3.4", 0, 0), (2, "10.3.3.4", 4, 0), (2, "10.4.3.4", 0, 0), (2, "10.5.3.4", 0, 0),
    (2, "10.6.3.4", 0, 0), (2, "10.7.3.4", 0, 0), (2, "10.1.0.77", 0, 0), (2, "10.2.3.4", 1, 0),
    (2, "10.2.3.4", 16 | 4, 0), (2, "10.2.3.4", NONSENSE, 0), (2, "10.2.3.4", 2, 0),
    (10, "fd02::5", 0, 0), (10, "fd02::5", 0, 1500), (10, "fd03::5", 0, 0),
    (10, "fe80::5", 0, 0), (10, "ff02::5", 0, 0), (10, "fd02::5", 16, 0), (10, "fd02::5", 1, 0),
]  # fmt: skip


@pytest.mark.kernel
@pytest.mark.needs("results of fib_lookup")
@pytest.mark.parametrize("section", ["tc", "xdp"])
def test_routes_are_found_as_in_the_kernel(surrounded: Network, section: str) -> None:
    index = max(surrounded.interfaces)
    known = sum(
        each.value
        for each in ROWS
        if each.name.startswith("BPF_FIB_LOOKUP_") and release_of(each.since) <= kernel_release()
    )
    for family, destination, flags, length in ROUTES:
        if flags & ~known and flags != NONSENSE:
            continue
        spec = program(_look_up(family, destination, index, flags, length), section)
        agree(spec, frames.udp(), network=surrounded)
    for place in (1, 4711):
        spec = program(_look_up(2, "10.2.3.4", place, 0, 0), section)
        agree(spec, frames.udp(), network=surrounded)


def _tuple(saddr: str, sport: int, daddr: str, dport: int, helper: str) -> str:
    """Look a socket up; return 100 times its state and its type, plus which one it is."""
    family = socket.AF_INET6 if ":" in saddr else socket.AF_INET
    raw = socket.inet_pton(family, saddr) + socket.inet_pton(family, daddr)
    raw += sport.to_bytes(2, "big") + dport.to_bytes(2, "big")
    lines = [
        f"*(u32 *)(r10 - {len(raw) - at}) = "
        f"{int.from_bytes(raw[at : at + 4], 'little', signed=True)}"
        for at in range(0, len(raw), 4)
    ]
    lines += [
        f"r1 = r6; r2 = r10; r2 += -{len(raw)}; r3 = {len(raw)}; r4 = -1; r5 = 0; call {helper}",
        "if r0 == 0 goto none",
        "r7 = *(u32 *)(r0 + 72); r8 = *(u32 *)(r0 + 44); r7 *= 100; r7 += r8",
        "r8 = *(u16 *)(r0 + 48); r7 *= 10; r7 += r8; r8 = *(u32 *)(r0 + 4); r7 += r8",
        "r1 = r0; call bpf_sk_release; r0 = r7; exit",
        "none: r0 = 1; exit",
    ]
    return "\n".join(lines)


@pytest.mark.kernel
def test_sockets_are_found_as_in_the_kernel(surrounded: Network) -> None:
    listener, bound, client = (socket.socket() for _ in range(3))
    datagram = socket.socket(type=socket.SOCK_DGRAM)
    wide = socket.socket(socket.AF_INET6)
    with listener, bound, client, datagram, wide:
        listener.bind(("0.0.0.0", 7001))
        listener.listen()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(("127.0.0.1", 7002))
        bound.listen()
        client.connect(("127.0.0.1", 7001))
        server, (_, port) = listener.accept()
        datagram.bind(("127.0.0.1", 7003))
        wide.bind(("::", 7004))
        wide.listen()
        surrounded.sockets = [
            Socket(src_port=7001), Socket(src_ip="127.0.0.1", src_port=7002),
            Socket(state=1, src_ip="127.0.0.1", src_port=7001, dst_ip="127.0.0.1", dst_port=port),
            Socket(state=1, src_ip="127.0.0.1", src_port=port, dst_ip="127.0.0.1", dst_port=7001),
            Socket(type=2, protocol=17, state=7, src_ip="127.0.0.1", src_port=7003),
            Socket(family=10, src_port=7004),
        ]  # fmt: skip
        for asked in (
            ("10.0.0.9", 5, "10.1.0.1", 7001), ("10.0.0.9", 5, "10.1.0.1", 7002),
            ("10.0.0.9", 5, "127.0.0.1", 7002), ("127.0.0.1", port, "127.0.0.1", 7001),
            ("127.0.0.1", 7001, "127.0.0.1", port), ("10.0.0.9", 5, "127.0.0.1", 7003),
            ("10.0.0.9", 5, "10.1.0.1", 7004), ("fd09::1", 5, "fd01::1", 7004),
            ("fd09::1", 5, "fd01::1", 7001),
        ):  # fmt: skip
            for helper in ("bpf_sk_lookup_tcp", "bpf_sk_lookup_udp", "bpf_skc_lookup_tcp"):
                for section in ("tc", "xdp"):
                    source, sport, destination, dport = asked
                    text = _tuple(source, sport, destination, dport, helper)
                    if helper == "bpf_skc_lookup_tcp":
                        text = text.replace("r8 = *(u32 *)(r0 + 44)", "r8 = *(u32 *)(r0 + 4)")
                    agree(program(text, section), frames.udp(), network=surrounded)
        server.close()


def _about_cookies(call: str, ip: int, length: int, port: int) -> str:
    """Find the listener on a port, and ask about the packet's headers; the upper half of r0."""
    addresses = socket.inet_aton("10.0.0.2") + socket.inet_aton("127.0.0.1")
    raw = addresses + (4000).to_bytes(2, "big") + port.to_bytes(2, "big")
    lines = [
        f"*(u32 *)(r10 - {12 - at}) = {int.from_bytes(raw[at : at + 4], 'little', signed=True)}"
        for at in range(0, 12, 4)
    ]
    lines += [
        "r7 = *(u32 *)(r6 + 0); r8 = *(u32 *)(r6 + 4); r1 = r7; r1 += 74",
        "if r1 > r8 goto none",
        "r1 = r6; r2 = r10; r2 += -12; r3 = 12; r4 = -1; r5 = 0; call bpf_skc_lookup_tcp",
        "if r0 == 0 goto none",
        f"r9 = r0; r1 = r9; r2 = r7; r2 += 14; r3 = {ip}; r4 = r7; r4 += 34; r5 = {length}",
        f"call {call}; r6 = r0; r1 = r9; call bpf_sk_release; r0 = r6",
        "if r0 s< 0 goto out",
        "r0 >>= 32",
        "out: exit",
        "none: r0 = 77; exit",
    ]
    return "\n".join(lines)


@pytest.mark.kernel
def test_listeners_make_cookies_as_in_the_kernel(surrounded: Network) -> None:
    def segment(flags: str, words: int = 5, options: bytes = b"") -> bytes:
        frame = frames.tcp("10.0.0.2", "127.0.0.1", flags=flags, payload=options + bytes(40))
        return frame[:46] + bytes([words << 4]) + frame[47:]

    setting = Path("/proc/sys/net/ipv4/tcp_syncookies")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 7010))
        listener.listen()
        surrounded.sockets = [Socket(src_ip="127.0.0.1", src_port=7010)]
        surrounded.flooded = False
        for syncookies in (0, 1, 2):
            setting.write_text(str(syncookies))
            surrounded.syncookies = syncookies
            for call in ("bpf_tcp_gen_syncookie", "bpf_tcp_check_syncookie"):
                for data, ip, length in (
                    (segment("S"), 20, 20), (segment("A"), 20, 20), (segment("SA"), 20, 20),
                    (segment("S"), 20, 24), (segment("S"), 8, 20), (segment("S"), 20, 8),
                    (segment("S", 6, bytes.fromhex("020405b4")), 20, 24), (segment("R"), 20, 20),
                    (b"\0" * 14 + b"\x55" + segment("S")[15:], 20, 20),
                ):  # fmt: skip
                    spec = program(_about_cookies(call, ip, length, 7010), "xdp")
                    agree(spec, data, network=surrounded)
        setting.write_text("1")
