"""Whole loops in C: drop, echo, forward, capture, replay; tcpdump reads the captures."""

from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import pytest

from ebpfasm.analysis.vm import pcap
from ebpfasm.errors import EbpfError
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import Census, Umem, XskSocket
from tests.xsk.support import FRAME, ip, number, numbered, tcpdump

pytestmark = pytest.mark.kernel

SECOND = 10.0


def test_drop_counts_and_ends(xsk: XskSocket, cable: VethPair) -> None:
    cable.send([FRAME] * 100)
    assert xsk.drop(70, SECOND) == 70
    assert xsk.drop(timeout=0.05) == 30
    assert xsk.drop(0) == 0
    assert xsk.drop(1, 0) == 0
    with pytest.raises(ValueError, match="count"):
        xsk.drop(-1)


def test_other_threads_run_meanwhile(xsk: XskSocket) -> None:
    turns = 0
    stop = threading.Event()

    def work() -> None:
        nonlocal turns
        while not stop.is_set():
            turns += 1

    thread = threading.Thread(target=work)
    thread.start()
    xsk.drop(timeout=0.1)
    stop.set()
    thread.join()
    assert turns > 1000


def packets() -> list[bytes]:
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Dot1Q, Ether
    from scapy.packet import Raw

    outer = Ether(src="02:00:00:00:00:02", dst="02:00:00:00:00:01")
    four, six = IP(src="10.0.0.2", dst="10.0.0.1"), IPv6(src="fd00::2", dst="fd00::1")
    return [
        bytes(each)
        for each in (
            outer / four / UDP(sport=1, dport=2) / (b"x" * 21),
            outer / four / TCP(sport=3, dport=4),
            outer / six / UDP(sport=5, dport=6) / (b"y" * 20),
            outer / Dot1Q(vlan=9) / four / UDP(sport=7, dport=8),
            outer / IP(src="10.0.0.2", dst="10.0.0.1", options=[b"\x01"] * 4) / UDP(sport=9),
            outer / IP(src="10.0.0.2", dst="10.0.0.1", frag=3, proto=17) / Raw(b"fragment"),
            outer / four,
            outer / b"\x45\0\0\0",
        )
    ]


def untagged(packet: bytes) -> bytes:
    """As a packet socket has it: the VLAN tag of what came in is taken out."""
    return packet[:12] + packet[16:] if packet[12:14] == b"\x81\0" else packet


def swapped(packet: bytes, layer: int) -> bytes:
    from scapy.layers.inet import IP, TCP, UDP
    from scapy.layers.inet6 import IPv6
    from scapy.layers.l2 import Ether

    made = Ether(packet)
    made.src, made.dst = made.dst, made.src
    for kind in (IP, IPv6):
        if layer >= 3 and kind in made:
            made[kind].src, made[kind].dst = made[kind].dst, made[kind].src
    for upper in (UDP, TCP):
        if layer >= 4 and upper in made:
            made[upper].sport, made[upper].dport = made[upper].dport, made[upper].sport
    return bytes(made)


@pytest.mark.parametrize("layer", [2, 3, 4])
def test_echo_swaps_and_keeps_checksums(xsk: XskSocket, cable: VethPair, layer: int) -> None:
    sent = packets()
    with cable.socket("far", receive=True) as far:
        far.settimeout(SECOND)
        cable.send(sent)
        assert [far.recv(2048) for _ in sent] == sent  # what went out
        assert xsk.echo(layer, len(sent), SECOND) == len(sent)  # type: ignore[arg-type]
        for packet in sent:
            assert far.recv(2048) == untagged(swapped(packet, layer))
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == Census(free=2048, user=0, fill=2048, tx=0)


@pytest.mark.parametrize("shared", [True, False])
def test_forward_joins_two_interfaces(shared: bool) -> None:
    """far1 - near1 = near2 - far2, with both near ends in one namespace."""
    with VethPair("n1", "f1") as one, VethPair("n2", "f2") as two:
        with two.near.entered():
            subprocess.run(
                ["ip", "link", "set", "n2", "netns", f"/proc/self/fd/{one.near.fd}"],
                check=True, pass_fds=[one.near.fd],
            )  # fmt: skip
        with one.near.entered(), two.socket("far", receive=True) as far:
            far.settimeout(SECOND)
            subprocess.run(["ip", "link", "set", "n2", "up"], check=True)
            first_umem, second_umem = Umem(1024), Umem(1024, 2048)
            with (
                XskSocket.open("n1", umem=first_umem, rx_size=256, tx_size=256) as first,
                XskSocket.open(
                    "n2", umem=first_umem if shared else second_umem, rx_size=256, tx_size=256
                ) as second,
            ):
                one.send(numbered(150))
                assert first.forward(second, 150, SECOND) == 150
                assert [number(far.recv(2048)) for _ in range(150)] == list(range(150))
                assert (first.counters().received, second.counters().sent) == (150, 150)
                assert second.drain(SECOND)
                one.send(numbered(600))  # more than all frames
                assert first.forward(second, timeout=0.3) + first.statistics().dropped == 600
                assert second.drain(SECOND)
            for umem in (first_umem, second_umem):
                assert umem.census() == Census(free=1024, user=0, fill=0, tx=0)


@pytest.mark.tool("tcpdump")
def test_tcpdump_reads_what_is_captured(xsk: XskSocket, cable: VethPair, tmp_path: Path) -> None:
    sent = packets() + numbered(500, 1400)
    path = tmp_path / "all.pcap"
    cable.send(sent)
    begin = time.time()
    assert xsk.capture(path, len(sent), SECOND) == len(sent)
    content = path.read_bytes()
    assert list(pcap.read(content)) == sent
    lines = tcpdump(path)
    assert len(lines) == len(sent)
    assert "10.0.0.2.1 > 10.0.0.1.2: UDP, length 21" in lines[0]
    seconds = int.from_bytes(content[24:28], "little" if content[0] == 0x4D else "big")
    assert abs(seconds - begin) < 60
    assert xsk.umem.census().user == 0


@pytest.mark.tool("tcpdump")
def test_captures_can_be_cut(xsk: XskSocket, cable: VethPair, tmp_path: Path) -> None:
    cable.send(numbered(3, 1000))
    path = tmp_path / "cut.pcap"
    assert xsk.capture(path, 3, SECOND, snap=64) == 3
    assert [len(each) for each in pcap.read(path.read_bytes())] == [64] * 3
    assert all("length 1000" in line for line in tcpdump(path))


def test_a_capture_that_cannot_be_written(xsk: XskSocket, cable: VethPair, tmp_path: Path) -> None:
    with pytest.raises(EbpfError, match="cannot be written: no such file"):
        xsk.capture(tmp_path / "missing" / "file")
    cable.send([FRAME] * 10)
    with pytest.raises(EbpfError, match="cannot be written: no space left") as caught:
        xsk.capture("/dev/full", 10, SECOND)
    assert caught.value.diagnostics[0].code == "file-write"
    assert xsk.umem.census().user == 0


def test_replay_sends_a_capture_again(xsk: XskSocket, cable: VethPair, tmp_path: Path) -> None:
    sent = packets()
    path = tmp_path / "file.pcap"
    path.write_bytes(pcap.write(sent))
    with cable.socket("far", receive=True) as far:
        far.settimeout(SECOND)
        assert xsk.replay(path) == len(sent)
        assert [far.recv(2048) for _ in sent] == list(map(untagged, sent))
        assert xsk.replay(sent, 3 * len(sent)) == 3 * len(sent)
        assert [far.recv(2048) for _ in range(3 * len(sent))] == list(map(untagged, sent)) * 3
    assert xsk.replay([]) == 0
    with pytest.raises(EbpfError, match="cannot be opened"):
        xsk.replay(tmp_path / "nothing")
    assert xsk.drain(SECOND)
    assert xsk.umem.census() == Census(free=2048, user=0, fill=2048, tx=0)


def test_replay_keeps_a_capture_s_times(xsk: XskSocket, tmp_path: Path) -> None:
    path = tmp_path / "slow.pcap"
    parts = [pcap.write([])]
    for i in range(5):
        head = (i, 0, 60, 60)
        parts += [b"".join(each.to_bytes(4, "little") for each in head), FRAME]
    path.write_bytes(b"".join(parts))  # a packet a second
    begin = time.monotonic()
    assert xsk.replay(path, speed=20) == 5
    took = time.monotonic() - begin
    assert took >= 4 / 20
    assert xsk.replay(path, timeout=0.1, speed=1) == 1


def test_replay_goes_on_when_the_ring_is_full(cable: VethPair) -> None:
    with XskSocket.open("veth0", rx_size=64, tx_size=64) as small:
        assert small.replay([FRAME], 20_000, 30) == 20_000
        assert small.drain(SECOND)
        assert small.counters().sent == 20_000


def test_loops_say_that_an_interface_is_down(xsk: XskSocket, cable: VethPair) -> None:
    ip(cable, "link", "set", "veth0", "down")
    with pytest.raises(EbpfError, match="is down"):
        xsk.replay([FRAME])
    with pytest.raises(EbpfError, match="is down"):
        xsk.drop()
