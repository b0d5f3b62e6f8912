"""The AF_XDP examples under ping and scapy's packets, in both XDP modes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from ebpfasm.analysis.vm import pcap
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import XskSocket
from ebpfasm.runtime.xsk.answers import answer, hardware_address
from tests.support import ROOT, Job, find_tool, need_native

pytestmark = pytest.mark.kernel

MODES = pytest.mark.parametrize("mode", ["native", "generic"])
MAC = bytes.fromhex("02000000aa01")


def example(name: str, *words: str) -> list[dict[str, Any]]:
    """What an example prints, run on its own scratch pair."""
    need_native()
    command = [sys.executable, "-m", f"examples.{name}.run", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def running(pair: VethPair, name: str, *words: str) -> Iterator[Job[str]]:
    """An example on the near end of a cable, ready; SIGTERM ends it."""
    need_native()
    command = [sys.executable, "-m", f"examples.{name}.run", "--json", "--iface", "veth0", *words]
    with pair.near.entered():
        process = Job(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("{")
        try:
            yield process
        finally:
            process.terminate()


def ping(pair: VethPair, *words: str) -> str:
    """Ping 10.11.0.1 from the far end; what it says."""
    command = [find_tool("ping"), "-n", "-i", "0.02", "-W", "5", *words, "10.11.0.1"]
    with pair.far.entered():
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


@pytest.fixture
def cable() -> Iterator[VethPair]:
    with VethPair(far_addresses=["10.11.0.2/24"]) as pair:
        yield pair


@MODES
@pytest.mark.tool("ping")
def test_ping_is_answered(cable: VethPair, mode: str) -> None:
    with running(cable, "xsk_echo_reply", "--mode", mode):
        for words in (
            ("-c", "3"), ("-c", "3", "-s", "33"), ("-c", "2", "-s", "1400"),
            ("-c", "2", "-R"), ("-c", "2", "-s", "0"),
        ):  # fmt: skip
            said = ping(cable, *words)
            assert re.search(r"(\d) packets transmitted, \1 received.* 0% packet loss", said), said


@MODES
def test_the_example_answers_everything_that_it_is_sent(mode: str) -> None:
    first, last = example("xsk_echo_reply", "--duration", "0.3", "--mode", mode)
    assert first["attached"] == "veth0"
    assert last["sent"] > 0
    assert (last["arp"], last["icmp"]) == (last["sent"] // 2, last["sent"] // 2)
    assert (last["ignored"], last["zero_copy"]) == (0, False)


@cache
def frames() -> dict[str, bytes]:
    from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP, IPOption_SSRR
    from scapy.layers.l2 import ARP, Ether
    from scapy.packet import Padding

    outer = Ether(src="02:00:00:00:aa:02", dst="02:00:00:00:aa:01")
    inner: dict[str, Any] = {"src": "10.11.0.2", "dst": "10.11.0.1"}
    made = {
        "odd": outer / IP(**inner) / ICMP() / b"odd",
        "even": outer / IP(**inner) / ICMP(id=7, seq=9) / b"even",
        "empty": outer / IP(**inner) / ICMP(),
        "zeros": outer / IP(**inner) / ICMP() / b"\0\0",
        "padded": outer / IP(**inner) / ICMP() / b"x" / Padding(b"\xaa" * 30),
        "options": outer / IP(**inner, options=[IPOption_NOP()] * 4) / ICMP() / b"x",
        "arp": Ether(src="02:00:00:00:aa:02", dst="ff:ff:ff:ff:ff:ff")
        / ARP(psrc="10.11.0.2", pdst="10.11.0.1", hwsrc="02:00:00:00:aa:02")
        / Padding(bytes(18)),
        "foreign type": outer / IP(**inner) / ICMP(type=13) / bytes(12),
        "reply": outer / IP(**inner) / ICMP(type=0) / b"x",
        "fragment": outer / IP(**inner, flags="MF") / ICMP() / b"fragment",
        "later fragment": outer / IP(**inner, frag=3) / ICMP() / b"fragment",
        "wrong sum": outer / IP(**inner) / ICMP(chksum=1) / b"x",
        "wrong header sum": outer / IP(**inner, chksum=1) / ICMP() / b"x",
        "source route": outer / IP(**inner, options=[IPOption_SSRR(routers=["10.9.9.9"])]) / ICMP(),
        "other address": outer / IP(src="10.11.0.2", dst="10.11.0.9") / ICMP(),
        "other hardware": Ether(dst="02:00:00:00:aa:99") / IP(**inner) / ICMP(),
        "udp": outer / IP(**inner) / UDP() / bytes(20),
        "other arp": Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="10.11.0.9") / Padding(bytes(18)),
        "arp reply": outer / ARP(op=2, pdst="10.11.0.1") / Padding(bytes(18)),
    }
    return {name: bytes(each) for name, each in made.items()}


ANSWERED = ("odd", "even", "empty", "zeros", "padded", "options")


@pytest.mark.parametrize("name", list(ANSWERED))
def test_an_echo_s_answer_is_what_scapy_would_send(name: str) -> None:
    from scapy.layers.inet import ICMP, IP
    from scapy.layers.l2 import Ether

    request = frames()[name]
    data = bytearray(request)
    assert answer(memoryview(data), MAC, bytes([10, 11, 0, 1])) == "icmp"
    expected = Ether(request)
    expected.src, expected.dst = expected.dst, expected.src
    expected[IP].src, expected[IP].dst = expected[IP].dst, expected[IP].src
    old = expected[ICMP].chksum
    expected[ICMP].type = 0
    del expected[ICMP].chksum, expected[IP].chksum
    assert bytes(data) == bytes(expected)
    assert Ether(bytes(data))[ICMP].chksum == old + 0x0800 - 0xFFFF * (old + 0x0800 > 0xFFFF)


def test_arp_s_answer_names_the_address() -> None:
    from scapy.layers.l2 import ARP, Ether

    data = bytearray(frames()["arp"])
    assert answer(memoryview(data), MAC, bytes([10, 11, 0, 1])) == "arp"
    told = Ether(bytes(data))
    assert (told.src, told.dst) == ("02:00:00:00:aa:01", "02:00:00:00:aa:02")
    assert (told[ARP].op, told[ARP].psrc, told[ARP].hwsrc) == (2, "10.11.0.1", told.src)
    assert (told[ARP].pdst, told[ARP].hwdst) == ("10.11.0.2", told.dst)


def test_all_else_is_left_as_it_was() -> None:
    for name, request in frames().items():
        if name in (*ANSWERED, "arp"):
            continue
        data = bytearray(request)
        assert answer(memoryview(data), MAC, bytes([10, 11, 0, 1])) is None, name
        assert data == request, name
    for name in (*ANSWERED, "arp"):  # cut anywhere: no answer, no fault
        for length in range(60 if name == "arp" else len(frames()[name].rstrip(b"\xaa"))):
            if name == "arp" and length >= 42:
                continue
            data = bytearray(frames()[name][:length])
            assert answer(memoryview(data), MAC, bytes([10, 11, 0, 1])) is None, (name, length)


@pytest.mark.tool("ping")
@pytest.mark.parametrize("words", [(), ("--concurrent",)])
def test_every_queue_is_answered(words: tuple[str, ...]) -> None:
    with (
        VethPair(far_addresses=["10.11.0.2/24"], queues=2) as pair,
        running(pair, "xsk_multi_sock", *words),
    ):
        assert "3 received" in ping(pair, "-c", "3")
    first, last = example("xsk_multi_sock", "--duration", "0.3", *words)
    assert first["queues"] == 2
    assert last["sent"] > 0
    assert sum(last["answered"].values()) == last["sent"]
    assert sorted(last["answered"]) == ["queue 0", "queue 1"]


@pytest.mark.parametrize("tunnel", ["vxlan", "ipip"])
@MODES
def test_the_peer_sees_the_outer_header_and_the_same_inner_bytes(
    cable: VethPair, tunnel: str, mode: str
) -> None:
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.layers.vxlan import VXLAN

    inner = frames()["odd"]
    words = ("--tunnel", tunnel, "--mode", mode)
    with (
        running(cable, "xsk_encapsulation", *words),
        cable.socket("far", receive=True) as far,
    ):
        far.settimeout(10)
        cable.send([inner])
        assert far.recv(2048) == inner
        got = far.recv(2048)
    outer = Ether(got)
    assert (outer[IP].src, outer[IP].dst, outer[IP].len) == (
        "192.0.2.1",
        "192.0.2.2",
        len(got) - 14,
    )
    told = outer[IP].chksum
    del outer[IP].chksum
    assert Ether(bytes(outer))[IP].chksum == told
    if tunnel == "vxlan":
        assert (outer[UDP].dport, outer[UDP].len, outer[VXLAN].vni) == (4789, len(inner) + 16, 42)
        assert bytes(outer[VXLAN].payload) == inner
    else:
        assert outer[IP].proto == 4
        assert bytes(outer[IP].payload) == inner[14:]
        assert ICMP in outer
    first, last = example("xsk_encapsulation", "--duration", "0.2", *words)
    assert first["attached"] == "veth0"
    assert last["encapsulated"] == last["sent"] > 0


def test_the_peer_sees_just_the_packets_that_were_written(cable: VethPair) -> None:
    with cable.socket("far", receive=True) as far:
        far.settimeout(10)
        command = [
            sys.executable, "-m", "examples.xsk_write_lease.run", "--json", "--iface", "veth0",
            "--count", "90", "--size", "61",
        ]  # fmt: skip
        with cable.near.entered():
            mac = hardware_address("veth0")
            done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
        for i in range(90):
            head = b"\xff" * 6 + mac + b"\x88\xb5" + i.to_bytes(4, "big")
            assert far.recv(2048) == head + bytes(61 - 18)
        far.settimeout(0.2)
        with pytest.raises(TimeoutError):
            far.recv(2048)
    (last,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (last["sent"], last["free"]) == (90, last["frames"])
    assert last["reused"] > 0


def test_writing_never_uses_the_frames_up() -> None:
    (last,) = example("xsk_write_lease", "--count", "5000")
    assert (last["sent"], last["free"]) == (5000, last["frames"])


def test_writing_ends_when_the_duration_is_over() -> None:
    (last,) = example("xsk_write_lease", "--count", "2000000000", "--duration", "0.2")
    assert 0 < last["sent"] < 2000000000
    assert last["free"] == last["frames"]


@pytest.mark.parametrize("text", ["zz", "02:00", "", "02:00:00:00:aa:0", "020000000002", "é"])
def test_a_hardware_address_is_six_bytes(text: str) -> None:
    command = [sys.executable, "-m", "examples.xsk_encapsulation.run", "--target-mac", text]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    says = f"argument --target-mac: {text} is no hardware address: write 02:00:00:00:aa:02"
    assert done.stderr.splitlines()[-1] == f"xsk_encapsulation: error: {says}"


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "--interval") for name in ("xsk_capture", "xsk_echo_reply", "xsk_encapsulation")),
        *((name, "--interval") for name in ("xsk_multi_sock", "xsk_write_lease")),
        ("xsk_write_lease", "--mode"),  # without a program there is no mode
    ],
)
def test_no_option_is_taken_that_would_do_nothing(name: str, option: str) -> None:
    command = [sys.executable, "-m", f"examples.{name}.run", option, "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"{name}: error: unrecognized arguments: {option} 1"


@MODES
@pytest.mark.tool("tcpdump")
def test_tcpdump_reads_the_capture(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "out.pcap"
    words = ("--duration", "0.3", "--mode", mode, "--write", str(path))
    first, last = example("xsk_capture", *words)
    assert first["attached"] == "veth0"
    assert last["captured"] == last["sent"] > 0
    assert last["dropped"] == 0
    read = [find_tool("tcpdump"), "-nn", "-t", "-r", str(path)]
    told = subprocess.run(read, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told == ["IP 10.0.0.2.4000 > 10.0.0.1.4001: UDP, length 10"] * last["sent"]
    assert len(list(pcap.read(path.read_bytes()))) == last["sent"]


def test_a_taken_hook_is_a_sentence(cable: VethPair) -> None:
    need_native()
    with cable.near.entered(), XskSocket.open("veth0"):
        command = [sys.executable, "-m", "examples.xsk_echo_reply.run", "--iface", "veth0"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error[xsk-open]: cannot bind to queue 0 of veth0")
    assert "Traceback" not in done.stderr
