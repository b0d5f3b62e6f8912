"""Machines of tools/kernel-vm: a kernel with what this one may lack, and CPUs that come and go."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from tests import features
from tests.support import ROOT, missing

KERNELS = ("7.3", "6.12")  # the first that is to be had: distributions take kernels back
OLD = ("5.10", "6.1")
FEATURES = ("kprobes", "kprobe.multi", "kprobe.session", "uprobe.session", "fentry", "fsession",
            "fentry.multi", "lsm", "lsm_cgroup", "netkit", "iterators over map elements",
            "overwritten rings")  # fmt: skip
FILES = ("attach_probes", "attach_tracing", "attach_cgroup", "attach_net", "events_overwrite")
VM = str(ROOT / "tools" / "kernel-vm")

pytestmark = [
    pytest.mark.vm,
    pytest.mark.slow,
    pytest.mark.skipif("KERNEL_VM" in os.environ, reason="this is another kernel already"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="tools/kernel-vm is for x86-64"),
]


def kernel(versions: tuple[str, ...] = KERNELS) -> str:
    """The version of a kernel that can be booted."""
    for each in versions:
        asked = [VM, "--kernel", each, "--fetch-only"]
        done = subprocess.run(asked, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return each
    why = done.stderr.strip()[-500:]
    return missing("vm", f"no machine with Linux {' or '.join(versions)}: {why}")


def passed_under(kernel: str, *words: str, options: tuple[str, ...] = ()) -> int:
    """Run pytest in a machine; how many tests passed, where none failed or was skipped."""
    pytests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p",
               "pytest_timeout", *words]  # fmt: skip
    machine = [VM, "--kernel", kernel, *options, "--timeout", "600", "--env",
               "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", "--"]  # fmt: skip
    done = subprocess.run(
        [*machine, *pytests], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 125:
        missing("vm", f"no machine with Linux {kernel}: {done.stderr.strip()[-500:]}")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counts = dict(map(str.split, re.findall(r"\d+ \w+", done.stdout.splitlines()[-1])))
    words_of = {word: int(number) for number, word in counts.items()}
    assert "skipped" not in words_of
    return words_of["passed"]


def test_probes_tracing_and_security_hooks_on_a_kernel_that_has_them() -> None:
    found = kernel()
    release = tuple(map(int, found.split(".")))
    had = [each for each in FEATURES if features.FEATURES[each].since <= release]
    names = [f"tests/runtime/test_{each}.py" for each in FILES]
    assert passed_under(found, "--features", ",".join(had), *names) >= 20


def test_cpus_that_come_and_go_under_a_perf_buffer() -> None:
    words = "tests/runtime/test_events_hotplug.py"
    assert passed_under(kernel(), words, options=("--smp", "2")) == 5


# What is done another way there: no links, no batches of hashes, no recvmsg to wake a driver.
ANOTHER_WAY = (
    "tests/xsk/test_faults.py::test_an_interface_that_goes_while_it_is_waited_for",
    "tests/xsk/test_batches.py::test_packets_arrive_in_their_order",
    "tests/xsk/test_batches.py::test_rows_of_an_array_are_packets",
    "tests/xsk/test_batches.py::"
    "test_packets_that_wait_for_their_kick_leave_before_one_waits_for_others",
    "tests/xsk/test_sockets.py::test_what_came_with_later_kernels_is_named_where_it_lacks",
    "tests/cli/test_attach.py::test_events_are_shown_as_they_come",
)


def test_an_old_kernel_is_asked_in_its_own_way() -> None:
    assert passed_under(kernel(OLD), *ANOTHER_WAY) >= 10
