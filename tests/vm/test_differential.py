"""Random programs: the reference engine, the native engine and the kernel give the same."""

from __future__ import annotations

import pytest

import ebpfasm
from ebpfasm.analysis.vm import Interpreter, VirtualMachine
from ebpfasm.errors import LoadError
from ebpfasm.isa.forms import Form
from ebpfasm.native import native_core
from tests.support import need_native
from tests.vm import generate
from tests.vm.engines import Outcome, outcome
from tests.vm.tally import MORE, row

LEGAL, WILD, IN_KERNEL, REFUSED = 1000 * MORE, 4000 * MORE, 2000 * MORE, 300 * MORE
PARTS = 10
MEMORY = {
    Form.LOAD, Form.STORE_REG, Form.STORE_IMM, Form.ATOMIC, Form.FETCH, Form.XCHG, Form.XCHG32,
    Form.CMPXCHG, Form.CMPXCHG32,
}  # fmt: skip


@pytest.mark.parametrize("part", range(PARTS))
def test_both_engines_run_legal_programs_alike(part: int) -> None:
    need_native()
    here = row("reference, native: legal programs")
    for seed in range(part, LEGAL, PARTS):
        one, other = both(generate.legal(seed))
        here.count(seed, one == other and one.wrong == "", one.wrong == "")
    assert here.wrong == []


@pytest.mark.parametrize("part", range(PARTS))
def test_both_engines_stop_wild_programs_alike(part: int) -> None:
    need_native()
    here = row("reference, native: wild programs")
    for seed in range(part, WILD, PARTS):
        one, other = both(generate.wild(seed), budget=1_000)
        here.count(seed, one == other, one.wrong == "")
    assert here.wrong == []


@pytest.mark.kernel
@pytest.mark.parametrize("part", range(PARTS))
def test_the_kernel_computes_the_same(part: int) -> None:
    here = row("reference, native, kernel: legal programs")
    for seed in range(10_000_000 + part, 10_000_000 + IN_KERNEL, PARTS):
        program = generate.legal(seed, for_kernel=True)
        ours = both(program)
        theirs = ebpfasm.run(program, bytes(64), engine="kernel")
        agreed = all(each.r0 is not None and low(each) == theirs.retval for each in ours)
        here.count(seed, agreed and ours[0] == ours[-1])
    assert here.wrong == []


@pytest.mark.kernel
def test_what_the_kernel_accepts_of_wild_programs_never_faults() -> None:
    """The verifier's promise: programs that it loads do nothing that the machine stops."""
    here = row("reference, native, kernel: wild programs that the verifier accepts")
    for seed in range(20_000, 20_000 + REFUSED):
        program = generate.wild(seed, 6)
        try:
            theirs = ebpfasm.run(program, bytes(64), engine="kernel")
        except (LoadError, ebpfasm.NotSupported, ebpfasm.EncodeError, ebpfasm.LinkError):
            here.tried += 1
            continue
        ours = both(program)
        # What sched_cls returns beside the actions is the kernel's own affair.
        compared = not ours[0].r0 or program.type != "sched_cls"
        compared = compared and not looks_at_addresses(program)
        agreed = not compared or all(low(each) == theirs.retval for each in ours)
        here.count(seed, agreed and ours[0].wrong == "" and ours[0] == ours[-1])
    assert here.wrong == []
    assert here.finished > 0


def both(program: ebpfasm.ProgramSpec, budget: int = 10_000) -> tuple[Outcome, ...]:
    """What the reference engine came to, and the native one where it is built."""
    engines = (False, True) if native_core() is not None else (False,)
    return tuple(outcome(program, native=native, budget=budget) for native in engines)


def looks_at_addresses(program: ebpfasm.ProgramSpec) -> bool:
    """Whether a run computes with an address, or returns one: every machine has its own."""
    machine = VirtualMachine(program).machine
    plain = {"mov64_reg", "add64_imm", "add64_reg", "sub64_imm", "sub64_reg", "call"}
    seen = []

    def watch(engine: Interpreter, at: int) -> None:
        step = machine.code.steps[at]
        spec = step.instruction.spec
        if spec.name in plain or spec.form in MEMORY:
            return
        read = (value for n, value in enumerate(engine.registers) if step.reads >> n & 1)
        found = map(machine.memory.find, read)
        seen.append(any(region is not None and region.number for region in found))

    Interpreter(machine, watch).run(*machine.begin(bytes(64), None))
    return any(seen)


def low(outcome: Outcome) -> int:
    return (outcome.r0 or 0) & 0xFFFFFFFF
