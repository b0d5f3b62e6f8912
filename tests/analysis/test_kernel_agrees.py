"""Random programs: what the kernel accepts we accept, and what it refuses for a reason that the
verifier claims to know, we refuse for that reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

import pytest

from ebpfasm.analysis import verify
from ebpfasm.ir import Function, FunctionRef, Instruction, Item, Label, LabelRef, ProgramSpec
from ebpfasm.ir import instruction as make
from tests.analysis.judge import judge
from tests.support import kernel_release

REGISTERS = (0, 0, 1, 2, 2, 3, 6, 7)
NUMBERS = (0, 1, 2, 3, 5, 31, 255, -1, -8)
STACK = (-8, -8, -16, -24, -512)
HELPERS = (5, 7, 7, 7, 7, 35)  # bpf_get_current_task, the last one, is not for XDP
CONDITIONS = tuple(
    f"{op}{width}" for op in ("jeq", "jne", "jgt", "jle", "jslt", "jset") for width in (64, 32)
)

Maker = Callable[[Random], Instruction]


def move(random: Random) -> Instruction:
    dst, src, imm = random.choice(REGISTERS), random.choice(REGISTERS), random.choice(NUMBERS)
    return random.choice(
        (
            make("mov64_imm", dst=dst, imm=imm),
            make("mov32_imm", dst=dst, imm=imm),
            make("mov64_reg", dst=dst, src=src),
            make("mov32_reg", dst=dst, src=src),
            make("lddw", dst=dst, imm=imm),
        )
    )


def arithmetic(random: Random) -> Instruction:
    dst, src, imm = random.choice(REGISTERS), random.choice(REGISTERS), random.choice(NUMBERS)
    by_number = ("add64", "and64", "and32", "sub64", "xor32", "mul32", "div64", "mod32", "lsh64")
    by_register = ("add64", "sub32", "or64", "xor64", "rsh32")
    return random.choice(
        (
            make(f"{random.choice(by_number)}_imm", dst=dst, imm=imm),
            make(f"{random.choice(by_register)}_reg", dst=dst, src=src),
            make(random.choice(("neg64", "neg32", "be16", "bswap64")), dst=dst),
        )
    )


def memory(random: Random) -> Instruction:
    register, off = random.choice(REGISTERS), random.choice((*STACK, *STACK, *STACK, -520, 0))
    return random.choice(
        (
            make("stxdw", dst=10, src=register, off=off),
            make("stxdw", dst=10, src=register, off=off),
            make("stdw", dst=10, off=off, imm=random.choice(NUMBERS)),
            make("ldxdw", dst=register, src=10, off=off),
        )
    )


def jump(random: Random) -> Instruction:
    target = LabelRef(random.choice(("a", "b", "c", "end")))
    dst, src, imm = random.choice(REGISTERS), random.choice(REGISTERS), random.choice(NUMBERS)
    condition = random.choice(CONDITIONS)
    if random.random() < 0.8:
        return make(f"{condition}_imm", dst=dst, imm=imm, ref=target)
    # Linux 7.3 knows how a register compares with itself; older kernels and we try both ways.
    other = src if src != dst else 7 - dst % 2
    return make(f"{condition}_reg", dst=dst, src=other, ref=target)


def call(random: Random) -> Instruction:
    if random.random() < 0.5:
        return make("call_local", ref=FunctionRef("sub"))
    return make("call_helper", imm=random.choice(HELPERS))


def odd(random: Random) -> Instruction:
    if random.random() < 0.5:
        return make("mov64_imm", dst=10, imm=1)
    return make("ja", ref=LabelRef(random.choice(("a", "b", "c", "end"))))


MAKERS: tuple[Maker, ...] = (move, arithmetic, memory, jump, call, odd)
WEIGHTS = (30, 25, 15, 25, 6, 2)


def stream(random: Random, makers: tuple[Maker, ...], most: int) -> tuple[Item, ...]:
    weights = [weight for maker, weight in zip(MAKERS, WEIGHTS, strict=True) if maker in makers]
    body: list[Item] = [
        maker(random) for maker in random.choices(makers, weights, k=random.randint(1, most))
    ]
    # Labels in order of the jumps' likely direction, so that most programs end.
    places = sorted((random.randint(len(body) // 2, len(body)) for _ in "abc"), reverse=True)
    for name, place in zip("cba", places, strict=True):
        body.insert(place, Label(name))
    # Something unknown in most of the registers, so that branches go both ways.
    for register in (0, 2, 3, 6, 7):
        if random.random() < 0.75:
            body.insert(0, make("ldxw", dst=register, src=1, off=random.choice((12, 16))))
    return (*body, Label("end"), make("exit"))


def program(seed: int) -> ProgramSpec:
    random = Random(seed)
    main = stream(random, MAKERS, 14)
    sub = Function("sub", stream(random, tuple(each for each in MAKERS if each is not call), 6))
    called = any(isinstance(each, Instruction) and each.ref == FunctionRef("sub") for each in main)
    functions = (sub,) if called else ()
    return ProgramSpec("random", "xdp", "xdp", main, license="GPL", functions=functions)


def shown(program: ProgramSpec) -> str:
    streams = {"random": program.instructions}
    streams |= {each.name: each.instructions for each in program.functions}
    return "\n".join(f"{name}: {item}" for name, items in streams.items() for item in items)


@pytest.mark.kernel
@pytest.mark.parametrize("batch", range(8))
def test_random_programs_are_judged_as_the_kernel_judges_them(batch: int) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(batch * 100, batch * 100 + 100):
        each = program(seed)
        verdict, judgement = verify(each), judge(each)
        said = "\n".join(map(str, verdict.diagnostics))
        story = f"seed {seed}: {judgement.reason}\n{shown(each)}\n{said}\n{judgement.log}"
        codes = {diagnostic.code for diagnostic in verdict.diagnostics}
        outcomes["accepted" if judgement.accepted else judgement.reason[:20]] += 1
        assert verdict.ok or not judgement.accepted, story
        if kernel_release() >= (6, 18):  # older ones look into branches that are never taken
            assert not judgement.codes or judgement.codes & codes, story
    assert outcomes["accepted"] >= 10, outcomes
