"""Helpers and contexts: what the kernel makes of a program, both engines make of it too."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.native import native_core
from ebpfasm.runtime.running.once import Engine, run
from tests.needed import need
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


@pytest.mark.kernel
@pytest.mark.parametrize("case", ALL, ids=lambda case: case.name)
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
