"""Objects of clang run alike in the kernel and in both engines of the virtual machine."""

from __future__ import annotations

from typing import Any

import pytest

import ebpfasm
from ebpfasm.runtime.running.anywhere import open_anywhere
from tests.elf.objects import CPUS, compiled
from tests.needed import need

pytestmark = pytest.mark.tool("clang")

PACKET = bytes(range(64))
NAMES = ("data", "calls", "maps")
QUIET = ("bloom", "events", "outer", "outer_hash", "jumps", "sized")  # nothing to be compared


def outcome(name: str, cpu: str, engine: str) -> tuple[dict[str, int], dict[str, Any]]:
    """What each program that is loaded returns, one after the other, and what maps hold then."""
    spec = ebpfasm.open(compiled(name, cpu=cpu))
    with open_anywhere(spec, engine) as live:
        wanted = [each.name for each in spec.programs.values() if each.autoload]
        returned = {each: live.run(each, PACKET).retval for each in wanted}
        held = {
            each: map.snapshot() for each, map in live.maps.items() if each not in QUIET
        }  # fmt: skip
        return returned, held


@pytest.mark.kernel
@pytest.mark.parametrize("cpu", CPUS)
@pytest.mark.parametrize("name", NAMES)
def test_the_kernel_and_both_engines_agree(name: str, cpu: str) -> None:
    programs = ebpfasm.open(compiled(name, cpu=cpu)).programs.values()
    need(*(each for each in programs if each.autoload))
    kernel = outcome(name, cpu, "kernel")
    assert outcome(name, cpu, "vm") == kernel
    assert outcome(name, cpu, "reference") == kernel


@pytest.mark.parametrize("engine", ["vm", "reference"])
def test_tail_calls_reach_the_programs_that_the_object_put_in(engine: str) -> None:
    returned, _ = outcome("maps", "v3", engine)
    assert returned == {"tail_one": 2, "tail_two": 2, "entry": 2}


@pytest.mark.parametrize("name", ["data", "calls", "maps", "core", "kconfig", "arena"])
def test_the_verifier_accepts_what_clang_makes(name: str) -> None:
    for program in ebpfasm.open(compiled(name)).programs.values():
        assert ebpfasm.verify(program).ok, program.name
