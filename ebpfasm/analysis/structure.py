"""Checks that look at a function's text alone and need to know nothing of values."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from ebpfasm.analysis.bodies import Body
from ebpfasm.errors import Diagnostic, Note, error
from ebpfasm.ir.instruction import Instruction
from ebpfasm.ir.layout import JUMPS, distance_field
from ebpfasm.ir.link import IN_TEXT
from ebpfasm.ir.references import FunctionRef, LabelRef
from ebpfasm.ir.specs import MapSpec
from ebpfasm.ir.tables import TYPE, entries_of, is_table
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
    # A jump that goes nowhere, or to an unknown place, leaves its goal looking unreachable.
    if not astray and (body.cfg.layout.indirect or not _computed(body)):
        yield from _unreachable(body)


def is_sound(body: Body) -> bool:
    """Whether registers are registers, so that states can be followed at all."""
    return all(0 <= each.dst < codec.REGISTERS and 0 <= each.src < codec.REGISTERS
               for each in body.instructions)  # fmt: skip


def _computed(body: Body) -> list[int]:
    """The instructions that jump to an address, by index."""
    return [i for i, each in enumerate(body.instructions) if each.spec.form is Form.JUMP_REG]


def tables(
    bodies: Iterable[Body], maps: Iterable[MapSpec]
) -> Iterator[tuple[int, int, Diagnostic]]:
    """Yield what is wrong with jump tables, by number of the function and index."""
    by_name = {body.name: body for body in bodies}
    specs = [spec for spec in maps if spec.type == TYPE]
    for spec in filter(is_table, specs):
        for ref in entries_of(spec):
            body = by_name.get(ref.function)
            if body is None:
                continue  # a table of another program, which only code that never runs names
            place = body.cfg.layout.labels.get(ref.label)
            if place is None or place == len(body.instructions):
                what = "no label" if place is None else "no instruction at"
                message = f"jump table '{spec.name}': '{body.name}' has {what} '{ref.label}'"
                yield body.number, -1, error("verify-jump-target", message, spec.span)
    # What a table given by its descriptor, or filled by the user, leads to is not known here.
    if any(not is_table(spec) for spec in specs):
        return
    for body in by_name.values():
        if body.cfg.layout.indirect or any(map(_unnamed_map, body.instructions)):
            continue
        for index in _computed(body):
            message = f"'{body.name}' has no jump table, so this jump may go nowhere"
            hint = "name the places that it may go to: .jumptable NAME, LABEL, LABEL, ..."
            span = body.instructions[index].span
            yield body.number, index, error("verify-jump-target", message, span, hint=hint)


def _unnamed_map(each: Instruction) -> bool:
    return each.ref is None and each.spec.op.startswith("lddw_map")


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
                yield index, error("verify-jump-target", message, each.span, hint=IN_TEXT)
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
