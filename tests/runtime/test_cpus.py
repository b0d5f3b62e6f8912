"""CPUs as sysfs lists them; that per-CPU values are sized by the possible ones."""

from __future__ import annotations

import os

import pytest

from ebpfasm.asm import assemble
from ebpfasm.runtime.cpus import online_cpus, parse_cpus, possible_cpus
from ebpfasm.runtime.loader import load


def test_cpu_lists_are_read() -> None:
    lists = [parse_cpus(text) for text in ("0\n", "0-3", "0-1,4-7,9")]
    assert lists == [[0], [0, 1, 2, 3], [0, 1, 4, 5, 6, 7, 9]]


@pytest.mark.kernel
def test_per_cpu_values_are_sized_by_possible_cpus_whatever_this_process_may_use() -> None:
    allowed = os.sched_getaffinity(0)
    spec = assemble(".map m, percpu_array, key=u32, value=u32, max_entries=1")
    os.sched_setaffinity(0, {min(allowed)})
    try:
        with load(spec) as live:
            assert len(live.maps["m"][0]) == possible_cpus() >= len(online_cpus())
    finally:
        os.sched_setaffinity(0, allowed)
