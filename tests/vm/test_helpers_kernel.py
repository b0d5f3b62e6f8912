"""Helpers and contexts: what the kernel makes of a program, both engines make of it too."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.native import native_core
from ebpfasm.runtime.running.once import Engine, run
from tests.needed import need
from tests.support import kernel_release
from tests.vm.cases import CASES, Case
from tests.vm.cases_memory import DYNPTRS, OTHERS, SYSCALLS
from tests.vm.cases_network import COOKIES, SKB, SOCKETS
from tests.vm.cases_objects import CASTS, REDIRECTS, RINGS, STORAGE
from tests.vm.cases_types import TYPES
from tests.vm.formats import PRINTING

ALL = [
    *CASES, *PRINTING, *SKB, *SOCKETS, *COOKIES, *DYNPTRS, *OTHERS, *SYSCALLS, *STORAGE, *RINGS,
    *CASTS, *REDIRECTS, *TYPES,
]  # fmt: skip


# What older kernels refuse to such programs, or do otherwise than both engines: tests/features.py.
NEEDS = {
    "tracing helpers in all programs": (
        "counter of nothing", "counter past the end", "counter with flags",
        "counter's values of nothing", "no branches", "task under no cgroup", "no task storage",
        "task storage made", "task storage with a value", "task storage with unknown flags",
        "no task storage to delete", "task storage after its end", "task's area that is not there",
        "task's area with flags", "task's stack with unknown flags",
    ),
    "helpers of the current task in all programs": (
        "cgroup of the root", "cgroup too deep", "task in no such namespace",
    ),
    "helpers for text in all programs": ("string to number",),
    "folded differences of checksums": ("checksum difference", "checksum of new bytes"),
    "clocks of time stamps": ("time stamp 5 of clock 0", "time stamp 5 of clock 2"),
    "tunnel keys without a key": ("tunnel key without key",),
    "tunnel keys with both addresses": (
        "tunnel key", "tunnel key's flags", "tunnel key's other flags", "tunnel key of IPv6",
        "tunnel key of the other family", "tunnel key read with unknown flags",
        "tunnel options of 8 bytes, read as 8", "tunnel options of 8 bytes, read as 16",
        "tunnel options of 8 bytes, read as 4",
    ),
    "raw tracepoint cookies": ("no cookie of an attachment",),
    "test runs that show metadata": ("adjust meta",),
    "contexts after test runs": (
        "write the context", "priority of a packet", "lookup's fields", "lookup's addresses",
        "nothing picked", "assign nothing", "assign with unknown flags",
    ),
    "verdicts of flow dissectors": (
        "flow keys at first", "flow keys filled in", "flow keys out of the packet",
    ),
}  # fmt: skip
MARKS = {
    name: [pytest.mark.needs(feature)] for feature, names in NEEDS.items() for name in names
} | {
    # That the bytes asked for are read is not seen, and what wrote them is taken out.
    "filter": [
        pytest.mark.skipif(kernel_release() == (7, 3), reason="Linux 7.3 refuses bloom filters")
    ]
}


def test_every_case_that_needs_something_is_there() -> None:
    assert MARKS.keys() <= {case.name for case in ALL}


@pytest.mark.kernel
@pytest.mark.parametrize(
    "case", [pytest.param(case, id=case.name, marks=MARKS.get(case.name, ())) for case in ALL]
)
def test_the_kernel_and_both_engines_agree(case: Case) -> None:
    text = case.text.replace("{maps}", "")
    program = ebpfasm.assemble(text, name=case.name).programs["main"]
    need(program)
    kernel = run(program, case.data, engine="kernel", ctx=case.ctx, maps=case.maps)
    engines: tuple[Engine, ...] = ("reference", "vm")
    for engine in engines if native_core() is not None else engines[:1]:
        ours = run(program, case.data, engine=engine, ctx=case.ctx, maps=case.maps)
        assert ours.retval == kernel.retval
        assert ours.data_out.hex() == kernel.data_out.hex()
        if case.name.startswith("value on"):
            continue  # of as many processors as the kernel has
        if case.name == "values for each processor":
            # The kernel has as many values as processors, and ran on any of them.
            assert [sum(each) for each in ours.maps["p"].values()] == [0, 7]
            continue
        shown = {name for name, content in kernel.maps.items() if content}
        assert {name: ours.maps[name] for name in shown} == {
            name: kernel.maps[name] for name in shown
        }
        assert ours.ctx_out == kernel.ctx_out
