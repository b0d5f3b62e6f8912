"""Every example runs against real traffic and shows the right numbers."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ebpfasm
from ebpfasm import MapSpec, ProgramSpec, RunResult
from ebpfasm.analysis.vm import pcap
from ebpfasm.ir import link
from ebpfasm.runtime import system
from ebpfasm.runtime.cpus import possible_cpus as cpus
from ebpfasm.runtime.network.veth import VethPair
from ebpfasm.runtime.xsk import redirect
from examples import forms
from examples.bpf_to_bpf import statistics
from examples.frames import IPV4, IPV6, TCP, UDP, ethernet, ipv4, ipv6, tcp, udp
from examples.tailcall.run import fill_tails
from examples.xdp_firewall import program as firewall
from examples.xdp_firewall import run as blocking
from examples.xdp_firewall.program import VERDICTS
from examples.xdp_stats_instructions.program import spec as built
from tests.features import unsupported
from tests.support import ROOT, Job, need_native

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


IN_PYTHON = [
    path.parent.name
    for path in sorted((ROOT / "examples").glob("*/program.py"))
    if (path.parent / f"{path.parent.name}.s").exists()
]


@pytest.mark.parametrize("name", IN_PYTHON)
def test_builder_calls_give_the_same_instructions_as_the_text(name: str) -> None:
    text, calls = (forms.spec_of(ROOT / "examples" / name, form) for form in ("asm", "python"))
    assert calls.maps == text.maps
    assert calls.programs.keys() == text.programs.keys()
    for program in text.programs:
        assert ebpfasm.encode(calls.programs[program]) == ebpfasm.encode(text.programs[program])


@pytest.mark.kernel
@pytest.mark.parametrize("name", COUNTERS)
def test_the_counter_counts_every_frame_that_is_sent(name: str) -> None:
    first, *_, last = lines(example(name, "--json", "--duration", "0.3"))
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
        Job(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process,
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


@contextmanager
def running(name: str, *words: str) -> Iterator[Job[str]]:
    command = [sys.executable, "-m", f"examples.{name}.run", "--json", *words]
    process = Job(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    with process:
        try:
            yield process
        finally:
            process.kill()


def loaded(names: Iterable[str]) -> set[int]:
    """The ids of the kernel's programs of these names, as the kernel cuts them."""
    cut = {name[:15] for name in names}
    return {each.id for each in system.programs() if each.name in cut}


# What plays until it is told to stop: its programs' names, and what it takes to play for long.
LASTING: dict[str, tuple[str, ...]] = {
    "xdp_stats_assembly": (), "xdp_stats_instructions": (), "per_cpu_map": (), "map_in_map": (),
    "lpm_trie": (), "bpf_to_bpf": (), "tailcall": (), "tc_counter": (), "xdp_firewall": (),
    "icmp_pcap": ("--duration", "60"), "udp_socket_filter": ("--duration", "60"),
    "kprobe_execve_stats": ("--tracepoint", "--duration", "60"), "execve_log": (),
    "uprobe_bash_stats": ("--duration", "60"), "object_for_libbpf": (),
    "xsk_echo_reply": (), "xsk_multi_sock": (), "xsk_encapsulation": (),
}  # fmt: skip
ENDS = {"uprobe_bash_stats": [pytest.mark.needs("uprobes")],
        "object_for_libbpf": [pytest.mark.tool("bpftool")]}  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize(
    ("name", "end"),
    [
        pytest.param(name, end, marks=ENDS.get(name, ()), id=f"{name}-{end}")
        for name in LASTING
        for end in ("Ctrl-C", "SIGTERM", "a closed pipe")
        if end == "Ctrl-C" or name in ("xdp_stats_assembly", "execve_log", "object_for_libbpf")
    ],
)
def test_nothing_is_left_on_every_way_out(name: str, end: str) -> None:
    names = programs_of(name)
    before = loaded(names)
    with running(name, *LASTING[name]) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        while "attached" not in (line := process.stdout.readline()):
            if any(each in line for each in ("iface", "port", "kind", "queues")):
                break
            assert line
        made = loaded(names) - before
        assert made
        if end == "a closed pipe":
            process.stdout.close()
            process.send_signal(signal.SIGINT)  # where nothing more is printed by itself
        else:
            process.send_signal(signal.SIGINT if end == "Ctrl-C" else signal.SIGTERM)
        said = process.stderr.read()
        assert process.wait() in ((0, 1) if end == "a closed pipe" else (0,)), said
        assert said == ""
    deadline = time.monotonic() + 10  # the kernel frees programs when it has the time
    while loaded(names) & made and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not loaded(names) & made
    assert not list(Path("/sys/fs/bpf").glob("ebpfasm-*"))


def programs_of(name: str) -> list[str]:
    """What an example's programs are called."""
    if name.startswith("xsk_"):
        need_native()
        return [redirect.PROGRAM]
    folder = ROOT / "examples" / name
    form = forms.forms(folder)[0] if forms.forms(folder) else ""
    spec = forms.spec_of(folder, form) if form else ebpfasm.open(next(folder.glob("*.s")))
    return list(spec.programs)


def forms_of(name: str) -> list[Any]:
    marks = {"c": pytest.mark.tool("clang")}
    return [
        pytest.param(name, form, marks=marks.get(form, ()), id=f"{name}-{form}")
        for form in forms.forms(ROOT / "examples" / name)
    ]


@pytest.mark.kernel
@pytest.mark.tool("clang")
def test_the_compiled_counter_counts_every_frame_that_is_sent() -> None:
    first, *_, last = lines(example("xdp_stats", "--json", "--duration", "0.3"))
    assert first["attached"] == "veth0"
    assert last["counted"]["XDP_PASS"] == last["sent"] > 0


@pytest.mark.kernel
@pytest.mark.tool("clang")
def test_text_builder_and_c_count_alike() -> None:
    compiled = forms.spec_of(ROOT / "examples" / "xdp_stats", "c")
    for spec in (compiled, ebpfasm.open(ASSEMBLY), built):
        assert len(ebpfasm.encode(spec.programs["xdp_stats"])) == 14 * 8
        with ebpfasm.load(spec) as collection:
            for _ in range(5):
                collection.programs["xdp_stats"].test_run(bytes(60))
            assert list(collection.maps["xdp_stats_map"].values()) == [0, 0, 5, 0, 0]


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("per_cpu_map"))
def test_the_sum_over_the_cpus_is_what_was_sent(name: str, form: str) -> None:
    _, *seconds, last = lines(example(name, "--json", "--duration", "0.3", "--from", form))
    assert last["total"] == last["sent"] > 0
    assert len(seconds[0]["packets"]) == cpus()


@pytest.mark.kernel
def test_a_whole_vector_goes_in_and_comes_out() -> None:
    words = ("--json", "--duration", "1.1", "--interval", "0.1")
    printed = lines(example("per_cpu_map", *words))
    (copied,) = (each["copy"] for each in printed if "copy" in each)
    assert len(copied) == cpus()
    assert copied == printed[10]["packets"]


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("map_in_map"))
def test_only_the_map_at_index_0_grows(name: str, form: str) -> None:
    words = ("--json", "--duration", "0.6", "--interval", "0.3")
    _, first, second, last = lines(example(name, *words, "--from", form))
    assert first["b"] < 60 < first["a"]  # b was at index 0 for a moment only
    assert second["a"] - first["a"] < 60 < second["b"]
    assert last["total"] == last["sent"] > 0


def per_round(answer: dict[str, Any]) -> dict[str, Any]:
    """What one round of the traffic is counted as; all rounds are whole ones."""
    rounds, rest = divmod(answer["sent"], len(statistics.TRAFFIC))
    assert rounds > 0
    assert rest == 0
    return {
        name: {
            int(key): (pkts / rounds, size / rounds) for key, (pkts, size) in answer[name].items()
        }
        for name in statistics.MAPS
    }


ROUND = {
    "ip_proto_stats": {1: (1, 42), 6: (2, 108), 17: (9, 260 + 216 + 56)},
    "udp_stats": {5353: (5, 260), 6000: (3, 216), 7000: (1, 56)},
    "tcp_stats": {80: (2, 108)},
}


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), [*forms_of("bpf_to_bpf"), *forms_of("tailcall")])
def test_packets_and_bytes_are_counted_by_protocol_and_port(name: str, form: str) -> None:
    *_, last = lines(example(name, "--json", "--duration", "0.3", "--from", form))
    assert per_round(last) == ROUND


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("bpf_to_bpf"))
def test_the_verifier_finds_each_function_where_it_was_put(name: str, form: str) -> None:
    first, *_ = lines(example(name, "--json", "--duration", "0.1", "--from", form))
    program = forms.spec_of(ROOT / "examples" / name, form).programs[name]
    starts = [function.slot for function in link(program).functions]
    assert first["functions"] == [f"func#{n} @{slot}" for n, slot in enumerate(starts)]
    assert len(starts) == 6


# Frames at the edges: what is counted of each, by map and key, and the verdict.
_UDP4, _TCP6 = ipv4(UDP, udp(5353)), ipv6(TCP, tcp(443))
EDGES: dict[str, tuple[bytes, int, dict[str, int]]] = {
    "no payload": (ethernet(IPV4, b""), 2, {}),
    "VLAN tag of the other kind": (
        ethernet(0x88A8, b"\0\5\x08\0" + _UDP4), 2, {"ip_proto_stats": 17, "udp_stats": 5353},
    ),
    "IPv6 in a VLAN": (
        ethernet(IPV6, _TCP6, vlan=7), 2, {"ip_proto_stats": 6, "tcp_stats": 443},
    ),
    "two VLAN tags, of which one is skipped": (
        ethernet(0x88A8, b"\0\5\x81\0" + _UDP4), 2, {},
    ),
    "half a VLAN tag": (ethernet(0x8100, b"\0\5"), 1, {}),
    "a whole VLAN tag and no more": (ethernet(IPV4, b"", vlan=1), 2, {}),
    "IPv4 cut by a byte": (ethernet(IPV4, _UDP4[:19]), 2, {}),
    "IPv4 header alone": (ethernet(IPV4, _UDP4[:20]), 2, {"ip_proto_stats": 17}),
    "UDP cut by a byte": (ethernet(IPV4, _UDP4[:27]), 2, {"ip_proto_stats": 17}),
    "UDP header alone": (
        ethernet(IPV4, _UDP4[:28]), 2, {"ip_proto_stats": 17, "udp_stats": 5353},
    ),
    "IPv6 cut by a byte": (ethernet(IPV6, _TCP6[:39]), 2, {}),
    "TCP cut by a byte": (ethernet(IPV6, _TCP6[:59]), 2, {"ip_proto_stats": 6}),
    "TCP header alone": (
        ethernet(IPV6, _TCP6[:60]), 2, {"ip_proto_stats": 6, "tcp_stats": 443},
    ),
    "another protocol": (ethernet(IPV4, ipv4(47, bytes(20))), 2, {"ip_proto_stats": 47}),
    "ARP": (ethernet(0x0806, bytes(28)), 2, {}),
}  # fmt: skip


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), [*forms_of("bpf_to_bpf"), *forms_of("tailcall")])
def test_frames_at_the_edges_are_counted_as_far_as_they_go(name: str, form: str) -> None:
    spec = forms.spec_of(ROOT / "examples" / name, form)
    for what, (frame, verdict, counted) in EDGES.items():
        with ebpfasm.load(spec) as collection:
            if name == "tailcall":
                fill_tails(collection)
            first = collection.programs["entry" if name == "tailcall" else name]
            assert first.test_run(frame).retval == verdict, what
            found = statistics.as_json(collection.maps)
        assert found == {
            map: {counted[map]: (1, len(frame))} if map in counted else {}
            for map in statistics.MAPS
        }, what


@pytest.mark.parametrize(("name", "form"), [*forms_of("bpf_to_bpf"), *forms_of("tailcall")])
def test_a_frame_without_a_whole_ethernet_header_is_dropped(name: str, form: str) -> None:
    spec = forms.spec_of(ROOT / "examples" / name, form)
    program = spec.programs["entry" if name == "tailcall" else name]
    assert [ebpfasm.run(program, bytes(size), engine="vm").retval for size in (0, 13)] == [1, 1]


@pytest.mark.kernel
@pytest.mark.needs("counts of verified instructions")
def test_the_verifier_processes_14_instructions() -> None:
    for spec in (ebpfasm.open(ASSEMBLY), built):
        with ebpfasm.load(spec) as collection:
            assert collection.programs["xdp_stats"].info().verified_instructions == 14


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("tailcall"))
def test_a_tail_call_that_fails_aborts_and_what_is_no_ip_passes(name: str, form: str) -> None:
    with ebpfasm.load(forms.spec_of(ROOT / "examples" / name, form)) as collection:
        entry = collection.programs["entry"]
        verdicts = [entry.test_run(frame).retval for frame in statistics.TRAFFIC]
        assert verdicts == [0] * 12 + [2]  # all IP, then ARP
        assert entry.test_run(bytes(12) + b"\x81\x00" + b"\0").retval == 1  # half a VLAN tag


@pytest.mark.kernel
def test_the_33rd_tail_call_is_the_last() -> None:
    text = """
        .license "GPL"
        .map self, prog_array, key=u32, value=u32, max_entries=1
        .map count, array, key=u32, value=u64, max_entries=1
        .section xdp
        loop:
            r6 = r1
            *(u32 *)(r10 - 4) = 0
            r2 = r10
            r2 += -4
            r1 = count ll
            call bpf_map_lookup_elem
            if r0 == 0 goto out
            r1 = 1
            lock *(u64 *)(r0 + 0) += r1
            r1 = r6
            r2 = self ll
            r3 = 0
            call bpf_tail_call
        out:
            r0 = 0
            exit
    """
    with ebpfasm.load(ebpfasm.assemble(text)) as c:
        c.maps["self"][0] = c.programs["loop"]
        c.programs["loop"].test_run(bytes(64))
        assert c.maps["count"][0] == 1 + 33


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("lpm_trie"))
def test_the_longest_prefix_counts(name: str, form: str) -> None:
    *_, last = lines(example(name, "--json", "--duration", "0.3", "--from", form))
    each = last["sent"] / 5
    assert last["counts"] == {
        "10.0.0.0/8": each, "10.1.0.0/16": each, "fd00::/8": each, "fd00:1::/32": each,
    }  # fmt: skip


@pytest.mark.kernel
def test_the_shorter_prefix_counts_when_the_longer_one_is_gone() -> None:
    words = ("--json", "--duration", "1.2", "--interval", "0.4")
    _, _, second, gone, third, *_ = lines(example("lpm_trie", *words))
    assert gone == {}
    assert "10.1.0.0/16" not in third["counts"]
    grown = {key: third["counts"][key] - second["counts"][key] for key in third["counts"]}
    assert grown["10.0.0.0/8"] > grown["fd00::/8"] > 40


@pytest.mark.kernel
def test_five_blocks_of_batches() -> None:
    first, arrays, deleted, added, replaced, refused = lines(example("map_batch", "--json"))
    tens = {str(key): 10 * key for key in range(1, 6)}
    assert first["items"] == added["items"] == tens
    assert dict(zip(arrays["keys"], arrays["values"], strict=True)) == {
        int(key): value for key, value in tens.items()
    }
    assert deleted["items"] == {}
    assert replaced["items"] == {key: 100 + value for key, value in tens.items()}
    assert "the key is not there (ENOENT)" in refused["refused"]


@pytest.mark.kernel
def test_three_ways_through_a_map_are_one_way() -> None:
    printed = lines(example("map_iterator", "--json"))
    wanted = [(key, 10 * key) for key in range(11)]
    for way in ("items", "arrays", "iterator"):
        found = [(each["key"], each["value"]) for each in printed if each["way"] == way]
        assert found == wanted


@pytest.mark.kernel
def test_pinned_maps_are_found_again_and_leave_nothing() -> None:
    pinned, gei, other, refused, last = lines(example("map_pinning", "--json"))
    assert (gei["value"], other["value"]) == (8, 8)
    assert "its type is array, not hash, its max_entries is 100, not 50" in refused["refused"]
    assert last == {"left": False}
    assert not Path(pinned["folder"]).parent.exists()


@pytest.mark.kernel
@pytest.mark.parametrize("taken", ["gei", "def"])
def test_another_s_pin_and_folder_stay(taken: str) -> None:
    folder = Path(f"/sys/fs/bpf/test-{os.getpid()}-{taken}")
    with ebpfasm.Map.create(MapSpec("other", "array", 4, 8, 1)) as other:
        other.pin(folder / taken)
        try:
            done = example("map_pinning", "--folder", str(folder))
            assert done.returncode == 1
            assert done.stderr.startswith("error[pin-failed]: cannot pin ")
            assert f"'{folder / taken}'" in done.stderr
            assert "Traceback" not in done.stderr
            assert [each.name for each in folder.iterdir()] == [taken]
            with ebpfasm.Map.open(folder / taken) as found:
                assert found.info().id == other.info().id
        finally:
            other.unpin()


@pytest.mark.kernel
def test_a_folder_of_one_s_own_stays_and_one_that_was_made_goes() -> None:
    folder = Path(f"/sys/fs/bpf/test-{os.getpid()}-own")
    folder.mkdir()
    try:
        *_, last = lines(example("map_pinning", "--json", "--folder", str(folder / "a" / "b")))
        assert last == {"left": False}
        assert list(folder.iterdir()) == []
        *_, last = lines(example("map_pinning", "--json", "--folder", str(folder)))
        assert last == {"left": True}
        assert list(folder.iterdir()) == []
    finally:
        folder.rmdir()


@pytest.mark.kernel
def test_each_way_to_read_a_map_is_measured() -> None:
    *printed, last = lines(example("map_benchmark", "--json", "--count", "20000"))
    assert len(printed) == 6
    assert all(each["ns"] > 0 for each in printed)
    by_way = {each["way"]: each["ns"] for each in printed}
    shared = min(ns for way, ns in by_way.items() if way.startswith("shared"))
    ratio = by_way["array by system call"] / shared
    assert last["times"] == pytest.approx(ratio, rel=0.01)


@pytest.mark.kernel
def test_shared_memory_is_ten_times_as_fast_as_a_system_call() -> None:
    found = 0.0
    for _ in range(5):  # a ratio of one run; others may have the processor meanwhile
        found = max(
            found, lines(example("map_benchmark", "--json", "--count", "50000"))[-1]["times"]
        )
        if found >= 10:
            break
    assert found >= 10


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("udp_socket_filter"))
def test_the_socket_receives_what_was_sent_to_localhost_alone(name: str, form: str) -> None:
    _, *received = lines(example(name, "--json", "--duration", "0.5", "--from", form))
    assert received == [{"peer": "::ffff:127.0.0.1", "text": "to 127.0.0.1"}]


@pytest.mark.kernel
@pytest.mark.tool("tcpdump")
@pytest.mark.parametrize(("name", "form"), forms_of("icmp_pcap"))
def test_only_icmp_is_captured(tmp_path: Path, name: str, form: str) -> None:
    target = tmp_path / "icmp.pcap"
    words = ("--json", "--duration", "0.5", "--write", str(target), "--from", form)
    _, *frames, last = lines(example(name, *words))
    kinds = [(each["type"], each["code"]) for each in frames]
    assert sorted(kinds) == [(0, 0)] * 3 + [(3, 3)] + [(8, 0)] * 3
    assert last == {"frames": 7}
    seen = subprocess.run(
        ["tcpdump", "-nr", target], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert len(seen) == 7
    assert sum("ICMP echo re" in line for line in seen) == 6
    assert sum("udp port 9999 unreachable" in line for line in seen) == 1


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("tc_counter"))
def test_both_directions_are_counted_at_the_traffic_control_hooks(name: str, form: str) -> None:
    first, *_, last = lines(example(name, "--json", "--duration", "0.3", "--from", form))
    assert first == {"attached": "veth0", "kind": "clsact" if unsupported("tcx") else "tcx"}
    half = last["sent"] // 2
    assert last["in"] == [2 * half, half * (52 + 42)]
    assert last["out"] == [half, half * 42]  # an answer to each question


def counted_execs(form: str, *words: str, least: int = 7) -> int:
    """How many programs are counted of those, where nobody else starts one in between."""
    words = ("--json", "--duration", "0.05", "--from", form, *words)
    for _ in range(30):
        first, last = lines(example("kprobe_execve_stats", *words))
        assert first["kind"] in ("perf_event", "perf-ioctl")
        assert last["execs"] >= least
        if last["execs"] == least:
            break
    return int(last["execs"])


@pytest.mark.kernel
def test_five_programs_are_started_unless_another_number_is_told() -> None:
    assert counted_execs("asm", "--tracepoint", least=5) == 5
    assert counted_execs("asm", "--tracepoint", "--start", "0", least=0) == 0


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("kprobe_execve_stats"))
def test_started_programs_are_counted_at_the_tracepoint(name: str, form: str) -> None:
    assert counted_execs(form, "--tracepoint", "--start", "7") == 7


@pytest.mark.kernel
@pytest.mark.needs("kprobes")
@pytest.mark.parametrize(("name", "form"), forms_of("kprobe_execve_stats"))
def test_started_programs_are_counted_at_the_function(name: str, form: str) -> None:
    assert counted_execs(form, "--start", "7") == 7


@pytest.mark.kernel
@pytest.mark.skipif(not unsupported("kprobes"), reason="this kernel has kprobes")
def test_a_kernel_without_kprobes_is_told_of_tracepoints() -> None:
    done = example("kprobe_execve_stats", "--json", "--duration", "0.1")
    assert done.returncode == 1
    assert "CONFIG_KPROBES" in done.stderr
    assert "hint: --tracepoint counts on every kernel" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.kernel
@pytest.mark.needs("uprobes")
@pytest.mark.parametrize(("name", "form"), forms_of("uprobe_bash_stats"))
def test_lines_typed_into_bash_are_counted(name: str, form: str) -> None:
    command = [sys.executable, "-m", f"examples.{name}.run", "--json", "--from", form]
    command += ["--type", "0"]
    with Job(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert "readline in /bin/bash" in process.stdout.readline()
        type_into_bash(["true", "true", "exit"])
        while (calls := json.loads(process.stdout.readline())["calls"]) < 3:
            assert process.poll() is None
        process.terminate()
        process.stdout.read()
        assert process.wait() == 0
    assert calls == 3


@pytest.mark.kernel
@pytest.mark.needs("uprobes")
@pytest.mark.parametrize(("words", "calls"), [((), 3), (("--type", "5"), 5), (("--type", "0"), 0)])
def test_the_example_types_lines_itself(words: tuple[str, ...], calls: int) -> None:
    _, last = lines(example("uprobe_bash_stats", "--json", "--duration", "0.05", *words))
    assert last == {"calls": calls}


CALLER = """
import os, sys
for times in map(int, sys.stdin):
    for _ in range(times):
        os.getppid()
    print(times, flush=True)
"""


@pytest.mark.kernel
@pytest.mark.needs("uprobes")
def test_another_function_is_counted_in_one_process_alone() -> None:
    def caller() -> Job[str]:
        command = [sys.executable, "-c", CALLER]
        pipe = subprocess.PIPE
        return Job(command, stdin=pipe, stdout=pipe, text=True, bufsize=1)

    with caller() as counted, caller() as other:
        words = ("--binary", "libc.so.6", "--symbol", "getppid", "--pid", str(counted.pid))
        with running("uprobe_bash_stats", *words, "--duration", "60") as process:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["attached"] == "getppid in libc.so.6"
            for each, times in ((other, 7), (counted, 5), (other, 2)):
                assert each.stdin is not None
                assert each.stdout is not None
                each.stdin.write(f"{times}\n")
                assert each.stdout.readline() == f"{times}\n"
            assert json.loads(process.stdout.readline())["calls"] == 5
            process.terminate()
            assert process.wait() == 0
        for each in (counted, other):
            assert each.stdin is not None
            each.stdin.close()


def type_into_bash(typed: list[str]) -> None:
    """Type lines into a bash at a terminal of its own, and see it end."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "-i"])
    try:
        os.write(terminal, "".join(f"{line}\n" for line in typed).encode())
        try:
            while os.read(terminal, 4096):
                pass
        except OSError:
            pass  # the terminal is gone, and bash with it
        assert os.waitpid(child, 0)[1] == 0
    finally:
        os.close(terminal)


@pytest.mark.kernel
@pytest.mark.parametrize(("name", "form"), forms_of("execve_log"))
def test_every_program_that_is_started_is_logged(name: str, form: str) -> None:
    command = [sys.executable, "-m", f"examples.{name}.run", "--json", "--from", form]
    with Job(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert "attached" in json.loads(process.stdout.readline())
        starter = subprocess.Popen(["/bin/true"])
        starter.wait()
        found: dict[str, Any] = {}
        while found.get("pid") != starter.pid:
            found = json.loads(process.stdout.readline())
        process.terminate()
        last = json.loads(process.stdout.read().splitlines()[-1])
        assert process.wait() == 0
    assert (found["file"], found["uid"]) == ("/bin/true", os.getuid())
    assert last == {"lost": 0}


@pytest.mark.kernel
@pytest.mark.parametrize(("words", "number"), [((), 3), (("--start", "0"), 0)])
def test_the_log_has_something_to_show_by_itself(words: tuple[str, ...], number: int) -> None:
    for _ in range(30):  # others may start the same program meanwhile
        _, *found, last = lines(example("execve_log", "--json", "--duration", "0.3", *words))
        started = [each["pid"] for each in found if each["file"] == "/bin/true"]
        if len(started) == number:
            break
    assert len(set(started)) == number
    assert last == {"lost": 0}


@pytest.mark.parametrize(
    ("name", "words", "says"),
    [
        ("xdp_stats_assembly", ("--interval", "0"), "0 is no interval: write seconds, more than 0"),
        ("tc_counter", ("--interval", "-1"), "-1 is no interval: write seconds, more than 0"),
        ("lpm_trie", ("--interval", "nan"), "nan is no interval: write seconds, more than 0"),
        ("xdp_firewall", ("--interval", "inf"), "inf is no interval: write seconds, more than 0"),
        ("execve_log", ("--duration", "-1"), "-1 is no duration: write seconds, 0 or more"),
        ("icmp_pcap", ("--duration", "soon"), "soon is no duration: write seconds, 0 or more"),
        ("xsk_capture", ("--duration", "1e300"), "1e300 is no duration: write seconds, 0 or more"),
        ("test_xdp_program", ("--repeat", "0"), "0: write a number from 1 to 2147483647"),
        ("xsk_write_lease", ("--size", "17"), "17: write a number from 18 to 1514"),
        ("map_benchmark", ("--count", "-3"), "-3: write a number from 1 to 2147483647"),
        ("uprobe_bash_stats", ("--type", "²"), "²: write a number from 0 to 20"),
    ],
)
def test_a_wrong_number_is_a_sentence(name: str, words: tuple[str, str], says: str) -> None:
    done = example(name, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"{name}: error: argument {words[0]}: {says}"


def test_the_command_names_the_example_in_a_usage_error() -> None:
    command = [sys.executable, "-m", "ebpfasm", "example", "run", "icmp_pcap", "--no-such"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == ("icmp_pcap: error: unrecognized arguments: --no-such")


@pytest.mark.kernel
def test_a_capture_that_cannot_be_written_is_never_begun(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "icmp.pcap"
    done = example("icmp_pcap", "--duration", "60", "--write", str(target))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {target}: No such file or directory\n"


@pytest.mark.kernel
def test_the_firewall_drops_by_network_and_by_port() -> None:
    *_, last = lines(example("xdp_firewall", "--json", "--duration", "0.3"))
    rounds = last["sent"] // 9
    assert rounds > 0
    assert {each: last[each] for each in VERDICTS} == {
        "passed": 5 * rounds, "by network": 2 * rounds, "by port": 2 * rounds,
    }  # fmt: skip


@pytest.mark.kernel
def test_the_firewall_blocks_one_more_network_while_it_runs() -> None:
    words = ("--json", "--duration", "0.8", "--interval", "0.2")
    printed = lines(example("xdp_firewall", *words))
    assert printed[3] == {"blocked": "10.3.0.0/16"}
    assert printed[-2] == {"unblocked": "10.3.0.0/16"}
    before, last = printed[2], printed[-1]
    rounds = last["sent"] // 9
    assert last["by port"] == 2 * rounds
    passed, dropped = last["passed"] - 4 * rounds, last["by network"] - 2 * rounds
    assert passed + dropped == rounds  # the frames of that network
    assert dropped > 0
    # All of it passed before: five of nine frames, up to the round that was read in the middle.
    assert passed >= before["passed"] // 5 > 0


@pytest.mark.kernel
def test_a_network_is_blocked_and_let_in_again_without_a_new_program() -> None:
    frame = ethernet(IPV4, ipv4(UDP, udp(53), src="10.3.1.1"))
    with ebpfasm.load(firewall.spec) as collection:
        program = collection.programs["firewall"]
        verdicts = [program.test_run(frame).retval]
        blocking.block(collection, blocking.LATER)
        verdicts.append(program.test_run(frame).retval)
        assert blocking.verdicts(collection) == {"passed": 1, "by network": 1, "by port": 0}
        blocking.unblock(collection, blocking.LATER)
        verdicts.append(program.test_run(frame).retval)
    assert verdicts == [2, 1, 2]  # XDP_PASS, XDP_DROP, XDP_PASS


@pytest.mark.kernel
def test_the_firewall_never_unblocks_a_network_that_was_asked_for() -> None:
    words = ("--json", "--duration", "0.4", "--interval", "0.1", "--network", "10.3.0.0/16")
    *seconds, last = lines(example("xdp_firewall", *words))
    assert not [each for each in seconds if "blocked" in each or "unblocked" in each]
    assert last["by network"] == last["sent"] // 9


@pytest.mark.kernel
def test_the_firewall_takes_rules_from_the_command_line() -> None:
    words = ("--json", "--duration", "0.3", "--network", "10.0.0.0/8", "--port", "udp/1")
    *_, last = lines(example("xdp_firewall", *words))
    rounds = last["sent"] // 9
    assert (last["by network"], last["by port"]) == (5 * rounds, 0)


@pytest.mark.kernel
@pytest.mark.tool("bpftool")
def test_bpftool_counts_with_the_object_that_was_written(tmp_path: Path) -> None:
    target = tmp_path / "traffic.o"
    words = ("--json", "--duration", "0.3", "-o", str(target))
    first, second, *_, last = lines(example("object_for_libbpf", *words))
    assert (first["object"], second["attached"]) == (str(target), "veth0")
    assert target.read_bytes()[:4] == b"\x7fELF"
    assert last["sent"] > 0
    assert last["counted"] == {"packets": last["sent"], "bytes": 52 * last["sent"]}
    assert not list(Path("/sys/fs/bpf").glob("ebpfasm-*"))


@pytest.mark.kernel
def test_the_tested_program_drops_ipv6_and_passes_the_rest() -> None:
    answers = lines(example("test_xdp_program", "--json"))
    found = [(each["engine"], each["frame"], each["retval"]) for each in answers]
    assert found == [
        (engine, *verdict) for engine in ("kernel", "vm") for verdict in (("IPv6", 1), ("IPv4", 2))
    ]
    assert all(each["ns"] > 0 for each in answers)


def programs() -> list[Any]:
    examples = ROOT / "examples"
    sources = {path: ebpfasm.open(path) for path in sorted(examples.glob("*/*.s"))}
    sources[examples / "xdp_stats_instructions" / "program.py"] = built
    return [
        pytest.param(
            program,
            id=f"{path.relative_to(examples)}:{name}",
            marks=[pytest.mark.needs("test runs that show metadata")] * ("tailcall" in path.parts),
        )
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
    maps, changes = (
        {name: {key: summed(value) for key, value in items.items()} for name, items in each.items()}
        for each in (result.maps, result.changes)
    )
    return result.retval, result.data_out, maps, changes, result.ctx_out


def summed(value: Any) -> Any:
    """A per-CPU value summed: engines differ in how many CPUs there are and which one ran."""
    if not isinstance(value, tuple):
        return value
    return (
        sum(value)
        if isinstance(value[0], int)
        else [sum(each) for each in zip(*value, strict=True)]
    )


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
