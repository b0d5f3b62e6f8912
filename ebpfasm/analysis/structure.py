"""Checks that look at a function's text alone and need to know nothing of values."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from ebpfasm.analysis.bodies import Body
from ebpfasm.errors import Diagnostic, Note, error
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.ir.references import FunctionRef, LabelRef
from ebpfasm.isa import codec, helpers
from ebpfasm.isa.forms import Form

Found = Iterator[tuple[int, Diagnostic]]  # by the index of the instruction; -1 is the function


def check(body: Body, functions: Collection[str], kernel: str | None) -> Found:
    """Yield what is wrong with a function's structure."""
    if not body.instructions:
        message = f"'{body.name}' has no instructions"
        yield -1, error("verify-empty", message, body.span, hint="end it with 'exit'")
        return
    yield from _fields(body)
    yield from _too_new(body, kernel)
    astray = [*_jumps(body), *_calls(body, functions)]
    yield from astray
    yield from _fall_through(body)
    # A jump that goes nowhere, or to a computed place, leaves its goal looking unreachable.
    if not astray and not any(each.spec.form is Form.JUMP_REG for each in body.instructions):
        yield from _unreachable(body)


def is_sound(body: Body) -> bool:
    """Whether registers are registers, so that states can be followed at all."""
    return all(0 <= each.dst < codec.REGISTERS and 0 <= each.src < codec.REGISTERS
               for each in body.instructions)  # fmt: skip


def _fields(body: Body) -> Found:
    for index, each in enumerate(body.instructions):
        for wrong in codec.check(*each.fields):
            yield index, error("verify-reserved", wrong.message, each.span)


def _too_new(body: Body, kernel: str | None) -> Found:
    for index, each in enumerate(body.instructions):
        name, since = each.spec.name, each.spec.since
        if not since:
            message = f"no kernel takes {name} from programs yet"
            yield index, error("not-supported", message, each.span)
            continue
        helper = helpers.find(each.imm) if each.spec.form is Form.CALL_HELPER else None
        if helper is not None:
            name, since = helper.name, helper.since
        if kernel is not None and _version(since) > _version(kernel):
            message = f"{name} came with Linux {since}; this is checked for {kernel}"
            yield index, error("not-supported", message, each.span)


def _version(text: str) -> tuple[int, int]:
    """Major and minor number of a kernel such as 6.1 or 6.18.44-fc."""
    major, _, rest = text.partition(".")
    minor = rest.partition(".")[0].partition("-")[0]
    return int(major), int(minor or 0)


def _jumps(body: Body) -> Found:
    layout = body.cfg.layout
    end = len(body.instructions)
    for index, each in enumerate(body.instructions):
        if each.spec.form not in JUMPS:
            continue
        target = layout.target(index)
        if target is None:
            yield index, error("verify-jump-target", _astray(body, index, each), each.span)
        elif target == end:
            goal = f"'{each.ref.name}'" if isinstance(each.ref, LabelRef) else "the end"
            message = f"the jump goes to {goal}, where '{body.name}' has no instruction left"
            hint = "put 'exit' there"
            yield index, error("verify-jump-target", message, each.span, hint=hint)


def _astray(body: Body, index: int, each: Instruction) -> str:
    match each.ref:
        case LabelRef(name=name):
            return f"'{body.name}' has no label '{name}'"
        case _:
            pass
    slots = body.cfg.layout.slots
    distance = each.off if distance_field(each.spec.form) == "off" else each.imm
    slot = slots[index] + 1 + distance
    if 0 < slot < slots[-1]:
        return f"the jump goes into the second half of the wide instruction at slot {slot - 1}"
    return (
        f"the jump goes to slot {slot}, outside '{body.name}', which has slots 0 to {slots[-1] - 1}"
    )


def _calls(body: Body, functions: Collection[str]) -> Found:
    for index, each in enumerate(body.instructions):
        match each.ref:
            case FunctionRef(name=name) if name not in functions:
                message = f"there is no function '{name}'"
                yield index, error("verify-jump-target", message, each.span)
            case _:
                pass


def _fall_through(body: Body) -> Found:
    reached = body.cfg.reached()
    for block in body.cfg.blocks:
        last = block.end - 1
        falls = block.falls_off and body.cfg.layout.target(last) != len(body.instructions)
        if falls and block.number in reached:
            message = f"control runs off the end of '{body.name}' here"
            hint = "end the function with 'exit' or a 'goto'"
            span = body.instructions[last].span
            yield last, error("verify-fall-through", message, span, hint=hint)


def _unreachable(body: Body) -> Found:
    """Report each run of dead blocks once, at its first instruction."""
    reached = body.cfg.reached()
    before = True
    for block in body.cfg.blocks:
        alive = block.number in reached
        if before and not alive:
            each = body.instructions[block.start]
            notes = (Note(f"nothing that runs jumps here, and {_above(body, block.start)}"),)
            message = "no path leads to this instruction"
            hint = "remove it, or jump to it; the kernel refuses dead code"
            yield (
                block.start,
                error("verify-unreachable", message, each.span, notes=notes, hint=hint),
            )
        before = alive


def _above(body: Body, index: int) -> str:
    above = body.instructions[index - 1]
    what = "exit" if above.spec.form is Form.EXIT else "goto"
    return f"the {what} at {body.place(index - 1)} does not fall through"
