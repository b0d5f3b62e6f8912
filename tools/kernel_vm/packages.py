"""Debian's kernel packages, read and downloaded by an apt state of the tool's own.

The archives' addresses are those that this system's apt uses already; only the suites differ, so
that the system's own sources and lists stay as they are.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from kernel_vm.failure import Failed, say

ARCHITECTURE = "amd64"
_SUFFIX = f"-{ARCHITECTURE}"

# Suites to look in, those with short package lists first.
_SMALL = (
    ("security", "bullseye-security"),
    ("security", "bookworm-security"),
    ("security", "trixie-security"),
    ("main", "bookworm-backports"),
    ("main", "trixie-backports"),
)
_LARGE = (("main", "bullseye"), ("main", "bookworm"), ("main", "trixie"), ("main", "sid"))
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_LISTS_MAX_AGE = 7 * 24 * 3600  # seconds


class Lists:
    """Package lists of some suites, in a folder of their own."""

    def __init__(self, folder: Path, suites: tuple[tuple[str, str], ...]) -> None:
        self._folder = folder
        self._suites = suites

    def update(self) -> None:
        """Read the lists where they are missing or old. Raises Failed."""
        stamp = self._folder / "stamp"
        if stamp.exists() and time.time() - stamp.stat().st_mtime < _LISTS_MAX_AGE:
            return
        archives = _archives()
        for each in ("lists/partial", "cache/archives/partial"):
            (self._folder / each).mkdir(parents=True, exist_ok=True)
        (self._folder / "status").touch()
        signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
        known = [(archives[kind], suite) for kind, suite in self._suites if kind in archives]
        lines = [f"deb {signed}{address} {suite} main\n" for address, suite in known]
        (self._folder / "sources.list").write_text("".join(lines), encoding="utf-8")
        say(f"reading package lists ({', '.join(suite for _, suite in known)})")
        done = self._apt("apt-get", "update")
        missing = re.findall(r"repository '\S+ (\S+) Release'", done.stdout)
        if done.returncode != 0 and not missing:
            raise Failed(f"apt-get update failed:\n{done.stdout[-1500:]}")
        if missing:
            say(f"not offered any more: {', '.join(missing)}")
        stamp.touch()

    def kernels(self) -> list[str]:
        """The releases on offer, such as 6.12.117+deb12-amd64."""
        names = self._apt("apt-cache", "pkgnames", "linux-image-").stdout.split()
        releases = (each.removeprefix("linux-image-") for each in names)
        return [each for each in releases if is_kernel(each)]

    def download(self, release: str, folder: Path) -> list[Path]:
        """Download a kernel's packages into a folder. Raises Failed."""
        names = [f"linux-image-{release}"]
        # Since 6.19 the image package only names these.
        split = [f"linux-{part}-{release}" for part in ("binary", "modules", "base")]
        known = set(self._apt("apt-cache", "pkgnames", "linux-").stdout.split())
        names += [each for each in split if each in known]
        done = self._apt("apt-get", "download", *names, cwd=folder)
        if done.returncode != 0:
            raise Failed(f"apt-get download {' '.join(names)} failed:\n{done.stdout[-1500:]}")
        return sorted(folder.glob("*.deb"))

    def _apt(
        self, program: str, *arguments: str, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        folder = self._folder
        options = (
            f"Dir::Etc::sourcelist={folder}/sources.list",
            "Dir::Etc::sourceparts=/dev/null",
            f"Dir::State::lists={folder}/lists",
            f"Dir::State::status={folder}/status",
            f"Dir::Cache={folder}/cache",
            f"APT::Architecture={ARCHITECTURE}",
            f"APT::Architectures={ARCHITECTURE}",
            "APT::Sandbox::User=root",
            "Acquire::Languages=none",
            "Acquire::Retries=3",
            "APT::Update::Post-Invoke-Success=",
        )
        command = [program, *(word for each in options for word in ("-o", each)), *arguments]
        return subprocess.run(
            command, cwd=cwd, env=os.environ | {"LC_ALL": "C"}, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip


def all_lists(folder: Path) -> Iterator[Lists]:
    """The lists to look in, one after the other, each up to date when it comes."""
    for name, suites in (("small", _SMALL), ("large", _LARGE)):
        lists = Lists(folder / f"{name}-{ARCHITECTURE}", suites)
        lists.update()
        yield lists


def is_kernel(release: str) -> bool:
    """Whether a release is a kernel for common use: no cloud, no real-time one."""
    return (
        release.endswith(_SUFFIX)
        and re.search(r"-(cloud|rt)-", release) is None
        and re.match(r"\d+\.\d+(\.\d+|-rc|.*-\d)", release) is not None
    )


def matches(release: str, wanted: str) -> bool:
    """Whether 6.12.117+deb12-amd64 is a 6.12, a 6.12.117, or itself."""
    return release == wanted or re.match(re.escape(wanted) + r"(?![0-9])", release) is not None


def newest(releases: list[str]) -> str | None:
    """The highest of some releases, by number."""
    return max(releases, key=_parts, default=None)


def _parts(text: str) -> list[tuple[int, int | str]]:
    words = re.findall(r"\d+|[^\d]+", text)
    return [(0, int(each)) if each.isdigit() else (1, each) for each in words]


def _archives() -> dict[str, str]:
    """The addresses of Debian's archives among this system's sources. Raises Failed."""
    form = "$(REPO_URI)|$(CODENAME)|$(SUITE)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as problem:
        raise Failed(f"apt-get does not tell its sources: {problem}") from None
    found: dict[str, str] = {}
    for line in told.splitlines():
        address, name, suite = line.split("|")
        name = suite if "(" in name else name
        kind = "security" if "security" in name or "security" in address else "main"
        if kind == "security" or "debian" in address:
            found.setdefault(kind, address)
    if "main" not in found:
        raise Failed("apt has no Debian archive among its sources")
    return found
