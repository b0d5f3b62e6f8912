"""A kernel with kprobes, fentry and LSM, booted by tools/kernel-vm: what this one may lack."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from tests.support import ROOT, missing

KERNEL = "6.12"
FEATURES = ("kprobes", "kprobe.multi", "kprobe.session", "fentry", "lsm", "lsm_cgroup", "netkit",
            "iterators over map elements")  # fmt: skip
FILES = ("probes", "tracing", "cgroup", "net")


@pytest.mark.vm
@pytest.mark.slow
def test_probes_tracing_and_security_hooks_on_a_kernel_that_has_them() -> None:
    if "KERNEL_VM" in os.environ:
        pytest.skip("this is another kernel already")
    if platform.machine() != "x86_64":
        pytest.skip("tools/kernel-vm is for x86-64")
    names = [f"tests/runtime/test_attach_{each}.py" for each in FILES]
    pytests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider",
               "--features", ",".join(FEATURES), *names]  # fmt: skip
    machine = [str(ROOT / "tools" / "kernel-vm"), "--kernel", KERNEL, "--timeout", "300", "--env",
               "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", "--"]  # fmt: skip
    done = subprocess.run(
        [*machine, *pytests], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode == 125:
        missing("vm", f"no machine with Linux {KERNEL}: {done.stderr.strip()[-500:]}")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    counts = dict(map(str.split, re.findall(r"\d+ \w+", done.stdout.splitlines()[-1])))
    words = {word: int(number) for number, word in counts.items()}
    assert words["passed"] >= 20
    assert "skipped" not in words
