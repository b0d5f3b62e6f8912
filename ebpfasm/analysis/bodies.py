"""A function under analysis: its graph, and words for its places."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from ebpfasm.errors import Location
from ebpfasm.ir.cfg import Block, Cfg, build
from ebpfasm.ir.instruction import Instruction, Item
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.ir.tables import labels_in


@dataclass(frozen=True)
class Body:
    """A function with its control-flow graph; the program itself is the one with number 0."""

    number: int
    name: str
    cfg: Cfg
    span: Location | None

    @property
    def instructions(self) -> tuple[Instruction, ...]:
        """The instructions, without labels."""
        return self.cfg.layout.instructions

    @cached_property
    def block_at(self) -> dict[int, Block]:
        """Blocks by the index of their first instruction."""
        return {block.start: block for block in self.cfg.blocks}

    @cached_property
    def names_at(self) -> dict[int, str]:
        """Labels by the index that they stand before; of several, the first."""
        names: dict[int, str] = {}
        for name, index in self.cfg.layout.labels.items():
            names.setdefault(index, name)
        return names

    def block_of(self, index: int) -> Block:
        """The block that an instruction stands in."""
        return next(block for block in self.cfg.blocks if block.start <= index < block.end)

    def place(self, index: int) -> str:
        """An instruction's place in words: its line, or its number where it has no line."""
        span = self.instructions[index].span
        return f"line {span.line}" if span is not None else f"instruction {index}"

    def places(self, indices: list[int]) -> str:
        """Several places in words, such as "lines 3 and 5"."""
        words = [self.place(index).partition(" ")[::2] for index in indices]
        kind = words[0][0] if all(kind == words[0][0] for kind, _ in words) else ""
        if not kind or len(indices) == 1:
            return ", ".join(self.place(index) for index in indices)
        numbers = list(dict.fromkeys(number for _, number in words))
        if len(numbers) == 1:
            return f"{kind} {numbers[0]}"
        return f"{kind}s {', '.join(numbers[:-1])} and {numbers[-1]}"

    def region(self, index: int) -> str:
        """The label that an instruction stands under, quoted; empty before the first label."""
        above = [place for place in self.names_at if place <= index]
        return f"'{self.names_at[max(above)]}'" if above else ""


def bodies_of(program: ProgramSpec) -> tuple[Body, ...]:
    """The program, then its functions."""
    streams: list[tuple[str, Iterable[Item], Location | None]] = [
        (program.name, program.instructions, program.span),
        *((each.name, each.instructions, each.span) for each in program.functions),
    ]
    return tuple(
        Body(number, name, build(items, labels_in(name, program.maps)), span)
        for number, (name, items, span) in enumerate(streams)
    )
