"""Programs that several tests load, and what they need to be watched from outside."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ebpfasm.asm import assemble
from ebpfasm.ir import CollectionSpec
from tests.support import find_tool

PASS = """
.license "GPL"
.section xdp
pass:
    r0 = 2
    exit
"""

# counts every frame under key 0 and lets it pass
COUNT = """
.license "GPL"
.map counts, {type}, key=u32, value=u64, max_entries=2
.section xdp
count:
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
out:
    r0 = 2
    exit
"""


def passing() -> CollectionSpec:
    return assemble(PASS, name="pass.s")


def counting(type: str = "array") -> CollectionSpec:
    return assemble(COUNT.replace("{type}", type), name="count.s")


def bpftool(*words: str | int | Path) -> Any:
    """What bpftool says, as JSON; None where it finds nothing."""
    command = [find_tool("bpftool"), "--json", *map(str, words)]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        return None
    return json.loads(done.stdout) if done.stdout.strip() else None


def interface(name: str) -> Any:
    """What iproute2 says of an interface in the calling thread's namespace."""
    command = [find_tool("ip"), "--json", "-details", "link", "show", name]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)[0]


def attached_to(name: str) -> int:
    """The id of the XDP program on an interface, 0 where there is none."""
    return int(interface(name).get("xdp", {}).get("prog", {}).get("id", 0))


def reaches(read: Callable[[], int], wanted: int) -> int:
    """Read until the wanted number or more is there, at most a minute; what was read last."""
    deadline = time.monotonic() + 60
    while (found := read()) < wanted and time.monotonic() < deadline:
        os.sched_yield()
    return found


def descriptors() -> dict[str, str]:
    """What this process has open, by number; the kernel's types stay open once they are read."""
    found = {}
    for number in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # the listing's own
            found[number] = os.readlink(f"/proc/self/fd/{number}")
    return {
        number: place for number, place in found.items() if not place.startswith("/sys/kernel/btf/")
    }
