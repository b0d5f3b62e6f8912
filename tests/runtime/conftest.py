"""Places of a test's own: a cgroup."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import missing


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A new cgroup of version 2, removed with those below it."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounts = [line.split() for line in file]
    top = next((Path(fields[1]) for fields in mounts if fields[2] == "cgroup2"), None)
    if top is None or not os.access(top, os.W_OK):
        missing("cgroup2", "no cgroup2 is mounted where this process may write")
    made = Path(tempfile.mkdtemp(prefix="ebpfasm-test-", dir=top))
    try:
        yield made
    finally:
        for folder, _, _ in os.walk(made, topdown=False):
            os.rmdir(folder)
