"""A path on which a requirement fails, as a witness.

States joined at a block forget how it was reached, so what they cannot promise need not be
wrong: "written if flag, read if flag" is sound, and the kernel, which follows every path by
itself, accepts it. A finding is an error only with a path to show for it whose branches do
not contradict each other.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import count

from ebpfasm.analysis.checks import holds
from ebpfasm.analysis.requirements import Readable, Requirement
from ebpfasm.analysis.values import LEAST_IDENTITY, State, Unknown
from ebpfasm.analysis.walk import Walk
from ebpfasm.ir.cfg import Block

Node = tuple[int, bool]  # a block, and whether the register in question is readable at its start

Way = tuple[tuple[int, ...], State]  # the blocks so far, and the state at the last one's start

ALLOWANCE = 8_000  # instructions for one search


@dataclass(frozen=True, slots=True)
class Path:
    """Blocks from the entry to the finding, begun in the state `entry`.

    `certain` says that no two of its branches disagree.
    """

    entry: State
    blocks: tuple[int, ...]
    certain: bool


@dataclass(frozen=True)
class Search:
    """The search for a way to an instruction before which a requirement fails.

    With no requirement it is the way to the instruction itself that is looked for.
    """

    walk: Walk
    index: int
    requirement: Requirement | None = None

    def find(self, entries: tuple[State, ...]) -> Path | None:
        """The witness; None where every way contradicts itself.

        `entries` are the states in which the function can begin. Where looking takes too
        long, the path is the shortest one and not certain.
        """
        distances = self._distances()
        meter = self.walk.meter
        allowance = min(ALLOWANCE, meter.search)
        left, path = allowance, None
        for entry in entries:
            path, left = self._descend(entry, distances, left)
            if path is not None:
                break
        meter.search -= allowance - left
        return path or (self._shortest(entries, distances) if left <= 0 else None)

    def _descend(
        self, entry: State, distances: dict[Node, int], left: int
    ) -> tuple[Path | None, int]:
        """Depth first, always towards the goal; back where a branch cannot be taken.

        `left` is how many instructions may be run. Returns the path and what is left then.
        """
        identities = count(LEAST_IDENTITY)
        ways: list[Way] = [((0,), entry.named(identities))]
        seen: set[tuple[int, State]] = set()
        while ways and left > 0:
            blocks, state = ways.pop()
            state = state.canonical()
            node = (blocks[-1], self._readable(state))
            if node not in distances or (blocks[-1], state) in seen:
                continue
            seen.add((blocks[-1], state))
            block = self.walk.body.cfg.blocks[blocks[-1]]
            left -= block.end - block.start
            states = list(self.walk.states(block, state, identities))
            here = self.index - block.start
            if 0 <= here < len(states) - 1 and self._fails(states[here]):
                return Path(entry, blocks, True), left
            edges = self.walk.edges(block, states[-1])
            ahead: list[Way] = [((*blocks, successor), after) for successor, after in edges]
            ahead.sort(key=lambda way: -self._distance(way, distances))
            ways += ahead
        return None, left

    def _fails(self, state: State) -> bool:
        return self.requirement is None or not holds(self.requirement, state)

    def _distance(self, way: Way, distances: dict[Node, int]) -> int:
        blocks, state = way
        return distances.get((blocks[-1], self._readable(state)), 1 << 31)

    def _readable(self, state: State) -> bool:
        match self.requirement:
            case Readable(register=register):
                return state[register] is not None
            case _:
                return False

    def _distances(self) -> dict[Node, int]:
        """Blocks still to run to the failing requirement, from each node that leads there."""
        before: dict[Node, list[Node]] = {}
        goals: list[Node] = []
        for block in self.walk.body.cfg.blocks:
            for readable in (False, True):
                node = (block.number, readable)
                after = self._after(block, readable, block.end)
                for successor in block.successors:
                    before.setdefault((successor, after), []).append(node)
                inside = block.start <= self.index < block.end
                if inside and not self._after(block, readable, self.index):
                    goals.append(node)
        distances = dict.fromkeys(goals, 0)
        waiting = deque(goals)
        while waiting:
            node = waiting.popleft()
            for earlier in before.get(node, ()):
                if earlier not in distances:
                    distances[earlier] = distances[node] + 1
                    waiting.append(earlier)
        return distances

    def _after(self, block: Block, readable: bool, index: int) -> bool:
        """Whether the register is readable before an index, if it is as told at the block's start.

        That depends on nothing else, so that any state with this register will do.
        """
        match self.requirement:
            case Readable(register=register):
                written = State((Unknown(),) * 11)
                state = written if readable else written.with_register(register, None)
                states = list(self.walk.states(block, state))
                return states[index - block.start][register] is not None
            case _:
                return False

    def _shortest(self, entries: tuple[State, ...], distances: dict[Node, int]) -> Path | None:
        ways = [entry for entry in entries if (0, self._readable(entry)) in distances]
        if not ways:
            return None
        node = (0, self._readable(ways[0]))
        blocks = [0]
        while distances[node] > 0:
            block = self.walk.body.cfg.blocks[node[0]]
            after = self._after(block, node[1], block.end)
            successors = [(each, after) for each in block.successors if (each, after) in distances]
            node = min(successors, key=lambda each: distances[each])
            blocks.append(node[0])
        return Path(ways[0], tuple(blocks), False)
