"""An object in the kernel by libbpf's hand, for as long as a test looks at it."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.support import find_tool, missing

SOURCE = Path(__file__).with_name("peer.c")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="ebpfasm-peer-")


@cache
def program() -> Path:
    """The C program, compiled."""
    out = Path(_folder().name) / "peer"
    command = [find_tool("clang"), "-O1", "-Wall", "-o", str(out), str(SOURCE), "-lbpf"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        missing("libbpf", f"libbpf's headers are not installed: {done.stderr[:200]}")
    return out


@contextmanager
def loaded(path: Path) -> Iterator[tuple[dict[str, int], dict[str, int]]]:
    """Ids of the programs and maps by their names."""
    found: dict[str, dict[str, int]] = {"program": {}, "map": {}}
    process = subprocess.Popen(
        [str(program()), str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        for line in process.stdout:
            word, *rest = line.split()
            if word == "ready":
                break
            found[word][rest[0]] = int(rest[1])
        else:
            raise AssertionError(process.communicate()[1])
        yield found["program"], found["map"]
    finally:
        process.communicate("")
