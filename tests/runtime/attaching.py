"""Programs that count how often they run, for every section, and what sets them off."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ebpfasm.asm import assemble
from ebpfasm.ir import CollectionSpec
from ebpfasm.isa.kinds import LINK_TYPES
from ebpfasm.runtime.collection import Collection
from ebpfasm.runtime.links import Link
from ebpfasm.runtime.loader import load
from ebpfasm.runtime.programs import Program
from tests.runtime.samples import bpftool

# Counts its runs under key 0, and leaves the cookie under key 1.
COUNT = """
.license "GPL"
.map counts, array, key=u32, value=u64, max_entries=2
.section "{section}"
count:
    r6 = r1
{before}
    r1 = 0
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    r1 = 1
    lock *(u64 *)(r0 + 0) += r1
{after}
out:
    r0 = {verdict}
    exit
"""

COOKIE = """
    r1 = r6
    call bpf_get_attach_cookie
    r7 = r0
    r1 = 1
    *(u32 *)(r10 - 4) = r1
    r2 = r10
    r2 += -4
    r1 = counts ll
    call bpf_map_lookup_elem
    if r0 == 0 goto out
    *(u64 *)(r0 + 0) = r7
"""


def counter(
    section: str, verdict: int = 0, *, before: str = "", cookie: bool = False
) -> CollectionSpec:
    """A program for a section that counts, and returns a verdict."""
    after = COOKIE if cookie else ""
    text = COUNT.format(section=section, verdict=verdict, before=before, after=after)
    return assemble(text, name="count.s")


class Counter:
    """A loaded counter."""

    def __init__(self, live: Collection) -> None:
        self.live = live

    @property
    def program(self) -> Program:
        return self.live.programs["count"]

    @property
    def runs(self) -> int:
        return int(self.live.maps["counts"][0])

    @property
    def cookie(self) -> int:
        return int(self.live.maps["counts"][1])


@contextmanager
def counting(
    section: str, verdict: int = 0, *, before: str = "", cookie: bool = False
) -> Iterator[Counter]:
    """A program for a section that counts, loaded for the `with` block."""
    with load(counter(section, verdict, before=before, cookie=cookie)) as live:
        yield Counter(live)


def judged(link: Link) -> tuple[str, int]:
    """Type and program of a link, by bpftool; older ones number the types they do not know."""
    shown = bpftool("link", "show", "id", link.id)
    type = shown["type"]
    return LINK_TYPES.name_of(type) if isinstance(type, int) else type, shown["prog_id"]


# A system call that hardly anybody makes, so that counts are exact.
CALL = "sched_get_priority_max"


def call(times: int = 1) -> None:
    """Make the call."""
    for _ in range(times):
        os.sched_get_priority_max(os.SCHED_OTHER)


def compiled(folder: Path, name: str, source: str, *flags: str) -> Path:
    """A C program or library, built."""
    text, out = folder / f"{name}.c", folder / name
    text.write_text(source)
    command = ["gcc", "-O1", "-o", str(out), str(text), *flags]
    subprocess.run(command, check=True, capture_output=True)
    return out
