"""A program's control-flow graph as text that Graphviz draws (https://graphviz.org/doc/info/lang.html)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ebpfasm.asm.writing.printer import text_of
from ebpfasm.ir.cfg import Block, Cfg, build
from ebpfasm.ir.references import FunctionRef
from ebpfasm.ir.specs import ProgramSpec
from ebpfasm.ir.tables import labels_in
from ebpfasm.isa.forms import Form

_HEAD = """\
    node [shape=box, fontname="monospace", fontsize=10];
    edge [fontname="monospace", fontsize=9];"""


def dot(program: ProgramSpec) -> str:
    """Draw the program and its functions, each in a frame, a box for each block.

    Edges from a condition say yes where it holds and no where it does not; dotted ones lead from
    a call to the function. Blocks that nothing leads to are dashed, and what runs past the end of
    its function leads to a red circle.
    """
    streams = {program.name: program.instructions}
    streams |= {each.name: each.instructions for each in program.functions}
    numbers = {name: number for number, name in enumerate(streams)}
    lines = [f"digraph {_quoted(program.name)} {{", _HEAD]
    calls: list[str] = []
    for name, items in streams.items():
        cfg = build(items, labels_in(name, program.maps))
        lines += _frame(numbers[name], name, cfg)
        calls += _calls(numbers[name], cfg, numbers)
    return "\n".join([*lines, *calls, "}"]) + "\n"


def _frame(function: int, name: str, cfg: Cfg) -> Iterator[str]:
    yield f"    subgraph cluster_{function} {{"
    yield f"        label={_quoted(name)};"
    reached = cfg.reached()
    for block in cfg.blocks:
        style = "" if block.number in reached else ", style=dashed"
        yield f"        {_node(function, block.number)} [label={_text(cfg, block)}{style}];"
    if any(block.falls_off for block in cfg.blocks):
        yield f'        {_end(function)} [label="", shape=circle, width=0.2, color=red];'
    for block in cfg.blocks:
        yield from _edges(function, cfg, block)
    yield "    }"


def _text(cfg: Cfg, block: Block) -> str:
    """A block's labels, then its instructions with their slots, each line set to the left."""
    layout = cfg.layout
    lines = [f"{name}:" for name, place in layout.labels.items() if place == block.start]
    lines += [
        f"{layout.slots[index]:>4}  {text_of(layout.instructions[index])}"
        for index in range(block.start, block.end)
    ]
    return '"' + "".join(rf"{_escaped(line)}\l" for line in lines) + '"'


def _edges(function: int, cfg: Cfg, block: Block) -> Iterator[str]:
    here, last = _node(function, block.number), block.end - 1
    jump = cfg.layout.target(last)
    ways = cfg.layout.successors(last)
    decides = cfg.layout.instructions[last].spec.form is not Form.JUMP_REG
    starts = {each.start: each.number for each in cfg.blocks}
    for place in ways:
        there = _node(function, starts[place]) if place in starts else _end(function)
        word = ("yes" if place == jump else "no") if decides and len(ways) > 1 else ""
        yield f"        {here} -> {there}" + (f' [label="{word}"];' if word else ";")


def _calls(function: int, cfg: Cfg, numbers: Mapping[str, int]) -> Iterator[str]:
    for block in cfg.blocks:
        named = (each.ref.name for each in cfg.instructions(block)
                 if isinstance(each.ref, FunctionRef))  # fmt: skip
        for name in dict.fromkeys(named):
            if name in numbers:
                there = _node(numbers[name], 0)
                yield f"    {_node(function, block.number)} -> {there} [style=dotted];"


def _node(function: int, block: int) -> str:
    return f"f{function}b{block}"


def _end(function: int) -> str:
    return f"f{function}end"


def _quoted(text: str) -> str:
    return f'"{_escaped(text)}"'


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
