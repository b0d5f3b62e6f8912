"""What several tests share: outside tools, and whether this machine's kernel lets us use bpf(2)."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import shutil
import struct
import subprocess
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import AnyStr, NoReturn

import pytest

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(__file__).resolve().parent / "data"

TOOL_VERSIONS = range(25, 13, -1)

BPF_MAP_CREATE = 0
BPF_MAP_TYPE_ARRAY = 2
NR_BPF = {"x86_64": 321, "i686": 357, "armv7l": 386, "ppc64le": 361, "s390x": 351}
NR_BPF_GENERIC = 280  # aarch64, riscv64, loongarch64


def required(what: str) -> bool:
    """Say whether EBPFASM_REQUIRE (`all`, or names with commas between) demands `what`."""
    names = {name.strip() for name in os.environ.get("EBPFASM_REQUIRE", "").split(",")}
    return "all" in names or what in names


def missing(what: str, why: str) -> NoReturn:
    """Skip the running test for want of `what`, or fail it where EBPFASM_REQUIRE demands that."""
    if required(what):
        pytest.fail(f"{why} (EBPFASM_REQUIRE demands {what})", pytrace=False)
    pytest.skip(why, allow_module_level=True)


def release_of(text: str) -> tuple[int, int]:
    """Turn "5.8", or "6.18.3-amd64", into numbers to compare; (0, 0) where there are none."""
    found = re.match(r"(\d+)\.(\d+)", text)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def kernel_release() -> tuple[int, int]:
    """Which Linux is running."""
    return release_of(platform.release())


def excuse(refusal: Exception, since: str) -> NoReturn:
    """Skip for a refusal of a kernel older than `since`; raise it where the kernel should know."""
    if kernel_release() < release_of(since):
        pytest.skip(f"since Linux {since}: {refusal}")
    raise refusal


def need_native() -> None:
    """Skip where no compiler built the native core, or fail where EBPFASM_REQUIRE demands it."""
    from ebpfasm.native import native_core

    if native_core() is None:
        missing("native", "the native core is not built")


class Job(subprocess.Popen[AnyStr]):
    """A process that is killed where a test fails in its block, not waited for without end."""

    def __exit__(
        self,
        type: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if type is not None:
            self.kill()
        super().__exit__(type, value, traceback)


@cache
def tool_path(name: str) -> str | None:
    """Find the newest of a tool's versioned names, else its own name; None if there is neither.

    Debian's unversioned llvm-mc is older than the versioned ones that stand beside it.
    """
    if name == "bpftool":
        return _bpftool_path()
    candidates = (*(f"{name}-{version}" for version in TOOL_VERSIONS), name)
    return next(filter(None, map(_which, candidates)), None)


def _which(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def _bpftool_path() -> str | None:
    # Ubuntu's own bpftool is a wrapper that refuses to run on a kernel it was not packaged for.
    on_path = _which("bpftool")
    packaged = sorted(map(str, Path("/usr/lib").glob("linux-tools*/**/bpftool")), reverse=True)
    candidates = packaged if on_path is None else [on_path, *packaged]
    return next((path for path in candidates if _runs(path, "version")), None)


def _runs(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def find_tool(name: str) -> str:
    """Return the path of an outside tool; without it skip the test, or fail it where required."""
    path = tool_path(name)
    if path is None:
        missing(name, f"{name} is not installed: run tools/system-packages")
    return path


@cache
def bpf_errno() -> int:
    """Ask the kernel for a tiny map through a raw system call: 0, or the errno of its refusal.

    It uses none of the project's code, so a fault there cannot turn kernel tests into skips.
    """
    if platform.system() != "Linux":
        return errno.ENOSYS
    number = NR_BPF.get(platform.machine(), NR_BPF_GENERIC)
    attr = struct.pack("=IIII", BPF_MAP_TYPE_ARRAY, 4, 8, 1)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    fd = libc.syscall(ctypes.c_long(number), BPF_MAP_CREATE, attr, len(attr))
    if fd < 0:
        return ctypes.get_errno()
    os.close(fd)
    return 0


def bpf_advice(number: int) -> str:
    """Say in one sentence what an errno of bpf(2) means and what to do about it."""
    match number:
        case errno.EPERM | errno.EACCES:
            advice = "run as root, or grant CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON"
        case errno.ENOSYS:
            advice = "use a Linux with CONFIG_BPF_SYSCALL that no sandbox hides"
        case errno.ENOMEM:
            advice = "raise the limit of locked memory: ulimit -l unlimited"
        case _:
            advice = "see bpf(2)"
    return f"bpf(2) answers {errno.errorcode.get(number, number)}: {advice}"


@cache
def mount_kernel_filesystems() -> None:
    """Mount bpffs and tracefs where root finds them missing, as in a container; once a session."""
    if os.geteuid() != 0:
        return
    mounted = {line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()}
    for kind, place in (("bpf", "/sys/fs/bpf"), ("tracefs", "/sys/kernel/tracing")):
        if place not in mounted and Path(place).is_dir():
            subprocess.run(["mount", "-t", kind, kind, place], capture_output=True, check=False)
