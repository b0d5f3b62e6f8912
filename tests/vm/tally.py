"""How many random programs were tried, and how often engines disagreed; EBPFASM_FUZZ=N tries N
times as many as usual."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

MORE = max(1, int(os.environ.get("EBPFASM_FUZZ", "1")))


@dataclass
class Row:
    """One comparison of engines."""

    tried: int = 0
    finished: int = 0  # ran to their end; the others were stopped, or refused by the verifier
    wrong: list[int] = field(default_factory=list)  # seeds

    def count(self, seed: int, agreed: bool, finished: bool = True) -> None:
        """A program was tried."""
        self.tried += 1
        self.finished += finished
        if not agreed:
            self.wrong.append(seed)


ROWS: dict[str, Row] = {}


def row(name: str) -> Row:
    """The row of a comparison."""
    return ROWS.setdefault(name, Row())


def table() -> list[str]:
    """The table, in Markdown."""
    lines = [
        "| compared | programs tried | ran to the end | disagreements |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, each in ROWS.items():
        lines.append(f"| {name} | {each.tried:,} | {each.finished:,} | {len(each.wrong)} |")
    return lines
