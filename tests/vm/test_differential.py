"""Random programs: the reference engine, the native engine and the kernel give the same."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.errors import LoadError
from tests.vm import generate
from tests.vm.engines import both, need_native, outcome

LEGAL, WILD, IN_KERNEL = 1000, 4000, 300
PARTS = 10


@pytest.mark.parametrize("part", range(PARTS))
def test_both_engines_run_legal_programs_alike(part: int) -> None:
    need_native()
    for seed in range(part, LEGAL, PARTS):
        assert both(generate.legal(seed)).wrong == ""


@pytest.mark.parametrize("part", range(PARTS))
def test_both_engines_stop_wild_programs_alike(part: int) -> None:
    need_native()
    for seed in range(part, WILD, PARTS):
        both(generate.wild(seed), budget=1_000)


@pytest.mark.kernel
@pytest.mark.parametrize("part", range(PARTS))
def test_the_kernel_computes_the_same(part: int) -> None:
    for seed in range(part, IN_KERNEL, PARTS):
        program = generate.legal(10_000 + seed)
        ours = outcome(program, native=False)
        theirs = ebpfasm.run(program, bytes(64), engine="kernel")
        assert ours.r0 is not None, (seed, ours.wrong)
        assert theirs.retval == ours.r0 & 0xFFFFFFFF, seed


@pytest.mark.kernel
def test_what_the_kernel_accepts_of_wild_programs_never_faults() -> None:
    """The verifier's promise: programs that it loads do nothing that the machine stops."""
    accepted = 0
    for seed in range(20_000, 20_300):
        program = generate.wild(seed, 6)
        try:
            theirs = ebpfasm.run(program, bytes(64), engine="kernel")
        except (LoadError, ebpfasm.NotSupported, ebpfasm.EncodeError, ebpfasm.LinkError):
            continue
        accepted += 1
        ours = outcome(program, native=False)
        assert ours.wrong == "", (seed, ours.wrong)
        if not ours.r0 or program.type != "sched_cls":
            assert theirs.retval == (ours.r0 or 0) & 0xFFFFFFFF, seed
    assert accepted > 0
