"""`ebpfasm verify`, `run` and `attach` against the kernel."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from ebpfasm.runtime.network.veth import VethPair
from tests.cli.support import Command
from tests.support import ROOT, Job, find_tool

COUNTER = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"
FRAME = bytes(12) + b"\x08\x00" + bytes(50)


def test_verify_says_accepted_rejected_or_unreadable(ebpfasm: Command, tmp_path: Path) -> None:
    assert ebpfasm("verify", COUNTER).out == "xdp_stats: accepted by ebpfasm\n"
    bad = tmp_path / "bad.s"
    bad.write_text(".section xdp\nbad:\n    r0 += r3\n    exit\n")
    outcome = ebpfasm("verify", bad)
    assert outcome.status == 1
    assert f"{bad}:3:5: error[verify-uninit-read]: " in outcome.out
    assert outcome.out.endswith("bad: rejected by ebpfasm\n")
    assert json.loads(ebpfasm("verify", bad, "--json").out)[0]["accepted"] is False
    bad.write_text("r11 = 0")
    assert ebpfasm("verify", bad).status == 2


@pytest.mark.kernel
def test_verify_asks_the_kernel_too(ebpfasm: Command, tmp_path: Path) -> None:
    assert ebpfasm("verify", COUNTER, "--kernel").out == (
        "xdp_stats: accepted by ebpfasm and kernel\n"
    )
    bad = tmp_path / "bad.s"
    # A null check is what our first level does not look for, and the kernel does.
    text = COUNTER.read_text().replace("    if r1 == 0 goto out ", "    if r1 == 1 goto out ")
    bad.write_text(text)
    outcome = ebpfasm("verify", bad, "--kernel")
    assert outcome.status == 1
    line = 1 + text[: text.index("lock")].count("\n")
    assert f"{bad}:{line}:5: error[load-rejected]: " in outcome.out
    assert "lock *(u64 *)(r1 + 0) += r2" in outcome.out
    assert outcome.out.endswith("xdp_stats: accepted by ebpfasm, rejected by the kernel\n")
    (told,) = json.loads(ebpfasm("verify", bad, "--kernel", "--json").out)
    assert told["verdicts"] == {"ebpfasm": "accepted", "kernel": "rejected"}


@pytest.mark.kernel
@pytest.mark.tool("setpriv")
def test_a_kernel_that_may_not_be_asked_has_not_rejected_anything() -> None:
    command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-m"]
    command += ["ebpfasm", "verify", str(COUNTER), "--kernel"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (2, "")
    said = done.stdout.splitlines()
    assert "error[permission]: cannot create map" in said[0]
    assert said[-1] == "xdp_stats: accepted by ebpfasm; the kernel did not get to judge it"


@pytest.mark.kernel
def test_run_prints_verdict_packet_and_maps(ebpfasm: Command) -> None:
    outcome = ebpfasm("run", COUNTER, "--data", FRAME.hex())
    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0] == "returned 2 (XDP_PASS)"
    assert lines[2:] == [f"packet {FRAME.hex()}", "map xdp_stats_map: {2: 1}"]
    answer = json.loads(ebpfasm("run", COUNTER, "--json", "--repeat", "3").out)
    assert (answer["retval"], answer["maps"]["xdp_stats_map"]["2"]) == (2, 3)


@pytest.mark.kernel
def test_run_takes_a_packet_from_a_file(ebpfasm: Command, tmp_path: Path) -> None:
    packet = tmp_path / "packet"
    packet.write_bytes(FRAME)
    assert f"packet {FRAME.hex()}" in ebpfasm("run", COUNTER, "--data", f"@{packet}").out
    assert ebpfasm("run", COUNTER, "--data", "xyz").err == (
        "error[cli-usage]: --data 'xyz' is not hexadecimal\n"
        "   hint: give pairs of hexadecimal digits, or @FILE\n"
    )


@pytest.mark.kernel
def test_a_program_without_a_type_can_be_given_one(ebpfasm: Command, tmp_path: Path) -> None:
    plain = tmp_path / "plain.s"
    plain.write_text("r0 = 7; exit")
    assert "error[load-program-type]" in ebpfasm("run", plain).err
    assert ebpfasm("run", plain, "--type", "xdp").out.splitlines()[0] == "returned 7"
    assert "did you mean xdp?" in ebpfasm("run", plain, "--type", "xdpp").err


def start(pair: VethPair, *words: object) -> Job[str]:
    """Start the command in the pair's near namespace."""
    command = [sys.executable, "-m", "ebpfasm", *map(str, words)]
    with pair.near.entered():
        return Job(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)


def attached(pair: VethPair) -> list[object]:
    """XDP programs that the interface has, by bpftool's word."""
    with pair.near.entered():
        done = subprocess.run(
            [find_tool("bpftool"), "-j", "net", "show"], capture_output=True, check=True
        )
    found = json.loads(done.stdout)[0]["xdp"]
    assert isinstance(found, list)
    return found


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline()


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_attach_watches_and_detaches_on_a_signal(veth: VethPair, number: signal.Signals) -> None:
    words = ("attach", COUNTER, "--xdp", veth.near_name, "--watch", "xdp_stats_map")
    with start(veth, *words, "--interval", "0.05", "--json") as process:
        assert json.loads(line(process.stdout))["xdp_stats_map"]["2"] == 0
        assert len(attached(veth)) == 1
        assert veth.send([FRAME] * 25) == 25
        while json.loads(line(process.stdout))["xdp_stats_map"]["2"] != 25:
            assert process.poll() is None
        os.kill(process.pid, number)
        assert process.stdout is not None
        last = process.stdout.read().splitlines()[-1]
        assert json.loads(last)["xdp_stats_map"]["2"] == 25
        assert process.wait() == 0
    assert attached(veth) == []


@pytest.mark.kernel
def test_attach_ends_by_itself_after_a_duration(veth: VethPair) -> None:
    words = ("attach", COUNTER, "--xdp", veth.near_name, "--duration", "0.1")
    with start(veth, *words) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == f"xdp_stats is detached from {veth.near_name}"


@pytest.mark.kernel
def test_attach_names_what_is_wrong_in_a_sentence(veth: VethPair) -> None:
    with start(veth, "attach", COUNTER, "--xdp", "veth9") as process:
        out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert err.startswith("error[interface-missing]: ")
    assert "did you mean veth0?" in err
    with start(veth, "attach", COUNTER, "--xdp", "veth0", "--watch", "xdp_stat_map") as process:
        out, err = process.communicate()
    assert err == (
        "error[cli-usage]: the file has no map xdp_stat_map\n   hint: did you mean xdp_stats_map?\n"
    )
