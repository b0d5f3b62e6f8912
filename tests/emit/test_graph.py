"""Control-flow graphs: their text, and that Graphviz draws them."""

from __future__ import annotations

import subprocess

import pytest

import ebpfasm
from ebpfasm.emit.graph import dot
from tests.support import ROOT, find_tool

TEXT = """
.section xdp
main:
    if r1 == 0 goto out
    call inner
    goto out
    r0 = 5
out:
    exit
.text
inner:
    r0 = 4
"""
GRAPH = r"""digraph "main" {
    node [shape=box, fontname="monospace", fontsize=10];
    edge [fontname="monospace", fontsize=9];
    subgraph cluster_0 {
        label="main";
        f0b0 [label="   0  if r1 == 0x0 goto out\l"];
        f0b1 [label="   1  call inner\l   2  goto out\l"];
        f0b2 [label="   3  r0 = 0x5\l", style=dashed];
        f0b3 [label="out:\l   4  exit\l"];
        f0b0 -> f0b1 [label="no"];
        f0b0 -> f0b3 [label="yes"];
        f0b1 -> f0b3;
        f0b2 -> f0b3;
    }
    subgraph cluster_1 {
        label="inner";
        f1b0 [label="   0  r0 = 0x4\l"];
        f1end [label="", shape=circle, width=0.2, color=red];
        f1b0 -> f1end;
    }
    f0b1 -> f1b0 [style=dotted];
}
"""


def test_blocks_ways_and_calls_are_drawn() -> None:
    assert dot(ebpfasm.assemble(TEXT).programs["main"]) == GRAPH


@pytest.mark.tool("dot")
@pytest.mark.parametrize("name", ["bpf_to_bpf", "xdp_stats_assembly"])
def test_graphviz_sees_every_box_and_way(name: str) -> None:
    (file,) = (ROOT / "examples" / name).glob("*.s")
    for program in ebpfasm.open(file).programs.values():
        text = dot(program)
        drawn = subprocess.run(
            [find_tool("dot"), "-Tplain"], input=text, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        boxes = {line.split()[1] for line in drawn if line.startswith("node ")}
        ways = sorted(tuple(line.split()[1:3]) for line in drawn if line.startswith("edge "))
        lines = [line.split() for line in text.splitlines()]
        assert boxes == {
            words[0] for words in lines if words[0].startswith("f") and "->" not in words
        }
        assert ways == sorted((words[0], words[2].rstrip(";")) for words in lines if "->" in words)
        assert len(boxes) > 1


@pytest.mark.tool("dot")
def test_names_are_quoted() -> None:
    program = ebpfasm.assemble(".section xdp\nf: exit").programs["f"]
    odd = ebpfasm.ir.ProgramSpec('a "b" \\c', "xdp", "xdp", program.instructions)
    drawn = subprocess.run(
        [find_tool("dot"), "-Tsvg"], input=dot(odd), capture_output=True, text=True, check=True
    ).stdout
    assert ">a &quot;b&quot; \\c</text>" in drawn
