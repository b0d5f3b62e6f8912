"""`ebpfasm xsk` on real interfaces."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ebpfasm.analysis.vm import pcap
from ebpfasm.runtime.network.veth import VethPair
from tests.cli.support import Command
from tests.support import Job, find_tool, need_native

pytestmark = pytest.mark.kernel

FRAME = bytes(12) + b"\x88\xb5" + bytes(46)


@pytest.fixture(autouse=True)
def _native() -> None:
    need_native()


def start(pair: VethPair, *words: object) -> Job[str]:
    command = [sys.executable, "-m", "ebpfasm", "xsk", *map(str, words)]
    with pair.near.entered():
        return Job(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)


def rows(line: str) -> list[dict[str, int]]:
    found: list[dict[str, int]] = json.loads(line)["queues"]
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_drop_shows_counts_until_a_signal(veth: VethPair, number: signal.Signals) -> None:
    with start(veth, "veth0", "--drop", "--json", "--interval", "0.05") as process:
        assert process.stdout is not None
        assert rows(process.stdout.readline())[0]["received"] == 0
        veth.send([FRAME] * 40)
        while rows(process.stdout.readline())[0]["received"] != 40:
            assert process.poll() is None
        process.send_signal(number)
        assert process.stderr is not None
        (last,) = rows(process.stdout.read().splitlines()[-1])
        assert (last["received"], last["bytes"], last["dropped"]) == (40, 40 * 60, 0)
        assert process.stderr.read() == ""
        assert process.wait() == 0
    with veth.near.entered():
        shown = subprocess.run(
            [find_tool("ip"), "-j", "link", "show", "veth0"], capture_output=True, check=True
        )
    assert "xdp" not in json.loads(shown.stdout)[0]


def test_capture_writes_a_file_a_queue(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    with VethPair(queues=2) as pair:
        words = ("veth0", "--capture", path, "--json", "--interval", "0.05")
        with start(pair, *words) as process:
            assert process.stdout is not None
            process.stdout.readline()
            pair.send([FRAME] * 10)
            while sum(row["received"] for row in rows(process.stdout.readline())) != 10:
                assert process.poll() is None
            process.terminate()
        found = [list(pcap.read((tmp_path / f"out.pcap.{i}").read_bytes())) for i in (0, 1)]
        assert found[0] + found[1] == [FRAME] * 10
        with start(pair, *words, "--queue", 1, "--duration", "0.1") as process:
            process.wait()
        assert list(pcap.read(path.read_bytes())) == []


@pytest.mark.tool("ping")
def test_echo_answers_ping() -> None:
    words = ("veth0", "--echo", "10.12.0.1", "--json", "--interval", "0.05")
    with VethPair(far_addresses=["10.12.0.2/24"]) as pair, start(pair, *words) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pair.far.entered():
            command = [find_tool("ping"), "-c", "3", "-i", "0.05", "-W", "5", "10.12.0.1"]
            said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        assert "3 received" in said
        process.terminate()


def test_plain_lines(veth: VethPair) -> None:
    with start(veth, "veth0", "--duration", "0.1") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    first, *_, last = out.splitlines()
    assert first == "queue 0 of veth0; Ctrl-C ends it"
    assert "received 0 (0/s, 0.0 Mbit/s), sent 0, dropped 0" in last


def test_mistakes_are_sentences(ebpfasm: Command) -> None:
    for words, said in (
        (("veth99",), "error[interface-missing]: there is no network interface 'veth99'"),
        (("lo", "--queue", "x"), "error[cli-usage]: --queue is a number or all, not 'x'"),
        (("lo", "--echo", "no"), "error[cli-usage]: --echo 'no' is no IPv4 address"),
        (("lo", "--drop", "--echo", "1.2.3.4"), "error[cli-usage]: choose one of"),
    ):
        outcome = ebpfasm("xsk", *words)
        assert outcome.status == 1
        assert outcome.err.startswith(said)
