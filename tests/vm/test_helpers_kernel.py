"""Helpers and contexts: what the kernel makes of a program, both engines make of it too."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.native import native_core
from tests.vm.cases import CASES, Case


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_kernel_and_both_engines_agree(case: Case) -> None:
    text = case.text.replace("{maps}", "")
    program = ebpfasm.assemble(text, name=case.name).programs["main"]
    options = {"ctx": case.ctx, "maps": case.maps}
    kernel = ebpfasm.run(program, case.data, engine="kernel", **options)
    engines = ("reference", "vm") if native_core() is not None else ("reference",)
    for engine in engines:
        ours = ebpfasm.run(program, case.data, engine=engine, **options)
        assert ours.retval == kernel.retval
        assert ours.data_out.hex() == kernel.data_out.hex()
        shown = {name for name, content in kernel.maps.items() if content}
        assert {name: ours.maps[name] for name in shown} == {
            name: kernel.maps[name] for name in shown
        }
        assert ours.ctx_out == kernel.ctx_out
