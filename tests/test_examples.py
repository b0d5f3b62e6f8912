"""Every example runs against real traffic and shows the right numbers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm import ProgramSpec, RunResult
from ebpfasm.analysis.vm import pcap
from ebpfasm.runtime.veth import VethPair
from examples.xdp_stats_instructions.program import spec as built
from tests.support import ROOT

ASSEMBLY = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"
COUNTERS = ("xdp_stats_assembly", "xdp_stats_instructions")


def example(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", f"examples.{name}.run", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def lines(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert (done.returncode, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_text_and_builder_give_identical_bytes() -> None:
    assembled = ebpfasm.open(ASSEMBLY)
    assert built == assembled
    code = ebpfasm.encode(built.programs["xdp_stats"])
    assert code == ebpfasm.encode(assembled.programs["xdp_stats"])
    assert len(code) == 14 * 8


@pytest.mark.kernel
@pytest.mark.parametrize("name", COUNTERS)
def test_the_counter_counts_every_frame_that_is_sent(name: str) -> None:
    first, *_, last = lines(example(name, "--json", "--duration", "0.5"))
    assert first["attached"] == "veth0"
    assert last["sent"] > 0
    assert last["counted"] == {
        "XDP_ABORTED": 0,
        "XDP_DROP": 0,
        "XDP_PASS": last["sent"],
        "XDP_TX": 0,
        "XDP_REDIRECT": 0,
    }


@pytest.mark.kernel
@pytest.mark.parametrize("name", COUNTERS)
def test_the_counter_runs_on_an_interface_of_one_s_own(name: str, veth: VethPair) -> None:
    command = [sys.executable, "-m", f"examples.{name}.run", "--json", "--iface", veth.near_name]
    with (
        veth.near.entered(),
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process,
    ):
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["attached"] == veth.near_name
        veth.send([bytes(60)] * 100)
        while json.loads(process.stdout.readline())["packets"]["XDP_PASS"] != 100:
            assert process.poll() is None
        process.terminate()
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert (last["counted"]["XDP_PASS"], last["sent"]) == (100, None)
        assert process.wait() == 0


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_bpftool_counts_with_the_object_that_was_written(tmp_path: Path) -> None:
    target = tmp_path / "traffic.o"
    words = ("--json", "--duration", "0.5", "-o", str(target))
    first, second, *_, last = lines(example("object_for_libbpf", *words))
    assert (first["object"], second["attached"]) == (str(target), "veth0")
    assert target.read_bytes()[:4] == b"\x7fELF"
    assert last["sent"] > 0
    assert last["counted"] == {"packets": last["sent"], "bytes": 52 * last["sent"]}
    assert not list(Path("/sys/fs/bpf").glob("ebpfasm-*"))


@pytest.mark.kernel
def test_the_tested_program_drops_ipv6_and_passes_the_rest() -> None:
    answers = lines(example("test_xdp_program", "--json"))
    assert [(each["frame"], each["retval"]) for each in answers] == [("IPv6", 1), ("IPv4", 2)]
    assert all(each["ns"] > 0 for each in answers)


def programs() -> list[Any]:
    examples = ROOT / "examples"
    sources = {path: ebpfasm.open(path) for path in sorted(examples.glob("*/*.s"))}
    sources[examples / "xdp_stats_instructions" / "program.py"] = built
    return [
        pytest.param(program, id=f"{path.relative_to(examples)}:{name}")
        for path, spec in sources.items()
        for name, program in spec.programs.items()
        if program.type == "xdp"
    ]


@pytest.mark.kernel
@pytest.mark.parametrize("program", programs())
def test_every_program_does_the_same_in_all_engines(program: ProgramSpec) -> None:
    seen: dict[bytes, None] = dict.fromkeys(
        pcap.read((ROOT / "examples/traffic.pcap").read_bytes())
    )
    packets = [*seen, bytes(14), bytes(1500)]
    assert len(packets) > 5
    engines: tuple[Any, ...] = ("kernel", "vm", "reference")
    for packet in packets:
        kernel, *ours = (visible(ebpfasm.run(program, packet, engine=each)) for each in engines)
        assert ours == [kernel, kernel]


def visible(result: RunResult) -> tuple[object, ...]:
    return result.retval, result.data_out, result.maps, result.changes, result.ctx_out


def unit_tests(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no"]
    command += [*words, "examples/unit_testing"]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.kernel
def test_the_unit_tests_pass_in_both_engines_and_show_the_lines_they_miss(tmp_path: Path) -> None:
    report = tmp_path / "firewall.info"
    done = unit_tests("-v", f"--ebpf-cov={report}")
    assert done.returncode == 0, done.stdout
    verdicts = re.findall(r"::(\w+)\[(vm|kernel)\S*\] (\w+)", done.stdout)
    by_engine = {
        engine: [(test, what) for test, other, what in verdicts if other == engine]
        for engine in ("vm", "kernel")
    }
    assert by_engine["vm"] == by_engine["kernel"]
    assert [what for _, what in by_engine["vm"]] == ["PASSED"] * 4
    row = r"examples/unit_testing/firewall\.s +29 +2 +93%  35-36\n"
    assert re.search(row, done.stdout)
    records = report.read_text().splitlines()
    assert records[1] == f"SF:{ROOT}/examples/unit_testing/firewall.s"
    assert {"FNDA:8,firewall", "DA:30,4", "DA:35,0", "DA:36,0", "LF:29", "LH:27"} <= set(records)


# Root without capabilities: files can be read wherever the checkout lies.
WITHOUT_RIGHTS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")


def unprivileged(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [*WITHOUT_RIGHTS, sys.executable, "-m", f"examples.{name}.run", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_without_the_rights_an_example_says_which_is_missing() -> None:
    done = unprivileged("xdp_stats_assembly", "--iface", "lo", "--duration", "1")
    assert done.returncode == 1
    assert "error[permission]: " in done.stderr
    assert "CAP_" in done.stderr
    assert "sudo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", COUNTERS)
def test_without_rights_the_counter_runs_on_the_capture_that_is_shipped(name: str) -> None:
    (answer,) = lines(unprivileged(name, "--json"))
    why = answer.pop("fallback")
    assert "CAP_" in why
    assert "missing" in why
    assert answer == {
        "engine": "vm",
        "capture": "examples/traffic.pcap",
        "counted": dict.fromkeys(answer["counted"], 0) | {"XDP_PASS": 100},
        "sent": 100,
    }
