"""`ebpfasm attach`: where options and sections say, with pins, and until a signal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ebpfasm.runtime.links import Link
from ebpfasm.runtime.network.veth import VethPair
from tests.cli.support import Command
from tests.cli.test_live import line, start
from tests.runtime.attaching import CALL, COUNT, call
from tests.runtime.samples import bpftool, reaches
from tests.support import Job

pytestmark = [pytest.mark.kernel, pytest.mark.tool("bpftool")]


@pytest.fixture
def counters(tmp_path: Path) -> Path:
    """A folder with a counter for each of some sections."""
    for name, section in (
        ("calls", f"tracepoint/syscalls/sys_enter_{CALL}"),
        ("packets", "tc"),
        ("bare", "tracepoint"),
        ("raw", "raw_tp"),
        ("kernel", "kprobe"),
        ("user", "uprobe"),
        ("frames", "xdp"),
    ):
        text = COUNT.format(section=section, verdict=0, before="", after="")
        (tmp_path / f"{name}.s").write_text(text)
    return tmp_path


def begin(*words: object) -> Job[str]:
    command = [sys.executable, "-m", "ebpfasm", "attach", *map(str, words)]
    return Job(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1)


@pytest.mark.parametrize(
    "words", [("calls.s",), ("bare.s", "--tracepoint", f"syscalls/sys_enter_{CALL}")]
)
def test_the_section_or_an_option_says_where(counters: Path, words: tuple[str, ...]) -> None:
    with begin(counters / words[0], *words[1:], "--watch", "counts", "--interval", "0.05") as job:
        place = f"tracepoint syscalls/sys_enter_{CALL}"
        assert line(job.stdout).startswith(f"count is attached to {place} (perf")
        call(5)
        while line(job.stdout) != "counts: {0: 5}\n":
            assert job.poll() is None
        job.send_signal(signal.SIGTERM)
        out, err = job.communicate()
    assert (job.returncode, err) == (0, "")
    assert out.splitlines()[-1] == f"count is detached from {place}"


def test_the_kind_and_the_number_are_told_as_json(counters: Path) -> None:
    with begin(counters / "raw.s", "--raw-tracepoint", "sched_switch", "--json") as job:
        (told,) = json.loads(line(job.stdout))["attached"]
        assert (told["program"], told["where"]) == ("count", "raw tracepoint sched_switch")
        assert bpftool("link", "show", "id", told["id"])["tp_name"] == "sched_switch"
        job.send_signal(signal.SIGINT)
        assert job.communicate() == ("", "")
    assert bpftool("link", "show", "id", told["id"]) is None


@pytest.mark.parametrize("direction", ["ingress", "egress"])
def test_packets_of_an_interface_are_watched(
    veth: VethPair, counters: Path, direction: str
) -> None:
    words = ("attach", counters / "packets.s", "--tc", f"veth0:{direction}", "--duration", "0.1")
    with start(veth, *words) as job:
        out, err = job.communicate()
    assert (job.returncode, err) == (0, "")
    assert out.splitlines()[-1] == f"count is detached from veth0 {direction}"


@pytest.mark.needs("uprobes")
def test_a_function_of_a_library_is_watched_in_one_process(counters: Path) -> None:
    words = ("--uprobe", "libc.so.6:getenv", "--pid", os.getpid(), "--duration", "0")
    with begin(counters / "user.s", *words) as job:
        out, err = job.communicate()
    assert err == ""
    assert "count is attached to uprobe /proc/" in out


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="ebpfasm_test_", dir="/sys/fs/bpf"))
    yield made
    for top, _, names in os.walk(made, topdown=False):
        for name in names:
            os.unlink(os.path.join(top, name))
        os.rmdir(top)


@pytest.mark.needs("perf_event links")
def test_what_is_pinned_stays_attached(counters: Path, folder: Path) -> None:
    with begin(counters / "calls.s", "--pin", folder) as job:
        out, err = job.communicate()
    assert (job.returncode, err) == (0, "")
    assert out.endswith(f"it is pinned in {folder}\n")
    call(3)
    shown = bpftool("map", "dump", "pinned", folder / "maps" / "counts")
    assert shown[0]["formatted"]["value"] == 3 if "formatted" in shown[0] else shown[0]["value"]
    with Link.open(folder / "links" / "count") as link:
        link.detach()


def test_pins_that_cannot_be_leave_nothing(veth: VethPair, counters: Path, tmp_path: Path) -> None:
    words = ("attach", counters / "packets.s", "--tc", "veth0", "--pin", tmp_path / "pins")
    with start(veth, *words) as job:
        out, err = job.communicate()
    assert (job.returncode, out) == (1, "")
    assert err.startswith("error[pin-failed]: ")
    assert not (tmp_path / "pins").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bare.s",), "to which tracepoint?"),
        (("bare.s", "--xdp", "lo", "--tc", "lo"), "--xdp and --tc cannot be given together"),
        (("bare.s", "--xdp", "lo"), "it is of type tracepoint, not xdp"),
        (("bare.s", "--mode", "native"), "--mode is for XDP programs"),
        (("bare.s", "--pid", "1"), "--pid is for functions in user space"),
        (("packets.s", "--tc", "lo:up"), "the direction is ingress or egress"),
        (("user.s", "--uprobe", "bash"), "'bash' names no function"),
        (("bare.s", "--tracepoint", "syscalls/sys_enter_opennat"), "did you mean syscalls/"),
    ],
)
def test_what_does_not_fit_is_said_in_a_sentence(
    ebpfasm: Command, counters: Path, words: tuple[str, ...], said: str
) -> None:
    outcome = ebpfasm("attach", counters / words[0], *words[1:])
    assert outcome.status != 0
    assert said in outcome.err
    assert "Traceback" not in outcome.err


RING = f"""
.license "GPL"
.map events, ringbuf, max_entries=4096
.section "tracepoint/syscalls/sys_enter_{CALL}"
tell:
    r1 = 0x6c6c6163
    *(u32 *)(r10 - 4) = r1
    r1 = events ll
    r2 = r10
    r2 += -4
    r3 = 4
    r4 = 0
    call bpf_ringbuf_output
    r0 = 0
    exit
"""


@pytest.mark.parametrize("words", [(), ("--json",)])
def test_events_are_shown_as_they_come(tmp_path: Path, words: tuple[str, ...]) -> None:
    text = tmp_path / "ring.s"
    text.write_text(RING)
    with begin(text, "--watch", "events", *words) as job:
        if words:
            wait_for_program("tell")
        else:
            assert "is attached to" in line(job.stdout)
        call(2)
        for _ in range(2):
            said = line(job.stdout)
            assert (json.loads(said)["events"] if words else said[8:-1]) == b"call".hex()
        job.send_signal(signal.SIGTERM)
        assert job.wait() == 0


def wait_for_program(name: str) -> None:
    """Wait until a program of that name is attached, by a link or an event as old kernels have."""

    def there() -> int:
        programs = {each["id"] for each in bpftool("prog", "show") if each.get("name") == name}
        attached = [*bpftool("link", "show"), *bpftool("perf", "show")]
        return sum(each["prog_id"] in programs for each in attached)

    assert reaches(there, 1) >= 1


def test_a_terminal_gets_a_live_table(counters: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "ebpfasm", "attach", str(counters / "calls.s")]
    command += ["--watch", "counts", "--interval", "0.05"]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    with Job(command, stdout=theirs, stderr=theirs, env=environment) as job:
        os.close(theirs)
        screen = b""
        while b"a second" not in screen:
            screen += os.read(ours, 1 << 16)
        call(12345)
        while b"12,345" not in screen:
            screen += os.read(ours, 1 << 16)
        job.send_signal(signal.SIGINT)
        with suppress(OSError):  # the other end is closed
            while os.read(ours, 1 << 16):
                pass
        assert job.wait() == 0
    os.close(ours)
