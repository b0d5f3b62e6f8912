"""The control-flow graph of one function, over its symbolic instructions."""

from __future__ import annotations

from collections.abc import Iterable

from ebpfasm.frozen import dataclass
from ebpfasm.ir.instruction import Instruction, Item
from ebpfasm.ir.layout import Layout, lay_out


@dataclass(frozen=True, slots=True)
class Block:
    """Instructions that run one after the other: indices start to end (exclusive) of the layout.

    `successors` are numbers of blocks. `falls_off` says that control can run past the
    function's last instruction from here.
    """

    number: int
    start: int
    end: int
    successors: tuple[int, ...]
    falls_off: bool


@dataclass(frozen=True, slots=True)
class Cfg:
    """Blocks in the order of the text; the first is the entry."""

    layout: Layout
    blocks: tuple[Block, ...]

    def instructions(self, block: Block) -> tuple[Instruction, ...]:
        """A block's instructions."""
        return self.layout.instructions[block.start : block.end]

    def predecessors(self) -> tuple[tuple[int, ...], ...]:
        """Numbers of the blocks that lead to each block."""
        lists: list[list[int]] = [[] for _ in self.blocks]
        for block in self.blocks:
            for successor in block.successors:
                lists[successor].append(block.number)
        return tuple(tuple(each) for each in lists)

    def reached(self) -> frozenset[int]:
        """Numbers of the blocks that the entry leads to."""
        seen: set[int] = set()
        waiting = [0] if self.blocks else []
        while waiting:
            number = waiting.pop()
            if number not in seen:
                seen.add(number)
                waiting.extend(self.blocks[number].successors)
        return frozenset(seen)


def build(items: Iterable[Item], tables: Iterable[str] = ()) -> Cfg:
    """Cut a function into blocks. Jumps that go astray lead nowhere; the verifier reports them.

    `tables` are the labels that the function's jump tables name (`ir.tables`).
    """
    layout = lay_out(items, tables)
    count = len(layout.instructions)
    leaders = {0}
    for index in range(count):
        successors = layout.successors(index)
        if successors != (index + 1,):
            leaders.update(successors)
            leaders.add(index + 1)
    starts = sorted(place for place in leaders if place < count)
    number_of = {start: number for number, start in enumerate(starts)}
    blocks = []
    for number, start in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else count
        successors = layout.successors(end - 1)
        inside = tuple(number_of[place] for place in successors if place < count)
        blocks.append(Block(number, start, end, inside, count in successors))
    return Cfg(layout, tuple(blocks))
