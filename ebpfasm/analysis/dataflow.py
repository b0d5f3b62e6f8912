"""A forward analysis to its fixpoint, over any lattice whose chains are finite."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

from ebpfasm.ir.cfg import Block, Cfg

S = TypeVar("S")


def solve(
    cfg: Cfg,
    entry: S,
    flow: Callable[[Block, S], Iterable[tuple[int, S]]],
    join: Callable[[S, S], S],
) -> dict[int, S]:
    """The state in which each block begins, for the blocks that `flow` lets control reach.

    `flow` takes a block and its first state to the successors that can follow, each with the
    state on that edge.
    """
    if not cfg.blocks:
        return {}
    states = {0: entry}
    waiting = deque([0])
    while waiting:
        number = waiting.popleft()
        for successor, state in flow(cfg.blocks[number], states[number]):
            old = states.get(successor)
            new = state if old is None else join(old, state)
            if new != old:
                states[successor] = new
                if successor not in waiting:
                    waiting.append(successor)
    return states
