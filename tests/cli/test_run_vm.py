"""`ebpfasm run` in the virtual machine: one packet, captures, traces, and without rights."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ebpfasm.analysis.vm import pcap
from tests.cli.support import Command
from tests.support import ROOT

COUNTER = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"
DROP_IPV6 = ROOT / "examples" / "test_xdp_program" / "drop_ipv6.s"
CAPTURE = ROOT / "examples" / "traffic.pcap"


@pytest.mark.parametrize("engine", ["vm", "reference"])
def test_the_machine_prints_what_the_kernel_prints_and_instructions(
    ebpfasm: Command, engine: str
) -> None:
    outcome = ebpfasm("run", COUNTER, "--engine", engine)
    first, second, *rest = outcome.out.splitlines()
    assert first == "returned 2 (XDP_PASS)"
    assert second.startswith("took ")
    assert second.endswith(" ns in the vm, 13 instructions")
    assert rest == [f"packet {'00' * 64}", "map xdp_stats_map: {2: 1}"]


def test_a_capture_gives_a_count_for_each_verdict(ebpfasm: Command, tmp_path: Path) -> None:
    out = tmp_path / "out.pcap"
    words = ("run", DROP_IPV6, "--data", f"@{CAPTURE}", "--engine", "vm")
    expected = "100 packets in the vm\n  returned 1 (XDP_DROP): 10\n  returned 2 (XDP_PASS): 90\n"
    assert ebpfasm(*words).out == expected
    assert ebpfasm(*words, "--write", out).out == expected
    assert out.read_bytes() == CAPTURE.read_bytes()
    answer = json.loads(ebpfasm(*words, "--json").out)
    assert (answer["verdicts"].count(1), answer["engine"]) == (10, "vm")


@pytest.mark.kernel
def test_the_kernel_says_the_same_of_a_capture(ebpfasm: Command, tmp_path: Path) -> None:
    frames = tmp_path / "frames.pcap"
    frames.write_bytes(pcap.write([each for each in pcap.read(CAPTURE.read_bytes())][:30]))
    words = ("run", COUNTER, "--data", f"@{frames}")
    kernel = ebpfasm(*words, "--engine", "kernel").out
    assert kernel.replace("kernel", "vm") == ebpfasm(*words, "--engine", "vm").out


def test_a_trace_is_a_line_for_each_instruction(ebpfasm: Command) -> None:
    lines = ebpfasm("run", COUNTER, "--trace").out.splitlines()
    assert [line.split()[0] for line in lines[:13]] == [f"xdp_stats+{n}" for n in range(13)]
    assert lines[5].split("  ")[-1].endswith("xdp_stats.s:14")
    assert "r0 = xdp_stats_map[2]" in lines[5]
    trace = json.loads(ebpfasm("run", COUNTER, "--trace", "--json").out)["trace"]
    assert trace[1]["memory"] == "r10 - 4"
    assert trace[1]["stored"] == "02000000"
    assert trace[1]["source"].startswith("*(u32 *)(r10 - 4) = w1")


def test_context_fields_are_given_by_name(ebpfasm: Command, tmp_path: Path) -> None:
    program = tmp_path / "p.s"
    program.write_text(".section xdp\np: r0 = *(u32 *)(r1 + 16); exit\n")
    words = ("run", program, "--engine", "vm", "--ctx")
    assert ebpfasm(*words, "rx_queue_index=0x5").out.startswith("returned 5\n")
    wrong = ebpfasm(*words, "rx_queue_index")
    assert (wrong.status, wrong.err.splitlines()[0]) == (
        1, "error[cli-usage]: --ctx 'rx_queue_index' is no field and number",
    )  # fmt: skip


def test_a_fault_is_told_at_its_line(ebpfasm: Command, tmp_path: Path) -> None:
    program = tmp_path / "p.s"
    program.write_text(".section xdp\np:\n    r2 = 0\n    r0 = *(u8 *)(r2 + 0)\n    exit\n")
    outcome = ebpfasm("run", program, "--engine", "vm")
    assert outcome.status == 1
    assert outcome.err.startswith(f"{program}:4:5: error[vm-memory]: ")


def test_a_damaged_capture_is_told(ebpfasm: Command, tmp_path: Path) -> None:
    damaged = tmp_path / "d.pcap"
    damaged.write_bytes(CAPTURE.read_bytes()[:-1])
    outcome = ebpfasm("run", COUNTER, "--data", f"@{damaged}", "--engine", "vm")
    assert outcome.status == 1
    assert "error[vm-input]: " in outcome.err
    assert "ends inside a packet, at byte " in outcome.err


def test_without_rights_the_machine_runs_it_and_says_so() -> None:
    # Root without capabilities: files can be read wherever the checkout lies.
    setpriv = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
    command = [*setpriv, sys.executable, "-m", "ebpfasm", "run"]
    one = [*command, str(COUNTER)]
    many = [*command, str(DROP_IPV6), "--data", f"@{CAPTURE}"]
    for words, shown in ((one, " ns in the vm"), (many, "100 packets in the vm")):
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0
        assert shown in done.stdout
        why = done.stderr.removesuffix("\n")
        assert why.startswith("ran in the virtual machine: cannot ")
        assert re.search(r": CAP_\w+( and CAP_\w+)? (is|are) missing", why)
        assert "\n" not in why


def test_what_the_kernel_cannot_do_is_said(ebpfasm: Command) -> None:
    program = ROOT / "examples" / "test_xdp_program" / "drop_ipv6.s"
    outcome = ebpfasm("run", program, "--engine", "kernel", "--trace")
    assert outcome.status == 1
    assert "error[cli-usage]: --trace shows what the virtual machine does" in outcome.err
