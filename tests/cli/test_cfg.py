"""`ebpfasm cfg`: text for Graphviz, and pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.support import Command
from tests.support import ROOT

COUNTER = ROOT / "examples" / "xdp_stats_assembly" / "xdp_stats.s"


def test_text_is_printed_or_written(ebpfasm: Command, tmp_path: Path) -> None:
    printed = ebpfasm("cfg", COUNTER)
    assert printed.status == 0
    assert printed.out.startswith('digraph "xdp_stats" {\n')
    assert ebpfasm("cfg", COUNTER, "-o", tmp_path / "x.dot").status == 0
    assert (tmp_path / "x.dot").read_text() == printed.out


@pytest.mark.tool("dot")
@pytest.mark.parametrize(("suffix", "magic"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_pictures_are_drawn(ebpfasm: Command, tmp_path: Path, suffix: str, magic: bytes) -> None:
    assert ebpfasm("cfg", COUNTER, "-o", tmp_path / f"x.{suffix}").status == 0
    assert (tmp_path / f"x.{suffix}").read_bytes().startswith(magic)


def test_without_graphviz_the_way_round_is_told(
    ebpfasm: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = ebpfasm("cfg", COUNTER, "-o", tmp_path / "x.svg")
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err == (
        "error[cli-tool]: dot, which draws .svg, is missing\n"
        "   hint: install graphviz, or give a name that ends in .dot and draw it elsewhere\n"
    )
    assert not (tmp_path / "x.svg").exists()


def test_several_programs_need_a_name(ebpfasm: Command, tmp_path: Path) -> None:
    file = tmp_path / "two.s"
    file.write_text(".section xdp\na: exit\n.globl b\nb: exit\n")
    assert "choose with --prog: a, b" in ebpfasm("cfg", file).err
    assert ebpfasm("cfg", file, "--prog", "b").out.startswith('digraph "b" {\n')
