"""Moving a state through the blocks of one function and along the edges between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

from ebpfasm.analysis import conditions
from ebpfasm.analysis.bodies import Body
from ebpfasm.analysis.requirements import Readable, Requirement, Setting, requirements
from ebpfasm.analysis.transfer import Returns, apply
from ebpfasm.analysis.values import Number, State, Unknown, Value
from ebpfasm.ir.cfg import Block
from ebpfasm.ir.instruction import Instruction
from ebpfasm.isa import semantics
from ebpfasm.isa.forms import Form

UNNAMED = repeat(0)


@dataclass(slots=True)
class Meter:
    """Instructions that the analysis ran, and how many more it may run in search of paths."""

    processed: int = 0
    search: int = 80_000


@dataclass(frozen=True)
class Walk:
    """One function in its setting."""

    body: Body
    setting: Setting
    returns: Returns
    meter: Meter

    @cached_property
    def requirements(self) -> tuple[tuple[Requirement, ...], ...]:
        """What must hold before each instruction."""
        return tuple(tuple(requirements(each, self.setting)) for each in self.body.instructions)

    def states(
        self, block: Block, state: State, identities: Iterator[int] = UNNAMED
    ) -> Iterator[State]:
        """The state before each instruction of a block, then the one after its last.

        `identities` name the values that the block makes: right along one path, wrong where
        paths are joined.
        """
        yield state
        for index in range(block.start, block.end):
            # What was refused once is not refused again at every later read.
            for required in self.requirements[index]:
                if isinstance(required, Readable) and state[required.register] is None:
                    state = state.with_register(required.register, Unknown())
            each = self.body.instructions[index]
            state = apply(each, state, next(identities), self.returns)
            yield state

    def flow(self, block: Block, state: State) -> Iterator[tuple[int, State]]:
        """Run a block: the successors that control can go to, with the state there."""
        self.meter.processed += block.end - block.start
        *_, last = self.states(block, state)
        yield from self.edges(block, last)

    def edges(self, block: Block, state: State) -> Iterator[tuple[int, State]]:
        """The successors that control can go to in this state, with the state there."""
        last = self.body.instructions[block.end - 1]
        if last.spec.form not in (Form.JCOND_IMM, Form.JCOND_REG) or len(block.successors) < 2:
            for successor in block.successors:
                yield successor, state
            return
        op, width = last.spec.op, last.spec.width
        left, right = state[last.dst], _right_side(last, state)
        outcome = conditions.decide(op, left, right, width, state)
        for successor in block.successors:
            taken = self.body.cfg.blocks[successor].start != block.end
            if outcome is None:
                yield successor, conditions.assume(op, left, right, width, state, taken)
            elif outcome == taken:
                yield successor, state


def _right_side(each: Instruction, state: State) -> Value | None:
    if each.spec.form is Form.JCOND_REG:
        return state[each.src]
    return Number(each.imm & semantics.mask(64))
